//! The code generated from `proto/raft/v1`.

#![expect(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::all,
    let_underscore_drop,
    clippy::str_to_string,
    reason = "generated code"
)]

tonic::include_proto!("raft.v1");

/// The descriptors of all services, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("raft_descriptor");
