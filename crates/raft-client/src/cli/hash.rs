//! `hash`: whether all nodes hold the same state.
//!
//! A node tells the hash of its state where it is, and nowhere else. So they are all looked at until each
//! has been seen at an index at which the others were seen as well: soon where nothing is written, by
//! chance under load.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use raft_client::NodeStatus;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::failure::NO_CLUSTER;
use super::format::{Format, line};
use super::survey::{DEGRADED, Survey, UNSAFE, name};
use super::table::table;
use super::{Context, Done, Failure};

const INCONCLUSIVE: u8 = 10;

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(crate) struct HashCommand {}

/// What the nodes were seen to hold.
#[derive(Default)]
struct Seen {
    /// By index and node.
    hashes: BTreeMap<u64, BTreeMap<u64, u64>>,
    nodes: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// Nobody answers.
    Nobody,
    /// Somebody answers, and nobody else.
    Alone,
    /// Nothing has been applied anywhere.
    Nothing,
    /// These hold the same.
    Equal { index: u64 },
    /// These do not.
    Differ { index: u64 },
    /// They were never seen at the same index.
    Apart,
}

impl Seen {
    fn note(&mut self, nodes: &[NodeStatus]) {
        for report in nodes.iter().filter_map(|node| node.status.as_ref().ok()) {
            self.nodes.insert(report.node_id);
            let at = self.hashes.entry(report.applied_index).or_default();
            at.insert(report.node_id, report.state_hash);
        }
    }

    fn finding(&self) -> Finding {
        let differ =
            |hashes: &BTreeMap<u64, u64>| hashes.values().collect::<BTreeSet<_>>().len() > 1;
        if let Some((index, _)) = self.hashes.iter().find(|(_, hashes)| differ(hashes)) {
            return Finding::Differ { index: *index };
        }
        // An empty state is nothing to compare.
        let common = self
            .hashes
            .iter()
            .rev()
            .find(|(index, hashes)| 0 < **index && hashes.len() == self.nodes.len());
        match (self.nodes.len(), common) {
            (0, _) => Finding::Nobody,
            (1, _) => Finding::Alone,
            (_, Some((index, _))) => Finding::Equal { index: *index },
            (_, None) if self.hashes.keys().all(|index| *index == 0) => Finding::Nothing,
            (_, None) => Finding::Apart,
        }
    }
}

impl HashCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let client = &context.client;
        let deadline = Instant::now() + client.options().operation_timeout;
        let (mut survey, addrs) = Survey::prepare(context).await;
        let mut seen = Seen::default();
        loop {
            survey.nodes = join_all(addrs.iter().map(|addr| client.status(addr))).await;
            seen.note(&survey.nodes);
            let took = survey.nodes.iter().map(|node| node.round_trip).max().unwrap_or_default();
            let is_open = matches!(seen.finding(), Finding::Apart | Finding::Nothing);
            if !is_open || deadline < Instant::now() + BETWEEN_LOOKS + took {
                break;
            }
            sleep(BETWEEN_LOOKS).await;
        }
        survey.sort();
        let finding = seen.finding();
        let (words, code) = judge(&seen, finding, survey.nodes.len());
        let rows = rows(&survey, &seen, finding);
        let data = match context.format {
            Format::Json => line(&json(&rows, finding, &words)),
            Format::Table | Format::Raw => (shown(rows) + "\n").into_bytes(),
            Format::Text => format!("{}\n{words}\n", shown(rows)).into_bytes(),
        };
        Ok(Done { code, ..Done::with(data) })
    }
}

fn judge(seen: &Seen, finding: Finding, all: usize) -> (String, u8) {
    let answered = seen.nodes.len();
    let if_all = |code| if answered == all { code } else { DEGRADED };
    match finding {
        Finding::Nobody => (format!("0/{all} up"), NO_CLUSTER),
        Finding::Alone if all == 1 => ("there is one node".to_owned(), 0),
        Finding::Alone => (format!("not compared: of {all} nodes one answers"), DEGRADED),
        Finding::Nothing => {
            ("not compared: nothing has been applied yet".to_owned(), if_all(INCONCLUSIVE))
        }
        Finding::Equal { index } if answered == all => {
            (format!("equal at index {index} on all {all} nodes"), 0)
        }
        Finding::Equal { index } => {
            (format!("equal at index {index} on the {answered} of {all} nodes that answer"), DEGRADED)
        }
        Finding::Differ { index } => (format!("STATES DIFFER at index {index}"), UNSAFE),
        Finding::Apart => (
            "not compared: the nodes were never seen at the same index; try again when less is written, \
             or with a longer --timeout"
                .to_owned(),
            INCONCLUSIVE,
        ),
    }
}

/// Number, address, index, hash, and why there is none.
type Row = (Option<u64>, String, Option<(u64, u64)>, Option<String>);

/// What each node held where it was compared, or else where it was seen last.
fn rows(survey: &Survey, seen: &Seen, finding: Finding) -> Vec<Row> {
    let compared = match finding {
        Finding::Equal { index } | Finding::Differ { index } => Some(index),
        _ => None,
    };
    let row = |node: &NodeStatus| {
        let id = survey.id(node);
        let there = || {
            let index = compared?;
            Some((index, *seen.hashes.get(&index)?.get(&id?)?))
        };
        let last = node.status.as_ref().ok().map(|it| (it.applied_index, it.state_hash));
        let why = node.status.as_ref().err().map(ToString::to_string);
        (id, node.addr.clone(), there().or(last), why)
    };
    survey.nodes.iter().map(row).collect()
}

fn shown(rows: Vec<Row>) -> String {
    let rows = rows.into_iter().map(|(id, addr, held, why)| {
        let (index, hash) = held.map_or_else(
            || (String::new(), "DOWN".to_owned()),
            |(index, hash)| (index.to_string(), format!("{hash:016x}")),
        );
        [name(id), addr, index, hash, why.unwrap_or_default()]
    });
    table(["NODE", "ADDRESS", "INDEX", "HASH", ""], rows)
}

fn json(rows: &[Row], finding: Finding, words: &str) -> Value {
    let node = |(id, addr, held, why): &Row| {
        json!({
            "id": id,
            "addr": addr,
            "index": held.map(|(index, _)| index),
            "hash": held.map(|(_, hash)| format!("{hash:016x}")),
            "error": why,
        })
    };
    let (equal, index) = match finding {
        Finding::Equal { index } => (Some(true), Some(index)),
        Finding::Differ { index } => (Some(false), Some(index)),
        _ => (None, None),
    };
    json!({
        "schema": "raft-hash/1",
        "equal": equal,
        "index": index,
        "message": words,
        "nodes": rows.iter().map(node).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Node, index and hash.
    type Look = (u64, u64, u64);

    fn seen(looks: &[Look]) -> Seen {
        let mut seen = Seen::default();
        for (node, index, hash) in looks {
            seen.nodes.insert(*node);
            seen.hashes.entry(*index).or_default().insert(*node, *hash);
        }
        seen
    }

    #[test]
    fn states_are_compared_where_all_were_seen() {
        let table: [(&[Look], Finding); 7] = [
            (&[], Finding::Nobody),
            (&[(1, 5, 50)], Finding::Alone),
            (&[(1, 0, 7), (2, 0, 7)], Finding::Nothing),
            (&[(1, 5, 50), (2, 6, 60)], Finding::Apart),
            (&[(1, 5, 50), (2, 6, 60), (1, 6, 60)], Finding::Equal { index: 6 }),
            (&[(1, 5, 50), (2, 5, 50), (3, 6, 60)], Finding::Apart),
            // Two that differ are enough, wherever the third one is.
            (&[(1, 5, 50), (2, 5, 51), (3, 6, 60)], Finding::Differ { index: 5 }),
        ];
        for (looks, finding) in table {
            assert_eq!(seen(looks).finding(), finding, "{looks:?}");
        }
    }
}
