//! Fixed seeds hold all invariants, and between them meet everything that must be met; the same
//! seed gives the same run.

use std::sync::atomic::{AtomicUsize, Ordering};

use raft_sim::{Mark, Plan, Report, Sometimes, run};

fn run_seed(seed: u64) -> Report {
    run(Plan::draw(seed), None)
}

/// Runs these seeds, on two threads; none may violate anything.
fn batch(seeds: &[u64]) -> Sometimes {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut sometimes = Sometimes::default();
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = run_seed(seed);
            if let Some(violation) = &report.violation {
                panic!("seed {seed} violates {violation}\n{}", report.recent.join("\n"));
            }
            sometimes.merge(&report.sometimes);
        }
        sometimes
    };
    std::thread::scope(|scope| {
        let mut sometimes = Sometimes::default();
        for worker in [scope.spawn(work), scope.spawn(work)] {
            match worker.join() {
                Ok(more) => sometimes.merge(&more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        sometimes
    })
}

#[test]
fn fixed_seeds_hold_all_invariants_and_meet_all_there_is_to_meet() {
    let seeds: Vec<u64> = (1..=200).collect();
    let sometimes = batch(&seeds);
    let missing: Vec<_> = sometimes.missing().into_iter().map(Mark::text).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}\n{sometimes}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 17, 29] {
        let (first, second) = (run_seed(seed), run_seed(seed));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.sometimes, second.sometimes, "seed {seed}");
        assert_eq!(first.events, second.events, "seed {seed}");
    }
    assert_ne!(run_seed(3).hash, run_seed(4).hash);
}
