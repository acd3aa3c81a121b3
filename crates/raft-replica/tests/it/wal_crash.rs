//! Whatever the disk does at whatever call, a log comes back as it was acknowledged, or with the
//! one batch that was under way, whole.

use raft_core::{Membership, NodeId};
use raft_replica::{Identity, Recovered, Wal};

use crate::mem_disk::{Crash, Fault, MemDisk};
use crate::support::{Rng, apply, create, open, options, random_job, root};

/// What may be found after a crash.
#[derive(Clone, Debug, Default)]
struct Expected {
    acknowledged: Recovered,
    /// With the batch that was under way.
    under_way: Recovered,
}

impl Expected {
    fn only(log: Recovered) -> Self {
        Self { acknowledged: log.clone(), under_way: log }
    }

    fn check(&self, found: &Recovered, context: &str) {
        assert!(
            *found == self.acknowledged || *found == self.under_way,
            "{context}: found {}, acknowledged {}, under way {}",
            summary(found),
            summary(&self.acknowledged),
            summary(&self.under_way)
        );
    }
}

fn summary(log: &Recovered) -> String {
    let last = log.entries.last().map_or(log.base, |entry| entry.id);
    let snapshot = log.snapshot.as_ref().map(|meta| meta.last);
    format!("({}, {last}] of {snapshot:?} in term {}", log.base, log.hard_state.term)
}

/// Runs random batches and preparations until the steps or the disk's patience are over. True if
/// the disk failed.
fn drive(wal: &mut Wal, log: Recovered, rng: &mut Rng, steps: u64) -> (Expected, bool) {
    let mut expected = Expected::only(log);
    let mut seq = 0;
    let mut preparing = None;
    for _ in 0..steps {
        let mut jobs = Vec::new();
        for _ in 0..=rng.below(3) {
            seq += 1;
            let job = random_job(&expected.under_way, seq, rng);
            apply(&mut expected.under_way, &job);
            jobs.push(job);
        }
        match wal.run(jobs) {
            Ok(durable) => assert_eq!(durable.seq, seq),
            Err(_) => {
                assert!(wal.run(Vec::new()).is_err(), "a poisoned log says nothing more");
                return (expected, true);
            }
        }
        expected = Expected::only(expected.under_way);
        if preparing.is_none() && rng.below(3) == 0 {
            preparing = wal.prepare();
        }
        if rng.below(3) == 0
            && let Some(job) = preparing.take()
        {
            match job.run() {
                Ok(prepared) => wal.prepared(prepared),
                Err(_) => return (expected, true),
            }
        }
    }
    (expected, false)
}

/// One script is crashed at every single call, in every way, and goes on afterwards.
#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged() {
    for seed in 0..6 {
        for kind in [Crash::Nothing, Crash::Everything, Crash::Something] {
            for call in 1.. {
                let context = format!("seed {seed}, {kind:?} survives a crash at call {call}");
                let disk = MemDisk::new();
                let mut wal = create(&disk);
                disk.fail(Fault::DeadFrom(call));
                let mut rng = Rng::new(seed);
                let (expected, died) = drive(&mut wal, Recovered::default(), &mut rng, 30);
                drop(wal);
                disk.crash(kind, &mut rng);
                let (mut wal, found, _) = open(&disk).expect(&context);
                expected.check(&found, &context);
                let (expected, failed) = drive(&mut wal, found, &mut rng, 8);
                assert!(!failed, "{context}: nothing is in the way now");
                let (_, found, _) = open(&disk).expect(&context);
                expected.check(&found, &context);
                if !died {
                    break;
                }
            }
        }
    }
}

/// Crash after crash on the same disk, also in the middle of a recovery.
#[test]
fn a_log_survives_many_crashes() {
    for seed in 0..200 {
        let mut rng = Rng::new(1000 + seed);
        let disk = MemDisk::new();
        drop(create(&disk));
        let mut expected = Expected::default();
        for generation in 0..12 {
            let context = format!("seed {seed}, generation {generation}");
            disk.fail(Fault::DeadFrom(1 + rng.below(150)));
            if let Ok((mut wal, found, _)) = open(&disk) {
                expected.check(&found, &context);
                expected = drive(&mut wal, found, &mut rng, 40).0;
            }
            let kind = [Crash::Nothing, Crash::Everything, Crash::Something, Crash::Something];
            disk.crash(kind[usize::try_from(rng.below(4)).unwrap()], &mut rng);
            let (_, found, _) = open(&disk).expect(&context);
            expected.check(&found, &context);
            // What was shown once stays, even if the power goes right away.
            expected = Expected::only(found);
            disk.crash(Crash::Nothing, &mut rng);
        }
    }
}

/// A write or a sync fails, once. Nothing is acknowledged any more; the next process finds what
/// was, and what it finds is durable although the system believes that it was before.
#[test]
fn a_failed_write_or_sync_is_final() {
    for seed in 0..6 {
        for call in 1.. {
            let context = format!("seed {seed}, call {call}");
            let disk = MemDisk::new();
            let mut wal = create(&disk);
            disk.fail(Fault::OnceAt(call));
            let mut rng = Rng::new(2000 + seed);
            let (expected, died) = drive(&mut wal, Recovered::default(), &mut rng, 30);
            let over = disk.calls() < call;
            drop(wal);
            disk.restart();
            let (_, found, _) = open(&disk).expect(&context);
            expected.check(&found, &context);
            disk.crash(Crash::Nothing, &mut rng);
            let (_, again, _) = open(&disk).expect(&context);
            assert!(again == found, "{context}: {} became {}", summary(&found), summary(&again));
            if over {
                assert!(!died);
                break;
            }
        }
    }
}

fn identity() -> Identity {
    Identity {
        cluster_name: "test".to_owned(),
        cluster: options().cluster,
        node: options().node,
        incarnation: options().incarnation,
        bootstrap: Membership::of_voters([NodeId(1)]),
    }
}

/// The process ends while it creates its directory, the next one goes on from what it sees, and
/// then the power goes: what the second one promised holds.
#[test]
fn a_directory_that_was_used_is_never_begun_anew() {
    for call in 1.. {
        let mut rng = Rng::new(call);
        let disk = MemDisk::new();
        disk.fail(Fault::DeadFrom(call));
        let done = identity().create(&disk, root(), 8 << 10).is_ok();
        disk.restart();
        if Identity::load(&disk, root()).unwrap().is_none() {
            identity().create(&disk, root(), 8 << 10).unwrap();
        }
        let (mut wal, found, _) = open(&disk).unwrap();
        let (expected, _) = drive(&mut wal, found, &mut rng, 3);
        disk.crash(Crash::Nothing, &mut rng);
        assert_eq!(Identity::load(&disk, root()).unwrap(), Some(identity()), "call {call}");
        expected.check(&open(&disk).unwrap().1, &format!("call {call}"));
        if done {
            break;
        }
    }
}

/// A data directory whose creation is interrupted is created again; one that has an identity has
/// a log.
#[test]
fn a_crash_during_creation_leaves_nothing_or_all() {
    let identity = identity();
    for kind in [Crash::Nothing, Crash::Everything, Crash::Something] {
        for call in 1.. {
            let mut rng = Rng::new(call);
            let context = format!("{kind:?} survives a crash at call {call}");
            let disk = MemDisk::new();
            disk.fail(Fault::DeadFrom(call));
            let done = identity.create(&disk, root(), 8 << 10).is_ok();
            disk.crash(kind, &mut rng);
            match Identity::load(&disk, root()).expect(&context) {
                Some(found) => assert_eq!(found, identity, "{context}"),
                None => {
                    assert!(!done, "{context}");
                    identity.create(&disk, root(), 8 << 10).expect(&context);
                }
            }
            assert_eq!(open(&disk).expect(&context).1, Recovered::default());
            if done {
                break;
            }
        }
    }
}
