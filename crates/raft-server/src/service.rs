//! The gRPC services: what a client sends is turned into requests to the driver, and what comes
//! back into answers. Nothing is decided here.

pub(crate) mod calls;
pub(crate) mod kv;
pub(crate) mod management;
pub(crate) mod peer;
pub(crate) mod proposals;

use std::path::PathBuf;
use std::sync::Arc;

use raft_api::cluster::ClusterConfig;
use raft_api::pb;
use raft_core::{
    Incarnation, Index, MEMBERS_MAX, MembershipRefusal, NodeId, RoleName, TransferRefusal,
};
use raft_replica::{Consistency, Outcome, Refused, RequestKind, SessionHeader};
use tokio::time::Instant;
use tonic::Status;

use crate::driver::Counters;
use crate::handle::{Declined, Ended, Handle};
use crate::machine::Services;
use crate::roster::Rosters;
use crate::stages::Stages;
use crate::writer;

/// What all services share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) handle: Handle,
    pub(crate) node: Arc<NodeFacts>,
}

/// What does not change about this node while it runs.
#[derive(Debug)]
pub(crate) struct NodeFacts {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) data_dir: PathBuf,
    pub(crate) config: ClusterConfig,
    pub(crate) started: Instant,
    pub(crate) stats: Arc<writer::Stats>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stages: Arc<Stages>,
    pub(crate) rosters: Arc<Rosters>,
    pub(crate) services: Services,
}

/// A refusal as the wire has it.
pub(crate) struct RefusalParts {
    pub(crate) refusal: pb::Refusal,
    pub(crate) message: String,
    pub(crate) leader: Option<NodeId>,
}

impl Front {
    /// Where a node serves clients, as host:port; empty if nobody knows.
    pub(crate) fn client_address(&self, id: Option<NodeId>) -> String {
        id.map(|id| self.node.rosters.client_address(id)).unwrap_or_default()
    }

    /// The header of an answer about the state at `index`.
    pub(crate) fn header(&self, index: Index) -> pb::Header {
        let view = self.handle.view();
        pb::Header {
            success: true,
            refusal: pb::Refusal::None.into(),
            message: String::new(),
            leader_id: wire_id(view.leader),
            leader_addr: self.client_address(view.leader),
            term: view.term.0,
            index: index.0,
            node_id: self.node.id.0,
            members_as_of: view.members_as_of.0,
        }
    }

    /// The header of a request that was not served.
    pub(crate) fn refused(&self, declined: Declined) -> pb::Header {
        let RefusalParts { refusal, message, leader } = self.refusal(declined);
        pb::Header {
            success: false,
            refusal: refusal.into(),
            message,
            leader_id: wire_id(leader),
            leader_addr: self.client_address(leader),
            term: self.handle.view().term.0,
            index: 0,
            node_id: self.node.id.0,
            members_as_of: self.handle.view().members_as_of.0,
        }
    }

    /// The answer to a write.
    pub(super) fn proposed(&self, ended: Ended) -> Result<pb::ProposeResponse, Status> {
        let node_id = self.node.id.0;
        let view = self.handle.view();
        let members_as_of = view.members_as_of.0;
        match ended {
            Ok(Outcome::Applied { id, result, duplicate }) => Ok(pb::ProposeResponse {
                success: true,
                leader_id: wire_id(view.leader),
                leader_addr: self.client_address(view.leader),
                term: view.term.0,
                index: id.index.0,
                result,
                refusal: pb::Refusal::None.into(),
                message: String::new(),
                duplicate,
                node_id,
                members_as_of,
            }),
            Ok(other) => Err(mismatch(&other)),
            Err(declined) => {
                let RefusalParts { refusal, message, leader } = self.refusal(declined);
                Ok(pb::ProposeResponse {
                    leader_id: wire_id(leader),
                    leader_addr: self.client_address(leader),
                    term: view.term.0,
                    refusal: refusal.into(),
                    message,
                    node_id,
                    members_as_of,
                    ..pb::ProposeResponse::default()
                })
            }
        }
    }

    /// The answer to a read.
    pub(super) fn queried(&self, ended: Ended) -> Result<pb::QueryResponse, Status> {
        let (header, result) = match ended {
            Ok(Outcome::Read { applied, result }) => (self.header(applied), result),
            Ok(other) => return Err(mismatch(&other)),
            Err(declined) => (self.refused(declined), bytes::Bytes::new()),
        };
        Ok(pb::QueryResponse { header: Some(header), result })
    }

    /// What a node that was removed has to say.
    fn farewell(&self) -> String {
        let others = self.node.rosters.other_members();
        let list: Vec<String> = others.iter().map(|(id, addr)| format!("{id} {addr}")).collect();
        let me = self.node.id;
        format!("{me} was removed from the cluster; the members it knew last: {}", list.join(", "))
    }

    /// Why a request was not served, in the words of the wire, and where to go instead.
    pub(crate) fn refusal(&self, declined: Declined) -> RefusalParts {
        let me = self.node.id;
        let view = self.handle.view();
        // A leader that hints at itself would send its client round in a circle.
        let elsewhere = view.leader.filter(|&leader| leader != me || view.role == RoleName::Leader);
        let (refusal, message, leader) = match declined {
            Declined::Replica(Refused::NotLeader { leader }) => {
                let (refusal, message) = match leader {
                    Some(leader) => {
                        (pb::Refusal::NotLeader, format!("{me} does not lead, {leader} does"))
                    }
                    None if view.removed => (pb::Refusal::Removed, self.farewell()),
                    None => {
                        (pb::Refusal::NotLeader, format!("{me} does not lead, and knows no leader"))
                    }
                };
                (refusal, message, leader)
            }
            Declined::Replica(Refused::Overloaded) => {
                (pb::Refusal::Overloaded, "too much is waiting".to_owned(), elsewhere)
            }
            Declined::Replica(Refused::DiskFull) => {
                let message = format!("the disk of {me} is full: nothing was written");
                (pb::Refusal::DiskFull, message, elsewhere)
            }
            Declined::Replica(Refused::OutcomeUnknown) => {
                let message = "leadership or the process ended before the outcome was known";
                (pb::Refusal::OutcomeUnknown, message.to_owned(), elsewhere)
            }
            Declined::Replica(Refused::SessionUnknown) => {
                let message = "the session was never opened, or has expired";
                (pb::Refusal::SessionUnknown, message.to_owned(), elsewhere)
            }
            Declined::Replica(Refused::SessionStale) => {
                let message = "the answer to this sequence number is forgotten";
                (pb::Refusal::SessionStale, message.to_owned(), elsewhere)
            }
            Declined::Replica(Refused::Transferring { to }) => {
                let message = format!("leadership is being handed over to {to}");
                (pb::Refusal::Transferring, message, Some(to))
            }
            Declined::Replica(Refused::Membership(why)) => {
                let (refusal, message) = membership_refusal(why);
                (refusal, message, elsewhere)
            }
            Declined::Replica(Refused::Transfer(why)) => {
                (pb::Refusal::Transfer, transfer_refusal(why, None), elsewhere)
            }
            Declined::Replica(Refused::Invalid(why)) => (pb::Refusal::Invalid, why, elsewhere),
            Declined::TooLarge { bytes, max } => {
                let message = format!("{bytes} bytes, more than the {max} allowed");
                (pb::Refusal::TooLarge, message, elsewhere)
            }
            Declined::Stopping => {
                let other = view.leader.filter(|&leader| leader != me);
                (pb::Refusal::Stopping, format!("{me} is ending"), other)
            }
        };
        RefusalParts { refusal, message, leader }
    }
}

fn membership_refusal(why: MembershipRefusal) -> (pb::Refusal, String) {
    let (refusal, message) = match why {
        MembershipRefusal::Senseless => (
            pb::Refusal::MembershipSenseless,
            "a configuration needs a voter, and every member one role",
        ),
        MembershipRefusal::TooMany => {
            let message = format!("a cluster has no more than {MEMBERS_MAX} members, in all roles");
            return (pb::Refusal::MembershipTooMany, message);
        }
        MembershipRefusal::TooEarly => (
            pb::Refusal::MembershipTooEarly,
            "the leader is new and has committed nothing of its own yet",
        ),
        MembershipRefusal::InProgress => {
            (pb::Refusal::MembershipInProgress, "another change of the configuration is under way")
        }
        MembershipRefusal::Changed => {
            (pb::Refusal::MembershipChanged, "the configuration has been changed meanwhile")
        }
        MembershipRefusal::Unreachable => (
            pb::Refusal::MembershipUnreachable,
            "no majority of the new voters has been heard from lately: the cluster would stand \
             still (force does it all the same)",
        ),
        MembershipRefusal::Behind { id } => {
            let message =
                format!("{id} is silent or does not catch up: it stays a learner (is it running?)");
            return (pb::Refusal::MembershipBehind, message);
        }
    };
    (refusal, message.to_owned())
}

/// Why leadership is not handed over, to `to` if somebody was named.
pub(crate) fn transfer_refusal(why: TransferRefusal, to: Option<NodeId>) -> String {
    let to = to.map_or_else(|| "the successor".to_owned(), |to| to.to_string());
    match why {
        TransferRefusal::InProgress => "leadership is being handed over already".to_owned(),
        TransferRefusal::NotAVoter => format!("{to} is not a voter"),
        TransferRefusal::Silent => format!("{to} has not been heard from lately"),
        TransferRefusal::Behind => format!("{to} lacks too much of the log"),
        TransferRefusal::Slow => format!("the disk of {to} stalls"),
        TransferRefusal::Nobody => {
            "there is no other voter that is up to date and heard from".to_owned()
        }
        TransferRefusal::TimedOut => format!("{to} did not take over in time"),
    }
}

/// A member on the wire, where 0 is nobody.
pub(crate) fn wire_id(id: Option<NodeId>) -> u64 {
    id.map_or(0, |id| id.0)
}

/// How fresh an answer must be. A value of a later version is taken for the strictest.
pub(crate) fn consistency(wire: i32) -> Consistency {
    match pb::Consistency::try_from(wire) {
        Ok(pb::Consistency::Stale) => Consistency::Stale,
        Ok(pb::Consistency::Linearizable) | Err(_) => Consistency::Linearizable,
    }
}

/// An outcome of another kind of request than was made.
pub(crate) fn mismatch(outcome: &Outcome) -> Status {
    tracing::error!(?outcome, "an answer that does not fit its request");
    Status::internal("an answer that does not fit its request")
}

/// A command for the log, if its session makes sense.
pub(crate) fn command(
    command: bytes::Bytes,
    session: Option<pb::Session>,
) -> Result<RequestKind, Declined> {
    let invalid = |why: &str| Err(Declined::Replica(Refused::Invalid(why.to_owned())));
    let session = match session {
        None => None,
        Some(pb::Session { sequence: 0, .. }) => {
            return invalid("a session's sequence numbers begin at 1");
        }
        Some(pb::Session { sequence, first_outstanding, .. }) if sequence < first_outstanding => {
            return invalid("the sequence number is smaller than first_outstanding");
        }
        Some(pb::Session { id, sequence, first_outstanding }) => {
            Some(SessionHeader { id, sequence, first_outstanding })
        }
    };
    Ok(RequestKind::Command { session, command })
}
