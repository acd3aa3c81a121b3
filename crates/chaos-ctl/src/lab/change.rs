//! A change of the membership, asked for until it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use raft_api::pb::{self, MemberRole, Refusal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::NodeId;
use crate::exit::Failure;
use crate::runner::Runner;
use crate::watch::Api;

/// A change under way.
#[derive(Debug)]
pub(crate) struct Change {
    task: JoinSet<Result<(), String>>,
    outcome: Option<Result<Instant, String>>,
}

/// How long a change may take, kills included.
const CHANGE_MAX: Duration = Duration::from_mins(1);
/// How long one node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Before the next attempt.
const PAUSE: Duration = Duration::from_millis(20);

/// Begins to ask for these members, all of them voters.
pub(crate) fn begin(runner: &Runner, members: &BTreeSet<NodeId>) -> Result<Change, Failure> {
    let config = runner.cluster().config();
    let mut wish = Vec::new();
    for id in members {
        let newcomer = || config.newcomer(*id, None).map_err(Failure::usage);
        let node = config.node(*id).cloned().map_or_else(newcomer, Ok)?;
        wish.push(pb::Member {
            id: id.0,
            peer_addr: node.peer,
            client_addr: node.client,
            http_addr: node.http,
            role: MemberRole::Voter.into(),
        });
    }
    let mut apis = BTreeMap::new();
    for id in runner.members() {
        apis.insert(id.0, runner.client_of(id)?);
    }
    let mut task = JoinSet::new();
    task.spawn(async move {
        let asked = timeout(CHANGE_MAX, ask(apis, wish)).await;
        asked.unwrap_or_else(|_elapsed| Err(format!("not done after {CHANGE_MAX:?}")))
    });
    Ok(Change { task, outcome: None })
}

impl Change {
    /// Whether it has ended.
    pub(crate) fn is_done(&mut self) -> bool {
        if self.outcome.is_none()
            && let Some(ended) = self.task.try_join_next()
        {
            let outcome = ended.unwrap_or_else(|error| Err(error.to_string()));
            self.outcome = Some(outcome.map(|()| Instant::now()));
        }
        self.outcome.is_some()
    }

    /// When it was done, or why it was not.
    pub(crate) fn outcome(self) -> Result<Instant, String> {
        self.outcome.unwrap_or_else(|| Err("it was not waited for".to_owned()))
    }
}

/// Asks one node after the other, and whom they name, until one says that it is so.
async fn ask(mut apis: BTreeMap<u64, Api>, members: Vec<pb::Member>) -> Result<(), String> {
    let order: Vec<u64> = apis.keys().copied().collect();
    let mut next = order.iter().copied().cycle();
    let mut named = None;
    loop {
        let id = named.take().or_else(|| next.next()).unwrap_or_default();
        let Some(api) = apis.get_mut(&id) else { continue };
        let members = members.clone();
        let request = pb::SetConfigurationRequest { members, expected: Vec::new(), force: false };
        let Ok(Ok(answer)) = timeout(ANSWER_MAX, api.set_configuration(request)).await else {
            sleep(PAUSE).await;
            continue;
        };
        let pb::SetConfigurationResponse { header, joint, .. } = answer.into_inner();
        let header = header.unwrap_or_default();
        match header.refusal() {
            Refusal::None if header.success && !joint => return Ok(()),
            Refusal::Invalid
            | Refusal::MembershipSenseless
            | Refusal::MembershipTooMany
            | Refusal::TooLarge => {
                return Err(header.message);
            }
            refusal => {
                tracing::debug!(?refusal, node = id, "not yet");
                named = whom_next(refusal, id, header.leader_id);
            }
        }
        sleep(PAUSE).await;
    }
}

/// Whom to ask after this answer of `id`; if nobody in particular, then anybody.
fn whom_next(refusal: Refusal, id: u64, leader: u64) -> Option<u64> {
    match refusal {
        Refusal::NotLeader => Some(leader).filter(|leader| *leader != id),
        // It will say so for ever.
        Refusal::Removed | Refusal::Stopping => None,
        // It will be otherwise in a moment: a new leader, another change, a node that is late.
        _ => Some(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_in_the_middle_of_a_change_is_not_asked_again() {
        assert_eq!(whom_next(Refusal::OutcomeUnknown, 4, 0), Some(4));
        assert_eq!(whom_next(Refusal::Removed, 4, 0), None);
        assert_eq!(whom_next(Refusal::NotLeader, 5, 7), Some(7));
        assert_eq!(whom_next(Refusal::NotLeader, 5, 5), None);
    }
}
