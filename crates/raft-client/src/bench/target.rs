//! What is pressed: carries out one operation and says how it ended.

use std::fmt::Display;
use std::time::Duration;

use raft_kv::{Answer, Command, Query, Reply};
use tokio_util::sync::CancellationToken;

use super::operation::{Operation, Outcome};
use super::recorder::Miss;
use super::silence::Reign;
use crate::{Applied, Client, ClientError, Consistency, Found, ReadFrom, Receipt};

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
}

/// A cluster of this project.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) reads: Reads,
}

impl Target {
    /// Carries it out within this time, or until nobody waits for it any more.
    pub(super) async fn carry_out(
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
    Answered { outcome, reign, attempts, index: Some(index) }
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
