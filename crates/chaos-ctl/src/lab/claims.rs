//! What a run is held to, one claim after the other: what was promised, how it was looked at, what
//! was found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use lin_check::Outcome as Ending;
use serde::{Deserialize, Serialize};

use super::findings::Evidence;
use super::foreign;
use super::gaps::Spread;
use super::judge::Judged;
use super::record::Outcome;
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
    pub(super) code: Code,
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

/// Fewer acknowledged operations than this before the first fault, and nothing has been shown.
const BEFORE_MIN: usize = 100;
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
        faults_bit(evidence),
        load_before(evidence),
    ];
    claims.extend(quick_enough(evidence, gaps));
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
    let claim = "no acknowledged write lost";
    let how = "after the last fault every list was read back, and every write that was acknowledged \
               looked for in it";
    let verify = evidence.findings.clients.as_ref().and_then(|it| it.lists.verify.as_ref());
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
    let claim = "no write applied twice";
    let how = "every list was searched for writes that stand in it more than once; writes were \
               retried with their session and number";
    let clients = evidence.findings.clients.as_ref();
    let verify = clients.and_then(|it| it.lists.verify.as_ref());
    let retries = clients.map_or(0, |it| it.lists.retries);
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

fn one_leader(dir: &Path) -> Claim {
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
    let verdict = match findings.cluster {
        Code::Unsafe => Held::Fail,
        _ if differ && unread.is_none() => Held::Fail,
        Code::Inconclusive | Code::Degraded | Code::Interrupted => Held::Unknown,
        _ if unread.is_some() || held.is_empty() => Held::Unknown,
        _ if findings.hashes.contains('@') => Held::Pass,
        _ => Held::Unknown,
    };
    let contents = match unread {
        Some((id, error)) => format!("{id} could not be read: {error}"),
        None if differ => "the nodes hold different keys or values".to_owned(),
        None => format!("the same {} keys and values read from each", grouped(keys)),
    };
    let evidence = format!("{}; {contents}", findings.hashes);
    Claim { claim, verdict, how, evidence, code: Code::Unsafe }
}

fn logs_agree(evidence: &Evidence<'_>) -> Claim {
    let claim = "the logs agree";
    let how = "the logs of the stopped nodes, read offline: the same entry at every index that two of \
               them hold, and each acknowledged write at the index that its answer named, as far back \
               as the logs reach";
    let logs = &evidence.findings.logs;
    let (verdict, words) = match (&logs.wrong, &logs.unread) {
        (Some(wrong), _) => (Held::Fail, wrong.clone()),
        (None, Some(unread)) => (Held::Unknown, unread.clone()),
        (None, None) if logs.agree == 0 => (Held::Unknown, "no two logs overlap".to_owned()),
        (None, None) => {
            let (agree, found) = (grouped(logs.agree), grouped(logs.found));
            let nodes = logs.nodes.len();
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
    let claim = "no node ended by itself";
    let how = "the exit status of every process, but those that a fault was to end";
    let crashes = evidence.findings.summary.crashes;
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

/// Every kind of fault that this machine can have must have bitten.
fn faults_bit(evidence: &Evidence<'_>) -> Claim {
    let claim = "the faults bit";
    let how = "for each fault something that shows it: the signal in the exit status, bytes held by \
               a proxy, syncs that failed";
    let mut kinds: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for line in evidence.lines {
        let counts = kinds.entry(line.kind).or_default();
        let place = match line.outcome {
            Outcome::Installed => 0,
            Outcome::Skipped => 1,
            Outcome::Indeterminate => 2,
        };
        counts[place] += 1;
    }
    let words = kinds.iter().map(|(kind, [bit, skipped, open])| {
        let aside = |count: u64, word: &str| match count {
            0 => String::new(),
            _ => format!(" ({count} {word})"),
        };
        format!("{bit} {kind}{}{}", aside(*skipped, "skipped"), aside(*open, "in doubt"))
    });
    let words = words.collect::<Vec<_>>().join(", ");
    let in_doubt =
        kinds.iter().find(|(_, [bit, skipped, open])| *bit < *open && (*bit == 0 || *skipped == 0));
    let none = kinds.values().all(|[bit, ..]| *bit == 0);
    let dropped = |what: &str| {
        let lines = evidence.lines.iter().filter(|line| line.kind == "power_loss");
        lines.filter_map(|line| line.evidence.get(what)).sum::<u64>()
    };
    let power = kinds.get("power_loss").is_some_and(|[bit, ..]| 0 < *bit);
    let kept_all = power && dropped("disks that held back what was not synced") == 0;
    let verdict = if none || in_doubt.is_some() || kept_all { Held::Unknown } else { Held::Pass };
    let evidence = match (none, in_doubt) {
        (true, _) => format!("no fault bit: {words}"),
        (false, Some((kind, _))) => format!("most of {kind} left no trace: {words}"),
        _ if kept_all => format!("no disk dropped what was not synced: {words}"),
        _ if power => format!(
            "{words}; {} unsynced bytes dropped",
            grouped(dropped("unsynced bytes dropped"))
        ),
        _ => words,
    };
    Claim { claim, verdict, how, evidence, code: Code::Inconclusive }
}

fn load_before(evidence: &Evidence<'_>) -> Claim {
    let claim = "there was load before the faults";
    let how = "operations answered before the first fault, by the clients' own times";
    let open = |evidence: String| {
        let (verdict, code) = (Held::Unknown, Code::Inconclusive);
        Claim { claim, verdict, how, evidence, code }
    };
    let (Judged::Said(_, history), Some(clients)) = (evidence.judged, &evidence.findings.clients)
    else {
        return open("the clients did not come to their end".to_owned());
    };
    let Some(first) = evidence.lines.first() else { return open("there was no fault".to_owned()) };
    let until = first.at_mono_us.saturating_sub(clients.registers.started_mono_us) * 1000;
    let answered = history.operations().iter().filter(|operation| {
        matches!(operation.outcome, Ending::Ok(_))
            && operation.returned_ns.is_some_and(|returned| returned < until)
    });
    let count = answered.count();
    let verdict = if count < BEFORE_MIN { Held::Unknown } else { Held::Pass };
    let words = format!("{} operations", grouped(u64::try_from(count).unwrap_or(u64::MAX)));
    Claim { claim, verdict, how, evidence: words, code: Code::Inconclusive }
}

/// What the scenario expects of the gaps. Of debug builds nothing.
fn quick_enough(evidence: &Evidence<'_>, gaps: [Option<Spread>; 3]) -> Option<Claim> {
    let expect = evidence.findings.identity.scenario.expect;
    if expect.median_gap.is_none() && expect.longest_gap.is_none() {
        return None;
    }
    let claim = "gaps as short as expected";
    let how = "the longest times without an acknowledged write, from each fault to its end and from \
               there to the next one";
    let [during, leader, later] = gaps;
    let code = Code::TooSlow;
    if let Some(claim) = foreign::not_expected(evidence, claim, during) {
        return Some(claim);
    }
    let Some(all) = during else {
        let evidence = "there was nothing to be measured".to_owned();
        return Some(Claim { claim, verdict: Held::Unknown, how, evidence, code });
    };
    let longest = [during, later].into_iter().flatten().map(|it| it.max_us).max().unwrap_or(0);
    let median = leader.map_or(all.median_us, |leader| leader.median_us.max(all.median_us));
    let words = format!("median {}, longest {}", Shown(median), Shown(longest));
    if evidence.findings.identity.debug_build {
        let evidence = format!("{words}; these are debug builds, so times are not judged");
        return Some(Claim { claim, verdict: Held::Pass, how, evidence, code });
    }
    let slow = expect.median_gap.is_some_and(|bound| micros(bound.0) < median);
    let long = expect.longest_gap.is_some_and(|bound| micros(bound.0) < longest);
    let bounds = [("median", expect.median_gap), ("longest", expect.longest_gap)];
    let bounds = bounds.into_iter().filter_map(|(name, bound)| Some(format!("{name} {}", bound?)));
    let evidence = format!("{words}; expected: {}", bounds.collect::<Vec<_>>().join(", "));
    let verdict = if slow || long { Held::Fail } else { Held::Pass };
    Some(Claim { claim, verdict, how, evidence, code })
}
