//! What is claimed of servers that are not ours, where it is looked at in another way, or not at all.

use std::collections::BTreeMap;

use lin_check::{Input, Operation, Outcome as Ending, Output};

use super::claims::{Claim, Held};
use super::findings::Evidence;
use super::gaps::Spread;
use super::judge::Judged;
use crate::events::{Shown, grouped};
use crate::exit::Code;
use crate::system::reigns;

/// No acknowledged write lost: every key was read back in the end, and shows no write that others
/// had certainly replaced.
pub(super) fn nothing_lost(evidence: &Evidence<'_>) -> Option<Claim> {
    evidence.findings.identity.system.foreign()?;
    let claim = "no acknowledged write lost";
    let how = "after the last fault every key was read back, linearizable, and must show its last \
               acknowledged write or one that was under way with it";
    let (verdict, evidence) = match evidence.judged {
        Judged::Nothing(why) => (Held::Unknown, why.clone()),
        Judged::Said(_, history) => ReadBack::of(history.operations()).verdict(),
    };
    Some(Claim { claim, verdict, how, evidence, code: Code::Unsafe })
}

/// etcd has no sessions: a client that does not know what became of a write must not repeat it.
pub(super) fn nothing_twice(evidence: &Evidence<'_>) -> Option<Claim> {
    evidence.findings.identity.system.foreign()?;
    let claim = "no write applied twice";
    let how = "not looked at";
    let evidence = "not exercised: etcd has no sessions, so that writes in doubt are not repeated";
    let (verdict, code) = (Held::NotExercised, Code::Unsafe);
    Some(Claim { claim, verdict, how, evidence: evidence.to_owned(), code })
}

/// By the elections that the members have logged.
pub(super) fn one_leader(evidence: &Evidence<'_>) -> Option<Claim> {
    evidence.findings.identity.system.foreign()?;
    let claim = "one leader per term";
    let how = "every election that a member's log says it has won";
    let (verdict, evidence) = match reigns::read(&evidence.findings.identity.config) {
        Err(why) => (Held::Unknown, why),
        Ok(reigns) if reigns.is_empty() => (Held::Unknown, "no leader was ever seen".to_owned()),
        Ok(reigns) => match reigns.iter().find(|(_, leaders)| 1 < leaders.len()) {
            Some((term, leaders)) => {
                let names: Vec<String> = leaders.iter().map(ToString::to_string).collect();
                (Held::Fail, format!("{} all led in term {term}", names.join(" and ")))
            }
            None => {
                (Held::Pass, format!("{} terms with one leader each, by the logs", reigns.len()))
            }
        },
    };
    Some(Claim { claim, verdict, how, evidence, code: Code::Unsafe })
}

/// By the members' own hashes of all they hold, at one revision.
pub(super) fn equal_states(evidence: &Evidence<'_>) -> Option<Claim> {
    evidence.findings.identity.system.foreign()?;
    let claim = "equal states";
    let how = "the hash of each member (HashKV) over all changes up to one revision, in the end";
    let findings = evidence.findings;
    let verdict = match findings.cluster {
        Code::Unsafe => Held::Fail,
        _ if findings.hashes.contains('@') => Held::Pass,
        _ => Held::Unknown,
    };
    Some(Claim { claim, verdict, how, evidence: findings.hashes.clone(), code: Code::Unsafe })
}

/// Nobody here can read the logs of other servers.
pub(super) fn logs_agree(evidence: &Evidence<'_>) -> Option<Claim> {
    evidence.findings.identity.system.foreign()?;
    let (claim, how) = ("the logs agree", "not looked at");
    let evidence = "not exercised: etcd's log is not read here".to_owned();
    Some(Claim { claim, verdict: Held::NotExercised, how, evidence, code: Code::Unsafe })
}

/// What a scenario expects of times it expects of our servers. Others are measured.
pub(super) fn not_expected(
    evidence: &Evidence<'_>,
    claim: &'static str,
    gaps: Option<Spread>,
) -> Option<Claim> {
    evidence.findings.identity.system.foreign()?;
    let how = "measured, and not judged: the bounds are for our own servers";
    let words = gaps.map_or_else(String::new, |gaps| {
        format!("; median {}, longest {}", Shown(gaps.median_us), Shown(gaps.max_us))
    });
    let evidence = format!("not exercised: nothing is promised of times here{words}");
    Some(Claim { claim, verdict: Held::NotExercised, how, evidence, code: Code::TooSlow })
}

/// What the last reads showed.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReadBack {
    keys: usize,
    /// Keys that could not be read.
    unread: usize,
    /// Acknowledged writes to the keys that were read.
    acknowledged: u64,
    /// The first of the writes that are lost, in words, and how many there are.
    lost: Vec<String>,
}

impl ReadBack {
    /// The clients end with a read of every key, after all else.
    fn of(operations: &[Operation]) -> Self {
        let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in operations {
            keys.entry(&operation.key).or_default().push(operation);
        }
        let mut found = Self::default();
        for (key, operations) in keys {
            found.key(key, &operations);
        }
        found
    }

    fn key(&mut self, key: &str, operations: &[&Operation]) {
        let writes = || operations.iter().filter(|operation| acknowledged(operation));
        let last = operations.iter().max_by_key(|operation| operation.called_ns);
        let mut others = operations.iter().filter(|operation| !operation.input.is_read());
        let over = |called_ns| {
            others.clone().all(|operation| operation.returned_ns.is_none_or(|it| it <= called_ns))
        };
        let shown = last.and_then(|last| match &last.outcome {
            Ending::Ok(Output::Value(value)) if over(last.called_ns) => Some(value),
            _ => None,
        });
        let Some(shown) = shown else {
            self.unread += 1;
            return;
        };
        self.keys += 1;
        self.acknowledged += writes().count() as u64;
        // What it shows was written until then; without an answer it may have been written at any time.
        let until = match shown {
            None => Some(0),
            Some(value) => {
                let source = others.find(|operation| writes_value(operation, value));
                source.map(|source| match source.outcome {
                    Ending::Ok(_) => source.returned_ns.unwrap_or(u64::MAX),
                    Ending::Fail | Ending::Unknown => u64::MAX,
                })
            }
        };
        let shown = shown.as_deref().unwrap_or("nothing");
        let Some(until) = until else {
            self.lost.push(format!("{key} shows {shown}, which nobody wrote"));
            return;
        };
        let later = writes().filter(|write| until < write.called_ns);
        self.lost.extend(later.map(|write| {
            let client = write.process.0;
            format!("client {client}: {} of {key} is gone, it shows {shown}", write.input)
        }));
    }

    fn verdict(&self) -> (Held, String) {
        let (keys, checked) = (self.keys, grouped(self.acknowledged));
        if let Some(first) = self.lost.first() {
            return (Held::Fail, format!("{} of {checked} lost. {first}", self.lost.len()));
        }
        let words = format!("0 of {checked} acknowledged writes lost, on {keys} keys");
        if self.unread > 0 || keys == 0 {
            return (Held::Unknown, format!("{} keys could not be read back", self.unread));
        }
        let enough = super::claims::WRITES_MIN <= self.acknowledged;
        (if enough { Held::Pass } else { Held::Unknown }, words)
    }
}

fn acknowledged(operation: &Operation) -> bool {
    match &operation.outcome {
        Ending::Ok(output) => matches!(output, Output::Done | Output::Swapped),
        Ending::Fail | Ending::Unknown => false,
    }
}

fn writes_value(operation: &Operation, wanted: &str) -> bool {
    let refused = matches!(operation.outcome, Ending::Fail | Ending::Ok(Output::DiffersFrom(_)));
    match &operation.input {
        Input::Put { value } => value == wanted,
        Input::Cas { value, .. } => !refused && value.as_deref() == Some(wanted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use lin_check::{History, Process};

    use super::*;

    /// Two writes, one after the other, one in doubt, and what is read in the end.
    fn shown(last: Option<&str>) -> ReadBack {
        let mut history = History::new();
        let mut write = |value: &str, at: u64, output: Option<Output>| {
            let op = history.invoke(Process(1), "x", Input::put(value), at);
            match output {
                Some(output) => history.ok(op, output, at + 1),
                None => history.unknown(op),
            }
        };
        write("a", 10, Some(Output::Done));
        write("c", 15, None);
        write("b", 20, Some(Output::Done));
        let read = history.invoke(Process(2), "x", Input::Get, 30);
        history.ok(read, Output::Value(last.map(str::to_owned)), 31);
        ReadBack::of(history.operations())
    }

    #[test]
    fn what_was_acknowledged_is_there_or_was_replaced() {
        let clean = |last| shown(last).lost.is_empty();
        assert!(clean(Some("b")), "the last one");
        assert!(clean(Some("c")), "in doubt: it may have come last");
        let expected = ["client 1: put \"b\" of x is gone, it shows a"];
        assert_eq!(shown(Some("a")).lost, expected);
        assert_eq!(shown(None).lost.len(), 2, "both");
        assert_eq!(shown(Some("z")).lost, ["x shows z, which nobody wrote"]);
        assert_eq!((shown(Some("b")).keys, shown(Some("b")).acknowledged), (1, 2));
    }

    #[test]
    fn a_key_that_was_not_read_in_the_end_shows_nothing() {
        let mut history = History::new();
        let op = history.invoke(Process(1), "x", Input::put("a"), 1);
        history.ok(op, Output::Done, 2);
        let read = history.invoke(Process(2), "x", Input::Get, 3);
        history.fail(read);
        let found = ReadBack::of(history.operations());
        assert_eq!((found.unread, found.verdict().0), (1, Held::Unknown));
    }
}
