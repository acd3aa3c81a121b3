//! The names of files: what is on the disk below, and what is not there yet.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::super::Disk;
use super::bytes::Bytes;
use super::{Inode, Place, Shared, guard};

#[derive(Default)]
pub(super) struct Names {
    /// Where the names differ from those on the disk below, and files that are open.
    dirs: BTreeMap<PathBuf, Directory>,
}

#[derive(Default)]
struct Directory {
    /// `None`: the file is gone.
    live: BTreeMap<String, Option<Arc<Inode>>>,
    /// In the order in which it happened.
    unsynced: Vec<Change>,
    /// A sync has failed: what it was to make durable stays as it is seen.
    torn: bool,
}

enum Change {
    Link(String, Arc<Inode>),
    Unlink(String),
    Rename(String, String, Arc<Inode>),
}

/// How files are called on the disk below that have no durable name yet. Recovery takes such names for
/// what they are: files that never took their place.
const NAMELESS: &str = "unnamed-";
const NAMELESS_END: &str = ".tmp";

impl Names {
    pub(super) fn list(&self, below: &dyn Disk, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = below.list(dir)?;
        names.retain(|name| !is_nameless(name));
        if let Some(directory) = self.dirs.get(dir) {
            names.retain(|name| !directory.live.contains_key(name));
            let live = directory.live.iter().filter(|(_, inode)| inode.is_some());
            names.extend(live.map(|(name, _)| name.clone()));
            names.sort_unstable();
        }
        Ok(names)
    }

    fn live(&self, dir: &Path, name: &str) -> Option<&Option<Arc<Inode>>> {
        self.dirs.get(dir)?.live.get(name)
    }

    /// Forgets what is as on the disk below.
    fn prune(&mut self) {
        for (path, directory) in &mut self.dirs {
            if directory.torn || !directory.unsynced.is_empty() {
                continue;
            }
            directory.live.retain(|name, inode| {
                inode.as_ref().is_some_and(|inode| {
                    let used = 1 < Arc::strong_count(inode);
                    used || !guard(&inode.bytes).is_clean() || inode.home() != path.join(name)
                })
            });
        }
        self.dirs
            .retain(|_, directory| !directory.live.is_empty() || !directory.unsynced.is_empty());
    }
}

impl Directory {
    /// Something nobody has synced happened. It, or something before it, may be durable at once.
    fn change(&mut self, shared: &Shared, dir: &Path, change: Change) -> io::Result<()> {
        self.unsynced.push(change);
        let before = self.unsynced.len();
        if shared.trouble.writes_back() {
            self.write_back(shared, dir)?;
        }
        let written = before - self.unsynced.len();
        let gauge = &shared.unsynced.names;
        gauge.fetch_add(1, Ordering::Relaxed);
        gauge.fetch_sub(written as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Makes any of the changes durable, with those before it on which it builds.
    fn write_back(&mut self, shared: &Shared, dir: &Path) -> io::Result<()> {
        let count = self.unsynced.len();
        let chosen = usize::try_from(shared.trouble.draw(count as u64)).unwrap_or(0);
        let (mut touched, mut goes) = (Vec::new(), vec![false; count]);
        for (at, change) in self.unsynced.iter().enumerate().take(chosen + 1).rev() {
            let names = change.names();
            if at == chosen || names.iter().any(|name| touched.contains(name)) {
                touched.extend(names);
                goes[at] = true;
            }
        }
        let mut left = Vec::new();
        for (change, goes) in std::mem::take(&mut self.unsynced).into_iter().zip(goes) {
            if goes {
                change.carry_out(&*shared.below, dir)?;
            } else {
                left.push(change);
            }
        }
        self.unsynced = left;
        Ok(())
    }
}

impl Change {
    fn names(&self) -> Vec<String> {
        match self {
            Self::Link(name, _) | Self::Unlink(name) => vec![name.clone()],
            Self::Rename(from, to, _) => vec![from.clone(), to.clone()],
        }
    }

    fn carry_out(self, below: &dyn Disk, dir: &Path) -> io::Result<()> {
        match self {
            Self::Link(name, inode) | Self::Rename(_, name, inode) => {
                let home = dir.join(name);
                below.rename(&inode.home(), &home)?;
                inode.moved(home);
                Ok(())
            }
            Self::Unlink(name) => match below.remove(&dir.join(name)) {
                // Its name was never durable: the sync of it had failed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
        }
    }
}

/// The file of this name.
pub(super) fn find(shared: &Arc<Shared>, path: &Path) -> io::Result<Arc<Inode>> {
    let mut names = shared.names();
    find_in(&mut names, shared, path)
}

fn find_in(names: &mut Names, shared: &Arc<Shared>, path: &Path) -> io::Result<Arc<Inode>> {
    let (dir, name) = split(path)?;
    match names.live(dir, &name) {
        Some(Some(inode)) => return Ok(Arc::clone(inode)),
        Some(None) => return Err(io::ErrorKind::NotFound.into()),
        None => (),
    }
    let bytes = Bytes::new(shared.below.open(path)?)?;
    let inode = inode(shared, bytes, Place { home: path.to_owned(), nameless: false, gone: false });
    names.prune();
    let directory = names.dirs.entry(dir.to_owned()).or_default();
    directory.live.insert(name, Some(Arc::clone(&inode)));
    Ok(inode)
}

pub(super) fn create(shared: &Arc<Shared>, path: &Path) -> io::Result<Arc<Inode>> {
    let (dir, name) = split(path)?;
    let mut names = shared.names();
    if names.list(&*shared.below, dir)?.contains(&name) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let (home, file) = nameless(&*shared.below, dir)?;
    let inode = inode(shared, Bytes::new(file)?, Place { home, nameless: true, gone: false });
    names.prune();
    let directory = names.dirs.entry(dir.to_owned()).or_default();
    directory.live.insert(name.clone(), Some(Arc::clone(&inode)));
    directory.change(shared, dir, Change::Link(name, Arc::clone(&inode)))?;
    drop(names);
    shared.tell();
    Ok(inode)
}

pub(super) fn rename(shared: &Arc<Shared>, from: &Path, to: &Path) -> io::Result<()> {
    let ((dir, from_name), (same, to_name)) = (split(from)?, split(to)?);
    assert_eq!(dir, same, "renamed from one directory into another");
    let mut names = shared.names();
    let inode = find_in(&mut names, shared, from)?;
    let directory = names.dirs.entry(dir.to_owned()).or_default();
    directory.live.insert(from_name.clone(), None);
    if let Some(Some(replaced)) = directory.live.insert(to_name.clone(), Some(Arc::clone(&inode))) {
        guard(&replaced.place).gone = true;
    }
    directory.change(shared, dir, Change::Rename(from_name, to_name, inode))?;
    drop(names);
    shared.tell();
    Ok(())
}

pub(super) fn remove(shared: &Arc<Shared>, path: &Path) -> io::Result<()> {
    let (dir, name) = split(path)?;
    let mut names = shared.names();
    let inode = find_in(&mut names, shared, path)?;
    guard(&inode.place).gone = true;
    let directory = names.dirs.entry(dir.to_owned()).or_default();
    directory.live.insert(name.clone(), None);
    directory.change(shared, dir, Change::Unlink(name))?;
    drop(names);
    drop(inode);
    shared.tell();
    Ok(())
}

/// Makes the names in a directory durable.
pub(super) fn sync(shared: &Shared, dir: &Path) -> io::Result<()> {
    let mut names = shared.names();
    if let Some(directory) = names.dirs.get_mut(dir) {
        for change in std::mem::take(&mut directory.unsynced) {
            shared.unsynced.names.fetch_sub(1, Ordering::Relaxed);
            change.carry_out(&*shared.below, dir)?;
        }
    }
    names.prune();
    drop(names);
    shared.tell();
    shared.below.sync_dir(dir)
}

/// A sync has failed: the names are taken for durable.
pub(super) fn forget(shared: &Shared, dir: &Path) {
    let mut names = shared.names();
    if let Some(directory) = names.dirs.get_mut(dir) {
        directory.torn = true;
        let count = directory.unsynced.drain(..).count();
        shared.unsynced.names.fetch_sub(count as u64, Ordering::Relaxed);
    }
    drop(names);
    shared.tell();
}

/// Removes what an earlier process left without a name.
pub(super) fn sweep(below: &dyn Disk, dir: &Path) {
    // Who is no directory has no names, and what cannot be removed is not seen either.
    for name in below.list(dir).unwrap_or_default() {
        let path = dir.join(&name);
        if is_nameless(&name) {
            drop(below.remove(&path));
        } else {
            sweep(below, &path);
        }
    }
}

fn inode(shared: &Arc<Shared>, bytes: Bytes, place: Place) -> Arc<Inode> {
    let (bytes, place) = (Mutex::new(bytes), Mutex::new(place));
    Arc::new(Inode { disk: Arc::clone(shared), bytes, place })
}

/// A new file on the disk below that nobody sees.
fn nameless(
    below: &dyn Disk,
    dir: &Path,
) -> io::Result<(PathBuf, Box<dyn super::super::DiskFile>)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{NAMELESS}{number}{NAMELESS_END}"));
        match below.create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            created => return created.map(|file| (path, file)),
        }
    }
}

fn is_nameless(name: &str) -> bool {
    name.strip_prefix(NAMELESS).is_some_and(|rest| rest.ends_with(NAMELESS_END))
}

/// The directory of a path, and the name in it.
fn split(path: &Path) -> io::Result<(&Path, String)> {
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => Ok((dir, name.to_string_lossy().into_owned())),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}
