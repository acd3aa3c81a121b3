//! The session under which writes are repeated.
//!
//! Each write takes the next sequence number and keeps it through all its attempts. The cluster
//! keeps the answers from the first outstanding number on; so that this stays bounded, no write
//! starts more than [`WINDOW`] numbers beyond the first one that is still under way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// How far the newest write may run ahead of the oldest one under way.
const WINDOW: usize = 4096;

/// Where a session stands: enough to go on with it in another process.
///
/// Write it down before a write. Whoever resumes it and makes the same write again gives it the same
/// number, by which the cluster recognises it if it was made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// The session.
    pub id: u64,
    /// The number of the next write.
    pub next: u64,
}

#[derive(Debug)]
pub(crate) struct Session {
    id: u64,
    /// The first number since it was resumed, which may have been used before; 0 if it was not.
    resumed_at: u64,
    window: Mutex<Window>,
    /// Told when a full window has moved.
    moved: Notify,
}

/// The sequence numbers that are under way, and those among them that are done already.
#[derive(Debug)]
struct Window {
    /// The smallest number under way; if none is, the next one to be given.
    first: u64,
    /// Whether `first`, and the numbers after it, are done. The first is never.
    done: VecDeque<bool>,
}

/// The right to one write. Whoever drops it waits for no answer any more.
#[derive(Debug)]
pub(crate) struct Ticket {
    session: Arc<Session>,
    sequence: u64,
}

impl Session {
    pub(crate) fn new(id: u64) -> Arc<Self> {
        Self::starting(SessionState { id, next: 1 }, 0)
    }

    pub(crate) fn resumed(state: SessionState) -> Arc<Self> {
        Self::starting(state, state.next)
    }

    fn starting(state: SessionState, resumed_at: u64) -> Arc<Self> {
        let SessionState { id, next } = state;
        let window = Mutex::new(Window { first: next.max(1), done: VecDeque::new() });
        Arc::new(Self { id, resumed_at, window, moved: Notify::new() })
    }

    pub(crate) fn state(&self) -> SessionState {
        let window = self.window();
        SessionState { id: self.id, next: window.first + window.done.len() as u64 }
    }

    /// Takes the next sequence number, as soon as the window allows it. The caller bounds the wait.
    pub(crate) async fn ticket(self: &Arc<Self>) -> Ticket {
        loop {
            let moved = self.moved.notified(); // Listens before it looks.
            if let Some(sequence) = self.window().begin() {
                return Ticket { session: Arc::clone(self), sequence };
            }
            moved.await;
        }
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// How the write presents itself right now.
    pub(crate) fn header(&self) -> raft_api::pb::Session {
        raft_api::pb::Session {
            id: self.session.id,
            sequence: self.sequence,
            first_outstanding: self.session.window().first,
        }
    }

    /// Whether another process may have made this write before.
    pub(crate) fn may_be_a_repeat(&self) -> bool {
        self.sequence == self.session.resumed_at
    }

    /// Whether it belongs to this session.
    pub(crate) fn is_of(&self, session: &Arc<Session>) -> bool {
        Arc::ptr_eq(&self.session, session)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.session.window().finish(self.sequence) {
            self.session.moved.notify_waiters();
        }
    }
}

impl Window {
    fn begin(&mut self) -> Option<u64> {
        if self.done.len() == WINDOW {
            return None;
        }
        self.done.push_back(false);
        Some(self.first + self.done.len() as u64 - 1)
    }

    /// Takes note that nobody waits for this number any more. Tells whether a full window moved.
    fn finish(&mut self, sequence: u64) -> bool {
        let was_full = self.done.len() == WINDOW;
        let place = usize::try_from(sequence - self.first).expect("lies within the window");
        self.done[place] = true;
        while self.done.front() == Some(&true) {
            self.done.pop_front();
            self.first += 1;
        }
        was_full && self.done.len() < WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_outstanding_number_waits_for_the_slowest() {
        let mut window = Window { first: 1, done: VecDeque::new() };
        assert_eq!([window.begin(), window.begin(), window.begin()], [Some(1), Some(2), Some(3)]);
        window.finish(2);
        assert_eq!(window.first, 1, "1 is still under way");
        window.finish(1);
        assert_eq!(window.first, 3);
        window.finish(3);
        assert_eq!((window.first, window.begin()), (4, Some(4)));
    }

    #[test]
    fn no_write_runs_ahead_of_the_oldest_by_more_than_the_window() {
        let mut window = Window { first: 1, done: VecDeque::new() };
        let size = u64::try_from(WINDOW).unwrap();
        assert_eq!((1..=size).filter_map(|_| window.begin()).count(), WINDOW);
        assert_eq!(window.begin(), None);
        assert!(!window.finish(2), "the oldest holds the window");
        assert_eq!(window.begin(), None);
        assert!(window.finish(1));
        assert_eq!(window.begin(), Some(size + 1));
    }
}
