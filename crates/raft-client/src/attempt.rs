//! One request to one node, and what its end means.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use raft_api::pb;
use raft_api::pb::Refusal;
use raft_rpc::client::{Broken, Channel};
use tokio::time::{Instant, timeout};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Response, Status};

use crate::connect::{Api, Connection, Link, MESSAGE_BYTES_MAX};
use crate::pipe::Loss;
use crate::session::Ticket;
use crate::trace::Told;
use crate::{Consistency, Fault, FaultKind, Receipt};

/// What is asked of the leader.
#[derive(Clone, Copy)]
pub(crate) enum Ask<'a> {
    OpenSession,
    Propose {
        command: &'a Bytes,
        ticket: &'a Ticket,
    },
    Query {
        query: &'a Bytes,
        consistency: Consistency,
    },
    SetConfiguration(&'a pb::SetConfigurationRequest),
    /// To whom; 0 leaves it to the leader.
    TransferLeadership(u64),
}

/// The answer to an [`Ask`].
pub(crate) struct Reply {
    /// The state machine's result; else empty.
    pub(crate) result: Bytes,
    /// The session that was opened, else 0.
    pub(crate) session: u64,
    pub(crate) receipt: Receipt,
}

impl Reply {
    fn bare(receipt: Receipt) -> Self {
        Self { result: Bytes::new(), session: 0, receipt }
    }
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Setback {
    pub(crate) fault: Fault,
    /// Who leads, according to the node that refused: number and address.
    pub(crate) hint: Option<(u64, String)>,
    /// The term of the node that refused.
    pub(crate) term: u64,
    /// How it refused, if it did.
    pub(crate) refusal: Refusal,
    /// Since when the members are what they are, as far as that node knows; 0 if it did not say.
    pub(crate) members_as_of: u64,
}

impl From<Fault> for Setback {
    fn from(fault: Fault) -> Self {
        Self { fault, hint: None, term: 0, refusal: Refusal::None, members_as_of: 0 }
    }
}

impl Ask<'_> {
    /// Whether it changes something: whether an attempt without an answer leaves a doubt.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self, Self::Propose { .. })
    }

    /// Sends it to a node and waits for the answer. The caller bounds the wait.
    pub(crate) async fn send(self, link: &Link) -> Result<Reply, Setback> {
        let span = link.span(self.name());
        let answer = self.send_on(link).await;
        let fault = answer.as_ref().map_err(|setback| &setback.fault);
        span.end(fault, |reply| {
            let Receipt { index, term, node, .. } = reply.receipt;
            format!("n{node} at index {index}, term {term}")
        });
        answer
    }

    fn name(self) -> &'static str {
        match self {
            Self::OpenSession => "session",
            Self::Propose { .. } => "write",
            Self::Query { .. } => "read",
            Self::SetConfiguration(_) => "change members",
            Self::TransferLeadership(_) => "hand over",
        }
    }

    async fn send_on(self, link: &Link) -> Result<Reply, Setback> {
        let connection = link.connection().await?;
        let answer = match self {
            Self::OpenSession => open_session(connection.api()).await,
            Self::Propose { command, ticket } => {
                let request =
                    pb::ProposeRequest { data: command.clone(), session: Some(ticket.header()) };
                if link.pipelined {
                    propose_piped(link, &connection, request).await
                } else {
                    propose(&connection.channel, request).await
                }
            }
            Self::Query { query, consistency } => {
                read(&connection.channel, query, consistency).await
            }
            Self::SetConfiguration(request) => set_configuration(connection.api(), request).await,
            Self::TransferLeadership(to) => transfer(connection.api(), to).await,
        };
        answer.unwrap_or_else(|status| {
            // A write that got lost may be done, on another connection than the strange one.
            let fault = if self.is_write() { fault_of(&status) } else { fault_at(link, &status) };
            if !fault.kind.is_answer() {
                link.discard(&connection);
            }
            Err(fault.into())
        })
    }
}

async fn open_session(mut api: Api) -> Result<Result<Reply, Setback>, Status> {
    let answer = api.open_session(pb::OpenSessionRequest {}).await?.into_inner();
    let header = answer.header.unwrap_or_default();
    Ok(judge(header).map(|receipt| Reply {
        result: Bytes::new(),
        session: answer.session_id,
        receipt,
    }))
}

async fn set_configuration(
    mut api: Api,
    request: &pb::SetConfigurationRequest,
) -> Result<Result<Reply, Setback>, Status> {
    let answer = api.set_configuration(request.clone()).await?.into_inner();
    let header = answer.header.unwrap_or_default();
    Ok(judge(header).map(Reply::bare))
}

async fn transfer(mut api: Api, to: u64) -> Result<Result<Reply, Setback>, Status> {
    let answer = api.transfer_leadership(pb::TransferLeadershipRequest { to }).await?;
    let header = answer.into_inner().header.unwrap_or_default();
    Ok(judge(header).map(Reply::bare))
}

async fn propose(
    channel: &Channel,
    request: pb::ProposeRequest,
) -> Result<Result<Reply, Setback>, Status> {
    const PATH: PathAndQuery = PathAndQuery::from_static("/raft.v1.ManagementRpc/Propose");
    Ok(proposed(channel.unary(PATH, &request, MESSAGE_BYTES_MAX).await?))
}

/// The same over the connection's stream.
async fn propose_piped(
    link: &Link,
    connection: &Connection,
    request: pb::ProposeRequest,
) -> Result<Result<Reply, Setback>, Status> {
    match link.pipe(connection).propose(request).await {
        Ok(answer) => Ok(proposed(answer)),
        Err(Loss::NotTakenUp) => Ok(Err(Fault::new(FaultKind::NotTakenUp, "").into())),
        Err(Loss::Broken(status)) => Err(status),
    }
}

fn proposed(answer: pb::ProposeResponse) -> Result<Reply, Setback> {
    let header = pb::Header {
        success: answer.success,
        refusal: answer.refusal,
        message: answer.message,
        leader_id: answer.leader_id,
        leader_addr: answer.leader_addr,
        term: answer.term,
        index: answer.index,
        node_id: answer.node_id,
        members_as_of: answer.members_as_of,
    };
    judge(header).map(|receipt| Reply {
        result: answer.result,
        session: 0,
        receipt: Receipt { duplicate: answer.duplicate, ..receipt },
    })
}

async fn read(
    channel: &Channel,
    query: &Bytes,
    consistency: Consistency,
) -> Result<Result<Reply, Setback>, Status> {
    const PATH: PathAndQuery = PathAndQuery::from_static("/raft.v1.ManagementRpc/Query");
    let consistency = match consistency {
        Consistency::Linearizable => pb::Consistency::Linearizable,
        Consistency::Stale => pb::Consistency::Stale,
    };
    let request = pb::QueryRequest { data: query.clone(), consistency: consistency.into() };
    let answer: pb::QueryResponse = channel.unary(PATH, &request, MESSAGE_BYTES_MAX).await?;
    let header = answer.header.unwrap_or_default();
    Ok(judge(header).map(|receipt| Reply { result: answer.result, session: 0, receipt }))
}

fn judge(header: pb::Header) -> Result<Receipt, Setback> {
    let refusal = header.refusal();
    if header.success {
        return Ok(Receipt {
            term: header.term,
            index: header.index,
            node: header.node_id,
            leader: header.leader_id,
            duplicate: false,
            attempts: 1,
            members_as_of: header.members_as_of,
        });
    }
    let hint = (!header.leader_addr.is_empty()).then_some((header.leader_id, header.leader_addr));
    let fault = Fault::new(FaultKind::of_refusal(refusal), header.message);
    let members_as_of = header.members_as_of;
    Err(Setback { fault, hint, term: header.term, refusal, members_as_of })
}

/// How long a node takes to refuse a write at the door: a session's sequence numbers begin at 1.
pub(crate) async fn knock(link: &Link, within: Duration) -> Result<Duration, Fault> {
    let connection = link.connection().await?;
    let request = pb::ProposeRequest { data: Bytes::new(), session: Some(pb::Session::default()) };
    let began = Instant::now();
    match timeout(within, propose(&connection.channel, request)).await {
        Ok(Ok(_answer)) => Ok(began.elapsed()),
        Ok(Err(status)) => {
            link.discard(&connection);
            Err(fault_at(link, &status))
        }
        Err(_elapsed) => Err(Fault::new(FaultKind::TimedOut, "")),
    }
}

/// Asks one node something about itself.
pub(crate) async fn ask_node<T: Told>(
    link: &Link,
    within: Duration,
    call: impl AsyncFnOnce(Api) -> Result<Response<T>, Status>,
) -> Result<T, Fault> {
    let span = link.span(T::WHAT);
    let asking = async {
        let connection = link.connection().await?;
        let answer = call(connection.api()).await.map(Response::into_inner);
        answer.map_err(|status| {
            link.discard(&connection);
            fault_at(link, &status)
        })
    };
    let silent = |_elapsed| Err(Fault::new(FaultKind::TimedOut, ""));
    let answer = timeout(within, asking).await.unwrap_or_else(silent);
    span.end(answer.as_ref(), T::words);
    answer
}

/// The same, of this node. One that speaks something else hangs up, or is hung up on; what it is matters
/// more.
fn fault_at(link: &Link, status: &Status) -> Fault {
    let fault = fault_of(status);
    if !fault.kind.is_answer() && link.is_strange() {
        return Fault::new(FaultKind::OtherService, "it speaks no HTTP/2");
    }
    fault
}

/// What a gRPC status says about the request.
pub(crate) fn fault_of(status: &Status) -> Fault {
    let kind = match status.code() {
        // The server looked at it and will not have it.
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unauthenticated => FaultKind::Rejected,
        Code::Unimplemented => FaultKind::OtherService,
        Code::OutOfRange => FaultKind::TooLarge, // A message beyond the size limits, so tonic.
        _ if was_not_sent(status) => return Fault::new(FaultKind::ConnectionClosed, ""),
        _ if kept_silent(status) => return Fault::new(FaultKind::TimedOut, ""),
        // From here on nobody knows: the status of a broken connection and the one of a server that
        // broke down look the same.
        _ => FaultKind::ConnectionLost,
    };
    let said = status.message();
    let noise = said.is_empty() || said == "transport error";
    Fault::new(kind, if noise { String::new() } else { said.to_owned() })
}

/// Whether the connection was given up because nothing came over it, not even the answer to a ping.
fn kept_silent(status: &Status) -> bool {
    matches!(broken(status), Some(Broken::Silent))
}

/// Whether the request met a connection that was closed before.
fn was_not_sent(status: &Status) -> bool {
    matches!(broken(status), Some(Broken::NotSent(_)))
}

fn broken(status: &Status) -> Option<&Broken> {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(broken) = error.downcast_ref() {
            return Some(broken);
        }
        source = error.source();
    }
    None
}
