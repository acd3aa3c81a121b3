//! Hunting: many seeds, on several threads, and what came of them.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use raft_sim::{Mark, Plan, Report, Sometimes, run};

use crate::trial::{self, VIOLATED};

/// So many seeds meet everything that must happen sometimes; fewer need not.
const MEETS_ALL: u64 = 1_000;

/// Lines of an explanation are cut after so many characters; the replay shows them whole.
const WIDTH: usize = 180;

/// So many failures are shrunk; of more only the seed is named.
const SHRUNK: u64 = 3;

/// A line of progress as often as this.
const PROGRESS: Duration = Duration::from_secs(5);

/// Reports that wait to be counted, at most; the threads wait then.
const WAITING: usize = 64;

/// Which seeds, and on how many threads.
pub(crate) struct Hunt<'a> {
    pub(crate) from: u64,
    pub(crate) count: u64,
    pub(crate) jobs: u64,
    /// Where plans of failures go.
    pub(crate) dir: &'a Path,
}

#[derive(Default)]
struct Sum {
    sometimes: Sometimes,
    simulated_us: u64,
    events: u64,
    done: u64,
    failed: u64,
}

impl Hunt<'_> {
    pub(crate) fn run(&self) -> io::Result<u8> {
        trial::report_on_panic(self.dir.to_owned());
        let next = AtomicU64::new(0);
        let (sender, receiver) = sync_channel(WAITING);
        let sum = std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || self.work(next, &sender));
            }
            drop(sender);
            self.collect(&receiver)
        })?;
        self.conclude(&sum)
    }

    /// One thread: takes seeds as long as there are any, and somebody listens.
    fn work(&self, next: &AtomicU64, reports: &SyncSender<Report>) {
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let seed = self.from.checked_add(position).filter(|_| position < self.count);
            let Some(seed) = seed else { return };
            trial::begin(seed);
            if reports.send(run(Plan::draw(seed), None)).is_err() {
                return;
            }
        }
    }

    fn collect(&self, reports: &Receiver<Report>) -> io::Result<Sum> {
        let mut out = io::stdout();
        let started = Instant::now();
        let mut shown = started;
        let mut sum = Sum::default();
        for report in reports {
            sum.done += 1;
            sum.sometimes.merge(&report.sometimes);
            sum.simulated_us += report.simulated_us;
            sum.events += report.events;
            if let Some(violation) = &report.violation {
                sum.failed += 1;
                explain(&mut out, &report)?;
                if sum.failed <= SHRUNK {
                    trial::reduce(report.seed, &violation.to_string(), self.dir)?;
                }
            }
            if PROGRESS <= shown.elapsed() || sum.done == self.count {
                shown = Instant::now();
                self.progress(&mut out, &sum, started)?;
            }
        }
        Ok(sum)
    }

    fn progress(&self, out: &mut impl Write, sum: &Sum, started: Instant) -> io::Result<()> {
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        let Sum { done, failed, events, simulated_us, .. } = sum;
        writeln!(
            out,
            "{done}/{} seeds, {failed} failed, {events} events, {} simulated seconds, {} times \
             real time, {} seeds per second",
            self.count,
            simulated_us / 1_000_000,
            simulated_us / elapsed_us,
            done.saturating_mul(1_000_000) / elapsed_us
        )
    }

    fn conclude(&self, sum: &Sum) -> io::Result<u8> {
        let mut out = io::stdout();
        writeln!(out, "\n{}", sum.sometimes)?;
        if sum.failed != 0 {
            return Ok(VIOLATED);
        }
        let missing = sum.sometimes.missing();
        if missing.is_empty() {
            return Ok(0);
        }
        let texts: Vec<_> = missing.into_iter().map(Mark::text).collect();
        writeln!(out, "never happened, so never tested: {}", texts.join(", "))?;
        Ok(u8::from(MEETS_ALL <= self.count))
    }
}

fn explain(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Some(violation) = &report.violation else { return Ok(()) };
    writeln!(out, "\nseed {} violates {violation}", report.seed)?;
    for line in report.recent.iter().rev().take(20).rev() {
        let short: String = line.chars().take(WIDTH).collect();
        writeln!(out, "    {short}")?;
    }
    writeln!(out, "the whole run: raft-sim {}", report.seed)
}
