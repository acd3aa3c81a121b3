//! Somebody who is told of every attempt, while operations are under way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Fault;

/// One attempt at an operation, as it ends.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The node's client address.
    pub addr: &'a str,
    /// Whether the operation may change something.
    pub write: bool,
    /// How long the attempt took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub fault: Option<&'a Fault>,
    /// The term of the node that answered; 0 if none did.
    pub term: u64,
    /// Who leads, as that node says; 0 if it does not know.
    pub leader: u64,
}

/// A function that is called with every attempt at the leader. It must be quick: the operation
/// waits for it.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Attempt<'_>) + Send + Sync>);

impl Observer {
    /// Calls this function.
    pub fn new(observe: impl Fn(&Attempt<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(crate) fn tell(&self, attempt: &Attempt<'_>) {
        (self.0)(attempt);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
