//! What a client may be told.

use std::time::Duration;

use crate::{Observer, Tracer};

/// Where the cluster is and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Some of the cluster's client addresses, as `host:port`. The others are learnt.
    pub endpoints: Vec<String>,
    /// The cluster's name. Nodes that say another are not used; without it, any will do.
    pub cluster: Option<String>,
    /// Connections to each node. More than one pays when many operations are under way.
    pub connections: usize,
    /// How long one attempt may take. Doubled for an operation each time one ran out, so that a
    /// slow cluster is not answered with a storm of repeats.
    pub attempt_timeout: Duration,
    /// How long an operation may take with all its attempts, unless the call says otherwise.
    pub operation_timeout: Duration,
    /// How long one connection may take to be made.
    pub connect_timeout: Duration,
    /// The pause before the second attempt. The following ones double, with jitter.
    pub backoff_min: Duration,
    /// The longest pause between two attempts.
    pub backoff_max: Duration,
    /// Whether writes go over one stream for each connection, instead of a call for each write.
    /// That costs less, and pays when many are under way; what a write promises is the same.
    pub pipelined: bool,
    /// Who is told of every attempt.
    pub observer: Option<Observer>,
    /// Who is told of every step, also of those that look for the leader.
    pub tracer: Option<Tracer>,
}

impl Options {
    /// The defaults, for these endpoints.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            cluster: None,
            connections: 1,
            attempt_timeout: Duration::from_secs(1),
            operation_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_millis(300),
            backoff_min: Duration::from_millis(5),
            backoff_max: Duration::from_millis(100),
            pipelined: false,
            observer: None,
            tracer: None,
        }
    }
}
