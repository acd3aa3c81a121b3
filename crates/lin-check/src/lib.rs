//! Judges histories: were the answers that clients saw those of one copy of the data, each operation
//! taking effect at one instant between its call and its return? That is linearizability (Herlihy
//! and Wing, 1990). Knows nothing of Raft, of servers or of time: only what clients saw.
//!
//! A [`History`] is recorded while clients run, or read from JSON lines. Two judges look at it:
//!
//! * [`certify`] orders the operations by the log index the servers gave with each answer, and
//!   verifies that order from the clients' observations alone, in O(n log n). An order that passes
//!   is a proof, whatever the servers claimed; one that fails proves nothing.
//! * [`check()`] searches for an order, key by key, and needs no claims. The search may be
//!   exponential, hence a [`Budget`]; an exhausted budget is [`Verdict::Undecided`], never a pass.
//!
//! [`judge()`] asks the first and falls back to the second.
//!
//! ```
//! use lin_check::{Budget, History, Input, Output, Process, Verdict, check};
//!
//! let mut history = History::new();
//! let put = history.invoke(Process(1), "k", Input::put("a"), 10);
//! history.ok(put, Output::Done, 20);
//! let get = history.invoke(Process(2), "k", Input::Get, 30);
//! history.ok(get, Output::Value(None), 40); // The acknowledged write is gone.
//! assert!(matches!(check(&history, Budget::default()), Verdict::Violation(_)));
//! ```

mod certificate;
mod check;
mod complete;
mod conflict;
mod demand;
mod exact;
mod history;
mod json;
mod judge;
mod model;
mod replay;
mod search;
mod words;

pub use certificate::{Certificate, Refusal, certify};
pub use check::{Verdict, Violation, check};
pub use history::{History, Malformed, OpId, Operation, Outcome, Process};
pub use json::{FileError, ReadError};
pub use judge::{Counts, Judgement, Method, judge, judge_twice};
pub use model::{Input, Model, Output, Register};
pub use search::{Answer, Budget, Call, Found, search};
