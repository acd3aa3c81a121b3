//! The streams of peers.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use raft_api::pb;
use raft_api::pb::peer_rpc_server::PeerRpc;
use tonic::{Request, Response, Status, Streaming};

use crate::transport::inbound::Inbound;
use crate::transport::socket::Remote;

/// `raft.v1.PeerRpc`.
#[derive(Debug)]
pub(crate) struct PeerService(pub(crate) Inbound);

#[tonic::async_trait]
impl PeerRpc for PeerService {
    type StreamStream = BoxStream<'static, Result<pb::PeerNotice, Status>>;

    /// Receiving is part of the answer's stream, which says nothing meanwhile: no task, no queue,
    /// and when the connection goes the receiving goes with it.
    async fn stream(
        &self,
        request: Request<Streaming<pb::PeerFrame>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let inbound = self.0.clone();
        let remote = request.extensions().get::<Remote>().and_then(|remote| remote.0);
        let frames = request.into_inner();
        let greeting = inbound.greeting();
        let receiving = stream::once(async move { inbound.receive(frames, remote).await });
        let notices =
            stream::once(async { greeting }).chain(receiving.filter_map(|last| async { last }));
        Ok(Response::new(notices.map(Ok).boxed()))
    }
}
