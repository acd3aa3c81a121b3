//! A summary for tests.

use std::sync::Arc;

use super::super::cost::{Cpu, NodeCpu};
use super::super::failover::FaultEvent;
use super::super::latency::Bin;
use super::super::summary::Slices;
use super::*;

pub(in super::super) const MS: fn(u64) -> Duration = Duration::from_millis;

fn load() -> Load {
    Load {
        system: crate::bench::System::Raft,
        mix: "put=80,get=20".into(),
        concurrency: 10,
        pipeline: 1,
        connections: 4,
        value_bytes_min: 128,
        value_bytes_max: 128,
        key_bytes: 16,
        keys: 10_000,
        key_choice: "zipf:0.99".into(),
        rate_per_s: None,
        arrivals: None,
        consistency: "linearizable",
        read_from: "leader",
        warmup: Duration::ZERO,
        seed: 7,
    }
}

fn gap(at: u64, length: u64, leader_after: u64, term_after: u64) -> GapSummary {
    let (at, length) = (MS(at), MS(length));
    GapSummary { at, length, leader_before: 2, term_before: 1, leader_after, term_after }
}

pub(super) fn latency(count: u64, p99_9: u64) -> Latency {
    let (p50, p90, p99, p99_99) = (8_470, 15_700, 34_400, 1_300_000);
    Latency { count, p50, p90, p99, p99_9, p99_99, max: 1_361_900, mean: 10_300 }
}

fn op(op: &'static str, count: u64) -> OpSummary {
    OpSummary {
        op,
        ok: count,
        failed: 0,
        unknown: 0,
        in_vain: 0,
        latency_us: latency(count, 361_000),
        corrected_us: None,
        steady_us: None,
        service_us: None,
    }
}

fn bins() -> Vec<Bin> {
    let bounds = [2_500, 4_000, 6_300, 10_000, 16_000, 2_500_000];
    let counts = [1_000, 2_000, 8_000, 640, 4];
    let bins = bounds.windows(2).zip(counts);
    bins.map(|(pair, count)| Bin { from_us: pair[0], to_us: pair[1], count }).collect()
}

fn failover() -> Failover {
    Failover {
        at: MS(3_020),
        fault: Some("kill".into()),
        leader_before: 2,
        term_before: 1,
        leader_after: 3,
        term_after: 2,
        detect_us: Some(12_300),
        elect_us: 318_000,
        redirect_us: 30_700,
        outage: MS(361),
        retries: 61,
    }
}

fn service() -> Service {
    Service {
        available: Some(0.969_75),
        outages: 2,
        outage_min: MS(100),
        longest: MS(361),
        total: MS(511),
        longest_gap: MS(361),
        unasked: Duration::ZERO,
        longest_unasked: Duration::ZERO,
    }
}

/// Twelve seconds in which a leader was killed, and then another was silent.
pub(in super::super) fn summary() -> Summary {
    let mut slots = vec![100; 120];
    slots[31..34].fill(0);
    slots[30] = 20;
    let service = service();
    let mut put = op("put", 9_644);
    put.corrected_us = Some(latency(9_700, 412_000));
    put.steady_us = Some(latency(5_002, 41_000));
    let (kind, role) = ("kill".to_owned(), "leader".to_owned());
    let event = FaultEvent { at: MS(3_020), kind, node: 2, role };
    let mut cluster = Cluster { name: "demo".into(), ..Cluster::default() };
    (cluster.nodes, cluster.up, cluster.leader, cluster.term) = (3, 3, 2, 1);
    Summary {
        schema: "raft-bench/1",
        load: load(),
        cluster,
        client_debug_build: false,
        interrupted: true,
        gave_up: false,
        ok: 11_644,
        failed: 0,
        unknown: 1,
        dropped: 0,
        retries: 61,
        duplicates: 3,
        started_mono_us: 0,
        elapsed: MS(12_010),
        ops_per_s: 969.5,
        latency_us: latency(11_644, 361_000),
        ops: vec![put, op("get", 2_000)],
        histogram: bins(),
        empty_trip_us: Some(latency(5_000, 361_000)),
        cpu: Cpu { client: MS(400), nodes: vec![NodeCpu { node: 3, leads: true, cpu: MS(800) }] },
        schedule_lag_us: None,
        writes: Some(service),
        reads: Some(Service {
            outages: 0,
            available: Some(1.0),
            longest: Duration::ZERO,
            total: Duration::ZERO,
            longest_gap: MS(20),
            ..service
        }),
        longest_gap: MS(361),
        gap_min: MS(100),
        gaps: vec![gap(3_020, 361, 3, 2), gap(7_090, 150, 2, 1), gap(11_900, 110, 0, 0)],
        gaps_left_out: 0,
        read_gaps: Vec::new(),
        read_gaps_left_out: 0,
        leader_changes: 1,
        failovers: vec![failover()],
        stalls: Vec::new(),
        events: vec![event],
        errors: [("connection_lost", 30), ("not_leader", 2)].into(),
        messages: vec!["the write may or may not be done: no answer in time after 5s".into()],
        forgotten: Vec::new(),
        verify: Some(Verification::Done(Verdict {
            checked: 9_644,
            lost: 1,
            unknown_applied: 1,
            reads: 2_000,
            findings: vec!["worker 3: acknowledged write 17 is lost".into()],
            ..Verdict::default()
        })),
        history_error: None,
        expectations: Vec::new(),
        slices: Arc::new(Slices { slots, ..Slices::default() }),
    }
}
