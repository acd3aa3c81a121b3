//! The code generated from `proto/raft/v1`.

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::pedantic,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

tonic::include_proto!("raft.v1");

/// The descriptors of all services, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("raft_descriptor");
