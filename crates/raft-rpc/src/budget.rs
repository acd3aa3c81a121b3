//! Memory for messages that are not whole yet.
//!
//! A message is put together before anybody looks at it, and its sender may take its time with the rest.
//! What all of them together may hold is bounded; beyond it the next piece is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tonic::Status;

/// What there is for all, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    held: AtomicUsize,
    max: usize,
}

/// What one message holds of it.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// `None`: there is no bound.
    pool: Option<Arc<Pool>>,
    held: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Pool { held: AtomicUsize::new(0), max }))
    }

    pub(crate) fn share(&self) -> Share {
        Share { pool: Some(Arc::clone(&self.0)), held: 0 }
    }
}

impl Share {
    /// Holds so many bytes from now on, instead of what it held.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Status> {
        let Some(pool) = self.pool.as_ref().filter(|_| bytes != self.held) else { return Ok(()) };
        let change = |held: usize| held.checked_sub(self.held)?.checked_add(bytes);
        let allowed =
            |held: usize| change(held).filter(|new| bytes < self.held || *new <= pool.max);
        pool.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, allowed)
            .map_err(|_full| Status::resource_exhausted("too many large messages at a time"))?;
        self.held = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.held.fetch_sub(self.held, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one gives back, by ending or by holding less, another may hold.
    #[test]
    fn there_is_so_much_for_all() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.share(), budget.share());
        one.hold(60).unwrap();
        other.hold(40).unwrap();
        assert_eq!(other.hold(41).unwrap_err().code(), tonic::Code::ResourceExhausted);
        one.hold(59).unwrap();
        other.hold(41).unwrap();
        drop(one);
        other.hold(100).unwrap();
        other.hold(0).unwrap();
        assert_eq!(budget.0.held.load(Ordering::Relaxed), 0);
        Share::default().hold(usize::MAX).unwrap();
    }
}
