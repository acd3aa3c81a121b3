//! How operations end badly, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use raft_api::pb::Refusal;

/// An operation that was not done, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It was not done, and no attempt of it will be.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// It may have been done, or may still be.
    #[error(transparent)]
    Unknown(#[from] Unknown),
}

impl ClientError {
    /// Nothing was sent, because it could not succeed.
    pub(crate) fn out_of_bounds(why: String) -> Self {
        let mut reasons = Reasons::default();
        reasons.add(&"this client".into(), Fault::new(FaultKind::Invalid, why));
        Self::Failed(Failed { kind: FailedKind::OutOfBounds, after: Duration::ZERO, reasons })
    }
}

/// An operation that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What stood in its way.
    pub kind: FailedKind,
    /// How long it was tried.
    pub after: Duration,
    /// What each node had to say, where it matters.
    pub reasons: Reasons,
}

impl std::error::Error for Failed {}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, after, reasons } = self;
        match kind {
            FailedKind::NoCluster => write!(f, "no node could be reached in {}", Seconds(*after))?,
            FailedKind::NoLeader => write!(f, "no leader was found in {}", Seconds(*after))?,
            FailedKind::Unserved => write!(f, "not served within {}", Seconds(*after))?,
            FailedKind::TooLarge => write!(f, "the command is too large")?,
            FailedKind::Invalid => write!(f, "the command makes no sense to the store")?,
            FailedKind::Rejected => write!(f, "the server turned the request down")?,
            // Nobody was asked, so that no address says anything.
            FailedKind::OutOfBounds => return write!(f, "{}", reasons.details()),
        }
        write!(f, "{reasons}")
    }
}

/// What stood in the way of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedKind {
    /// Nobody answered.
    NoCluster,
    /// Somebody answered, but nobody led.
    NoLeader,
    /// There was a leader, but it did not take the request in time.
    Unserved,
    /// The command is larger than the server takes.
    TooLarge,
    /// The state machine cannot understand the command or query.
    Invalid,
    /// The server cannot be talked to like this.
    Rejected,
    /// It is beyond the limits of the store, which are known here: nothing was sent.
    OutOfBounds,
}

impl FailedKind {
    /// A short name for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCluster => "no_cluster",
            Self::NoLeader => "no_leader",
            Self::Unserved => "unserved",
            Self::TooLarge => "too_large",
            Self::Invalid => "invalid",
            Self::Rejected => "rejected",
            Self::OutOfBounds => "out_of_bounds",
        }
    }

    /// Whether it was looked at and turned down, so that no repeat would be of use.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::TooLarge | Self::Invalid | Self::Rejected | Self::OutOfBounds => true,
            Self::NoCluster | Self::NoLeader | Self::Unserved => false,
        }
    }
}

/// A write that may have been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// How long it was tried.
    pub after: Duration,
    /// Whether it ended because the session was gone, which would have told.
    pub session_lost: bool,
    /// What each node had to say last.
    pub reasons: Reasons,
}

impl std::error::Error for Unknown {}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.session_lost { "the session is gone" } else { "no answer in time" };
        let Self { after, reasons, .. } = self;
        write!(f, "the write may or may not be done: {why} after {}{reasons}", Seconds(*after))
    }
}

/// What each node had to say last, by its address. Displayed as ` (address: what; …)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons(pub(crate) BTreeMap<Arc<str>, Fault>);

impl Reasons {
    /// Address and reason, in order of the addresses.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Fault)> {
        self.0.iter().map(|(addr, fault)| (&**addr, fault))
    }

    /// What is known besides the kinds, without the addresses.
    fn details(&self) -> String {
        let details: Vec<&str> = self.0.values().map(|fault| &*fault.detail).collect();
        details.join("; ")
    }

    /// Whether somebody answered, and everybody who was asked knows no such method.
    pub(crate) fn are_all_of_other_services(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|fault| fault.kind == FaultKind::OtherService)
    }

    /// Whether it is known why this node did not help.
    pub(crate) fn knows(&self, addr: &Arc<str>) -> bool {
        self.0.contains_key(addr)
    }

    /// Replaces what is known by something newer; but that a node had no time to answer is no news.
    pub(crate) fn renew(&mut self, newer: Self) {
        for (addr, fault) in newer.0 {
            if fault.kind != FaultKind::TimedOut || !self.knows(&addr) {
                self.0.insert(addr, fault);
            }
        }
    }

    pub(crate) fn add(&mut self, addr: &Arc<str>, fault: Fault) {
        self.0.insert(Arc::clone(addr), fault);
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (addr, fault)) in self.iter().enumerate() {
            write!(f, "{}{addr}: {fault}", if number == 0 { " (" } else { "; " })?;
        }
        if self.0.is_empty() { Ok(()) } else { write!(f, ")") }
    }
}

/// Why one attempt at one node failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind.
    pub kind: FaultKind,
    /// More about it; may be empty.
    pub detail: String,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            write!(f, "{}", self.kind)
        } else {
            write!(f, "{}, {}", self.kind, self.detail)
        }
    }
}

macro_rules! fault_kinds {
    ($($(#[doc = $doc:expr])+ $kind:ident = $name:literal, $words:literal;)+) => {
        /// Kinds of failed attempts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultKind { $($(#[doc = $doc])+ $kind,)+ }

        impl FaultKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// A short name for tables and scripts.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            fn words(self) -> &'static str {
                match self { $(Self::$kind => $words,)+ }
            }
        }
    };
}

fault_kinds! {
    /// Nobody listens there.
    ConnectRefused = "connect_refused", "connection refused";
    /// The connection could not be made for another reason.
    Unreachable = "unreachable", "unreachable";
    /// The connection had been closed before the request could be sent.
    ConnectionClosed = "connection_closed", "connection closed";
    /// The connection broke before an answer came.
    ConnectionLost = "connection_lost", "connection lost";
    /// No answer came in time.
    TimedOut = "timed_out", "no answer in time";
    /// Another node turned out to lead while this one kept silent.
    Superseded = "superseded", "silent, and another node leads by now";
    /// The node does not lead.
    NotLeader = "not_leader", "not the leader";
    /// The node is no member any more.
    Removed = "removed", "removed from the cluster";
    /// The node serves another cluster.
    OtherCluster = "other_cluster", "of another cluster";
    /// Too much is waiting there.
    Overloaded = "overloaded", "overloaded";
    /// The node is ending.
    Stopping = "stopping", "stopping";
    /// Its disk is full.
    DiskFull = "disk_full", "disk full";
    /// The leader is handing over.
    Transferring = "transferring", "handing over";
    /// The membership or the leadership is not to change that way, or not now.
    Reconfiguration = "reconfiguration", "not to be reconfigured so";
    /// It has not applied as much as it was to.
    Behind = "behind", "behind";
    /// It ended the stream of writes before it took this one up.
    NotTakenUp = "not_taken_up", "ended the stream without it";
    /// It stopped leading after it took the command.
    OutcomeUnknown = "outcome_unknown", "lost leadership with the command in its log";
    /// The session is not known there.
    SessionUnknown = "session_unknown", "session unknown";
    /// The answer under this sequence number is forgotten.
    SessionStale = "session_stale", "answer forgotten";
    /// The command is larger than the server takes.
    TooLarge = "too_large", "too large";
    /// The state machine cannot understand it.
    Invalid = "invalid", "invalid";
    /// A gRPC error that says that nothing was done.
    Rejected = "rejected", "rejected";
    /// Something speaks gRPC there, but not to clients.
    OtherService = "other_service", "answers, but does not serve clients";
}

impl FaultKind {
    /// Whether the attempt may have taken effect all the same, or may yet.
    pub fn may_have_happened(self) -> bool {
        matches!(
            self,
            Self::ConnectionLost | Self::TimedOut | Self::Superseded | Self::OutcomeUnknown
        )
    }

    /// Whether the node itself answered.
    pub fn is_answer(self) -> bool {
        !matches!(
            self,
            Self::ConnectRefused
                | Self::Unreachable
                | Self::ConnectionClosed
                | Self::ConnectionLost
                | Self::TimedOut
        )
    }

    pub(crate) fn position(self) -> usize {
        self as usize
    }

    pub(crate) fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotLeader => Self::NotLeader,
            Refusal::Removed => Self::Removed,
            Refusal::Overloaded => Self::Overloaded,
            // No success and no reason: a newer server, which may have done anything.
            Refusal::OutcomeUnknown | Refusal::None => Self::OutcomeUnknown,
            Refusal::SessionUnknown => Self::SessionUnknown,
            Refusal::SessionStale => Self::SessionStale,
            Refusal::TooLarge => Self::TooLarge,
            Refusal::Invalid => Self::Invalid,
            Refusal::Stopping => Self::Stopping,
            Refusal::DiskFull => Self::DiskFull,
            Refusal::Transferring => Self::Transferring,
            Refusal::MembershipSenseless
            | Refusal::MembershipTooMany
            | Refusal::MembershipTooEarly
            | Refusal::MembershipInProgress
            | Refusal::MembershipChanged
            | Refusal::MembershipUnreachable
            | Refusal::MembershipBehind
            | Refusal::Transfer => Self::Reconfiguration,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// A duration in seconds, as short as it can be: `5s`, `0.3s`, `0.001s`, but never `0s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 0.1 {
            let seconds = (seconds * 1000.0).ceil() / 1000.0;
            return write!(f, "{seconds}s");
        }
        let seconds = (seconds * 10.0).round() / 10.0;
        write!(f, "{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_every_node_and_its_reason() {
        let mut reasons = Reasons::default();
        reasons.add(&"n2:7102".into(), Fault::new(FaultKind::NotLeader, ""));
        reasons.add(&"n1:7101".into(), Fault::new(FaultKind::Unreachable, "no route to host"));
        let after = Duration::from_millis(4_980);
        let failed = Failed { kind: FailedKind::NoLeader, after, reasons };
        assert_eq!(
            failed.to_string(),
            "no leader was found in 5s \
             (n1:7101: unreachable, no route to host; n2:7102: not the leader)"
        );
    }

    #[test]
    fn no_time_is_told_as_none() {
        let shown = |micros| Seconds(Duration::from_micros(micros)).to_string();
        let expected = ["0.001s", "0.002s", "0.099s", "0.1s", "1.3s", "60s"];
        assert_eq!([700, 1_100, 98_200, 104_000, 1_260_000, 60_000_000].map(shown), expected);
    }

    #[test]
    fn kinds_stand_at_their_position() {
        for (position, kind) in FaultKind::ALL.iter().enumerate() {
            assert_eq!(kind.position(), position);
        }
    }
}
