//! A disk in memory that forgets what was not synced, and fails when told to.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use raft_replica::disk::{DirLock, Disk, DiskFile};
use raft_replica::{DiskError, LockError};

use crate::support::Rng;

const SECTOR: usize = 512;

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// Any sectors of any writes, any of the names.
    Something,
}

/// When and how the disk fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// From this call on everything fails: the process is dead.
    DeadFrom(u64),
    /// This one call fails, if it is a write or a sync. A failed sync drops what was to be written
    /// and says "done" the next time, as Linux does.
    OnceAt(u64),
}

#[derive(Clone, Default)]
pub(crate) struct MemDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<FileState>,
    dirs: BTreeMap<PathBuf, DirState>,
    calls: u64,
    fault: Fault,
    /// Bytes that files may have together, if not any number.
    space: Option<usize>,
    /// Calls that changed something, by kind.
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
}

#[derive(Clone, Default)]
struct FileState {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

#[derive(Clone, Default)]
struct DirState {
    durable: BTreeMap<String, usize>,
    current: BTreeMap<String, usize>,
    /// Each a set of names that change together.
    pending: Vec<Vec<(String, Option<usize>)>>,
}

struct MemFile {
    disk: MemDisk,
    id: usize,
}

struct MemLock;

impl DirLock for MemLock {}

impl MemDisk {
    pub(crate) fn new() -> Self {
        let disk = Self::default();
        disk.state().dirs.insert("/".into(), DirState::default());
        disk
    }

    pub(crate) fn fail(&self, fault: Fault) {
        let mut state = self.state();
        state.calls = 0;
        state.fault = fault;
    }

    /// Calls since [`MemDisk::fail`].
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    pub(crate) fn writes_and_syncs(&self) -> (u64, u64) {
        let state = self.state();
        (state.writes, state.syncs)
    }

    /// The power goes, and comes back.
    pub(crate) fn crash(&self, kind: Crash, rng: &mut Rng) {
        let mut state = self.state();
        state.fault = Fault::None;
        for file in &mut state.files {
            let pending = std::mem::take(&mut file.pending);
            let mut bytes = std::mem::take(&mut file.durable);
            for change in pending {
                change.survive(&mut bytes, kind, rng);
            }
            file.current.clone_from(&bytes);
            file.durable = bytes;
        }
        for dir in state.dirs.values_mut() {
            let mut pending = std::mem::take(&mut dir.pending);
            pending.retain(|_| survives(kind, rng));
            for change in pending.into_iter().flatten() {
                set(&mut dir.durable, change);
            }
            dir.current.clone_from(&dir.durable);
        }
    }

    /// A process that ends takes nothing with it.
    pub(crate) fn restart(&self) {
        self.state().fault = Fault::None;
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.files[state.find(path).unwrap()].current.clone()
    }

    /// Changes a file behind everybody's back.
    pub(crate) fn set_bytes(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        let id = match state.find(path) {
            Ok(id) => id,
            Err(_) => state.create(path),
        };
        state.files[id] = FileState { durable: bytes.clone(), current: bytes, pending: Vec::new() };
    }

    /// Makes the disk full once files have so many bytes more.
    pub(crate) fn leave_space(&self, more: Option<usize>) {
        let mut state = self.state();
        state.space = more.map(|more| state.used() + more);
    }

    /// A disk with the same content, with nothing unsynced.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        let mut files = state.files.clone();
        let mut dirs = state.dirs.clone();
        for file in &mut files {
            file.durable.clone_from(&file.current);
            file.pending.clear();
        }
        for dir in dirs.values_mut() {
            dir.durable.clone_from(&dir.current);
            dir.pending.clear();
        }
        Self(Arc::new(Mutex::new(State { files, dirs, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn file(&self, id: usize) -> Box<dyn DiskFile> {
        Box::new(MemFile { disk: self.clone(), id })
    }
}

impl State {
    /// Counts a call. `Err` if the process is dead; `Ok(true)` if this one call is to fail.
    fn call(&mut self) -> io::Result<bool> {
        self.calls += 1;
        match self.fault {
            Fault::DeadFrom(call) if call <= self.calls => Err(io::Error::other("dead")),
            Fault::OnceAt(call) => Ok(call == self.calls),
            Fault::DeadFrom(_) | Fault::None => Ok(false),
        }
    }

    fn dir(&mut self, path: &Path) -> io::Result<&mut DirState> {
        self.dirs.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let dir = self.dirs.get(path.parent().unwrap());
        let found = dir.and_then(|dir| dir.current.get(&name(path)));
        found.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> usize {
        let ids = self.dirs.values().flat_map(|dir| dir.current.values());
        ids.map(|&id| self.files[id].current.len()).sum()
    }

    fn create(&mut self, path: &Path) -> usize {
        let id = self.files.len();
        self.files.push(FileState::default());
        self.change(path.parent().unwrap(), vec![(name(path), Some(id))]).unwrap();
        id
    }

    fn change(&mut self, dir: &Path, change: Vec<(String, Option<usize>)>) -> io::Result<()> {
        let dir = self.dir(dir)?;
        for change in &change {
            set(&mut dir.current, change.clone());
        }
        dir.pending.push(change);
        Ok(())
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
            Self::Len(len) => bytes.resize(*len, 0),
        }
    }

    fn survive(&self, bytes: &mut Vec<u8>, kind: Crash, rng: &mut Rng) {
        match self {
            Self::Write(at, data) if kind == Crash::Something => {
                let mut from = 0;
                while from < data.len() {
                    let to = ((at + from) / SECTOR * SECTOR + SECTOR - at).min(data.len());
                    if rng.below(2) == 0 {
                        Self::Write(at + from, data[from..to].to_vec()).apply(bytes);
                    }
                    from = to;
                }
            }
            _ if survives(kind, rng) => self.apply(bytes),
            _ => (),
        }
    }
}

fn survives(kind: Crash, rng: &mut Rng) -> bool {
    match kind {
        Crash::Nothing => false,
        Crash::Everything => true,
        Crash::Something => rng.below(2) == 0,
    }
}

fn set(names: &mut BTreeMap<String, usize>, (name, id): (String, Option<usize>)) {
    match id {
        Some(id) => names.insert(name, id),
        None => names.remove(&name),
    };
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Disk for MemDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        // Directories are durable at once: what is lost is what is in them.
        state.dirs.entry(dir.into()).or_default();
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.call()?;
        let mut names: Vec<String> = state.dir(dir)?.current.keys().cloned().collect();
        let below = state.dirs.keys().filter(|path| path.parent() == Some(dir));
        names.extend(below.map(|path| name(path)));
        names.sort();
        Ok(names)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.call()?;
        if state.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(self.file(state.create(path)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.call()?;
        Ok(self.file(state.find(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        let id = state.find(from)?;
        let change = vec![(name(from), None), (name(to), Some(id))];
        state.change(from.parent().unwrap(), change)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        state.find(path)?;
        state.change(path.parent().unwrap(), vec![(name(path), None)])
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.call()? {
            state.dir(dir)?.pending.clear();
            return Err(io::Error::other("injected"));
        }
        let dir = state.dir(dir)?;
        dir.durable = dir.current.clone();
        dir.pending.clear();
        Ok(())
    }

    fn lock(&self, dir: &Path) -> Result<Box<dyn DirLock>, LockError> {
        match self.state().call() {
            Ok(_) => Ok(Box::new(MemLock)),
            Err(error) => Err(DiskError::new("lock", dir, error).into()),
        }
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.call()?;
        let bytes = &state.files[self.id].current;
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let outcome = state.call();
        state.writes += 1;
        let end = usize::try_from(offset).unwrap() + data.len();
        let more = end.saturating_sub(state.files[self.id].current.len());
        if state.space.is_some_and(|space| space < state.used() + more) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A write that fails gets halfway; one during which the process dies, anywhere.
        let data = if matches!(outcome, Ok(true)) { &data[..data.len() / 2] } else { data };
        let change = Change::Write(usize::try_from(offset).unwrap(), data.to_vec());
        change.apply(&mut state.files[self.id].current);
        state.files[self.id].pending.push(change);
        match outcome {
            Ok(true) => Err(io::Error::other("injected")),
            outcome => outcome.map(|_| ()),
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let failed = state.call()?;
        state.syncs += 1;
        let file = &mut state.files[self.id];
        let pending = std::mem::take(&mut file.pending);
        if failed {
            return Err(io::Error::other("injected"));
        }
        // Not simply `durable = current`: what a failed sync dropped is never written again.
        for change in pending {
            change.apply(&mut file.durable);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.call()?;
        Ok(state.files[self.id].current.len() as u64)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call()?;
        let change = Change::Len(usize::try_from(len).unwrap());
        let file = &mut state.files[self.id];
        change.apply(&mut file.current);
        file.pending.push(change);
        Ok(())
    }
}
