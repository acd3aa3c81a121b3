//! The files of a run, for other programs.
//!
//! ```text
//! bench.json      the summary, as `-o json` prints it
//! intervals.csv   a row for each kind of operation and slice of time
//! events.jsonl    failovers, outages and the faults of a chaos run, in order of time
//! KIND.hlog       a histogram for each slice of time, in nanoseconds (HdrHistogram's log, V2)
//! KIND.hgrm       the percentiles of the whole run, in milliseconds
//! ```
//!
//! Percentiles of a whole run come from the sum of its histograms, never from an average.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde_json::json;

use super::intervals::{Interval, histogram};
use super::operation::Kind;
use super::report::micros;
use super::summary::Summary;

impl Summary {
    /// Whether a run can be written there: where nothing is, or an older run. Says why not.
    pub fn check_place(dir: &Path) -> Result<(), String> {
        if !dir.exists() {
            return Ok(());
        }
        if !dir.is_dir() {
            return Err("it is no directory".to_owned());
        }
        let mut entries = fs::read_dir(dir).map_err(|error| error.to_string())?;
        let Some(Ok(entry)) = entries.next() else { return Ok(()) };
        if is_run(dir) {
            return Ok(());
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        Err(format!("it is not empty, and holds no run: there is `{name}`, and no bench.json"))
    }

    /// Writes all files of the run into this directory, which is made if it is not there. Those of an
    /// older run are removed.
    pub fn write_files(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        if is_run(dir) {
            remove_run(dir)?;
        }
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        write_whole(&dir.join(REPORT), &json)?;
        write_whole(&dir.join("intervals.csv"), self.csv().as_bytes())?;
        write_whole(&dir.join("events.jsonl"), self.events_jsonl().as_bytes())?;
        let began = SystemTime::now().checked_sub(self.elapsed).unwrap_or(SystemTime::UNIX_EPOCH);
        for (place, kind) in self.slices.kinds.iter().enumerate() {
            let slices: Vec<(&Interval, Histogram<u64>)> = self
                .slices
                .intervals
                .iter()
                .map(|slice| (slice, slice.rows[place].histogram()))
                .collect();
            let name = kind.name();
            write_whole(&dir.join(format!("{name}.hlog")), &hlog(*kind, &slices, began)?)?;
            let mut whole = histogram();
            for (_, latencies) in &slices {
                whole.add(latencies).expect("all have the same bounds");
            }
            write_whole(&dir.join(format!("{name}.hgrm")), &hgrm(&whole)?)?;
        }
        Ok(())
    }

    fn csv(&self) -> String {
        let mut csv = "t_s,length_s,op,ok,failed,unknown,retries,\
                       p50_us,p90_us,p99_us,max_us,inflight,leader,term\n"
            .to_owned();
        for slice in &self.slices.intervals {
            let (at, length) = (slice.at.as_secs_f64(), slice.length.as_secs_f64());
            let (leader, term) = slice.reign.map_or((0, 0), |reign| (reign.leader, reign.term));
            for (kind, row) in self.slices.kinds.iter().zip(&slice.rows) {
                let [p50, p90, p99, max] = [row.p50, row.p90, row.p99, row.max].map(|it| it / 1000);
                let cells = [row.ok, row.failed, row.unknown, row.retries, p50, p90, p99, max];
                let cells = cells.map(|cell| cell.to_string()).join(",");
                let (name, in_flight) = (kind.name(), slice.in_flight);
                writeln!(csv, "{at:.3},{length:.3},{name},{cells},{in_flight},{leader},{term}")
                    .expect("a string takes all");
            }
        }
        csv
    }

    fn events_jsonl(&self) -> String {
        let at = |at: Duration| {
            let mono = Duration::from_micros(self.started_mono_us) + at;
            u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX)
        };
        let mut events = vec![(0, json!({"kind": "begin", "src": "client", "load": self.load}))];
        for fault in &self.events {
            let (kind, node, role) = (&fault.kind, fault.node, &fault.role);
            let event = json!({"kind": kind, "src": "chaos", "node": node, "role": role});
            events.push((micros(fault.at), event));
        }
        // Of reads alone they are the same.
        let reads = if self.writes.is_some() { &self.read_gaps[..] } else { &[] };
        let gaps = self.gaps.iter().map(|gap| ("gap", gap));
        for (kind, gap) in gaps.chain(reads.iter().map(|gap| ("read_gap", gap))) {
            let event = json!({"kind": kind, "src": "client", "length_us": micros(gap.length),
                "leader_before": gap.leader_before, "leader_after": gap.leader_after});
            events.push((micros(gap.at), event));
        }
        for failover in &self.failovers {
            let mut event = json!(failover);
            event["kind"] = "failover".into();
            event["src"] = "client".into();
            events.push((micros(failover.at), event));
        }
        events.push((micros(self.elapsed), json!({"kind": "end", "src": "client", "ok": self.ok})));
        events.sort_by_key(|(at, _)| *at);
        let mut lines = String::new();
        for (at_us, mut event) in events {
            event["at_us"] = at_us.into();
            event["mono_ns"] = at(Duration::from_micros(at_us)).into();
            lines += &event.to_string();
            lines.push('\n');
        }
        lines
    }
}

const REPORT: &str = "bench.json";

/// Writes a file that is whole or is not there, if the disk is full, say.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = fs::write(&part, content).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        drop(fs::remove_file(&part)); // It may not even be there.
    }
    written
}

/// Whether it holds a run.
fn is_run(dir: &Path) -> bool {
    let text = fs::read_to_string(dir.join(REPORT)).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    json["schema"].as_str().is_some_and(|schema| schema.starts_with("raft-bench/"))
}

/// Removes what a run wrote, and nothing else. Its report goes last: without it, it is no run.
fn remove_run(dir: &Path) -> io::Result<()> {
    let of_kind = |kind: Kind| ["hlog", "hgrm"].map(|end| format!("{}.{end}", kind.name()));
    let of_kinds = Kind::ALL.into_iter().flat_map(of_kind);
    let others = ["intervals.csv", "events.jsonl", REPORT].map(str::to_owned);
    for name in of_kinds.chain(others) {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => (),
        }
    }
    Ok(())
}

/// Values are nanoseconds; the divisor makes milliseconds of what people read in the file.
const DIVISOR: f64 = 1_000_000.0;

fn hlog(
    kind: Kind,
    slices: &[(&Interval, Histogram<u64>)],
    began: SystemTime,
) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .with_base_time(began)
        .with_start_time(began)
        .with_max_value_divisor(DIVISOR)
        .begin_log_with(&mut file, &mut serializer)?;
    for (slice, latencies) in slices {
        log.write_histogram(latencies, slice.at, slice.length, Tag::new(kind.name()))
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
    }
    Ok(file)
}

/// Steps in each half of the distance to 100 %.
const TICKS: u32 = 5;

/// The distribution of percentiles, as HdrHistogram's `outputPercentileDistribution` writes it.
fn hgrm(latencies: &Histogram<u64>) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let title = ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"];
    let [value, percentile, count, inverse] = title;
    writeln!(file, "{value:>12} {percentile:>14} {count:>10} {inverse:>14}\n")?;
    let millis = |nanos: u64| as_float(nanos) / DIVISOR;
    let mut so_far = 0;
    for step in latencies.iter_quantiles(TICKS) {
        so_far += step.count_since_last_iteration();
        let (value, part) = (millis(step.value_iterated_to()), step.quantile_iterated_to());
        if part < 1.0 {
            let inverse = 1.0 / (1.0 - part);
            writeln!(file, "{value:12.3} {part:14.12} {so_far:10} {inverse:14.2}")?;
        } else {
            writeln!(file, "{value:12.3} {part:14.12} {so_far:10} {:>14}", "inf")?;
        }
    }
    let (mean, deviation) = (latencies.mean() / DIVISOR, latencies.stdev() / DIVISOR);
    writeln!(file, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    let (max, count) = (millis(latencies.max()), latencies.len());
    writeln!(file, "#[Max     = {max:12.3}, Total count    = {count:12}]")?;
    writeln!(file, "#[Buckets = {:12}, SubBuckets     = {:12}]", latencies.buckets(), 2048)?;
    Ok(file)
}

#[expect(clippy::cast_precision_loss, reason = "three decimals are shown")]
fn as_float(nanos: u64) -> f64 {
    nanos as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_written_as_the_reference_tools_read_them() {
        let mut latencies = histogram();
        for millis in 1..=100 {
            latencies.record(millis * 1_000_000).unwrap();
        }
        let text = String::from_utf8(hgrm(&latencies).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
        let half = lines.iter().find(|line| line.contains(" 0.500000000000 ")).unwrap();
        assert!(half.starts_with("      50.0") && half.ends_with(" 50           2.00"), "{half}");
        let last = lines.iter().rfind(|line| !line.starts_with('#')).unwrap();
        assert!(last.ends_with(" 1.000000000000        100            inf"), "{last}");
        assert!(text.contains("#[Mean    =       50."), "{text}");
        assert!(text.contains("Total count    =          100]"), "{text}");
    }
}
