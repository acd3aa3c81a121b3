//! A bounded queue whose taker is a thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

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
    }
}
