//! Integration tests: processes that are stood in for, and a real cluster for a few seconds.

#[cfg(test)]
mod benchmarks;
#[cfg(test)]
mod client;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod control;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod etcd;
#[cfg(test)]
mod help;
#[cfg(test)]
mod process;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod replaced;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod runner;
#[cfg(test)]
mod scenario;
#[cfg(test)]
#[path = "../../../raft-client/tests/it/schema.rs"]
mod schema;
#[cfg(test)]
mod script;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod wiped;
