//! The shipped store with typed methods: encodes, takes the one way, decodes.

use bytes::Bytes;
use raft_api::pb;
use raft_api::pb::kv_server::Kv;
use raft_core::Index;
use raft_kv::{Answer, Command, Query, Reply};
use raft_replica::Outcome;
use tonic::{Request, Response, Status};

use super::management::invalid;
use super::{Front, command, consistency, mismatch};
use crate::handle::Declined;

/// `raft.v1.Kv`.
#[derive(Debug)]
pub(crate) struct KvService(pub(crate) Front);

#[tonic::async_trait]
impl Kv for KvService {
    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let pb::PutRequest { key, value, session } = request.into_inner();
        let (header, replaced) = match self.write(Command::Put { key, value }, session).await? {
            Ok((index, Reply::Put { replaced })) => (self.0.header(index), replaced),
            Ok((_, reply)) => return Err(strange(&reply)),
            Err(declined) => (self.0.refused(declined), false),
        };
        Ok(Response::new(pb::PutResponse { header: Some(header), replaced }))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let pb::GetRequest { key, consistency } = request.into_inner();
        let (header, value) = match self.read(Query::Get { key }, consistency).await? {
            Ok((index, Answer::Value(value))) => (self.0.header(index), value),
            Ok((_, answer @ Answer::Pairs { .. })) => return Err(strange(&answer)),
            Err(declined) => (self.0.refused(declined), None),
        };
        Ok(Response::new(pb::GetResponse { header: Some(header), value }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let pb::DeleteRequest { key, session } = request.into_inner();
        let (header, existed) = match self.write(Command::Delete { key }, session).await? {
            Ok((index, Reply::Deleted { existed })) => (self.0.header(index), existed),
            Ok((_, reply)) => return Err(strange(&reply)),
            Err(declined) => (self.0.refused(declined), false),
        };
        Ok(Response::new(pb::DeleteResponse { header: Some(header), existed }))
    }

    async fn cas(
        &self,
        request: Request<pb::CasRequest>,
    ) -> Result<Response<pb::CasResponse>, Status> {
        let pb::CasRequest { key, expected, value, session } = request.into_inner();
        let command = Command::Cas { key, expected, value };
        let (header, swapped, actual) = match self.write(command, session).await? {
            Ok((index, Reply::Cas { swapped, actual })) => (self.0.header(index), swapped, actual),
            Ok((_, reply)) => return Err(strange(&reply)),
            Err(declined) => (self.0.refused(declined), false, None),
        };
        Ok(Response::new(pb::CasResponse { header: Some(header), swapped, actual }))
    }

    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        let pb::RangeRequest { start, end, limit, consistency } = request.into_inner();
        let query = Query::Range { start, end, limit };
        let (header, pairs, more) = match self.read(query, consistency).await? {
            Ok((index, Answer::Pairs { pairs, more })) => (self.0.header(index), pairs, more),
            Ok((_, answer @ Answer::Value(_))) => return Err(strange(&answer)),
            Err(declined) => (self.0.refused(declined), Vec::new(), false),
        };
        let pairs = pairs.into_iter().map(|(key, value)| pb::KeyValue { key, value }).collect();
        Ok(Response::new(pb::RangeResponse { header: Some(header), pairs, more }))
    }
}

/// What came of a request, and at which index. The outer error is a fault of this server.
type Served<T> = Result<Result<(Index, T), Declined>, Status>;

impl KvService {
    async fn write(&self, change: Command, session: Option<pb::Session>) -> Served<Reply> {
        let kind = match command(change.encode(), session) {
            Ok(kind) => kind,
            Err(declined) => return Ok(Err(declined)),
        };
        match self.0.handle.propose(kind).await {
            Ok(Outcome::Applied { id, result, duplicate: _ }) => match decoded_reply(&result)? {
                Reply::Invalid(why) => Ok(Err(invalid(why))),
                reply => Ok(Ok((id.index, reply))),
            },
            Ok(other) => Err(mismatch(&other)),
            Err(declined) => Ok(Err(declined)),
        }
    }

    async fn read(&self, query: Query, wire: i32) -> Served<Answer> {
        match self.0.handle.query(query.encode(), consistency(wire)).await {
            Ok(Outcome::Read { applied, result }) => {
                let answer = Answer::decode(&result);
                let answer = answer.map_err(|error| Status::internal(error.to_string()))?;
                Ok(Ok((applied, answer)))
            }
            Ok(other) => Err(mismatch(&other)),
            Err(declined) => Ok(Err(declined)),
        }
    }
}

fn decoded_reply(result: &Bytes) -> Result<Reply, Status> {
    Reply::decode(result).map_err(|error| Status::internal(error.to_string()))
}

/// A session's sequence number that was used for another kind of command before gives that
/// command's reply.
fn strange(reply: &impl std::fmt::Debug) -> Status {
    Status::failed_precondition(format!(
        "the sequence number belongs to another command, whose reply was {reply:?}"
    ))
}
