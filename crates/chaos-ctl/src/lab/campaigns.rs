//! How an election came about, as the nodes' counters tell.

use std::collections::BTreeMap;

use crate::NodeId;
use crate::watch::View;

/// How often each process has stood for election, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Campaigns {
    nodes: BTreeMap<(NodeId, u64), [u64; 3]>,
}

/// In the order of the counters.
const CAUSES: [&str; 3] = ["timeout", "leader lost", "hand-over"];

impl Campaigns {
    /// What the nodes say.
    pub(crate) fn of(view: &View) -> Self {
        let counts = view.answers().map(|(id, status)| {
            let counts =
                [status.campaigns_timeout, status.campaigns_leader_lost, status.campaigns_transfer];
            ((id, status.pid), counts)
        });
        Self { nodes: counts.collect() }
    }

    /// What has happened since an earlier look, in words: `leader lost`, or `leader lost x2`. Only
    /// processes count that were seen both times.
    pub(crate) fn since(&self, earlier: &Self) -> String {
        let mut fresh = [0; 3];
        for (process, counts) in &self.nodes {
            let before = earlier.nodes.get(process).unwrap_or(counts);
            for (sum, (now, then)) in fresh.iter_mut().zip(counts.iter().zip(before)) {
                *sum += now.saturating_sub(*then);
            }
        }
        let causes = CAUSES.into_iter().zip(fresh).filter(|(_, count)| 0 < *count);
        let words = causes.map(|(cause, count)| match count {
            1 => cause.to_owned(),
            _ => format!("{cause} x{count}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use raft_api::pb::StatusResponse;

    use super::*;

    fn view(nodes: &[(u64, u64, [u64; 3])]) -> View {
        let nodes = nodes.iter().map(|&(id, pid, [timeout, lost, transfer])| {
            let status = StatusResponse {
                pid,
                campaigns_timeout: timeout,
                campaigns_leader_lost: lost,
                campaigns_transfer: transfer,
                ..Default::default()
            };
            (NodeId(id), Ok(status))
        });
        View { at: Instant::now(), nodes: nodes.collect() }
    }

    #[test]
    fn only_what_is_new_counts() {
        let before = Campaigns::of(&view(&[(1, 10, [1, 0, 0]), (2, 20, [0, 4, 0])]));
        let since = |nodes: &[_]| Campaigns::of(&view(nodes)).since(&before);
        assert_eq!(since(&[(1, 10, [1, 0, 0]), (2, 20, [0, 5, 0])]), "leader lost");
        assert_eq!(since(&[(1, 10, [1, 2, 0]), (2, 20, [0, 4, 1])]), "leader lost x2, hand-over");
        assert_eq!(since(&[(1, 11, [1, 0, 0]), (2, 20, [0, 4, 0])]), "");
    }
}
