//! A disk that is honest about what a power loss leaves. Every file has a durable image and a list
//! of writes since; every directory has durable names and a list of changes since. A power loss
//! keeps any part of what was not synced: nothing, all, a beginning, or an arbitrary subset, down to
//! single sectors of a write. Names are synced apart from bytes.
//!
//! While the power is there it can fail as well: a write, a read, a sync, or for want of space; and a
//! bit of what has long been durable can flip. What it fails with is told once, as by a system that
//! takes what it could not write for written. It can also lie: say "synced" and keep nothing. No
//! system survives that; it is there to show that the simulator would notice.

mod file;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_replica::disk::DirLock;
use raft_replica::{Disk, DiskError, DiskFile, LockError};

use crate::rng::Rng;
use file::{Inode, OpenFile};
pub use trouble::Flip;
use trouble::Trouble;

/// The disk of one node. A clone is the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

/// What a power loss did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Writes and changes of names that are gone, wholly or in part.
    pub lost: u64,
    /// Writes of which some sectors are there and others are not.
    pub torn: u64,
}

/// How a power loss chooses among what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Nothing,
    All,
    Beginning,
    Subset,
}

struct State {
    dirs: BTreeMap<PathBuf, Directory>,
    locked: BTreeSet<PathBuf>,
    trouble: Trouble,
}

#[derive(Clone, Default)]
struct Directory {
    live: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
    unsynced: Vec<NameChange>,
}

#[derive(Clone)]
enum Entry {
    File(Inode),
    Directory,
}

#[derive(Clone)]
enum NameChange {
    Link(String, Entry),
    Unlink(String),
    /// Atomic, as rename(2) promises: never both names, never neither.
    Rename(String, String, Entry),
}

struct Lock {
    disk: SimDisk,
    dir: PathBuf,
}

impl SimDisk {
    /// A disk with an empty directory `root`.
    pub fn new(root: &Path) -> Self {
        let dirs = BTreeMap::from([(root.to_owned(), Directory::default())]);
        let (locked, trouble) = (BTreeSet::new(), Trouble::default());
        Self(Arc::new(Mutex::new(State { dirs, locked, trouble })))
    }

    /// The power fails. Nobody may have a file open by now who goes on using it.
    pub fn lose_power(&self, rng: &mut Rng) -> Loss {
        let mut state = self.state();
        state.trouble.calm();
        state.locked.clear();
        let mut loss = Loss::default();
        for directory in state.dirs.values_mut() {
            directory.lose_power(rng, &mut loss);
        }
        state.drop_unreachable();
        for directory in state.dirs.values() {
            for entry in directory.live.values() {
                if let Entry::File(inode) = entry {
                    file::guard(inode).lose_power(rng, &mut loss);
                }
            }
        }
        loss
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere ends the run; until then the data is as good as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keep {
    fn draw(rng: &mut Rng) -> Self {
        rng.pick(&[Self::Nothing, Self::All, Self::Beginning, Self::Subset, Self::Subset])
    }

    /// Which of `count` changes are kept.
    fn choose(self, rng: &mut Rng, count: usize) -> Vec<bool> {
        let beginning = rng.below(count + 1);
        let mut keep = |position| match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Beginning => position < beginning,
            Self::Subset => rng.chance(500),
        };
        (0..count).map(&mut keep).collect()
    }
}

impl State {
    fn directory(&mut self, dir: &Path) -> io::Result<&mut Directory> {
        self.dirs.get_mut(dir).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Removes directories whose names did not survive.
    fn drop_unreachable(&mut self) {
        let known = |dirs: &BTreeMap<PathBuf, Directory>, dir: &Path| {
            let (parent, name) = (dir.parent(), dir.file_name());
            let parent = parent.and_then(|parent| dirs.get(parent));
            // The root has no parent here, and always stays.
            parent.is_none_or(|parent| {
                name.is_some_and(|name| parent.live.contains_key(&*name.to_string_lossy()))
            })
        };
        // Parents sort before their children.
        let gone: Vec<PathBuf> =
            self.dirs.keys().filter(|dir| !known(&self.dirs, dir)).cloned().collect();
        for dir in gone {
            self.dirs.retain(|path, _| !path.starts_with(&dir));
        }
    }
}

impl Directory {
    fn change(&mut self, change: NameChange) {
        apply(&mut self.live, &change);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.live);
        self.unsynced.clear();
    }

    fn lose_power(&mut self, rng: &mut Rng, loss: &mut Loss) {
        let changes = std::mem::take(&mut self.unsynced);
        if !changes.is_empty() {
            let keep = Keep::draw(rng).choose(rng, changes.len());
            for (change, keep) in changes.iter().zip(keep) {
                if keep {
                    apply(&mut self.durable, change);
                } else {
                    loss.lost += 1;
                }
            }
        }
        self.live.clone_from(&self.durable);
    }
}

/// Carries a change out. What it builds on may be lost, so nothing is expected to be there.
fn apply(names: &mut BTreeMap<String, Entry>, change: &NameChange) {
    match change {
        NameChange::Link(name, entry) => {
            names.insert(name.clone(), entry.clone());
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to, entry) => {
            names.remove(from);
            names.insert(to.clone(), entry.clone());
        }
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.trouble.change()?;
        if state.dirs.contains_key(dir) {
            return Ok(());
        }
        let (parent, name) = split(dir)?;
        state.directory(parent)?.change(NameChange::Link(name, Entry::Directory));
        state.dirs.insert(dir.to_owned(), Directory::default());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.state().directory(dir)?.live.keys().cloned().collect())
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.trouble.change()?;
        let (dir, name) = split(path)?;
        let directory = state.directory(dir)?;
        if directory.live.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.trouble.grow(1)?; // A name takes space as well.
        let directory = state.directory(dir)?;
        let inode = Inode::default();
        directory.change(NameChange::Link(name, Entry::File(Arc::clone(&inode))));
        Ok(Box::new(OpenFile { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (dir, name) = split(path)?;
        match self.state().directory(dir)?.live.get(&name) {
            Some(Entry::File(inode)) => {
                Ok(Box::new(OpenFile { disk: self.clone(), inode: Arc::clone(inode) }))
            }
            Some(Entry::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.trouble.change()?;
        let ((dir, from), (same, to)) = (split(from)?, split(to)?);
        assert_eq!(dir, same, "renamed from one directory into another");
        let directory = state.directory(dir)?;
        let entry = directory.live.get(&from).cloned().ok_or(io::ErrorKind::NotFound)?;
        directory.change(NameChange::Rename(from, to, entry));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.trouble.change()?;
        let (dir, name) = split(path)?;
        let directory = state.directory(dir)?;
        let freed = match directory.live.get(&name) {
            Some(Entry::File(inode)) => file::guard(inode).len(),
            Some(Entry::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        directory.change(NameChange::Unlink(name));
        state.trouble.shrink(freed);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.trouble.change()?;
        if state.trouble.lies {
            return Ok(());
        }
        state.directory(dir)?.sync();
        Ok(())
    }

    fn lock(&self, dir: &Path) -> Result<Box<dyn DirLock>, LockError> {
        let mut state = self.state();
        if let Err(error) = state.directory(dir) {
            return Err(DiskError::new("lock", dir, error).into());
        }
        if !state.locked.insert(dir.to_owned()) {
            return Err(LockError::Held { dir: dir.to_owned(), pid: None });
        }
        Ok(Box::new(Lock { disk: self.clone(), dir: dir.to_owned() }))
    }
}

impl DirLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.dir);
    }
}

/// The directory of a path, and the name in it.
fn split(path: &Path) -> io::Result<(&Path, String)> {
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => Ok((dir, name.to_string_lossy().into_owned())),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}
