//! What a run is held to, one claim after the other: what was promised, how it was looked at, what
//! was found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::findings::Evidence;
use super::gaps::Spread;
use super::judge::Judged;
use super::logs::Logs;
use super::{bitten, foreign, worth};
use crate::events::{Shown, grouped, micros};
use crate::exit::Code;
use crate::load::Verify;

/// A claim, and whether it holds.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "that is what it is called in results.json")]
pub(crate) struct Claim {
    /// What is claimed.
    pub(crate) claim: &'static str,
    pub(crate) verdict: Held,
    /// How it was looked at.
    pub(crate) how: &'static str,
    /// What was found.
    pub(crate) evidence: String,
    /// What the program exits with if it fails.
    #[serde(skip)]
    pub(crate) code: Code,
}

/// Whether a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Held {
    Pass,
    Fail,
    /// Nothing can be concluded.
    Unknown,
    /// This system makes no such promise, or it cannot be looked at: it is said, and nothing follows.
    NotExercised,
}

impl Claim {
    pub(super) fn failed_with(&self) -> Option<Code> {
        (self.verdict == Held::Fail).then_some(self.code)
    }

    pub(super) fn is_open(&self) -> bool {
        self.verdict == Held::Unknown
    }
}

/// Fewer acknowledged writes than this in all.
pub(super) const WRITES_MIN: u64 = 100;

/// All of them, the gravest first.
pub(super) fn all(evidence: &Evidence<'_>, gaps: [Option<Spread>; 3]) -> Vec<Claim> {
    let mut claims = vec![
        linearizable(evidence),
        foreign::nothing_lost(evidence).unwrap_or_else(|| nothing_lost(evidence)),
        foreign::nothing_twice(evidence).unwrap_or_else(|| nothing_twice(evidence)),
        foreign::one_leader(evidence).unwrap_or_else(|| one_leader(evidence.dir)),
        foreign::equal_states(evidence).unwrap_or_else(|| equal_states(evidence)),
        foreign::logs_agree(evidence).unwrap_or_else(|| logs_agree(evidence)),
        no_crash(evidence),
        recovered(evidence),
        bitten::faults_bit(evidence),
        worth::enough_load(evidence),
    ];
    claims.extend(worth::quick_enough(evidence, gaps));
    claims
}

fn linearizable(evidence: &Evidence<'_>) -> Claim {
    let claim = "linearizable";
    let how = "every operation on shared keys, with its times and the servers' indexes; the order \
               by index replayed and held against time, or an order searched for";
    let (verdict, evidence) = match evidence.judged {
        Judged::Nothing(why) => (Held::Unknown, why.clone()),
        Judged::Said(judgement, _) => {
            let verdict = match (judgement.verdict, &judgement.wrong_hint) {
                ("violation", _) | (_, Some(_)) => Held::Fail,
                ("linearizable", None) => Held::Pass,
                _ => Held::Unknown,
            };
            (verdict, judgement.words.clone())
        }
    };
    Claim { claim, verdict, how, evidence, code: Code::Unsafe }
}

fn nothing_lost(evidence: &Evidence<'_>) -> Claim {
    lost_of(evidence.findings.clients.as_ref().and_then(|it| it.lists.verify.as_ref()))
}

/// By what the clients of lists found when they read them back.
pub(super) fn lost_of(verify: Option<&Verify>) -> Claim {
    let claim = "no acknowledged write lost";
    let how = "after the last fault every list was read back, and every write that was acknowledged \
               looked for in it";
    let (verdict, evidence) = match verify {
        Some(verify @ Verify::Done { checked, lost, unexpected, .. }) => {
            let bad = 0 < lost + unexpected;
            let words = match verify.damage() {
                Some(damage) if bad => damage,
                _ => format!("0 of {} acknowledged writes lost", grouped(*checked)),
            };
            let enough = if *checked < WRITES_MIN { Held::Unknown } else { Held::Pass };
            (if bad { Held::Fail } else { enough }, words)
        }
        Some(Verify::Undone { error }) => (Held::Unknown, format!("not read back: {error}")),
        None => (Held::Unknown, "not read back".to_owned()),
    };
    Claim { claim, verdict, how, evidence, code: Code::Unsafe }
}

fn nothing_twice(evidence: &Evidence<'_>) -> Claim {
    let clients = evidence.findings.clients.as_ref();
    let verify = clients.and_then(|it| it.lists.verify.as_ref());
    twice_of(verify, clients.map_or(0, |it| it.lists.retries))
}

/// By what the clients of lists found when they read them back.
pub(super) fn twice_of(verify: Option<&Verify>, retries: u64) -> Claim {
    let claim = "no write applied twice";
    let how = "every list was searched for writes that stand in it more than once; writes were \
               retried with their session and number";
    let (verdict, evidence) = match verify {
        Some(Verify::Done { applied_twice: 0, checked, .. }) => {
            (Held::Pass, format!("0 of {}, with {} retries", grouped(*checked), grouped(retries)))
        }
        Some(Verify::Done { applied_twice, findings, .. }) => {
            let first = findings.first().map_or("", String::as_str);
            (Held::Fail, format!("{applied_twice} applied twice. {first}"))
        }
        Some(Verify::Undone { .. }) | None => (Held::Unknown, "not read back".to_owned()),
    };
    Claim { claim, verdict, how, evidence, code: Code::Unsafe }
}

/// A line of `states.jsonl`, as far as it matters here.
#[derive(Deserialize)]
struct State {
    node: u64,
    role: String,
    term: u64,
}

/// By what the nodes said of themselves, in `states.jsonl`.
pub(super) fn one_leader(dir: &Path) -> Claim {
    let claim = "one leader per term";
    let how = "every node was asked for its role and term ten times a second and more";
    let path = dir.join("states.jsonl");
    let mut leaders: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut looks = 0_u64;
    let unknown = |evidence: String| {
        let (verdict, code) = (Held::Unknown, Code::Unsafe);
        Claim { claim, verdict, how, evidence, code }
    };
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) => return unknown(format!("{}: {error}", path.display())),
    };
    for line in BufReader::new(file).lines() {
        let read = line.map_err(|error| error.to_string());
        let state = read.and_then(|line| {
            serde_json::from_str::<State>(&line).map_err(|error| error.to_string())
        });
        match state {
            Ok(state) => {
                looks += 1;
                if state.role == "leader" {
                    leaders.entry(state.term).or_default().insert(state.node);
                }
            }
            Err(error) => return unknown(format!("{}: {error}", path.display())),
        }
    }
    let two = leaders.iter().find(|(_, nodes)| 1 < nodes.len());
    let (verdict, evidence) = match two {
        Some((term, nodes)) => {
            let names: Vec<String> = nodes.iter().map(|id| format!("n{id}")).collect();
            (Held::Fail, format!("{} all led in term {term}", names.join(" and ")))
        }
        None if leaders.is_empty() => (Held::Unknown, "no leader was ever seen".to_owned()),
        None => {
            let (terms, looks) = (leaders.len(), grouped(looks));
            (Held::Pass, format!("{terms} terms with one leader each, {looks} answers"))
        }
    };
    Claim { claim, verdict, how, evidence, code: Code::Unsafe }
}

fn equal_states(evidence: &Evidence<'_>) -> Claim {
    let claim = "equal states";
    let how = "the nodes' hashes of their states, compared wherever two were seen at one index, and \
               of all of them at one index in the end; then every key read from every node";
    let findings = evidence.findings;
    let held: Vec<_> = findings.contents.values().collect();
    let unread = findings.contents.iter().find_map(|(id, read)| Some((id, read.as_ref().err()?)));
    let differ = held.windows(2).any(|pair| pair[0] != pair[1]);
    let keys = held.first().and_then(|read| read.as_ref().ok()).map_or(0, |content| content.keys);
    let compared = findings.hashes.contains('@');
    let read = match differ {
        _ if unread.is_some() || held.is_empty() => Read::NotAll,
        true => Read::Differ,
        false => Read::Alike,
    };
    let verdict = alike(findings.cluster, compared, read);
    let contents = match unread {
        Some((id, error)) => format!("{id} could not be read: {error}"),
        None if differ => "the nodes hold different keys or values".to_owned(),
        None => format!("the same {} keys and values read from each", grouped(keys)),
    };
    let evidence = format!("{}; {contents}", findings.hashes);
    Claim { claim, verdict, how, evidence, code: Code::Unsafe }
}

/// What all nodes hold, laid side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Alike,
    Differ,
    NotAll,
}

/// Whether the states are equal. Nodes that were not seen at one index may be on their way, and hold
/// different things without any harm.
fn alike(cluster: Code, compared: bool, read: Read) -> Held {
    match (cluster, compared, read) {
        (Code::Unsafe, ..) | (_, true, Read::Differ) => Held::Fail,
        (Code::Inconclusive | Code::Degraded | Code::Interrupted, ..)
        | (_, false, _)
        | (_, true, Read::NotAll) => Held::Unknown,
        (_, true, Read::Alike) => Held::Pass,
    }
}

fn logs_agree(evidence: &Evidence<'_>) -> Claim {
    logs_agree_of(&evidence.findings.logs)
}

pub(super) fn logs_agree_of(logs: &Logs) -> Claim {
    let claim = "the logs agree";
    let how = "the logs of the stopped nodes, read offline: the same entry at every index that two of \
               them hold, and each acknowledged write at the index that its answer named, as far back \
               as the logs reach";
    let (verdict, words) = match (&logs.wrong, &logs.unread) {
        (Some(wrong), _) => (Held::Fail, wrong.clone()),
        (None, Some(unread)) => (Held::Unknown, unread.clone()),
        (None, None) if logs.agree == 0 => (Held::Unknown, "no two logs overlap".to_owned()),
        (None, None) => {
            let (agree, found) = (grouped(logs.agree), grouped(logs.found));
            // One that ends with a snapshot may hold nothing after it.
            let nodes = logs.nodes.values().filter(|bounds| **bounds != (0, 0)).count();
            (
                Held::Pass,
                format!(
                    "{agree} entries the same in {nodes} logs, {found} acknowledged writes found there"
                ),
            )
        }
    };
    Claim { claim, verdict, how, evidence: words, code: Code::Unsafe }
}

fn no_crash(evidence: &Evidence<'_>) -> Claim {
    no_crash_of(evidence.findings.summary.crashes)
}

/// By how many were seen.
pub(super) fn no_crash_of(crashes: u64) -> Claim {
    let claim = "no node ended by itself";
    let how = "the exit status of every process, but those that a fault was to end";
    let verdict = if crashes == 0 { Held::Pass } else { Held::Fail };
    Claim {
        claim,
        verdict,
        how,
        evidence: format!("{crashes} unexpected exits"),
        code: Code::Crashed,
    }
}

fn recovered(evidence: &Evidence<'_>) -> Claim {
    let claim = "recovered";
    let how =
        "after each fault, or after the last one: all nodes up and caught up under one leader";
    let late = evidence.findings.cluster == Code::TooSlow;
    let times: Vec<u64> = evidence.lines.iter().filter_map(|line| line.whole_us).collect();
    let longest = times.iter().copied().max();
    let bound = evidence.findings.identity.scenario.expect.recovered_within;
    let (verdict, evidence) = match (late, longest) {
        (true, _) => (Held::Fail, "not whole again in time".to_owned()),
        (false, Some(longest)) => {
            let over = bound.filter(|bound| micros(bound.0) < longest);
            let words =
                format!("{} times, at most {} after the fault", times.len(), Shown(longest));
            (if over.is_some() { Held::Fail } else { Held::Pass }, words)
        }
        (false, None) => (Held::Unknown, "never seen whole after a fault".to_owned()),
    };
    Claim { claim, verdict, how, evidence, code: Code::TooSlow }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_were_not_seen_at_one_index_are_not_said_to_differ() {
        assert_eq!(alike(Code::Done, true, Read::Differ), Held::Fail);
        assert_eq!(alike(Code::Done, true, Read::Alike), Held::Pass);
        assert_eq!(alike(Code::Unsafe, false, Read::NotAll), Held::Fail, "the hashes differ");
        for (cluster, compared, read) in [
            (Code::Done, false, Read::Differ),
            (Code::Degraded, false, Read::Differ),
            (Code::Done, false, Read::Alike),
            (Code::Done, true, Read::NotAll),
            (Code::Inconclusive, true, Read::Alike),
        ] {
            assert_eq!(alike(cluster, compared, read), Held::Unknown, "{cluster:?} {read:?}");
        }
    }
}
