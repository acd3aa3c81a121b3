//! The way back from whoever ends a call to the connection it came from.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::task::AtomicWaker;

/// What was told and not yet answered, of one connection. However much is told at a time, the
/// connection wakes once.
#[derive(Debug)]
pub(crate) struct Line<E> {
    told: Mutex<Vec<(usize, Option<E>)>>,
    waker: AtomicWaker,
    /// The connection is gone.
    closed: AtomicBool,
    /// The connection is to end when its calls have.
    leaving: AtomicBool,
}

/// Tells how one call ended. Dropped without a word, it tells that nobody knows.
#[derive(Debug)]
pub struct Teller<E> {
    line: Option<Arc<Line<E>>>,
    slot: usize,
}

impl<E> Default for Line<E> {
    fn default() -> Self {
        Self {
            told: Mutex::default(),
            waker: AtomicWaker::new(),
            closed: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        }
    }
}

impl<E> Line<E> {
    /// Who tells for this slot. It does so once, and until then the slot is taken.
    pub(super) fn teller(self: &Arc<Self>, slot: usize) -> Teller<E> {
        Teller { line: Some(Arc::clone(self)), slot }
    }

    /// Whom to wake when there is something.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// Takes what was told, into an empty list, which takes its place.
    pub(super) fn take(&self, into: &mut Vec<(usize, Option<E>)>) {
        std::mem::swap(&mut *self.lock(), into);
    }

    /// Asks the connection to end when its calls have.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// The connection is gone.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // What is told now is dropped here, and not kept until the last teller is gone.
        drop(std::mem::take(&mut *self.lock()));
    }

    fn tell(&self, slot: usize, ended: Option<E>) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        let mut told = self.lock();
        told.push((slot, ended));
        let first = told.len() == 1;
        drop(told);
        if first {
            self.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(usize, Option<E>)>> {
        self.told.lock().expect("nothing panics while it holds this")
    }
}

impl<E> Teller<E> {
    /// Tells how the call ended.
    pub fn tell(mut self, ended: E) {
        if let Some(line) = self.line.take() {
            line.tell(self.slot, Some(ended));
        }
    }

    /// Whether nobody is left to be told.
    pub fn is_closed(&self) -> bool {
        self.line.as_ref().is_none_or(|line| line.closed.load(Ordering::Acquire))
    }
}

impl<E> Drop for Teller<E> {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.tell(self.slot, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each teller is heard once, whether it speaks or not, and not after the end.
    #[test]
    fn every_teller_is_heard_once() {
        let line = Arc::new(Line::default());
        line.teller(3).tell("done");
        drop(line.teller(5));
        let mut told = Vec::new();
        line.take(&mut told);
        assert_eq!(told, [(3, Some("done")), (5, None)]);
        let late = line.teller(7);
        assert!(!late.is_closed());
        line.close();
        assert!(late.is_closed());
        late.tell("nobody listens");
        let mut told = Vec::new();
        line.take(&mut told);
        assert_eq!(told, []);
    }
}
