//! gRPC on HTTP/2, for calls so small that what surrounds them costs more than they do.
//!
//! The protocol is gRPC's own, and any gRPC client or server can be at the other end. What is left
//! out is the way in between: a stack of general services makes, for each call, a task, some boxed
//! futures, a route, a timer and three bodies, which is more than half of what a small call costs.
//!
//! * [`server::serve`] answers the calls of a [`server::Desk`] in the task of their connection:
//!   all that came in one read are taken up together, and all that are answered at one time leave
//!   in one write. Every other call goes to tonic's [`tonic::service::Routes`].
//! * A [`Talk`] is a call of many messages both ways, at either end: what is put together leaves together,
//!   and what came in one piece is not copied.
//! * [`client::Channel`] makes unary calls, and carries the generated clients for the rest.

mod body;
mod budget;
pub mod client;
mod frame;
mod keepalive;
mod meter;
pub mod server;
mod talk;

pub use body::{Gone, Incoming};
pub use frame::put;
pub use keepalive::KeepAlive;
pub use talk::{Talk, Talker};
