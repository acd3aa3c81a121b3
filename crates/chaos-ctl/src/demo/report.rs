//! What the demonstration showed, side by side, and in one line.

use std::fmt;

use crate::events::grouped;
use crate::exit::Code;
use crate::load::{BenchResult, Verify};

/// Fewer leaders than this killed, and nothing has been shown.
const KILLS_MIN: u64 = 3;
/// The same for acknowledged writes.
const WRITES_MIN: u64 = 100;

/// One load and what was done to the cluster meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) kills: u64,
    pub(super) result: BenchResult,
}

/// What follows from both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass(String),
    Fail(Code, String),
    Inconclusive(String),
}

impl Verdict {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Pass(_) => Code::Done,
            Self::Fail(code, _) => *code,
            Self::Inconclusive(_) => Code::Inconclusive,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(why) => write!(f, "PASS  {why}"),
            Self::Fail(_, why) => write!(f, "FAIL  {why}"),
            Self::Inconclusive(why) => write!(f, "INCONCLUSIVE  {why}"),
        }
    }
}

/// Damage first, then doubt: a run that proves nothing must not pass, and a lost write is a failure
/// however few leaders were killed.
pub(super) fn judge(calm: &Act, chaos: &Act, cluster: Code) -> Verdict {
    let mut checked = 0;
    for (name, act) in [("calm", calm), ("chaos", chaos)] {
        match &act.result.verify {
            Some(verify @ Verify::Done { checked: looked_for, .. }) => {
                checked += looked_for;
                if let Some(damage) = verify.damage() {
                    return Verdict::Fail(Code::Unsafe, format!("in {name}: {damage}"));
                }
            }
            Some(Verify::Undone { error }) => {
                return Verdict::Inconclusive(format!(
                    "in {name} nothing could be read back: {error}"
                ));
            }
            None => return Verdict::Inconclusive(format!("in {name} nothing was read back")),
        }
    }
    match cluster {
        Code::Done => (),
        Code::Unsafe => {
            let what = "two nodes have applied the same entries and differ";
            return Verdict::Fail(cluster, what.to_owned());
        }
        Code::Crashed => return Verdict::Fail(cluster, "a node ended by itself".to_owned()),
        Code::TooSlow => return Verdict::Fail(cluster, "the cluster did not recover".to_owned()),
        Code::Inconclusive | Code::Degraded => {
            let what = "the nodes were never seen at an equal index after the last kill";
            return Verdict::Inconclusive(what.to_owned());
        }
        _ => return Verdict::Fail(cluster, "a process could not be ended".to_owned()),
    }
    let kills = chaos.kills;
    if kills < KILLS_MIN {
        return Verdict::Inconclusive(format!("only {kills} leaders were killed, not {KILLS_MIN}"));
    }
    if calm.result.ok.min(chaos.result.ok) < WRITES_MIN {
        return Verdict::Inconclusive(format!("fewer than {WRITES_MIN} writes were acknowledged"));
    }
    Verdict::Pass(format!(
        "{kills} leaders killed under load; all {} acknowledged writes read back: 0 lost, 0 \
         applied twice",
        grouped(checked)
    ))
}

/// What came of one load, at once.
pub(super) fn line(act: &Act) -> String {
    let BenchResult { ok, ops_per_s, longest_gap_us, verify, .. } = &act.result;
    let (ok, rate) = (grouped(*ok), grouped(whole(*ops_per_s)));
    let gap = milliseconds(*longest_gap_us);
    let checked = match verify {
        Some(Verify::Done { .. }) => " and read back",
        Some(Verify::Undone { .. }) | None => ", not read back",
    };
    format!("   {ok} writes acknowledged{checked}, {rate} a second, longest gap {gap}")
}

/// Both loads side by side.
pub(super) fn table(calm: &Act, chaos: &Act) -> String {
    let row = |name: &str, show: &dyn Fn(&Act) -> String| {
        format!("  {name:<24}{:>14}{:>18}", show(calm), show(chaos))
    };
    let verified = |act: &Act, pick: fn(u64, u64) -> u64| match act.result.verify {
        Some(Verify::Done { lost, applied_twice, .. }) => grouped(pick(lost, applied_twice)),
        Some(Verify::Undone { .. }) | None => "?".to_owned(),
    };
    let mut lines = vec![
        String::new(),
        format!("  {:<24}{:>14}{:>18}", "", "calm", "leaders killed"),
        row("throughput", &|act| format!("{}/s", grouped(whole(act.result.ops_per_s)))),
        row("latency p50", &|act| milliseconds(act.result.latency_us.p50)),
        row("latency p99", &|act| milliseconds(act.result.latency_us.p99)),
        row("longest gap in writes", &|act| milliseconds(act.result.longest_gap_us)),
        row("leaders killed", &|act| grouped(act.kills)),
        row("attempts retried", &|act| grouped(act.result.retries)),
        row("failed / unknown", &|act| format!("{} / {}", act.result.failed, act.result.unknown)),
        row("acknowledged writes", &|act| grouped(act.result.ok)),
        row("  of these lost", &|act| verified(act, |lost, _| lost)),
        row("applied twice", &|act| verified(act, |_, twice| twice)),
        String::new(),
    ];
    if calm.result.client_debug_build {
        lines.push("These are debug builds: the figures say little.\n".to_owned());
    }
    lines.join("\n")
}

fn milliseconds(micros: u64) -> String {
    let (whole, fraction) = (micros / 1000, micros % 1000 / 10);
    if 100 <= whole { format!("{whole} ms") } else { format!("{whole}.{fraction:02} ms") }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is far below 2^53 and not negative"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(kills: u64, ok: u64, lost: u64, applied_twice: u64) -> Act {
        let findings = vec!["it is gone".to_owned()];
        let verify = Verify::Done { checked: ok, lost, applied_twice, unexpected: 0, findings };
        let result = BenchResult { ok, verify: Some(verify), ..BenchResult::default() };
        Act { kills, result }
    }

    #[test]
    fn only_enough_kills_enough_writes_and_no_damage_pass() {
        let calm = act(0, 5000, 0, 0);
        let judged = |chaos: Act, cluster| judge(&calm, &chaos, cluster).code();
        assert_eq!(judged(act(3, 5000, 0, 0), Code::Done), Code::Done);
        assert_eq!(judged(act(2, 5000, 0, 0), Code::Done), Code::Inconclusive);
        assert_eq!(judged(act(3, 50, 0, 0), Code::Done), Code::Inconclusive);
        assert_eq!(judged(act(3, 5000, 1, 0), Code::Done), Code::Unsafe);
        assert_eq!(judged(act(3, 5000, 0, 1), Code::Done), Code::Unsafe);
        assert_eq!(judged(act(0, 5000, 1, 0), Code::Done), Code::Unsafe);
        assert_eq!(judged(act(3, 5000, 0, 0), Code::Unsafe), Code::Unsafe);
        assert_eq!(judged(act(3, 5000, 0, 0), Code::Crashed), Code::Crashed);
        assert_eq!(judged(act(3, 5000, 0, 0), Code::Inconclusive), Code::Inconclusive);
        assert_eq!(judged(act(3, 5000, 1, 0), Code::Inconclusive), Code::Unsafe);
        let unread = Act { result: BenchResult { ok: 5000, ..Default::default() }, kills: 3 };
        assert_eq!(judged(unread, Code::Done), Code::Inconclusive);
    }

    #[test]
    fn a_bench_report_is_understood_with_reading_back_done_or_not() {
        let head = r#"{"ok":5,"failed":0,"unknown":1,"retries":2,"ops_per_s":10.5,
            "longest_gap_us":3,"latency_us":{"p50":1,"p99":2,"max":9},"verify":"#;
        let done = r#"{"checked":5,"lost":0,"applied_twice":0,"unexpected":0,
            "unknown_applied":1,"findings":[]}}"#;
        let result: BenchResult = serde_json::from_str(&format!("{head}{done}")).unwrap();
        assert!(matches!(result.verify, Some(Verify::Done { checked: 5, .. })));
        let undone = r#"{"error":"no leader"}}"#;
        let result: BenchResult = serde_json::from_str(&format!("{head}{undone}")).unwrap();
        assert!(matches!(result.verify, Some(Verify::Undone { .. })));
        let result: BenchResult = serde_json::from_str(&format!("{head}null}}")).unwrap();
        assert!(result.verify.is_none());
    }
}
