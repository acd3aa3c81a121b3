//! Breaks the network between processes on one machine, without root: TCP proxies in user space,
//! one for each directed link.
//!
//! A node dials its peers itself, and what it has to say goes over the connections that it dialled.
//! So the [`Link`] from A to B is a proxy that A dials in place of B, and to cut it is to cut A off
//! from B, and not B from A. [`Net`] holds the links, a [`Shape`] says what one does to what it
//! carries, [`Counters`] prove that it did, and [`partition`] says which links make a partition.
//!
//! # A link does as its target does
//!
//! Failure detection must not be fooled by a proxy that is there while the target is not:
//!
//! * The target refuses connections: so does the link, whose port is closed. It is open again about
//!   10 ms after the target's. While it is closed the port stays taken, and nobody else can get it.
//! * The target closes, or half closes: so does the link, and the other way round.
//! * The target resets: the one who dialled is reset. When a connection of the target breaks, the
//!   link first looks whether the target still accepts, and closes its port before it passes the
//!   news on: whoever hears them and dials again at once finds a closed port.
//! * The target is suspended: its kernel accepts and nobody answers, and so it looks here.
//!
//! To know, each link keeps an idle connection to the target open, on which nothing is said.
//!
//! # One address for all
//!
//! Where every node is told the same address of a member, [`Net::add_shared`] makes one port for all
//! links to it, and asks for each connection who has opened it. Such a port cannot be closed for one
//! dialler alone: on a link that is to refuse, connections are accepted and reset at once.
//!
//! # Emulation
//!
//! What passes is a stream, not packets. Both kernels acknowledge what the link has taken, so TCP's
//! own keepalive and retransmission timeouts see a healthy network: only what the processes
//! themselves watch sees a fault. A connection to a hanging link is accepted; where packets are
//! dropped it would not come about. A loss is the time that its retransmission takes.
//!
//! Bytes stay what they are and in order: what arrives is a prefix of what was sent. Each way of
//! a connection holds 256 KiB at most ([`HELD_MAX`]), beyond that the sender waits; so with a delay
//! no more than that is under way at a time, as with a TCP window of that size.
//!
//! # What it costs
//!
//! A round trip of 64 bytes takes 13 to 16 us directly and 35 to 60 us through a clear link (p50, on
//! two cores that others kept busy); a link carries some 650 MiB/s, against 2400 directly. By
//! `cargo run --release -p chaos-net --example overhead`. An idle link costs nothing; one whose
//! target refuses is dialled a hundred times a second, for 0.4 % of a core.

mod connection;
mod counters;
mod flow;
mod hall;
mod link;
mod net;
pub mod partition;
mod shape;
mod shared;
mod target;
mod weather;

pub use counters::Counters;
pub use flow::HELD_MAX;
pub use hall::Who;
pub use link::CONNECTIONS_MAX;
pub use net::{Link, Net, NetError, Status};
pub use shape::{Cut, Shape, Side, Stall};
