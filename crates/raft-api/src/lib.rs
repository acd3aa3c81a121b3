//! What two processes must agree on: the generated gRPC code and cluster.yaml.

pub mod address;
pub mod cluster;
pub mod contact;
pub mod convert;
pub mod pb;
pub mod trouble;
pub mod units;

pub use cluster::{ClusterConfig, ConfigError};
pub use contact::Contact;
pub use raft_core::{MEMBERS_MAX, NodeId};
