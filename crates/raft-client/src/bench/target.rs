//! What is pressed: carries out one operation and says how it ended.

use std::fmt::Display;
use std::time::Duration;

use raft_api::pb;
use raft_kv::{Answer, Command, Query, Reply};
use tokio_util::sync::CancellationToken;

use super::etcd::Etcd;
use super::operation::{Operation, Outcome};
use super::recorder::Miss;
use super::silence::Reign;
use super::summary::Cluster;
use crate::attempt::ask_node;
use crate::connect::Api;
use crate::{Applied, Client, ClientError, Consistency, Counters, Found, ReadFrom, Receipt};

/// How gets are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// How fresh the answers must be.
    pub consistency: Consistency,
    /// Which nodes are asked.
    pub from: ReadFrom,
}

/// An operation that was done.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) outcome: Outcome,
    pub(super) reign: Option<Reign>,
    pub(super) attempts: u32,
    /// Where in the log.
    pub(super) index: Option<u64>,
    /// Which node said so, if it said who it is.
    pub(super) node: Option<u64>,
}

/// What is pressed.
#[derive(Debug)]
pub(super) enum Target {
    /// A cluster of this project.
    Raft(Raft),
    /// One of etcd, for comparison.
    Etcd(Box<Etcd>),
}

/// A cluster of this project.
#[derive(Debug)]
pub(super) struct Raft {
    pub(super) client: Client,
    pub(super) reads: Reads,
}

impl Target {
    /// Finds the cluster and its leader within this time, and makes the connections.
    pub(super) async fn ready(&self, within: Duration) -> Result<Cluster, ClientError> {
        match self {
            Self::Raft(Raft { client, .. }) => {
                let leader = client.ready(within).await?;
                Ok(Cluster::look(client, &leader).await)
            }
            Self::Etcd(etcd) => etcd.ready(within).await,
        }
    }

    /// The same cluster, read in another way.
    pub(super) fn reading(&self, reads: Reads) -> Self {
        match self {
            Self::Raft(raft) => Self::Raft(Raft { client: raft.client.clone(), reads }),
            Self::Etcd(etcd) => Self::Etcd(Box::new(etcd.reading(reads))),
        }
    }

    /// Carries it out within this time, or until nobody waits for it any more.
    pub(super) async fn carry_out(
        &self,
        operation: &Operation,
        within: Duration,
        abandoned: &CancellationToken,
    ) -> Result<Answered, Miss> {
        match self {
            Self::Raft(raft) => raft.carry_out(operation, within, abandoned).await,
            Self::Etcd(etcd) => {
                let doing = etcd.carry_out(operation, within);
                tokio::select! {
                    biased;
                    done = doing => done,
                    () = abandoned.cancelled() => {
                        let is_read = operation.kind().is_read();
                        let miss = if is_read { Miss::Failed } else { Miss::Unknown };
                        Err(miss("given up with the run".to_owned()))
                    }
                }
            }
        }
    }

    /// Asks the leader for what it knows without asking anybody: the way there and back.
    pub(super) async fn empty_trip(&self) -> Result<(), String> {
        match self {
            Self::Raft(raft) => raft.empty_trip().await,
            Self::Etcd(etcd) => etcd.empty_trip().await,
        }
    }

    /// What went wrong so far, attempt by attempt.
    pub(super) fn counters(&self) -> Counters {
        match self {
            Self::Raft(raft) => raft.client.counters(),
            Self::Etcd(etcd) => etcd.counters(),
        }
    }

    /// Connections to each node.
    pub(super) fn connections(&self) -> usize {
        match self {
            Self::Raft(raft) => raft.client.options().connections,
            Self::Etcd(etcd) => etcd.connections(),
        }
    }
}

impl Raft {
    async fn empty_trip(&self) -> Result<(), String> {
        let leader = self.client.directory().leader().ok_or("no leader is known")?;
        let within = self.client.options().attempt_timeout;
        let ask = async |mut api: Api| api.get_leader(pb::GetLeaderRequest {}).await;
        let answer = ask_node(&leader.link, within, ask).await;
        answer.map(drop).map_err(|fault| fault.to_string())
    }

    async fn carry_out(
        &self,
        operation: &Operation,
        within: Duration,
        abandoned: &CancellationToken,
    ) -> Result<Answered, Miss> {
        let command = match operation.clone() {
            Operation::Get { key } => return self.get(Query::Get { key }, within, abandoned).await,
            Operation::Put { key, value } => Command::Put { key, value },
            Operation::Cas { key, expected, value } => {
                Command::Cas { key, expected, value: Some(value) }
            }
            Operation::Append { key, data } => Command::Append { key, data },
            Operation::Propose { data } => Command::Propose { data },
        };
        let client = &self.client;
        let done = client.propose_until(command.encode(), within, abandoned.cancelled()).await;
        let Applied { result, receipt } = done.map_err(|error| miss(&error))?;
        let outcome = match Reply::decode(&result) {
            Ok(Reply::Invalid(why)) => {
                return Err(Miss::Refused(format!("the store refused the write: {why}")));
            }
            Ok(Reply::Cas { swapped: true, .. }) => Outcome::Swapped,
            Ok(Reply::Cas { swapped: false, actual }) => Outcome::Mismatch(actual),
            Ok(_) => Outcome::Written,
            Err(why) => return Err(Miss::Unknown(senseless(&why))),
        };
        Ok(answered(outcome, &receipt))
    }

    async fn get(
        &self,
        query: Query,
        within: Duration,
        abandoned: &CancellationToken,
    ) -> Result<Answered, Miss> {
        let Reads { consistency, from } = self.reads;
        let asking = self.client.query_from(query.encode(), consistency, from, within);
        let found = tokio::select! {
            biased;
            found = asking => found,
            () = abandoned.cancelled() => {
                return Err(Miss::Failed("the read was given up with the run".to_owned()));
            }
        };
        let Found { value, receipt } = found.map_err(|error| miss(&error))?;
        match Answer::decode(&value) {
            Ok(Answer::Value(value)) => Ok(answered(Outcome::Value(value), &receipt)),
            Ok(Answer::Pairs { .. }) => Err(Miss::Failed(senseless(&"pairs"))),
            Err(why) => Err(Miss::Failed(senseless(&why))),
        }
    }
}

fn answered(outcome: Outcome, receipt: &Receipt) -> Answered {
    let Receipt { leader, term, attempts, index, .. } = *receipt;
    // A node that asked nobody may know no leader.
    let reign = (leader != 0).then_some(Reign { leader, term });
    Answered { outcome, reign, attempts, index: Some(index), node: Some(receipt.node) }
}

fn miss(error: &ClientError) -> Miss {
    match error {
        ClientError::Failed(failed) if failed.kind.is_refusal() => Miss::Refused(error.to_string()),
        ClientError::Failed(_) => Miss::Failed(error.to_string()),
        ClientError::Unknown(_) => Miss::Unknown(error.to_string()),
    }
}

fn senseless(why: &dyn Display) -> String {
    format!("the store's answer makes no sense: {why}")
}
