//! The code generated from `proto/etcd.proto`.

#![expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

tonic::include_proto!("etcdserverpb");
