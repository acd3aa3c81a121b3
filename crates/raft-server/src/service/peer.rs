//! The streams of peers.

use std::convert::Infallible;
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use raft_rpc::Talker;
use raft_rpc::server::{Desk, Teller};
use tonic::Status;

use crate::transport::inbound::Inbound;

/// `raft.v1.PeerRpc`, for one connection.
#[derive(Clone, Debug)]
pub(crate) struct PeerDesk {
    pub(crate) inbound: Inbound,
    /// Whom it comes from.
    pub(crate) remote: Option<IpAddr>,
}

/// There is no other call.
impl Desk for PeerDesk {
    type Method = Infallible;
    type Ended = Infallible;
    type Held = Infallible;

    fn talker(&self, path: &str) -> Option<Talker> {
        (path == "/raft.v1.PeerRpc/Stream").then(|| {
            let Self { inbound, remote } = self.clone();
            Talker::new(move |talk| inbound.receive(talk, remote))
        })
    }

    fn method(&self, _path: &str) -> Option<Infallible> {
        None
    }

    fn take_up(
        &self,
        method: Infallible,
        _message: Bytes,
        _teller: Teller<Infallible>,
    ) -> Result<Infallible, Status> {
        match method {}
    }

    fn answer(
        &self,
        method: Infallible,
        _ended: Option<Infallible>,
        _out: &mut BytesMut,
    ) -> Result<(), Status> {
        match method {}
    }
}
