//! A node's disk in a laboratory: it loses with the process what was not synced, and fails when it is
//! told to. `docs/laboratory-server.md` has the files by which it is told, and tells.

mod control;
mod ledger;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raft_api::cluster::NodeConfig;
use raft_core::NodeId;
use raft_replica::disk::{SyncFate, Trouble, Unsynced, VolatileDisk};
use raft_replica::{Disk, RealDisk};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::control::{Control, Source};
use self::ledger::{Counts, Ledger};
use crate::start::StartError;

/// The hand that makes trouble, and the witness.
struct Laboratory {
    node: NodeId,
    data_dir: PathBuf,
    control: Mutex<Control>,
    /// Another control is in force.
    changed: Condvar,
    rng: Mutex<StdRng>,
    ledger: Mutex<Ledger>,
    /// How likely something is written back; the bits of an `f64`.
    writeback: AtomicU64,
}

/// How often it is looked whether there is something else to do.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The disk a node works on: this machine's, or one with the troubles that `dir` tells of.
pub(crate) fn disk(node: &NodeConfig, dir: Option<&Path>) -> Result<Arc<dyn Disk>, StartError> {
    let Some(dir) = dir else { return Ok(Arc::new(RealDisk)) };
    let wrong = |what: String| StartError::Laboratory { dir: dir.to_owned(), what };
    let laboratory = Laboratory::open(node, dir).map_err(|error| wrong(error.to_string()))?;
    let laboratory = Arc::new(laboratory);
    let mut source = Source::new(dir);
    let first = source.first().map_err(wrong)?;
    laboratory.take(first);
    tracing::warn!(
        node = %node.id,
        dir = %dir.display(),
        "this is a node of a laboratory: its disk fails when it is told to, and loses with the \
         process what was not synced"
    );
    let watcher = Arc::clone(&laboratory);
    let thread = std::thread::Builder::new().name("laboratory".to_owned());
    thread.spawn(move || watcher.watch(&mut source)).map_err(StartError::Thread)?;
    Ok(Arc::new(VolatileDisk::new(Arc::new(RealDisk), &node.data_dir, laboratory)))
}

impl Laboratory {
    fn open(node: &NodeConfig, dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let ledger = Ledger::create(dir, node.id)?;
        Ok(Self {
            node: node.id,
            data_dir: node.data_dir.clone(),
            control: Mutex::new(Control::default()),
            changed: Condvar::new(),
            rng: Mutex::new(StdRng::seed_from_u64(node.id.0)),
            ledger: Mutex::new(ledger),
            writeback: AtomicU64::new(0.0_f64.to_bits()),
        })
    }

    /// Looks for a new control for ever.
    fn watch(&self, source: &mut Source) {
        loop {
            match source.look() {
                Ok(None) => (),
                Ok(Some(control)) => self.take(control),
                Err(error) => {
                    tracing::error!(node = %self.node, "{error}; what was in force stays so");
                    self.note(|counts| counts.rejected += 1);
                }
            }
            let control = guard(&self.control);
            drop(self.changed.wait_timeout(control, LOOK_EVERY));
        }
    }

    /// From now on it is like this.
    fn take(&self, control: Control) {
        let generation = control.generation;
        tracing::info!(node = %self.node, generation, "the laboratory wants: {control}");
        if let Some(seed) = control.seed {
            *guard(&self.rng) = StdRng::seed_from_u64(seed);
        }
        self.writeback.store(control.writeback.to_bits(), Ordering::Relaxed);
        *guard(&self.control) = control;
        self.changed.notify_all();
        self.note(|counts| counts.generation = generation);
    }

    fn note(&self, change: impl FnOnce(&mut Counts)) {
        guard(&self.ledger).note(change);
    }

    /// Waits until syncs end.
    fn hang<'a>(&'a self, control: MutexGuard<'a, Control>) -> MutexGuard<'a, Control> {
        let waited = self.changed.wait_while(control, |control| control.sync_hangs);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for as long as a sync is to take, or until that is over. Whether it had to wait.
    fn slow_down<'a>(
        &'a self,
        control: MutexGuard<'a, Control>,
    ) -> (MutexGuard<'a, Control>, Option<Duration>) {
        let Some((least, most)) = control.slow_sync_ms else { return (control, None) };
        let pause = Duration::from_millis(guard(&self.rng).random_range(least..=most));
        let began = std::time::Instant::now();
        let generation = control.generation;
        let same = |control: &mut Control| control.generation == generation;
        let waited = self.changed.wait_timeout_while(control, pause, same);
        let (control, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (control, Some(began.elapsed()))
    }
}

impl Trouble for Laboratory {
    fn sync(&self) -> SyncFate {
        let (control, waited) = self.slow_down(guard(&self.control));
        let control = self.hang(control);
        let fate = if control.sync_error {
            SyncFate::Fails
        } else if control.sync_lies {
            SyncFate::Lies
        } else {
            SyncFate::Done
        };
        drop(control);
        self.note(|counts| {
            if let Some(waited) = waited {
                counts.syncs_slowed += 1;
                counts.slowed_ms += u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            }
            match fate {
                SyncFate::Done => counts.syncs += 1,
                SyncFate::Fails => counts.syncs_failed += 1,
                SyncFate::Lies => counts.syncs_lied += 1,
            }
        });
        fate
    }

    fn has_room(&self) -> bool {
        let full = guard(&self.control).full;
        if full {
            self.note(|counts| counts.refused_full += 1);
        }
        !full
    }

    fn writes_back(&self) -> bool {
        let chance = f64::from_bits(self.writeback.load(Ordering::Relaxed));
        0.0 < chance && guard(&self.rng).random_bool(chance)
    }

    fn draw(&self, bound: u64) -> u64 {
        guard(&self.rng).random_range(0..bound)
    }

    fn read(&self, path: &Path, offset: u64, bytes: &mut [u8]) {
        let control = guard(&self.control);
        let Some(flip) = &control.read_flip else { return };
        let at = flip.offset.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = at.and_then(|at| bytes.get_mut(at))
            && path == self.data_dir.join(&flip.file)
        {
            *byte ^= flip.bits;
            self.note(|counts| counts.reads_flipped += 1);
        }
    }

    fn told(&self, unsynced: Unsynced) {
        self.note(|counts| {
            (counts.unsynced_bytes, counts.unsynced_names) = (unsynced.bytes, unsynced.names);
        });
    }
}

/// A panic elsewhere ends the process.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
