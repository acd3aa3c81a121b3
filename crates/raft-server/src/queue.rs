//! A bounded queue whose taker is a thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// A bounded queue whose taker is a thread, which takes everything at once: one wake-up and one
/// write to the disk for whatever gathered while the last write was under way.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    /// Never more than `capacity`.
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    /// An empty queue for at most `capacity` items.
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State { items: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), capacity }
    }

    /// Appends an item; gives it back if the queue is full or closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed || self.capacity <= state.items.len() {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for items and takes them all. `None` once the queue is closed and empty.
    pub(crate) fn take_all(&self) -> Option<VecDeque<T>> {
        let state = self.lock();
        let mut state = self
            .changed
            .wait_while(state, |state| state.items.is_empty() && !state.closed)
            .expect("a panic ends the process before it can poison a lock");
        if state.items.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut state.items))
    }

    /// The same, but waits no longer than that: then there are none.
    pub(crate) fn take_all_within(&self, patience: Duration) -> Option<VecDeque<T>> {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, patience, |state| state.items.is_empty() && !state.closed)
            .expect("a panic ends the process before it can poison a lock");
        if state.items.is_empty() && state.closed {
            return None;
        }
        Some(std::mem::take(&mut state.items))
    }

    /// Waits so long, or until the queue is closed.
    pub(crate) fn pause(&self, length: Duration) {
        let state = self.lock();
        drop(
            self.changed
                .wait_timeout_while(state, length, |state| !state.closed)
                .expect("a panic ends the process before it can poison a lock"),
        );
    }

    /// Waits so long, or until the queue is closed or there is such an item.
    pub(crate) fn pause_unless(&self, length: Duration, wanted: impl Fn(&T) -> bool) {
        let state = self.lock();
        drop(
            self.changed
                .wait_timeout_while(state, length, |state| {
                    !state.closed && !state.items.iter().any(&wanted)
                })
                .expect("a panic ends the process before it can poison a lock"),
        );
    }

    /// Takes no more items; those that are there are still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("a panic ends the process before it can poison a lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was queued before the close is handed out in order; after it nothing gets in.
    #[test]
    fn hands_out_everything_and_then_ends() {
        let queue = Queue::new(2);
        queue.push(1).unwrap();
        queue.push(2).unwrap();
        assert_eq!(queue.push(3), Err(3), "full");
        queue.close();
        assert_eq!(queue.push(4), Err(4), "closed");
        assert_eq!(queue.take_all(), Some(VecDeque::from([1, 2])));
        assert_eq!(queue.take_all(), None);
        assert_eq!(queue.take_all_within(Duration::from_hours(1)), None);
        queue.pause(Duration::from_hours(1));
    }

    /// Whoever waits for a time goes on when it is over.
    #[test]
    fn does_not_wait_for_ever() {
        let queue = Queue::new(2);
        assert_eq!(queue.take_all_within(Duration::from_millis(1)), Some(VecDeque::new()));
        queue.push(1).unwrap();
        queue.pause(Duration::from_millis(1));
        queue.pause_unless(Duration::from_millis(1), |item| *item == 2);
        queue.pause_unless(Duration::from_hours(1), |item| *item == 1);
        assert_eq!(queue.take_all_within(Duration::from_hours(1)), Some(VecDeque::from([1])));
    }
}
