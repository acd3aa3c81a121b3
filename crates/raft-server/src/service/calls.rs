//! The calls that clients make most, without the general stack: the same answers, for half of what they
//! cost.

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use raft_api::pb;
use raft_replica::Refused;
use raft_rpc::Talker;
use raft_rpc::server::{Desk, Teller};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::proposals::Proposals;
use super::{Front, command, consistency};
use crate::handle::{Declined, Told, Wish};

/// Takes up what is for the replica and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(crate) front: Front,
    /// Streams end then: the listener waits for them.
    pub(crate) stop: CancellationToken,
}

/// Which call of `raft.v1.ManagementRpc`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    Propose,
    Query,
}

impl Desk for Calls {
    type Method = Method;
    type Ended = Told;
    /// Nothing, if the call has ended already.
    type Held = Option<OwnedSemaphorePermit>;

    fn talker(&self, path: &str) -> Option<Talker> {
        (path == "/raft.v1.ManagementRpc/ProposeStream").then(|| {
            let Self { front, stop } = self.clone();
            Talker::new(|talk| Proposals::new(front, talk, stop).serve())
        })
    }

    fn method(&self, path: &str) -> Option<Method> {
        match path {
            "/raft.v1.ManagementRpc/Propose" => Some(Method::Propose),
            "/raft.v1.ManagementRpc/Query" => Some(Method::Query),
            _ => None,
        }
    }

    fn take_up(
        &self,
        method: Method,
        message: Bytes,
        teller: Teller<Told>,
    ) -> Result<Self::Held, Status> {
        let wish = match method {
            Method::Propose => {
                let pb::ProposeRequest { data, session } =
                    pb::ProposeRequest::decode(message).map_err(|error| unreadable(&error))?;
                command(data, session).map(Wish::Propose)
            }
            Method::Query => {
                let pb::QueryRequest { data, consistency: wire } =
                    pb::QueryRequest::decode(message).map_err(|error| unreadable(&error))?;
                Ok(Wish::Query { query: data, consistency: consistency(wire) })
            }
        };
        Ok(match wish {
            Ok(wish) => self.front.handle.call(wish, teller),
            Err(declined) => {
                teller.tell(Told { ended: Err(declined), applied: None });
                None
            }
        })
    }

    fn answer(&self, method: Method, told: Option<Told>, out: &mut BytesMut) -> Result<(), Status> {
        let (ended, applied) = told.map(|Told { ended, applied }| (ended, applied)).unzip();
        match method {
            Method::Propose => {
                // Nobody can tell what became of a command whose answer is lost.
                let unknown = Err(Declined::Replica(Refused::OutcomeUnknown));
                raft_rpc::put(&self.front.proposed(ended.unwrap_or(unknown))?, out);
                if let Some(applied) = applied.flatten() {
                    self.front.node.stages.reply.record(applied.elapsed());
                }
            }
            Method::Query => {
                raft_rpc::put(&self.front.queried(ended.unwrap_or(Err(Declined::Stopping)))?, out);
            }
        }
        Ok(())
    }
}

fn unreadable(error: &prost::DecodeError) -> Status {
    Status::internal(error.to_string())
}
