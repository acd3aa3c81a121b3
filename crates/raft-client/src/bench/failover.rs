//! What a change of the leader cost, and the faults that a chaos run reports.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::silence::{Gap, Reign};
use super::summary::micros;

/// A fault from the record of a chaos run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultEvent {
    /// When, from the start of the run.
    #[serde(rename = "at_us", serialize_with = "micros")]
    pub at: Duration,
    /// What: kill, terminate and the like.
    pub kind: String,
    /// To which node; 0 if to none in particular.
    pub node: u64,
    /// What the node was; empty if unknown.
    pub role: String,
}

/// A line of the record, as far as it is read.
#[derive(Debug, Deserialize)]
struct Line {
    mono_ns: u64,
    kind: String,
    #[serde(default)]
    node: u64,
    #[serde(default)]
    role: String,
}

/// Kinds of events that disturb a cluster.
const FAULTS: [&str; 5] = ["kill", "terminate", "pause", "partition", "crash"];

impl FaultEvent {
    /// The faults in a record between two moments of the monotonic clock. A record that is not there
    /// has none, and lines that are of another make are skipped.
    pub(super) fn read(path: &Path, started_us: u64, lasted: Duration) -> Vec<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let faults = events.filter(|line| FAULTS.contains(&&*line.kind));
        let placed = faults.filter_map(|Line { mono_ns, kind, node, role }| {
            let at =
                Duration::from_nanos(mono_ns).checked_sub(Duration::from_micros(started_us))?;
            (at <= lasted).then_some(Self { at, kind, node, role })
        });
        placed.collect()
    }
}

/// A change of the leader or of its term, as a client saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failover {
    /// When the old leader was lost, from the start of the run: the fault if one is known, else the
    /// last operation that it did.
    #[serde(rename = "at_us", serialize_with = "micros")]
    pub at: Duration,
    /// What was done to it, if that is known.
    pub fault: Option<String>,
    /// Who led before; 0: nobody known.
    pub leader_before: u64,
    /// In which term.
    pub term_before: u64,
    /// Who leads now.
    pub leader_after: u64,
    /// In which term.
    pub term_after: u64,
    /// From the loss to the first attempt that failed; none if none failed.
    pub detect_us: Option<u64>,
    /// From there to the first answer that told of the new term.
    pub elect_us: u64,
    /// From there to the first operation that was done.
    pub redirect_us: u64,
    /// The time without an operation that was done.
    #[serde(rename = "outage_us", serialize_with = "micros")]
    pub outage: Duration,
    /// Attempts that failed in it.
    pub retries: u64,
}

/// A fault belongs to a silence that begins so long before it or after it.
const BELONGS: Duration = Duration::from_millis(500);

pub(super) fn failovers(changes: &[Gap], events: &[FaultEvent]) -> Vec<Failover> {
    changes.iter().map(|change| failover(change, events)).collect()
}

fn failover(change: &Gap, events: &[FaultEvent]) -> Failover {
    let split = |reign: Option<Reign>| reign.map_or((0, 0), |reign| (reign.leader, reign.term));
    let (leader_before, term_before) = split(change.before);
    let (leader_after, term_after) = split(change.after);
    let end = change.at + change.length;
    let belongs = |event: &&FaultEvent| {
        event.node == leader_before && change.at <= event.at + BELONGS && event.at <= end
    };
    let fault = events.iter().rfind(belongs);
    // The last operation may have been done an instant after the kill was recorded, or before.
    let lost = fault.map_or(change.at, |fault| fault.at);
    let failed = change.first_fault.map(|at| at.max(lost));
    let told = change.first_new_term.unwrap_or(end).max(failed.unwrap_or(lost)).min(end.max(lost));
    let us = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Failover {
        at: lost,
        fault: fault.map(|fault| fault.kind.clone()),
        leader_before,
        term_before,
        leader_after,
        term_after,
        detect_us: failed.map(|at| us(at.saturating_sub(lost))),
        elect_us: us(told.saturating_sub(failed.unwrap_or(lost))),
        redirect_us: us(end.saturating_sub(told)),
        outage: change.length,
        retries: change.faults,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn change() -> Gap {
        Gap {
            at: ms(1000),
            length: ms(300),
            before: Some(Reign { leader: 1, term: 1 }),
            after: Some(Reign { leader: 2, term: 4 }),
            first_fault: Some(ms(1020)),
            first_new_term: Some(ms(1270)),
            faults: 12,
        }
    }

    #[test]
    fn a_failover_is_told_in_three_parts() {
        let told = failover(&change(), &[]);
        assert_eq!((told.at, told.fault, told.detect_us), (ms(1000), None, Some(20_000)));
        assert_eq!((told.elect_us, told.redirect_us), (250_000, 30_000));
        let event =
            |at, node| FaultEvent { at: ms(at), kind: "kill".into(), node, role: String::new() };
        let told = failover(&change(), &[event(1005, 1), event(1100, 3), event(1700, 1)]);
        assert_eq!((told.at, told.fault), (ms(1005), Some("kill".to_owned())));
        assert_eq!(
            (told.detect_us, told.elect_us, told.redirect_us),
            (Some(15_000), 250_000, 30_000)
        );
        let quiet = Gap { first_fault: None, first_new_term: None, ..change() };
        let told = failover(&quiet, &[]);
        assert_eq!((told.detect_us, told.elect_us, told.redirect_us), (None, 300_000, 0));
    }

    #[test]
    fn faults_are_read_from_a_record() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = "\
{\"mono_ns\":900000000,\"wall\":\"x\",\"src\":\"chaos\",\"kind\":\"kill\",\"node\":1,\"role\":\"leader\"}
{\"mono_ns\":1250000000,\"kind\":\"kill\",\"node\":2,\"role\":\"follower\",\"pid\":7}
{\"mono_ns\":1300000000,\"kind\":\"start\",\"node\":2}
half a line";
        std::fs::write(file.path(), lines).unwrap();
        let read = FaultEvent::read(file.path(), 1_000_000, ms(5000));
        let event =
            FaultEvent { at: ms(250), kind: "kill".into(), node: 2, role: "follower".into() };
        assert_eq!(read, [event]);
        assert_eq!(FaultEvent::read(Path::new("/nowhere"), 0, ms(1)), []);
    }
}
