//! Blocks are made durable one after the other as the log does it: written over zeros that are on the
//! disk already, through the same calls, and synced.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use raft_replica::{Disk as _, DiskError, DiskFile, RealDisk};

use super::{Figures, ProbeError, Stop, cannot_probe};

/// The largest block. More than this the log never syncs at a time.
pub(crate) const BLOCK_BYTES_MAX: u64 = 16 << 20;

/// Each writer's file is no longer, and is begun anew at its end, as the log uses segments again.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Zeros are written and synced in pieces of this size.
const PIECE: u64 = 1 << 20;

/// What is made, in a directory of its own. It goes when this does.
struct Scratch(PathBuf);

/// One that writes and syncs, with a file to itself.
struct Writer {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    block: Vec<u8>,
    /// Blocks in the file.
    places: u64,
}

/// How long a block of this size takes to be durable, `count` times for each of `writers` at once.
pub(crate) fn syncs(
    dir: &Path,
    block_bytes: u64,
    count: u64,
    writers: usize,
    stop: &Stop,
) -> Result<Figures, ProbeError> {
    let scratch = Scratch::new(dir)?;
    let make = |number| Writer::new(&scratch.0.join(format!("{number}")), block_bytes, count, stop);
    let writers: Vec<Writer> = (1..=writers).map(make).collect::<Result<_, _>>()?;
    RealDisk.sync_dir(&scratch.0).map_err(cannot_probe(dir))?;
    let start = Barrier::new(writers.len() + 1);
    let (start, mut took) = (&start, Vec::new());
    let whole = std::thread::scope(|scope| {
        let run = |writer: Writer| {
            scope.spawn(move || {
                start.wait();
                writer.run(count, stop)
            })
        };
        let threads: Vec<_> = writers.into_iter().map(run).collect();
        start.wait();
        let began = Instant::now();
        for thread in threads {
            took.extend(thread.join().expect("a panic ends the process")?);
        }
        Ok::<_, ProbeError>(began.elapsed())
    })?;
    Ok(Figures::of(took, whole))
}

impl Scratch {
    fn new(dir: &Path) -> Result<Self, ProbeError> {
        let path = dir.join(format!("disk-probe-{}", std::process::id()));
        fs::create_dir(&path).map_err(cannot_probe(dir))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays, under a name that says whose it is.
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Writer {
    /// Makes its file, full of zeros that are on the disk.
    fn new(path: &Path, block_bytes: u64, count: u64, stop: &Stop) -> Result<Self, ProbeError> {
        let failed = |op| move |source| DiskError { op, path: path.to_owned(), source };
        let mut file = RealDisk.create_new(path).map_err(failed("create"))?;
        let places = count.min(FILE_BYTES_MAX / block_bytes).max(1);
        let (len, mut filled) = (places * block_bytes, 0);
        let zeros = vec![0; usize::try_from(PIECE.min(len)).expect("a piece fits into memory")];
        while filled < len {
            stop.check()?;
            let piece =
                &zeros[..usize::try_from(len - filled).map_or(zeros.len(), |n| n.min(zeros.len()))];
            file.write_at(filled, piece).map_err(failed("fill"))?;
            file.sync_data().map_err(failed("sync"))?;
            filled += piece.len() as u64;
        }
        // No zeros: there are disks that do not write those.
        let block = (1..=u8::MAX)
            .cycle()
            .take(usize::try_from(block_bytes).expect("a block fits into memory"));
        Ok(Self { path: path.to_owned(), file, block: block.collect(), places })
    }

    fn run(mut self, count: u64, stop: &Stop) -> Result<Vec<Duration>, ProbeError> {
        let path = &self.path;
        let failed = |op| move |source| DiskError { op, path: path.clone(), source };
        let mut took = Vec::new();
        for number in 0..count {
            stop.check()?;
            let began = Instant::now();
            let at = number % self.places * self.block.len() as u64;
            self.file.write_at(at, &self.block).map_err(failed("write"))?;
            self.file.sync_data().map_err(failed("sync"))?;
            took.push(began.elapsed());
        }
        Ok(took)
    }
}
