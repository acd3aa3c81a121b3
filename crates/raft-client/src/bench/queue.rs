//! Between the schedule of an open loop and its workers: operations that are due.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Operations that are due and wait for a worker. Bounded by whoever takes them: what waits for
/// longer than an operation may take is not sent any more.
#[derive(Debug)]
pub(super) struct Queue {
    due: Mutex<VecDeque<Instant>>,
    waiting: Semaphore,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { due: Mutex::default(), waiting: Semaphore::new(0) }
    }

    /// One more is due, since this moment.
    pub(super) fn add(&self, wanted: Instant) {
        self.due().push_back(wanted);
        self.waiting.add_permits(1);
    }

    /// No more will be. What is there is still given out.
    pub(super) fn close(&self) {
        self.waiting.close();
    }

    /// Nobody takes what is there. Tells how many that were.
    pub(super) fn discard(&self) -> u64 {
        self.close();
        let left = std::mem::take(&mut *self.due());
        left.len() as u64
    }

    /// The one that has been due for longest; `None` when there will be no more.
    pub(super) async fn take(&self) -> Option<Instant> {
        if let Ok(permit) = self.waiting.acquire().await {
            permit.forget();
        }
        self.due().pop_front()
    }

    fn due(&self) -> std::sync::MutexGuard<'_, VecDeque<Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_due_is_given_out_in_order_and_to_the_last() {
        let queue = Queue::new();
        let first = Instant::now();
        let second = first + std::time::Duration::from_secs(1);
        let waiting = queue.take();
        let giving = async {
            queue.add(first);
            queue.add(second);
            queue.close();
        };
        let (taken, ()) = tokio::join!(waiting, giving);
        assert_eq!(taken, Some(first));
        assert_eq!(queue.take().await, Some(second));
        assert_eq!(queue.take().await, None);
        assert_eq!(queue.discard(), 0);
    }
}
