//! What two processes must agree on: the generated gRPC code and cluster.yaml.

pub mod convert;
pub mod pb;
