//! Client library of the replicated store: finds the leader, keeps a session, tries again.
//!
//! A [`Client`] is given some of the cluster's addresses and learns the rest. Every operation ends
//! in one of three ways, and the types keep them apart:
//!
//! * it is done: `Ok`, with a [`Receipt`] that says in which term, at which index and by whom;
//! * it is **not** done and never will be: [`ClientError::Failed`];
//! * it may or may not have been done: [`ClientError::Unknown`]. Only writes end so.
//!
//! A write is tried again only under a replicated session, by which the cluster recognises it and
//! applies it once (Raft dissertation §6.3). Every wait has a deadline.

mod attempt;
mod backoff;
pub mod bench;
mod client;
mod connect;
mod counters;
mod discover;
mod error;
mod membership;
mod observer;
mod options;
mod pipe;
mod session;
mod store;
mod trace;
mod transfer;
mod tries;

pub use client::{Applied, Client, Consistency, Found, LeaderInfo, NodeStatus, ReadFrom, Receipt};
pub use counters::Counters;
pub use error::{ClientError, Failed, FailedKind, Fault, FaultKind, Reasons, Unknown};
pub use membership::{
    ChangeError, Changed, Configuration, Difference, Edit, Lagging, Member, MemberRole,
    MembershipChange, PlanError, Refused, Safeguards, differences, edited,
};
pub use observer::{Attempt, Observer};
pub use options::Options;
pub use session::SessionState;
pub use store::{CasOutcome, Page};
pub use trace::{Outcome, Step, Tracer};
pub use transfer::{TransferError, Transferred};
