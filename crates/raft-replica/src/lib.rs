//! One replica: consensus, write-ahead log, snapshots, sessions, and a state machine.

mod request;
mod state_machine;

pub use request::{Answer, Consistency, Outcome, Refused, Request, RequestKind, SessionHeader};
pub use state_machine::{Image, StateMachine};
