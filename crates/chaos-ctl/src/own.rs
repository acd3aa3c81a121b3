//! A cluster that this program makes up for a run of its own: a folder, a file, ports that are free.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use anyhow::Context as _;
use raft_api::cluster::ClusterConfig;

use crate::exit::Failure;
use crate::home::Home;

/// What to make up.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The folder. What is in it must be an earlier run's: its files are overwritten, and its data
    /// is removed.
    pub dir: &'a Path,
    /// How its file begins, by which the folder is known as one of ours.
    pub mark: &'static str,
    /// The rest of the file, with `BASE_PORT` where the base of all ports belongs, and `NAME`.
    pub yaml: &'a str,
    /// The cluster's name.
    pub name: &'a str,
    /// Node ids from 1 to this find their ports free. Up to [`IDS_MAX`].
    pub ids: u16,
}

impl Own<'_> {
    /// Writes the cluster's file.
    pub fn write(&self) -> Result<ClusterConfig, Failure> {
        let Self { dir, mark, yaml, name, ids } = *self;
        fs::create_dir_all(dir).map_err(|error| {
            Failure::usage(format!("could not create {}: {error}", dir.display()))
        })?;
        self.expect_own_dir()?;
        let path = dir.join("cluster.yaml");
        let base =
            free_base(ids).ok_or_else(|| Failure::usage("no free ports from 7400 to 9800"))?;
        // Somebody may be running there now; their file is theirs until they are done.
        drop(Home::at(dir).lock()?);
        let yaml = yaml.replace("BASE_PORT", &base.to_string()).replace("NAME", name);
        fs::write(&path, format!("{mark}, and overwritten by the next one.\n{yaml}"))
            .with_context(|| format!("could not write {}", path.display()))?;
        ClusterConfig::load(&path).map_err(Failure::usage)
    }

    /// A lock alone is what is left of a run that did not come far.
    fn expect_own_dir(&self) -> Result<(), Failure> {
        let dir = self.dir.display();
        let config = fs::read_to_string(self.dir.join("cluster.yaml")).unwrap_or_default();
        if config.starts_with(self.mark) {
            return Ok(());
        }
        let entries = fs::read_dir(self.dir);
        let entries = entries
            .map_err(|error| Failure::usage(format!("could not look into {dir}: {error}")))?;
        let mut strange = entries.flatten().filter(|entry| entry.file_name() != "lock");
        if strange.next().is_some() {
            let what = self.mark.rsplit('`').nth(1).unwrap_or_default();
            return Err(Failure::usage(format!(
                "{dir} is not empty, and not of an earlier `{what}`"
            ))
            .hint("--dir names a folder that is new or empty"));
        }
        Ok(())
    }
}

/// Nodes that a run may need, at most.
pub const IDS_MAX: u16 = KIND - 5;

/// Ports of one kind lie below those of the next by this much.
const KIND: u16 = 100;

/// A base above which so many nodes find their ports free. Where the search begins depends on this
/// process, so that two runs that start together do not race for the same ports.
fn free_base(ids: u16) -> Option<u16> {
    const BLOCKS: u16 = 8;
    let width = ids + 1;
    let slots = (KIND - 4) / width;
    let places = BLOCKS * slots;
    let own = std::process::id() % u32::from(places);
    let own = u16::try_from(own).expect("below a small number");
    let mut bases = (0..places).map(|n| {
        let place = (own + n) % places;
        7400 + place / slots * (3 * KIND) + place % slots * width
    });
    bases.find(|base| are_free(*base, ids))
}

/// Whether so many nodes can have their ports above this number.
fn are_free(base: u16, ids: u16) -> bool {
    let kinds = [0, KIND, 2 * KIND].into_iter();
    let mut ports = kinds.flat_map(|kind| (1..=ids).map(move |id| base + kind + id));
    ports.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}
