//! The leader hands over to another node, because it was asked to.

use std::time::Duration;

use raft_api::pb::TransferLeadershipRequest;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::engine::Engine;
use crate::NodeId;
use crate::watch::Api;

/// A hand-over under way.
#[derive(Debug)]
pub(super) struct Handover {
    task: JoinSet<Result<(), String>>,
    outcome: Option<Result<(), String>>,
}

/// How long it may take.
pub(super) const HANDOVER_MAX: Duration = Duration::from_secs(5);

impl Handover {
    /// Asks a leader to hand over to a node.
    pub(super) fn begin(mut leader: Api, to: NodeId) -> Self {
        let mut task = JoinSet::new();
        task.spawn(async move {
            let asked = leader.transfer_leadership(TransferLeadershipRequest { to: to.0 });
            match timeout(HANDOVER_MAX, asked).await {
                Ok(Ok(answer)) => {
                    let header = answer.into_inner().header.unwrap_or_default();
                    if header.success { Ok(()) } else { Err(header.message) }
                }
                Ok(Err(status)) => Err(status.message().to_owned()),
                Err(_elapsed) => Err(format!("no answer within {HANDOVER_MAX:?}")),
            }
        });
        Self { task, outcome: None }
    }

    pub(super) fn is_done(&mut self) -> bool {
        if self.outcome.is_none()
            && let Some(ended) = self.task.try_join_next()
        {
            self.outcome = Some(ended.unwrap_or_else(|error| Err(error.to_string())));
        }
        self.outcome.is_some()
    }
}

impl Engine {
    pub(super) fn end_transfer(&mut self, record: usize, handover: Handover) {
        match handover.outcome {
            Some(Ok(())) => self.records[record].count("hand-overs confirmed", 1),
            Some(Err(why)) => self.records[record].reason = why,
            None => "it was not answered in time".clone_into(&mut self.records[record].reason),
        }
    }
}
