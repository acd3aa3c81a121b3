//! Scenarios: what is done to a cluster, in a file; and what a seed makes of it.
//!
//! All of it is pure: the same scenario and the same seed give the same plan on every machine. Who
//! leads at the moment of a fault is the cluster's business; for that each fault carries a lot.

mod builtin;
mod draw;
mod fault;
mod scenario;
mod target;

pub(crate) use builtin::{BUILTINS, builtin};
pub(crate) use draw::{Draw, Plan};
pub(crate) use fault::{
    Clock, Fault, Links, LinksOf, Membership, MembershipChange, Mode, NodeFault, Percent, Shape,
};
pub(crate) use scenario::{Condition, Expect, LoadPlan, MaxDown, Scenario, Step};
pub(crate) use target::{Choice, Target};
