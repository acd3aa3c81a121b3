//! What a run costs: processor time of this process and of the servers, and the empty way.

use std::fs;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;
use tokio::time::Instant;

use super::intervals::histogram;
use super::silence::Reign;
use super::summary::micros;
use super::target::{Raft, Target};

/// Processor time that a run took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// Of this program.
    #[serde(rename = "client_us", serialize_with = "micros")]
    pub client: Duration,
    /// Of the nodes that ran on this machine from the beginning to the end.
    pub nodes: Vec<NodeCpu>,
}

/// Processor time of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeCpu {
    /// Which.
    pub node: u64,
    /// Whether it led in the end.
    pub leads: bool,
    /// What it used.
    #[serde(rename = "cpu_us", serialize_with = "micros")]
    pub cpu: Duration,
}

impl Cpu {
    pub(super) fn with_leader(mut self, reign: Option<Reign>) -> Self {
        for node in &mut self.nodes {
            node.leads = reign.is_some_and(|reign| reign.leader == node.node);
        }
        self
    }
}

/// What had been used before the run.
#[derive(Debug)]
pub(super) struct Meter {
    client: Duration,
    nodes: Vec<(u64, Process)>,
}

/// A process of this machine, and what it had used.
#[derive(Debug)]
struct Process {
    pid: u64,
    /// Ticks since the machine started: a later process of the same number has another one.
    born: u64,
    used: Duration,
}

/// How far a server's own word for its age may be from the system's.
const AGE_SLACK: Duration = Duration::from_secs(3);

impl Target {
    /// Begins to measure.
    pub(super) async fn meter(&self) -> Meter {
        let mut nodes = Vec::new();
        if let Self::Raft(Raft { client, .. }) = self {
            for status in client.status_all().await {
                let Ok(report) = status.status else { continue };
                let process = Process::of(report.pid).filter(|process| {
                    is_here(&status.addr)
                        && process.has_age(Duration::from_millis(report.uptime_ms))
                });
                nodes.extend(process.map(|process| (report.node_id, process)));
            }
        }
        Meter { client: own_time(), nodes }
    }
}

impl Meter {
    /// What has been used since.
    pub(super) fn read(&self) -> Cpu {
        let nodes = self.nodes.iter().filter_map(|(node, before)| {
            let now = Process::of(before.pid).filter(|now| now.born == before.born)?;
            let cpu = now.used.saturating_sub(before.used);
            Some(NodeCpu { node: *node, leads: false, cpu })
        });
        Cpu { client: own_time().saturating_sub(self.client), nodes: nodes.collect() }
    }
}

impl Process {
    /// What Linux says of it; `None` if there is none, or no such file system.
    fn of(pid: u64) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        // proc(5) counts from the number and the name.
        let (user, system, born) = (number(14 - 3)?, number(15 - 3)?, number(22 - 3)?);
        Some(Self { pid, born, used: ticks(user + system) })
    }

    /// Whether it is about as old as that.
    fn has_age(&self, age: Duration) -> bool {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime = uptime.split_whitespace().next().and_then(|it| it.parse().ok());
        let uptime = uptime.and_then(|it| Duration::try_from_secs_f64(it).ok()).unwrap_or_default();
        uptime.saturating_sub(ticks(self.born)).abs_diff(age) < AGE_SLACK
    }
}

fn ticks(count: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(count.saturating_mul(1000) / per_second)
}

/// Whether this is an address of this machine, as far as it shows.
fn is_here(addr: &str) -> bool {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Processor time of this process so far.
fn own_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let micros = [usage.user_time(), usage.system_time()]
        .map(|time| i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_usec()));
    Duration::from_micros(u64::try_from(micros.iter().sum::<i128>()).unwrap_or(0))
}

/// Sends requests that the leader answers at once, as many at a time as there are lanes.
pub(super) async fn calibrate(
    target: &Target,
    lanes: usize,
    lasts: Duration,
) -> Option<Histogram<u64>> {
    if lasts.is_zero() {
        return None;
    }
    let ends = Instant::now() + lasts;
    let trips = Mutex::new(histogram());
    let lane = async || {
        while Instant::now() < ends {
            let sent = Instant::now();
            if target.empty_trip().await.is_ok() {
                let nanos = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
                trips.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(nanos);
            } else {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    futures_util::future::join_all((0..lanes).map(|_| lane())).await;
    Some(trips.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_line_of_its_own() {
        let me = Process::of(u64::from(std::process::id())).expect("it runs");
        assert!(0 < me.born);
        let again = Process::of(me.pid).expect("it still runs");
        assert!(again.born == me.born && me.used <= again.used);
        assert!(Process::of(u64::MAX).is_none());
    }

    #[test]
    fn an_address_of_this_machine_is_known_by_its_looks() {
        let here = ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.0.1:80"];
        assert!(here.iter().all(|addr| is_here(addr)));
        assert!(!["10.0.0.1:1", "example.org:1", ""].iter().any(|addr| is_here(addr)));
    }
}
