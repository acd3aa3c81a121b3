//! The report that people read: at most 80 columns, nothing that was not measured.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::summary::{Cluster, GapSummary, Latency, Summary, Verification};
use super::verify::Verdict;

/// A percentile counts on this many values above it, or it is marked.
const VALUES_ABOVE_MIN: f64 = 10.0;

/// Gaps that get a line.
const GAP_LINES_MAX: usize = 10;

/// The whole report.
pub fn text(summary: &Summary) -> String {
    let mut out = String::new();
    write_report(&mut out, summary).expect("a string takes all");
    out
}

fn write_report(out: &mut String, summary: &Summary) -> fmt::Result {
    heading(out, summary)?;
    counts(out, summary)?;
    latencies(out, summary)?;
    gaps(out, summary)?;
    errors(out, summary)?;
    if let Some(verify) = &summary.verify {
        verification(out, verify)?;
    }
    Ok(())
}

fn heading(out: &mut String, summary: &Summary) -> fmt::Result {
    let Summary { workload, concurrency, connections, value_bytes, seed, cluster, .. } = summary;
    let Cluster { name, nodes, up, leader, term, .. } = cluster;
    writeln!(
        out,
        "raft-bench  {workload}  c={concurrency}  {value_bytes} B values  \
         {connections} connection{}  seed {seed}",
        if *connections == 1 { "" } else { "s" },
    )?;
    writeln!(
        out,
        "cluster     {name}  at the start: {up}/{nodes} up, leader n{leader}, term {term}  closed loop"
    )?;
    writeln!(out, "{}", "-".repeat(76))
}

fn counts(out: &mut String, summary: &Summary) -> fmt::Result {
    let Summary { ok, failed, unknown, retries, duplicates, elapsed, ops_per_s, .. } = summary;
    let counts = format!(
        "ok {}   failed {}   unknown {}   retried {}",
        grouped(*ok),
        grouped(*failed),
        grouped(*unknown),
        grouped(*retries),
    );
    let took = match elapsed.as_secs() {
        0 => milliseconds(*elapsed),
        _ => seconds(*elapsed),
    };
    let rate = format!("{took}   {} op/s", grouped(rounded(*ops_per_s)));
    if summary.interrupted {
        writeln!(out, "  interrupted before its end")?;
    }
    if summary.gave_up {
        writeln!(out, "  given up: nothing was acknowledged any more")?;
    }
    writeln!(out, "  {counts:<50}{rate:>24}")?;
    if 0 < *duplicates {
        writeln!(out, "  {} repeats recognised by the session, not applied", grouped(*duplicates))?;
    }
    if *ok == 0 {
        return writeln!(out, "  nothing was acknowledged");
    }
    writeln!(
        out,
        "  longest time without an acknowledged write {}   leader changes {}",
        milliseconds(summary.longest_gap),
        summary.leader_changes,
    )
}

fn latencies(out: &mut String, summary: &Summary) -> fmt::Result {
    if summary.latency_us.count == 0 {
        return Ok(());
    }
    write!(out, "\nlatency ms  ")?;
    for name in ["p50", "p90", "p99", "p99.9", "max", "mean"] {
        write!(out, "{name:>9}")?;
    }
    writeln!(out, "{:>11}", "n")?;
    latency_row(out, summary.workload, &summary.latency_us)?;
    if outages(summary).is_empty() {
        return Ok(());
    }
    writeln!(out, "note  raw percentiles of a closed loop hide outages; the gaps below show them")
}

fn latency_row(out: &mut String, name: &str, latency: &Latency) -> fmt::Result {
    write!(out, "  {name:<10}")?;
    for (value, above) in latency.quantiles() {
        let carried = VALUES_ABOVE_MIN <= as_float(latency.count) * above;
        let mark = if carried { "" } else { "~" };
        write!(out, "{:>9}", format!("{mark}{}", three_digits(value)))?;
    }
    let (max, mean) = (three_digits(latency.max), three_digits(latency.mean));
    writeln!(out, "{max:>9}{mean:>9}{:>11}", grouped(latency.count))
}

/// The gaps that are more than slowness: longer than two writes usually take, or with a new leader.
fn outages(summary: &Summary) -> Vec<&GapSummary> {
    let usual = Duration::from_micros(summary.latency_us.p50);
    let is_outage = |gap: &&GapSummary| {
        usual * 2 < gap.length || gap.leader_after != gap.leader_before || gap.leader_after == 0
    };
    summary.gaps.iter().filter(is_outage).collect()
}

fn gaps(out: &mut String, summary: &Summary) -> fmt::Result {
    let mut gaps = outages(summary);
    let all = gaps.len();
    if gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\ngaps        at       length     leader        term")?;
    if GAP_LINES_MAX < gaps.len() {
        gaps.sort_by_key(|gap| std::cmp::Reverse(gap.length));
        gaps.truncate(GAP_LINES_MAX);
        gaps.sort_by_key(|gap| gap.at);
    }
    for gap in &gaps {
        let GapSummary { leader_before, leader_after, term_before, term_after, .. } = **gap;
        let leaders = match leader_after {
            0 => format!("n{leader_before} > none"),
            same if same == leader_before => format!("n{same}"),
            other => format!("n{leader_before} > n{other}"),
        };
        let terms = match term_after {
            0 => format!("{term_before}, not ended"),
            same if same == term_before => same.to_string(),
            other => format!("{term_before} > {other}"),
        };
        let (at, length) = (seconds(gap.at), milliseconds(gap.length));
        writeln!(out, "  {at:>12}{length:>13}     {leaders:<12}  {terms}")?;
    }
    let left_out = all - gaps.len();
    if 0 < left_out {
        writeln!(out, "  the {GAP_LINES_MAX} longest; {left_out} shorter ones left out")?;
    }
    Ok(())
}

fn errors(out: &mut String, summary: &Summary) -> fmt::Result {
    if !summary.errors.is_empty() {
        let recovered = summary.failed + summary.unknown == 0;
        let how = if recovered { ", all recovered by another attempt" } else { "" };
        writeln!(out, "\nattempts that failed{how}")?;
        let mut line = String::new();
        for (kind, count) in &summary.errors {
            let item = format!("  {kind} {}", grouped(*count));
            if 76 < line.len() + item.len() {
                writeln!(out, "{line}")?;
                line.clear();
            }
            line.push_str(&item);
        }
        writeln!(out, "{line}")?;
    }
    if !summary.messages.is_empty() {
        writeln!(out, "\nthe first writes that were not acknowledged")?;
    }
    for message in &summary.messages {
        writeln!(out, "  {message}")?;
    }
    Ok(())
}

fn verification(out: &mut String, verify: &Verification) -> fmt::Result {
    let verdict = match verify {
        Verification::Done(verdict) => verdict,
        Verification::Undone(why) => return writeln!(out, "\nverify      not done: {why}"),
    };
    let Verdict { checked, lost, applied_twice, unexpected, unknown_applied, findings } = verdict;
    let (checked, lost, twice) = (grouped(*checked), grouped(*lost), grouped(*applied_twice));
    writeln!(out, "\nverify {checked} acked writes: {lost} lost, {twice} applied twice")?;
    if 0 < *unknown_applied {
        writeln!(out, "  of unknown outcome, but there: {}", grouped(*unknown_applied))?;
    }
    if 0 < *unexpected {
        writeln!(out, "  there, but should not be: {}", grouped(*unexpected))?;
    }
    for finding in findings {
        writeln!(out, "  {finding}")?;
    }
    Ok(())
}

/// Digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.char_indices() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Microseconds as milliseconds with three digits that count.
fn three_digits(micros: u64) -> String {
    let millis = as_float(micros) / 1000.0;
    match micros {
        0..9_995 => format!("{millis:.2}"),
        9_995..99_950 => format!("{millis:.1}"),
        _ => grouped(rounded(millis)),
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", three_digits(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.995 { format!("{seconds:.2} s") } else { format!("{seconds:.1} s") }
}

#[expect(clippy::cast_precision_loss, reason = "only a few digits are shown")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates and times are not negative and far below 2^64"
)]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let latency = Latency {
            count: 11_644,
            p50: 8_470,
            p90: 15_700,
            p99: 34_400,
            p99_9: 361_000,
            max: 1_361_900,
            mean: 10_300,
        };
        let gap = |at, length, leader_after, term_after| GapSummary {
            at: Duration::from_millis(at),
            length: Duration::from_millis(length),
            leader_before: 2,
            term_before: 1,
            leader_after,
            term_after,
        };
        Summary {
            schema: "raft-bench/1",
            workload: "append",
            concurrency: 10,
            connections: 4,
            value_bytes: 128,
            seed: 7,
            cluster: Cluster {
                name: "demo".into(),
                nodes: 3,
                up: 3,
                leader: 2,
                term: 1,
                debug_build: false,
            },
            client_debug_build: false,
            interrupted: true,
            gave_up: false,
            ok: 11_644,
            failed: 0,
            unknown: 1,
            retries: 30,
            duplicates: 3,
            started_mono_us: 0,
            elapsed: Duration::from_millis(12_010),
            ops_per_s: 969.5,
            latency_us: latency,
            longest_gap: Duration::from_millis(361),
            gap_min: Duration::from_millis(100),
            gaps_left_out: 0,
            gaps: vec![gap(3_020, 361, 3, 2), gap(7_090, 150, 2, 1), gap(11_900, 110, 0, 0)],
            leader_changes: 1,
            errors: [("connection_lost", 30), ("not_leader", 2)].into(),
            messages: vec!["the write may or may not be done: no answer in time after 5s".into()],
            verify: Some(Verification::Done(Verdict {
                checked: 11_644,
                lost: 1,
                unknown_applied: 1,
                findings: vec!["worker 3: acknowledged write 17 is lost".into()],
                ..Verdict::default()
            })),
        }
    }

    #[test]
    fn a_run_with_an_outage() {
        let expected = "\
raft-bench  append  c=10  128 B values  4 connections  seed 7
cluster     demo  at the start: 3/3 up, leader n2, term 1  closed loop
----------------------------------------------------------------------------
  interrupted before its end
  ok 11 644   failed 0   unknown 1   retried 30            12.0 s   970 op/s
  3 repeats recognised by the session, not applied
  longest time without an acknowledged write 361 ms   leader changes 1

latency ms        p50      p90      p99    p99.9      max     mean          n
  append         8.47     15.7     34.4      361    1 362     10.3     11 644
note  raw percentiles of a closed loop hide outages; the gaps below show them

gaps        at       length     leader        term
        3.02 s       361 ms     n2 > n3       1 > 2
        7.09 s       150 ms     n2            1
        11.9 s       110 ms     n2 > none     1, not ended

attempts that failed
  connection_lost 30  not_leader 2

the first writes that were not acknowledged
  the write may or may not be done: no answer in time after 5s

verify 11 644 acked writes: 1 lost, 0 applied twice
  of unknown outcome, but there: 1
  worker 3: acknowledged write 17 is lost
";
        assert_eq!(text(&summary()), expected);
    }

    /// A percentile that too few values stand behind is marked; with no outage there is no note.
    #[test]
    fn a_short_run() {
        let mut summary = summary();
        summary.latency_us.count = 999;
        summary.gaps.clear();
        let text = text(&summary);
        let row = text.lines().find(|line| line.starts_with("  append ")).unwrap();
        assert!(row.contains("  15.7    ~34.4     ~361    1 362"), "{row}");
        assert!(!text.contains("note  "), "{text}");
    }

    /// Numbers and how they are shown.
    #[test]
    fn numbers_keep_three_digits() {
        let table = [
            (0, "0.00"),
            (7, "0.01"),
            (1_734, "1.73"),
            (9_994, "9.99"),
            (9_995, "10.0"),
            (14_700, "14.7"),
            (99_949, "99.9"),
            (99_950, "100"),
            (1_157_900, "1 158"),
        ];
        for (micros, shown) in table {
            assert_eq!(three_digits(micros), shown, "{micros} µs");
        }
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(370_563), "370 563");
        assert_eq!(grouped(1_000_000), "1 000 000");
    }
}
