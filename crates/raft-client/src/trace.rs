//! Somebody who follows operations step by step: which node was asked what, what it said, what came
//! next.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use raft_api::pb;
use tokio::time::Instant;

use crate::Fault;

/// A step on the way of an operation, as it ends.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// A node was asked.
    Asked {
        /// Its client address.
        addr: &'a str,
        /// For what, in a word or two.
        what: &'static str,
        /// How long it was waited for.
        took: Duration,
        /// What came of it.
        outcome: Outcome<'a>,
    },
    /// Nothing is tried for so long.
    Pause(Duration),
    /// A node that refused named this one, which is asked next.
    Follow {
        /// Its number.
        node: u64,
        /// Where it serves clients.
        addr: &'a str,
    },
}

/// What came of asking a node.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// It answered; in words.
    Answered(String),
    /// It did not, or said no.
    Failed(&'a Fault),
    /// It was not waited for any longer, because somebody else had answered or time was up.
    GivenUp,
}

/// A function that is called with every step. It must be quick: the operation waits for it.
#[derive(Clone)]
pub struct Tracer(Arc<dyn Fn(&Step<'_>) + Send + Sync>);

impl Tracer {
    /// Calls this function.
    pub fn new(trace: impl Fn(&Step<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(trace))
    }

    pub(crate) fn tell(&self, step: &Step<'_>) {
        (self.0)(step);
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

/// Asking a node, until it ends. Who drops it before has given it up.
pub(crate) struct Span<'a> {
    /// Who follows it, and since when; without one nobody looks at the clock.
    followed: Option<(&'a Tracer, Instant)>,
    addr: &'a str,
    what: &'static str,
}

impl<'a> Span<'a> {
    pub(crate) fn begin(tracer: Option<&'a Tracer>, addr: &'a str, what: &'static str) -> Self {
        Self { followed: tracer.map(|tracer| (tracer, Instant::now())), addr, what }
    }

    pub(crate) fn end<T>(mut self, answer: Result<&T, &Fault>, words: impl FnOnce(&T) -> String) {
        if let Some(followed) = self.followed.take() {
            let outcome = match answer {
                Ok(answer) => Outcome::Answered(words(answer)),
                Err(fault) => Outcome::Failed(fault),
            };
            self.tell(followed, outcome);
        }
    }

    fn tell(&self, (tracer, began): (&Tracer, Instant), outcome: Outcome<'_>) {
        let (addr, what, took) = (self.addr, self.what, began.elapsed());
        tracer.tell(&Step::Asked { addr, what, took, outcome });
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        if let Some(followed) = self.followed {
            self.tell(followed, Outcome::GivenUp);
        }
    }
}

/// Answers that a node gives about itself.
pub(crate) trait Told {
    /// What was asked.
    const WHAT: &'static str;

    /// The answer in words.
    fn words(&self) -> String;
}

impl Told for pb::GetLeaderResponse {
    const WHAT: &'static str = "who leads";

    fn words(&self) -> String {
        let Self { leader_id, leader_addr, term, node_id, .. } = self;
        match *leader_id {
            _ if self.removed => format!("n{node_id} was removed"),
            0 => format!("n{node_id} knows no leader, term {term}"),
            id if id == *node_id => format!("n{id} itself, term {term}"),
            id => format!("n{id} at {leader_addr}, term {term}"),
        }
    }
}

impl Told for pb::GetConfigurationResponse {
    const WHAT: &'static str = "members";

    fn words(&self) -> String {
        let ids = self.members.iter().map(|member| format!("n{}", member.id));
        ids.collect::<Vec<_>>().join(", ")
    }
}

impl Told for pb::StatusResponse {
    const WHAT: &'static str = "status";

    fn words(&self) -> String {
        format!("n{} at index {}, term {}", self.node_id, self.applied_index, self.term)
    }
}
