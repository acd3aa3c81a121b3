//! A process's own disk loses what was not synced, all of it or any part, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use raft_replica::disk::{SyncFate, Trouble, Unsynced, VolatileDisk};
use raft_replica::{Disk, DiskFile, RealDisk};

use crate::mem_disk::MemDisk;
use crate::support::{self, Rng, apply, random_job, root};

const SECTOR: usize = 512;

/// Trouble by chance.
struct Storm {
    rng: Mutex<Rng>,
    /// Of a thousand unsynced things, this many are durable early.
    writes_back: u64,
    /// So many more syncs succeed.
    syncs: AtomicU64,
    lies: AtomicBool,
    full: AtomicBool,
}

impl Storm {
    fn new(seed: u64, writes_back: u64) -> Arc<Self> {
        let (rng, syncs) = (Mutex::new(Rng::new(seed)), AtomicU64::new(u64::MAX));
        let (lies, full) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { rng, writes_back, syncs, lies, full })
    }
}

impl Trouble for Storm {
    fn sync(&self) -> SyncFate {
        if self.lies.load(Ordering::Relaxed) {
            return SyncFate::Lies;
        }
        match self.syncs.fetch_sub(1, Ordering::Relaxed) {
            0 => {
                self.syncs.store(0, Ordering::Relaxed);
                SyncFate::Fails
            }
            _ => SyncFate::Done,
        }
    }

    fn has_room(&self) -> bool {
        !self.full.load(Ordering::Relaxed)
    }

    fn writes_back(&self) -> bool {
        self.draw(1000) < self.writes_back
    }

    fn draw(&self, bound: u64) -> u64 {
        self.rng.lock().unwrap().below(bound)
    }
}

/// A directory on a disk below, and the disk over it.
fn disks(storm: &Arc<Storm>) -> (MemDisk, VolatileDisk) {
    let below = MemDisk::new();
    below.create_dir(root()).unwrap();
    (below.clone(), over(&below, storm))
}

fn over(below: &MemDisk, storm: &Arc<Storm>) -> VolatileDisk {
    VolatileDisk::new(Arc::new(below.clone()), root(), Arc::clone(storm) as Arc<dyn Trouble>)
}

fn path(name: &str) -> PathBuf {
    root().join(name)
}

fn content(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0xEE; usize::try_from(file.len().unwrap()).unwrap() + 7];
    let count = file.read_at(0, &mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn what_is_not_synced_is_gone() {
    let storm = Storm::new(1, 0);
    let (below, disk) = disks(&storm);
    let mut file = disk.create_new(&path("a")).unwrap();
    file.write_at(0, b"durable").unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.unsynced(), Unsynced { bytes: 0, names: 1 });
    assert_eq!(over(&below, &storm).list(root()).unwrap(), [""; 0], "bytes are, the name is not");
    disk.sync_dir(root()).unwrap();

    file.write_at(3, b"XXXXXX").unwrap();
    disk.create_new(&path("b")).unwrap().write_at(0, b"b").unwrap();
    disk.rename(&path("a"), &path("c")).unwrap();
    assert_eq!(disk.list(root()).unwrap(), ["b", "c"]);
    assert_eq!(content(&disk, &path("c")), b"durXXXXXX", "the process sees what it did");
    assert_eq!(disk.unsynced(), Unsynced { bytes: 10, names: 2 });
    drop((file, disk));

    let disk = over(&below, &storm);
    drop(disk.lock(root()).unwrap());
    assert_eq!(below.list(root()).unwrap(), ["a"], "what has no name is swept away");
    assert_eq!(content(&disk, &path("a")), b"durable");
}

/// A failed sync takes everything for written; what is written later becomes durable, it does not.
#[test]
fn a_failed_sync_makes_nothing_durable_ever() {
    let storm = Storm::new(1, 0);
    let (below, disk) = disks(&storm);
    let mut file = disk.create_new(&path("a")).unwrap();
    file.write_at(0, &[1; 2 * SECTOR]).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(root()).unwrap();
    file.write_at(0, &[2; SECTOR]).unwrap();
    storm.syncs.store(0, Ordering::Relaxed);
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    assert_eq!(disk.unsynced().bytes, 0, "it is taken for written");
    storm.syncs.store(u64::MAX, Ordering::Relaxed);
    file.write_at(1024, &[3; 8]).unwrap();
    file.sync_data().unwrap();
    let seen = [vec![2; SECTOR], vec![1; SECTOR], vec![3; 8]].concat();
    assert_eq!(content(&disk, &path("a")), seen);
    disk.remove(&path("a")).unwrap();
    storm.syncs.store(0, Ordering::Relaxed);
    disk.sync_dir(root()).unwrap_err();
    storm.syncs.store(u64::MAX, Ordering::Relaxed);
    disk.sync_dir(root()).unwrap();
    assert_eq!(disk.list(root()).unwrap(), [""; 0]);
    drop((file, disk));
    let durable = [vec![1; 2 * SECTOR], vec![3; 8]].concat();
    assert_eq!(content(&below, &path("a")), durable);
}

#[test]
fn a_lie_makes_nothing_durable() {
    let storm = Storm::new(1, 0);
    let (below, disk) = disks(&storm);
    storm.lies.store(true, Ordering::Relaxed);
    let mut file = disk.create_new(&path("a")).unwrap();
    file.write_at(0, b"lost").unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(root()).unwrap();
    assert_eq!(disk.unsynced(), Unsynced { bytes: 4, names: 1 });
    drop((file, disk));
    drop(over(&below, &storm).lock(root()).unwrap());
    assert_eq!(below.list(root()).unwrap(), [""; 0]);
}

#[test]
fn a_full_disk_takes_what_there_is_space_for() {
    let storm = Storm::new(1, 0);
    let (_below, disk) = disks(&storm);
    let mut file = disk.create_new(&path("a")).unwrap();
    file.write_at(0, b"12345").unwrap();
    storm.full.store(true, Ordering::Relaxed);
    assert_eq!(file.write_at(1, b"23456").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.set_len(6).unwrap_err().kind(), ErrorKind::StorageFull);
    let refused = disk.create_new(&path("b")).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    file.write_at(1, b"9").unwrap();
    file.sync_data().unwrap();
    assert_eq!(content(&disk, &path("a")), b"19345");
}

/// On the disk of this machine a directory is locked as ever, and a file that was deleted while it
/// was open cannot be made durable.
#[test]
fn locks_and_lost_names_are_those_of_the_disk_below() {
    let dir = tempfile::tempdir().unwrap();
    let real = || VolatileDisk::new(Arc::new(RealDisk), dir.path(), Storm::new(1, 0));
    let (one, two) = (real(), real());
    let lock = one.lock(dir.path()).unwrap();
    two.lock(dir.path()).map(drop).unwrap_err();
    drop(lock);
    two.lock(dir.path()).map(drop).unwrap();
    let mut file = one.create_new(&dir.path().join("a")).unwrap();
    one.remove(&dir.path().join("a")).unwrap();
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::NotFound);
}

/// What has to be there, told the plain way.
#[derive(Default)]
struct Model {
    files: Vec<Content>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Whom a name was given to since the names were synced, and `None` if it was taken away.
    since: BTreeMap<String, Vec<Option<usize>>>,
}

#[derive(Clone, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What was in a sector since the last sync, filled up with zeros.
    since: BTreeMap<usize, BTreeSet<Vec<u8>>>,
}

impl Content {
    fn note(&mut self) {
        for (number, sector) in self.live.chunks(SECTOR).enumerate() {
            let mut sector = sector.to_vec();
            sector.resize(SECTOR, 0);
            self.since.entry(number).or_default().insert(sector);
        }
    }

    /// Whether a power loss may leave this: each sector as it once was, or not there.
    fn allows(&self, found: &[u8]) -> bool {
        found.chunks(SECTOR).enumerate().all(|(number, sector)| {
            // Cut off somewhere, perhaps: that may be kept without what was written before.
            let same = |known: &[u8]| {
                let common = known.iter().zip(sector).take_while(|(one, other)| one == other);
                sector[common.count()..].iter().all(|&byte| byte == 0)
            };
            let durable = self.durable.get(number * SECTOR..).unwrap_or_default();
            let durable = &durable[..durable.len().min(SECTOR)];
            same(durable)
                || self.since.get(&number).is_some_and(|all| all.iter().any(|known| same(known)))
        })
    }
}

impl Model {
    fn give(&mut self, name: &str, file: Option<usize>) {
        match file {
            Some(file) => self.live.insert(name.to_owned(), file),
            None => self.live.remove(name),
        };
        self.since.entry(name.to_owned()).or_default().push(file);
    }

    /// One operation, on both.
    fn step(
        &mut self,
        disk: &VolatileDisk,
        open: &mut Vec<(usize, Box<dyn DiskFile>)>,
        rng: &mut Rng,
    ) {
        let name = format!("{}", rng.below(4));
        let at = (!open.is_empty()).then(|| usize::try_from(rng.below(open.len() as u64)).unwrap());
        match (rng.below(12), self.live.get(&name).copied(), at) {
            (0, None, _) => {
                open.push((self.files.len(), disk.create_new(&path(&name)).unwrap()));
                self.give(&name, Some(self.files.len()));
                self.files.push(Content::default());
            }
            (1, Some(file), _) => open.push((file, disk.open(&path(&name)).unwrap())),
            (2, Some(file), _) => {
                let to = format!("{}", rng.below(4));
                if to != name {
                    disk.rename(&path(&name), &path(&to)).unwrap();
                    self.give(&name, None);
                    self.give(&to, Some(file));
                }
            }
            (3, Some(_), _) if rng.below(2) == 0 => {
                disk.remove(&path(&name)).unwrap();
                self.give(&name, None);
            }
            (4, _, _) => {
                disk.sync_dir(root()).unwrap();
                self.durable = self.live.clone();
                self.since.clear();
            }
            (5, _, Some(at)) => drop(open.swap_remove(at)),
            (6, _, Some(at)) => {
                let (file, handle) = &mut open[at];
                let has_name = self.live.values().any(|it| it == file);
                assert_eq!(handle.sync_data().is_ok(), has_name);
                let content = &mut self.files[*file];
                *content = Content {
                    live: content.live.clone(),
                    durable: content.live.clone(),
                    ..Content::default()
                };
            }
            (7, _, Some(at)) => {
                let (file, handle) = &mut open[at];
                let len = usize::try_from(rng.below(3_000)).unwrap();
                handle.set_len(len as u64).unwrap();
                self.files[*file].live.resize(len, 0);
                self.files[*file].note();
            }
            (_, _, Some(at)) => {
                let (file, handle) = &mut open[at];
                let offset = usize::try_from(rng.below(2_500)).unwrap();
                let data = vec![
                    1 + u8::try_from(rng.below(250)).unwrap();
                    1 + usize::try_from(rng.below(1_400)).unwrap()
                ];
                handle.write_at(offset as u64, &data).unwrap();
                let live = &mut self.files[*file].live;
                live.resize(live.len().max(offset + data.len()), 0);
                live[offset..offset + data.len()].copy_from_slice(&data);
                self.files[*file].note();
            }
            _ => (),
        }
    }

    fn check_live(&self, disk: &VolatileDisk, open: &[(usize, Box<dyn DiskFile>)]) {
        let names: Vec<&String> = self.live.keys().collect();
        assert_eq!(disk.list(root()).unwrap().iter().collect::<Vec<_>>(), names);
        for (name, file) in &self.live {
            assert_eq!(content(disk, &path(name)), self.files[*file].live, "{name}");
        }
        for (file, handle) in open {
            let mut bytes = vec![0; self.files[*file].live.len()];
            handle.read_at(0, &mut bytes).unwrap();
            assert_eq!(bytes, self.files[*file].live, "by its handle");
        }
    }

    /// With nothing written back, exactly what was synced is there.
    fn check_exact(&self, below: &MemDisk) {
        let names: Vec<&String> = self.durable.keys().collect();
        assert_eq!(below.list(root()).unwrap().iter().collect::<Vec<_>>(), names);
        for (name, file) in &self.durable {
            assert_eq!(content(below, &path(name)), self.files[*file].durable, "{name}");
        }
    }

    /// Otherwise what was synced and not touched since, and of the rest nothing but what was written.
    fn check_possible(&self, below: &MemDisk) {
        let found: BTreeSet<String> = below.list(root()).unwrap().into_iter().collect();
        let all: BTreeSet<&String> =
            self.durable.keys().chain(self.since.keys()).chain(&found).collect();
        for name in all {
            let mut possible = self.since.get(name).cloned().unwrap_or_default();
            possible.push(self.durable.get(name).copied());
            if !found.contains(name) {
                assert!(possible.contains(&None), "{name} is gone");
                continue;
            }
            let bytes = content(below, &path(name));
            let one = possible.into_iter().flatten().any(|file| self.files[file].allows(&bytes));
            assert!(one, "{name} holds what nobody wrote there");
        }
    }
}

#[test]
fn a_power_loss_leaves_what_it_may() {
    let mut partly = 0;
    for seed in 0..400 {
        let writes_back = [0, 0, 300, 700][usize::try_from(seed % 4).unwrap()];
        let storm = Storm::new(seed, writes_back);
        let (below, mut disk) = disks(&storm);
        let mut rng = Rng::new(seed + 1_000);
        let mut model = Model::default();
        for _ in 0..=rng.below(4) {
            let mut open = Vec::new();
            for _ in 0..rng.below(60) {
                model.step(&disk, &mut open, &mut rng);
                model.check_live(&disk, &open);
            }
            let lost = disk.unsynced();
            drop((open, disk));
            disk = over(&below, &storm);
            drop(disk.lock(root()).unwrap());
            if writes_back == 0 {
                model.check_exact(&below);
                // The next life begins with what is there.
                model = begin(&below);
            } else {
                model.check_possible(&below);
                partly += lost.bytes;
                model = begin(&below);
            }
        }
    }
    assert!(0 < partly, "nothing was lost at all");
}

fn begin(below: &MemDisk) -> Model {
    let mut model = Model::default();
    for name in below.list(root()).unwrap() {
        let bytes = content(below, &path(&name));
        model.live.insert(name, model.files.len());
        model.files.push(Content { live: bytes.clone(), durable: bytes, ..Content::default() });
    }
    model.durable = model.live.clone();
    model
}

/// The log keeps what it said was durable, whatever moment the power goes at, and has nothing else but
/// the batch under way.
#[test]
fn the_log_survives_power_losses() {
    let mut cut_short = 0;
    for seed in 0..300 {
        let storm = Storm::new(seed, [0, 200, 600][usize::try_from(seed % 3).unwrap()]);
        let (below, mut disk) = disks(&storm);
        drop(support::create(&disk));
        let mut rng = Rng::new(seed + 7);
        let mut sure = raft_replica::Recovered::default();
        for _ in 0..4 {
            let (mut wal, found, _) = support::open(&disk).unwrap();
            assert_eq!(found, sure, "seed {seed}");
            let mut possible = sure.clone();
            storm.syncs.store(rng.below(30), Ordering::Relaxed);
            for seq in 1..20 {
                let job = random_job(&sure, seq, &mut rng);
                possible = sure.clone();
                apply(&mut possible, &job);
                let prepared =
                    wal.prepare().map_or(Ok(()), |job| job.run().map(|it| wal.prepared(it)));
                if prepared.is_err() || wal.run(vec![job]).is_err() {
                    cut_short += 1;
                    break;
                }
                sure = possible.clone();
            }
            drop((wal, disk));
            storm.syncs.store(u64::MAX, Ordering::Relaxed);
            disk = over(&below, &storm);
            drop(disk.lock(root()).unwrap());
            let (_, found, _) = support::open(&disk).unwrap();
            assert!(found == sure || found == possible, "seed {seed}: {found:?}, not {sure:?}");
            sure = found;
        }
    }
    assert!(100 < cut_short, "{cut_short}");
}
