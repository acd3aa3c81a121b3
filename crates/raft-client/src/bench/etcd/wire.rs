//! The code generated from `proto/etcd.proto`. The server is for tests.

#![expect(
    unreachable_pub,
    unused_qualifications,
    clippy::pedantic,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

tonic::include_proto!("etcdserverpb");
