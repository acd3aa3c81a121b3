//! Whether the faults of a run bit: a run without its faults shows nothing.

use std::collections::BTreeMap;

use super::claims::{Claim, Held};
use super::findings::Evidence;
use super::record::{NO_FILE, NO_ROOM, Outcome};
use super::results::Line;
use crate::events::grouped;
use crate::exit::Code;

/// Reasons to leave out a fault that say nothing of what this machine can have.
const NO_EXCUSE: [&str; 2] = [NO_ROOM, NO_FILE];

/// Every kind of fault that came up, and that this machine can have, must have bitten.
pub(super) fn faults_bit(evidence: &Evidence<'_>) -> Claim {
    let claim = "the faults bit";
    let how = "for each fault something that shows it: the signal in the exit status, bytes held by \
               a proxy, syncs that failed";
    let (verdict, evidence) = bitten(evidence.lines);
    Claim { claim, verdict, how, evidence, code: Code::Inconclusive }
}

fn bitten(lines: &[Line]) -> (Held, String) {
    let mut kinds: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for line in lines {
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
    let left_out = lines.iter().find(|line| {
        let never = kinds.get(line.kind).is_some_and(|[bit, _, open]| bit + open == 0);
        never && line.outcome == Outcome::Skipped && NO_EXCUSE.contains(&line.reason.as_str())
    });
    let in_doubt =
        kinds.iter().find(|(_, [bit, skipped, open])| *bit < *open && (*bit == 0 || *skipped == 0));
    let dropped = |what: &str| {
        let lines = lines.iter().filter(|line| line.kind == "power_loss");
        lines.filter_map(|line| line.evidence.get(what)).sum::<u64>()
    };
    let power = kinds.get("power_loss").is_some_and(|[bit, ..]| 0 < *bit);
    let doubt = if kinds.values().all(|[bit, ..]| *bit == 0) {
        Some("no fault bit".to_owned())
    } else if let Some((kind, _)) = in_doubt {
        Some(format!("most of {kind} left no trace"))
    } else if let Some(line) = left_out {
        Some(format!("no {} came: {}", line.kind, line.reason))
    } else if power && dropped("unsynced bytes dropped") == 0 {
        Some("no disk dropped anything that was not synced".to_owned())
    } else {
        None
    };
    match doubt {
        Some(doubt) => (Held::Unknown, format!("{doubt}: {words}")),
        None if power => {
            let bytes = grouped(dropped("unsynced bytes dropped"));
            (Held::Pass, format!("{words}; {bytes} unsynced bytes dropped"))
        }
        None => (Held::Pass, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &'static str, outcome: Outcome, reason: &str) -> Line {
        Line { kind, outcome, reason: reason.to_owned(), ..Line::default() }
    }

    #[test]
    fn a_kind_of_fault_that_never_came_is_not_passed_over() {
        let kill = || line("kill", Outcome::Installed, "");
        let judge = |other: Line| bitten(&[kill(), other]);
        let (held, words) = judge(line("partition", Outcome::Skipped, NO_ROOM));
        assert_eq!(held, Held::Unknown);
        assert_eq!(
            words,
            "no partition came: the guards left no room for it: 1 kill, 0 partition (1 skipped)"
        );
        assert_eq!(judge(line("kill", Outcome::Skipped, NO_ROOM)).0, Held::Pass, "another came");
        let not_here = line("clock", Outcome::Skipped, "there is no libfaketime here");
        assert_eq!(judge(not_here).0, Held::Pass, "not to be had, and said");
        assert_eq!(judge(line("pause", Outcome::Indeterminate, "")).0, Held::Unknown);
        assert_eq!(bitten(&[]).0, Held::Unknown);
    }
}
