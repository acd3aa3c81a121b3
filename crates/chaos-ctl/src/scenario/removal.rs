//! Nodes that were removed: they must learn of it, and then keep silent.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use raft_api::pb::GetConfigurationRequest;

use super::stage::Stage;
use crate::NodeId;
use crate::events::{Event, micros};
use crate::exit::{Code, Failure};

/// A node that was removed.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Told {
    pub(super) node: u64,
    /// How long after the change it knew.
    pub(super) after_us: u64,
    /// Whether nobody told it, but its log did.
    pub(super) by_own_log: bool,
    /// How often it stood for election after that. Never, or it disturbs.
    pub(super) campaigns_later: u64,
    /// For how long it was watched.
    pub(super) watched_us: u64,
    #[serde(skip)]
    since: Instant,
    #[serde(skip)]
    campaigns: u64,
    #[serde(skip)]
    gone: bool,
}

/// How long a removed node may take to know, restarts included.
const TOLD_MAX: Duration = Duration::from_secs(15);
/// After this long it is looked whether its own log has told it.
const TOLD_SOON: Duration = Duration::from_secs(3);
/// How long it is watched at least: several election timeouts.
const WATCHED_MIN: Duration = Duration::from_secs(2);

impl Stage {
    /// Waits until these nodes know that they were removed.
    pub(super) async fn await_told(&mut self, removed: &BTreeSet<NodeId>) -> Result<(), Failure> {
        let since = Instant::now();
        let mut missing = removed.clone();
        while !missing.is_empty() {
            if TOLD_MAX < since.elapsed() {
                let who = super::names(&missing);
                let what = format!("{who} did not learn within {TOLD_MAX:?} that it was removed");
                return Err(Failure::new(Code::TooSlow, what));
            }
            let view = self.runner.look_at_former().await;
            for (id, status) in view.answers() {
                if !missing.contains(&id) {
                    continue;
                }
                // One that was killed in the moment of its removal may have it in its log, and then
                // it keeps silent, so that nobody speaks to it.
                let by_own_log = !status.removed
                    && TOLD_SOON < since.elapsed()
                    && self.has_left_by_own_log(id).await;
                if !status.removed && !by_own_log {
                    continue;
                }
                missing.remove(&id);
                let after_us = micros(since.elapsed());
                self.runner.journal().record(&Event::Told { node: id.0, after_us });
                self.told.push(Told {
                    node: id.0,
                    after_us,
                    by_own_log,
                    campaigns_later: 0,
                    watched_us: 0,
                    since: Instant::now(),
                    campaigns: stood(status),
                    gone: false,
                });
            }
            self.pass(Duration::from_millis(20)).await?;
        }
        Ok(())
    }

    /// Whether a node's own configuration is one without it.
    async fn has_left_by_own_log(&self, id: NodeId) -> bool {
        let Ok(mut api) = self.runner.client_of(id) else { return false };
        let asked = api.get_configuration(GetConfigurationRequest {});
        let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(1), asked).await else {
            return false;
        };
        let members = answer.into_inner().members;
        !members.is_empty() && members.iter().all(|member| member.id != id.0)
    }

    /// Watches removed nodes for long enough.
    pub(super) async fn await_silence(&mut self) -> Result<(), Failure> {
        let here = self.told.iter().filter(|told| !told.gone);
        let left = here.map(|told| WATCHED_MIN.saturating_sub(told.since.elapsed())).max();
        self.pass(left.unwrap_or_default()).await?;
        let view = self.runner.look_at_former().await;
        for told in self.told.iter_mut().filter(|told| !told.gone) {
            let Some(status) = view.of(NodeId(told.node)) else {
                let what = format!("n{} does not answer after it was removed", told.node);
                return Err(Failure::new(Code::Inconclusive, what));
            };
            told.campaigns_later = stood(status).saturating_sub(told.campaigns);
            told.watched_us = micros(told.since.elapsed());
        }
        Ok(())
    }

    /// Ends the nodes that were removed and have been silent since: from now on the cluster, and
    /// its clients, do without them.
    pub(super) async fn retire_told(&mut self) -> Result<(), Failure> {
        self.await_silence().await?;
        let here: Vec<NodeId> =
            self.told.iter().filter(|told| !told.gone).map(|told| NodeId(told.node)).collect();
        for id in here {
            self.runner.retire(id).await?;
        }
        for told in &mut self.told {
            told.gone = true;
        }
        Ok(())
    }
}

fn stood(status: &raft_api::pb::StatusResponse) -> u64 {
    status.campaigns_timeout + status.campaigns_leader_lost + status.campaigns_transfer
}
