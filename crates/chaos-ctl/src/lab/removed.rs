//! Nodes that were removed: they must learn of it, and then keep silent.

use std::time::{Duration, Instant};

use raft_api::pb::{GetConfigurationRequest, StatusResponse};

use super::engine::Engine;
use crate::NodeId;
use crate::events::{Event, micros};
use crate::exit::{Code, Failure};

/// A node that was removed and still runs.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    node: NodeId,
    since: Instant,
    /// Since when it knows, and how often it had stood for election by then.
    told: Option<(Instant, u64)>,
}

/// How long a removed node may take to know, restarts included.
const TOLD_MAX: Duration = Duration::from_secs(15);
/// After this long it is looked whether its own log has told it.
const TOLD_SOON: Duration = Duration::from_secs(3);
/// How long it is watched: several election timeouts.
const WATCHED: Duration = Duration::from_secs(2);

impl Engine {
    pub(super) fn watch_removed(&mut self, nodes: &[NodeId]) {
        let since = Instant::now();
        let new = nodes.iter().map(|&node| Removed { node, since, told: None });
        self.removed.extend(new);
    }

    /// Looks at the nodes that were removed. One that knows and has been silent for long enough is
    /// ended: from then on the cluster, and its clients, do without it.
    pub(super) async fn look_at_removed(&mut self) -> Result<(), Failure> {
        if self.removed.is_empty() {
            return Ok(());
        }
        let view = self.runner.look_at_former().await;
        let mut place = 0;
        while place < self.removed.len() {
            let removed = self.removed[place].clone();
            let id = removed.node;
            if !self.runner.cluster().process(id).is_running() && !self.runner.is_awaited(id) {
                // It was down for good: there is nobody to be told.
                self.runner.retire(id).await?;
                self.removed.remove(place);
                continue;
            }
            let status = view.of(removed.node);
            match (removed.told, status) {
                (None, Some(status)) if self.knows(&removed, status).await => {
                    let after_us = micros(removed.since.elapsed());
                    let node = removed.node.0;
                    self.runner.journal().record(&Event::Told { node, after_us });
                    self.removed[place].told = Some((Instant::now(), stood(status)));
                }
                (None, _) if TOLD_MAX < removed.since.elapsed() => {
                    let what = format!(
                        "{} did not learn within {TOLD_MAX:?} that it was removed",
                        removed.node
                    );
                    return Err(Failure::new(Code::TooSlow, what));
                }
                (Some((since, before)), Some(status)) if WATCHED < since.elapsed() => {
                    let later = stood(status).saturating_sub(before);
                    if 0 < later {
                        let what = format!(
                            "{} stood for election {later} times after it was removed and told",
                            removed.node
                        );
                        return Err(Failure::new(Code::TooSlow, what));
                    }
                    self.runner.retire(removed.node).await?;
                    self.removed.remove(place);
                    continue;
                }
                (Some((since, _)), None) if TOLD_MAX < since.elapsed() => {
                    let what = format!("{} does not answer after it was removed", removed.node);
                    return Err(Failure::new(Code::Inconclusive, what));
                }
                _ => (),
            }
            place += 1;
        }
        Ok(())
    }

    /// Whether a removed node knows that it is. One that was killed in the moment of its removal may
    /// have it in its log, and then it keeps silent, so that nobody speaks to it.
    async fn knows(&self, removed: &Removed, status: &StatusResponse) -> bool {
        if status.removed || removed.since.elapsed() < TOLD_SOON {
            return status.removed;
        }
        let Ok(mut api) = self.runner.client_of(removed.node) else { return false };
        let asked = api.get_configuration(GetConfigurationRequest {});
        let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(1), asked).await else {
            return false;
        };
        let members = answer.into_inner().members;
        !members.is_empty() && members.iter().all(|member| member.id != removed.node.0)
    }
}

fn stood(status: &StatusResponse) -> u64 {
    status.campaigns_timeout + status.campaigns_leader_lost + status.campaigns_transfer
}
