//! Looks at the configuration and at its members.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use raft_api::pb;
use tokio::time::Instant;

use super::{Configuration, Member};
use crate::attempt::ask_node;
use crate::connect::Api;
use crate::tries::Tries;
use crate::{Client, ClientError, Failed, FailedKind, Fault, FaultKind, Reasons, Unknown};

/// Members that have not applied everything in time: what each had to say last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not all members have applied everything up to {goal}{reasons}")]
pub struct Lagging {
    /// The index they were to reach.
    pub goal: u64,
    /// The members that have not, by their client addresses.
    pub reasons: Reasons,
}

impl Client {
    /// The configuration, from the leader.
    pub async fn configuration(&self) -> Result<Configuration, ClientError> {
        let mut tries = Tries::new(self.options(), self.options().operation_timeout);
        self.read_configuration(&mut tries).await
    }

    /// The configuration, from the leader, once no change is under way that would alter it.
    pub async fn settled_configuration(
        &self,
        within: Duration,
    ) -> Result<Configuration, ClientError> {
        let mut tries = Tries::new(self.options(), within);
        loop {
            let found = self.read_configuration(&mut tries).await?;
            if !found.is_joint {
                return Ok(found);
            }
            let under_way = Fault::new(FaultKind::Reconfiguration, "a joint configuration");
            let leader = format!("n{}", found.leader);
            tries.reasons.add(&leader.as_str().into(), under_way);
            tries.pause(FailedKind::Unserved).await?;
        }
    }

    pub(crate) async fn read_configuration(
        &self,
        tries: &mut Tries,
    ) -> Result<Configuration, ClientError> {
        let directory = self.directory();
        loop {
            let leader = self.leader(tries).await?;
            let within = tries.attempt_ends().saturating_duration_since(Instant::now());
            let fault = match directory.members_from(&leader, within).await {
                Ok(answer) if answer.leader_id == answer.node_id => {
                    return Ok(answer.into());
                }
                Ok(_) => Fault::new(FaultKind::NotLeader, ""),
                Err(fault) => fault,
            };
            let kind = fault.kind;
            tries.silences += u32::from(kind == FaultKind::TimedOut);
            tries.blame(leader.link.addr(), fault);
            if let Some(error) = tries.final_ending(kind) {
                return Err(error);
            }
            directory.suspect(&leader);
            tries.pause(FailedKind::Unserved).await?;
        }
    }

    /// Waits until all these members have applied what is committed now. Answers the index.
    pub async fn wait_until_applied(
        &self,
        members: &[Member],
        within: Duration,
    ) -> Result<u64, Lagging> {
        let mut tries = Tries::new(self.options(), within);
        let goal = self.commit_index(&mut tries).await.map_err(|error| {
            let (ClientError::Failed(Failed { reasons, .. })
            | ClientError::Unknown(Unknown { reasons, .. })) = error;
            Lagging { goal: 0, reasons }
        })?;
        let mut left: BTreeMap<u64, &Member> =
            members.iter().map(|member| (member.id, member)).collect();
        loop {
            let looks = left.values().map(|member| self.lag(member, goal, tries.left()));
            let mut reasons = Reasons::default();
            for (id, addr, lag) in join_all(looks).await {
                match lag {
                    None => drop(left.remove(&id)),
                    Some(fault) => reasons.add(&addr.as_str().into(), fault),
                }
            }
            if left.is_empty() {
                return Ok(goal);
            }
            if tries.pause(FailedKind::Unserved).await.is_err() {
                return Err(Lagging { goal, reasons });
            }
        }
    }

    /// The leader's.
    async fn commit_index(&self, tries: &mut Tries) -> Result<u64, ClientError> {
        loop {
            let leader = self.leader(tries).await?;
            let within = tries.attempt_ends().saturating_duration_since(Instant::now());
            let call = async |mut api: Api| api.status(pb::StatusRequest::default()).await;
            let fault = match ask_node(&leader.link, within, call).await {
                Ok(status) if status.role() == pb::Role::Leader => return Ok(status.commit_index),
                Ok(_) => Fault::new(FaultKind::NotLeader, ""),
                Err(fault) => fault,
            };
            tries.blame(leader.link.addr(), fault);
            self.directory().suspect(&leader);
            tries.pause(FailedKind::Unserved).await?;
        }
    }

    /// What keeps a member from having applied so much.
    async fn lag(
        &self,
        member: &Member,
        goal: u64,
        left: Duration,
    ) -> (u64, String, Option<Fault>) {
        if member.client.is_empty() {
            let fault = Fault::new(FaultKind::Unreachable, "its address is not known");
            return (member.id, format!("n{}", member.id), Some(fault));
        }
        let asked = tokio::time::timeout(left, self.status(&member.client)).await;
        let fault = match asked.map(|node| node.status) {
            Ok(Ok(status)) if status.node_id != member.id => {
                let who = format!("that is n{}, not n{}", status.node_id, member.id);
                Some(Fault::new(FaultKind::Behind, who))
            }
            Ok(Ok(status)) if goal <= status.applied_index => None,
            Ok(Ok(status)) => {
                let at = format!("at index {} of {goal}", status.applied_index);
                Some(Fault::new(FaultKind::Behind, at))
            }
            Ok(Err(fault)) => Some(fault),
            Err(_elapsed) => Some(Fault::new(FaultKind::TimedOut, "")),
        };
        (member.id, member.client.clone(), fault)
    }
}
