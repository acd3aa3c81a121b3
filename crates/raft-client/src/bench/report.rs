//! The report that people read: at most 80 columns, nothing that was not measured.

mod chart;
#[cfg(test)]
pub(super) mod example;
mod numbers;

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::cost::NodeCpu;
use super::expect::carries;
use super::failover::Failover;
use super::latency::Latency;
use super::summary::{Cluster, GapSummary, Load, OpSummary, Service, Summary, Verification};
use super::verify::Verdict;

pub use chart::sparkline;
pub(super) use numbers::{as_float, grouped, micros, rounded, span, three_digits};
use numbers::{milliseconds, seconds};

/// A percentile counts on this many values above it, or it is marked.
const VALUES_ABOVE_MIN: f64 = 10.0;

/// Gaps and failovers that get a line each.
const LINES_MAX: usize = 10;

/// The whole report.
pub fn text(summary: &Summary) -> String {
    let mut out = String::new();
    write_report(&mut out, summary).expect("a string takes all");
    out
}

fn write_report(out: &mut String, summary: &Summary) -> fmt::Result {
    heading(out, summary)?;
    counts(out, summary)?;
    services(out, summary)?;
    chart::availability(out, summary)?;
    failovers(out, summary)?;
    let (writes, reads) = (summary.writes, summary.reads);
    gaps(out, "gaps      ", &summary.gaps, writes.or(reads))?;
    if writes.is_some() {
        gaps(out, "read gaps ", &summary.read_gaps, reads)?;
    }
    latencies(out, summary)?;
    chart::histogram(out, &summary.histogram, &summary.latency_us)?;
    chart::throughput(out, summary)?;
    cost(out, summary)?;
    errors(out, summary)?;
    if let Some(verify) = &summary.verify {
        verification(out, summary, verify)?;
    }
    if let Some(error) = &summary.history_error {
        writeln!(out, "\nthe history is incomplete: {error}")?;
    }
    Ok(())
}

fn heading(out: &mut String, summary: &Summary) -> fmt::Result {
    let Summary { load, cluster, .. } = summary;
    let Load { mix, concurrency, key_bytes, value_bytes_min, value_bytes_max, .. } = load;
    let Load { keys, key_choice, seed, connections, pipeline, .. } = load;
    let sizes = if value_bytes_min == value_bytes_max {
        format!("{value_bytes_min}")
    } else {
        format!("{value_bytes_min}-{value_bytes_max}")
    };
    let (keys, plural) = (grouped(*keys), if *connections == 1 { "" } else { "s" });
    let workers = match pipeline {
        0 | 1 => format!("c={concurrency}"),
        _ => format!("c={concurrency} x {pipeline} on streams"),
    };
    writeln!(out, "raft-bench  {mix}  {workers}  keys {key_bytes} B, values {sizes} B")?;
    writeln!(
        out,
        "            {keys} keys {key_choice}  {connections} connection{plural}  seed {seed}"
    )?;
    let how = match (load.rate_per_s, &load.arrivals) {
        (Some(rate), Some(arrivals)) => format!("open loop, {rate}/s {arrivals}"),
        _ => "closed loop".to_owned(),
    };
    let Cluster { name, nodes, up, leader, term, .. } = cluster;
    writeln!(
        out,
        "cluster     {name}  at the start: {up}/{nodes} up, leader n{leader}, term {term}  {how}"
    )?;
    if load.consistency != "linearizable" || load.read_from != "leader" {
        writeln!(out, "reads       {}, from {}", load.consistency, load.read_from)?;
    }
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
    stalls(out, summary)?;
    for sign in &summary.forgotten {
        writeln!(out, "  THE CLUSTER FORGOT: {sign}")?;
    }
    if 0 < summary.dropped {
        let dropped = grouped(summary.dropped);
        writeln!(out, "  {dropped} dropped: due, but there was no time to send them")?;
    }
    if 0 < *duplicates {
        writeln!(out, "  {} repeats recognised by the session, not applied", grouped(*duplicates))?;
    }
    for OpSummary { op, in_vain, ok, .. } in summary.ops.iter().filter(|op| 0 < op.in_vain) {
        let what = if *op == "get" { "found no value" } else { "found another value" };
        writeln!(out, "  {} of {} {op}s {what}", grouped(*in_vain), grouped(*ok))?;
    }
    if *ok == 0 {
        return writeln!(out, "  nothing was acknowledged");
    }
    Ok(())
}

/// When this program stood still: whoever reads an odd figure below must know of it.
fn stalls(out: &mut String, summary: &Summary) -> fmt::Result {
    let Some(longest) = summary.stalls.iter().max_by_key(|stall| stall.length) else {
        return Ok(());
    };
    let how =
        if longest.asleep { "asleep with its machine" } else { "stopped or starved, z in the map" };
    let (at, length) = (seconds(longest.at), span(longest.length));
    let times = match summary.stalls.len() {
        1 => format!("for {length} at {at}"),
        times => format!("{times} times, longest {length} at {at}"),
    };
    writeln!(out, "  THIS PROGRAM STOOD STILL {times}")?;
    writeln!(out, "    {how}; no part of latencies and outages")
}

fn services(out: &mut String, summary: &Summary) -> fmt::Result {
    if summary.ok == 0 {
        return Ok(());
    }
    for (name, service) in [("writes", summary.writes), ("reads", summary.reads)] {
        let Some(service) = service else { continue };
        let Service { available, outages, longest, total, unasked, .. } = service;
        let one = name.trim_end_matches('s');
        let Some(available) = available else {
            writeln!(out, "  {name:<7}no {one} was asked for: nothing is known of them")?;
            continue;
        };
        let percent = (available * 10_000.0).floor() / 100.0; // 100 % means all of it.
        let what = match outages {
            0 => "no outage".to_owned(),
            1 => format!("1 outage of {}", span(longest)),
            _ => format!("{outages} outages, longest {}, together {}", span(longest), span(total)),
        };
        writeln!(out, "  {name:<7}available {percent:.2}%   {what}")?;
        if !unasked.is_zero() {
            let unasked = span(unasked);
            writeln!(out, "    for {unasked} no {one} was asked for: no part of that figure")?;
        }
    }
    let (gap, changes) = (milliseconds(summary.longest_gap), summary.leader_changes);
    let what = if summary.writes.is_some() { "write" } else { "read" };
    writeln!(out, "  longest time without an acknowledged {what} {gap}   leader changes {changes}")
}

fn failovers(out: &mut String, summary: &Summary) -> fmt::Result {
    if summary.failovers.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nfailovers    at  leader term   by         detect  elect redirect  outage retries"
    )?;
    for (number, failover) in summary.failovers.iter().take(LINES_MAX).enumerate() {
        let Failover { leader_before, leader_after, term_before, term_after, .. } = *failover;
        let leaders = format!("n{leader_before}>n{leader_after}");
        let terms = format!("{term_before}>{term_after}");
        let fault = failover.fault.as_deref().unwrap_or("?");
        let part = |us: u64| three_digits(us);
        let detect = failover.detect_us.map_or("-".to_owned(), part);
        let (elect, redirect) = (part(failover.elect_us), part(failover.redirect_us));
        let outage = part(micros(failover.outage));
        let (number, at) = (number + 1, seconds(failover.at));
        let retries = failover.retries;
        writeln!(
            out,
            "  {number:>3} {at:>8}  {leaders:<6} {terms:<6} {fault:<9}\
             {detect:>8}{elect:>7}{redirect:>9}{outage:>8}{retries:>8}",
        )?;
    }
    let more = summary.failovers.len().saturating_sub(LINES_MAX);
    if 0 < more { writeln!(out, "  and {more} more") } else { Ok(()) }
}

fn latencies(out: &mut String, summary: &Summary) -> fmt::Result {
    if summary.latency_us.count == 0 {
        return Ok(());
    }
    write!(out, "\nlatency ms  ")?;
    for (name, ..) in Latency::default().quantiles() {
        write!(out, "{name:>8}")?;
    }
    writeln!(out, "{:>8}{:>8}{:>11}", "max", "mean", "n")?;
    let mut hidden = 0;
    for op in summary.ops.iter().filter(|op| 0 < op.latency_us.count) {
        let undone = summary.undone(op);
        latency_row(out, op.op, &op.latency_us, undone)?;
        let quantiles = op.latency_us.quantiles();
        if quantiles.iter().any(|(_, _, above)| !carries(op.latency_us.count, undone, *above)) {
            hidden += undone;
        }
        let views = [
            (" corrected", op.corrected_us),
            (" steady", op.steady_us),
            (" service", op.service_us),
        ];
        for (name, latency) in views {
            if let Some(latency) = latency.filter(|it| 0 < it.count && *it != op.latency_us) {
                latency_row(out, name, &latency, 0)?;
            }
        }
    }
    if let Some(lag) = summary.schedule_lag_us {
        latency_row(out, "sent late", &lag, 0)?;
    }
    if let Some(trip) = summary.empty_trip_us.filter(|trip| 0 < trip.count) {
        latency_row(out, "empty trip", &trip, 0)?;
    }
    if 0 < hidden {
        let hidden = grouped(hidden);
        writeln!(out, "  -  lies among the {hidden} operations that were never done")?;
    }
    Ok(())
}

/// What the run took of the processors, if there was anything to do.
fn cost(out: &mut String, summary: &Summary) -> fmt::Result {
    let Summary { cpu, ok, .. } = summary;
    if *ok == 0 || cpu.client.is_zero() {
        return Ok(());
    }
    let each = |time: Duration| three_digits(micros(time).saturating_mul(1000) / ok);
    write!(out, "\ncpu us/op   client {}", each(cpu.client))?;
    for NodeCpu { node, leads, cpu } in &cpu.nodes {
        let role = if *leads { "leader " } else { "" };
        write!(out, "   {role}n{node} {}", each(*cpu))?;
    }
    writeln!(out)
}

/// A row, of which so many more operations were wanted and never done.
fn latency_row(out: &mut String, name: &str, latency: &Latency, undone: u64) -> fmt::Result {
    write!(out, "{:<12}", format!("  {name}"))?;
    for (_, value, above) in latency.quantiles() {
        if !carries(latency.count, undone, above) {
            write!(out, "{:>8}", "-")?;
            continue;
        }
        let carried = VALUES_ABOVE_MIN <= as_float(latency.count) * above;
        let mark = if carried { "" } else { "~" };
        write!(out, "{:>8}", format!("{mark}{}", three_digits(value)))?;
    }
    let (max, mean) = (three_digits(latency.max), three_digits(latency.mean));
    writeln!(out, "{max:>8}{mean:>8}{:>11}", grouped(latency.count))
}

/// The gaps that are outages, or that nothing ended, and that no failover explains.
fn unexplained(gaps: &[GapSummary], service: Option<Service>) -> Vec<&GapSummary> {
    let min = service.map_or(Duration::ZERO, |service| service.outage_min);
    let same = |gap: &GapSummary| {
        gap.leader_after == gap.leader_before && gap.term_after == gap.term_before
    };
    let wanted = |gap: &&GapSummary| gap.leader_after == 0 || same(gap) && min <= gap.length;
    gaps.iter().filter(wanted).collect()
}

fn gaps(
    out: &mut String,
    title: &str,
    gaps: &[GapSummary],
    service: Option<Service>,
) -> fmt::Result {
    let mut gaps = unexplained(gaps, service);
    let all = gaps.len();
    if gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}  at       length     leader        term")?;
    if LINES_MAX < gaps.len() {
        gaps.sort_by_key(|gap| std::cmp::Reverse(gap.length));
        gaps.truncate(LINES_MAX);
        gaps.sort_by_key(|gap| gap.at);
    }
    for gap in &gaps {
        let GapSummary { leader_before, leader_after, term_before, .. } = **gap;
        let (leaders, terms) = if leader_after == 0 {
            (format!("n{leader_before} > none"), format!("{term_before}, not ended"))
        } else {
            (format!("n{leader_before}"), term_before.to_string())
        };
        let (at, length) = (seconds(gap.at), milliseconds(gap.length));
        writeln!(out, "  {at:>12}{length:>13}     {leaders:<12}  {terms}")?;
    }
    let left_out = all - gaps.len();
    if 0 < left_out {
        writeln!(out, "  the {LINES_MAX} longest; {left_out} shorter ones left out")?;
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
        writeln!(out, "\nthe first operations that were not done")?;
    }
    for message in &summary.messages {
        writeln!(out, "  {message}")?;
    }
    Ok(())
}

fn verification(out: &mut String, summary: &Summary, verify: &Verification) -> fmt::Result {
    let verdict = match verify {
        Verification::Done(verdict) => verdict,
        Verification::Undone(why) => return writeln!(out, "\nverify      not done: {why}"),
    };
    let Verdict { checked, lost, applied_twice, unexpected, unknown_applied, .. } = verdict;
    if *checked + verdict.reads == 0 {
        writeln!(out, "\nverify      nothing was acknowledged: nothing to read back")?;
    }
    let (checked, lost, twice) = (grouped(*checked), grouped(*lost), grouped(*applied_twice));
    if summary.ops.iter().any(|op| op.op == "append") {
        writeln!(out, "\nverify {checked} acked writes: {lost} lost, {twice} applied twice")?;
    } else {
        // What was written over cannot be looked for, nor can a repeat of it be seen.
        writeln!(out, "\nverify the last acked write to each of {checked} keys: {lost} lost")?;
    }
    if 0 < verdict.reads {
        let (reads, wrong) = (grouped(verdict.reads), grouped(verdict.wrong_reads));
        writeln!(out, "verify {reads} reads: {wrong} stale or wrong")?;
    }
    if 0 < *unknown_applied {
        writeln!(out, "  of unknown outcome, but there: {}", grouped(*unknown_applied))?;
    }
    if 0 < *unexpected {
        writeln!(out, "  there, but should not be: {}", grouped(*unexpected))?;
    }
    for finding in &verdict.findings {
        writeln!(out, "  {finding}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Stall;
    use super::example::{MS, latency, summary};
    use super::*;

    #[test]
    fn a_run_with_an_outage() {
        let expected = "\
raft-bench  put=80,get=20  c=10  keys 16 B, values 128 B
            10 000 keys zipf:0.99  4 connections  seed 7
cluster     demo  at the start: 3/3 up, leader n2, term 1  closed loop
----------------------------------------------------------------------------
  interrupted before its end
  ok 11 644   failed 0   unknown 1   retried 61            12.0 s   970 op/s
  3 repeats recognised by the session, not applied
  writes available 96.97%   2 outages, longest 361 ms, together 511 ms
  reads  available 100.00%   no outage
  longest time without an acknowledged write 361 ms   leader changes 1

availability  1 cell = 100 ms   # ok  + below half  . part outage  X none
     0s ##############################.XXX######  ^ 3.02 s KILL n2 leader
     4s ##############################...#######
     8s #######################################.
    12s X

failovers    at  leader term   by         detect  elect redirect  outage retries
    1   3.02 s  n2>n3  1>2    kill         12.3    318     30.7     361      61

gaps        at       length     leader        term
        7.09 s       150 ms     n2            1
        11.9 s       110 ms     n2 > none     1, not ended

latency ms       p50     p90     p99   p99.9  p99.99     max    mean          n
  put           8.47    15.7    34.4    ~361  ~1 300   1 362    10.3      9 644
   corrected    8.47    15.7    34.4    ~412  ~1 300   1 362    10.3      9 700
   steady       8.47    15.7    34.4   ~41.0  ~1 300   1 362    10.3      5 002
  get           8.47    15.7    34.4    ~361  ~1 300   1 362    10.3      2 000
  empty trip    8.47    15.7    34.4    ~361  ~1 300   1 362    10.3      5 000

  up to ms     4 |####                               8.6%
             6.3 |########                          17.2%
              10 |################################  68.7%  p50
              16 |##                                 5.5%  p90
           2 500 |                                  <0.1%  p99 p99.9 p99.99 max

  op/s, 500 ms a bar  ██████▂█████████████████  min 240  max 1 000

cpu us/op   client 34.4   leader n3 68.7

attempts that failed
  connection_lost 30  not_leader 2

the first operations that were not done
  the write may or may not be done: no answer in time after 5s

verify the last acked write to each of 9 644 keys: 1 lost
verify 2 000 reads: 0 stale or wrong
  of unknown outcome, but there: 1
  worker 3: acknowledged write 17 is lost
";
        let shown = text(&summary());
        assert_eq!(shown, expected, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80));
    }

    /// A bench that stood still does not call the cluster away.
    #[test]
    fn a_bench_that_stood_still() {
        let mut summary = summary();
        let one = Stall { at: MS(3_050), length: MS(310), asleep: false };
        summary.stalls = vec![one, Stall { at: MS(9_000), length: MS(260), asleep: false }];
        let shown = text(&summary);
        for part in [
            "\n  THIS PROGRAM STOOD STILL 2 times, longest 310 ms at 3.05 s\n",
            "\n     0s ##############################.zzz######  ^ 3.02 s KILL n2 leader",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        summary.stalls = vec![Stall { at: MS(500), length: MS(7_200_000), asleep: true }];
        let shown = text(&summary);
        assert!(shown.contains("\n    asleep with its machine; no part of latencies"), "{shown}");
    }

    /// A percentile that too few values stand behind is marked.
    #[test]
    fn a_short_run() {
        let mut summary = summary();
        summary.ops[1].latency_us.count = 999;
        let text = text(&summary);
        let row = text.lines().find(|line| line.starts_with("  get ")).unwrap();
        assert!(row.contains("  15.7   ~34.4    ~361  ~1 300   1 362"), "{row}");
    }

    /// An open loop says how late it was, and what it could not send.
    #[test]
    fn an_open_loop() {
        let mut summary = summary();
        summary.load.rate_per_s = Some(5000.0);
        summary.load.arrivals = Some("poisson".into());
        summary.dropped = 1_200;
        summary.schedule_lag_us = Some(Latency { count: 11_644, p50: 40, ..Latency::default() });
        summary.ops[0].service_us = Some(latency(9_644, 300_000));
        let text = text(&summary);
        for part in [
            "open loop, 5000/s poisson",
            "1 200 dropped: due, but there was no time to send them",
            "\n  sent late     0.04",
            "\n   service      8.47",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
