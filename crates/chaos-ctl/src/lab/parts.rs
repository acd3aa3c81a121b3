//! What must be in place from the start so that faults are possible: proxies on the links,
//! laboratory disks, clocks that can be turned.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chaos_net::Net;
use raft_api::cluster::ClusterConfig;

use super::disks::Disks;
use crate::NodeId;
use crate::cluster::Extra;
use crate::exit::Failure;
use crate::plan::{NodeFault, Scenario};
use crate::system::{Etcd, System};

/// What is in place.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The links, if they run through proxies.
    pub(crate) net: Option<Arc<Net>>,
    /// The laboratory disks, if the nodes have them.
    pub(crate) disks: Option<Disks>,
    /// Where the nodes' clocks are set, if they can be.
    pub(crate) clocks: Option<PathBuf>,
    /// Why something is not in place.
    pub(crate) missing: BTreeMap<&'static str, String>,
    /// What each node is told because of them.
    pub(crate) extra: BTreeMap<NodeId, Extra>,
    /// Whose servers the nodes are.
    pub(crate) system: System,
}

impl Parts {
    /// Puts in place what a scenario needs, for nodes with ids up to a number, with files in a directory.
    pub(crate) async fn prepare(
        scenario: &Scenario,
        config: &ClusterConfig,
        ids: u16,
        (seed, dir, system): (u64, &Path, System),
    ) -> Result<Self, Failure> {
        let mut parts = Self { system, ..Self::default() };
        let ids: BTreeSet<u64> = (1..=u64::from(ids)).collect();
        if let System::Etcd(etcd) = &mut parts.system {
            parts.missing = missing_for_etcd(scenario);
            if scenario.needs(NodeFault::Net) {
                parts.net = Some(Arc::new(net_of_etcd(etcd, config, seed).await?));
            }
            return Ok(parts);
        }
        if scenario.needs(NodeFault::Net) {
            parts.add_net(config, &ids, seed).await?;
        }
        if scenario.needs(NodeFault::Disk) {
            parts.add_disks(&dir.join("disks"), &ids, seed)?;
        }
        if scenario.needs(NodeFault::Clock) {
            parts.add_clocks(&dir.join("clocks"), &ids)?;
        }
        if scenario.needs(NodeFault::Log) {
            for id in ids {
                let extra = parts.extra(id);
                extra.piped = true;
                // Somebody who says little is not held up soon.
                extra.env.push(("RUST_LOG".to_owned(), "debug".to_owned()));
            }
        }
        Ok(parts)
    }

    /// Puts in place what a person may ask for while the cluster runs: proxies on all links, and
    /// laboratory disks.
    pub(crate) async fn for_orders(
        config: &ClusterConfig,
        (seed, dir): (u64, &Path),
    ) -> Result<Self, Failure> {
        let mut parts = Self::default();
        let ids = config.nodes.iter().map(|node| node.id.0).collect();
        parts.add_net(config, &ids, seed).await?;
        parts.add_disks(&dir.join("disks"), &ids, seed)?;
        Ok(parts)
    }

    fn extra(&mut self, id: u64) -> &mut Extra {
        self.extra.entry(NodeId(id)).or_default()
    }

    async fn add_net(
        &mut self,
        config: &ClusterConfig,
        ids: &BTreeSet<u64>,
        seed: u64,
    ) -> Result<(), Failure> {
        let net = Net::new(seed);
        let mut targets = BTreeMap::new();
        for &id in ids {
            let newcomer = || config.newcomer(NodeId(id), None).map_err(Failure::usage);
            let node = config.node(NodeId(id)).cloned().map_or_else(newcomer, Ok)?;
            targets.insert(id, plain(&node.peer)?);
        }
        for link in chaos_net::partition::all(ids) {
            let target = targets[&link.to];
            let added = net.add(link, None, target).await;
            let address = added.map_err(|error| Failure::usage(format!("no proxy: {error}")))?;
            let dial = format!("{}={address}", link.to);
            self.extra(link.from).args.extend([OsString::from("--dial"), dial.into()]);
        }
        self.net = Some(Arc::new(net));
        Ok(())
    }

    fn add_disks(&mut self, dir: &Path, ids: &BTreeSet<u64>, seed: u64) -> Result<(), Failure> {
        let disks = Disks::prepare(dir, ids, seed)?;
        for &id in ids {
            let place = disks.place(NodeId(id)).into_os_string();
            self.extra(id).args.extend([OsString::from("--debug-faults"), place]);
        }
        self.disks = Some(disks);
        Ok(())
    }

    fn add_clocks(&mut self, dir: &Path, ids: &BTreeSet<u64>) -> Result<(), Failure> {
        let Some(library) = faketime() else {
            let why = "libfaketime is not installed here (Debian: apt-get install libfaketime)";
            self.missing.insert("clock", why.to_owned());
            return Ok(());
        };
        let failed = |error: std::io::Error| {
            Failure::usage(format!("could not write to {}: {error}", dir.display()))
        };
        std::fs::create_dir_all(dir).map_err(failed)?;
        for &id in ids {
            let file = dir.join(format!("n{id}"));
            std::fs::write(&file, "+0\n").map_err(failed)?;
            let file = std::path::absolute(file).map_err(failed)?;
            let env = [
                ("LD_PRELOAD", library.display().to_string()),
                ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
                ("FAKETIME_NO_CACHE", "1".to_owned()),
                ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ];
            let env = env.map(|(name, value)| (name.to_owned(), value));
            self.extra(id).env.extend(env);
        }
        self.clocks = Some(dir.to_owned());
        Ok(())
    }
}

fn plain(address: &str) -> Result<SocketAddr, Failure> {
    address
        .parse()
        .map_err(|_no_address| Failure::usage(format!("a link to {address} needs a plain address")))
}

/// etcd gives one address of each member to all others: one proxy for each, that sees who dials.
async fn net_of_etcd(etcd: &mut Etcd, config: &ClusterConfig, seed: u64) -> Result<Net, Failure> {
    let net = Net::new(seed);
    let all: BTreeSet<u64> = config.nodes.iter().map(|node| node.id.0).collect();
    for node in &config.nodes {
        let others = all.iter().copied().filter(|id| *id != node.id.0).collect();
        let added = net.add_shared(&others, node.id.0, plain(&node.peer)?, etcd.who()).await;
        let address = added.map_err(|error| Failure::usage(format!("no proxy: {error}")))?;
        etcd.advertise(node.id, address);
    }
    Ok(net)
}

/// What cannot be had with etcd, of what a scenario needs.
fn missing_for_etcd(scenario: &Scenario) -> BTreeMap<&'static str, String> {
    let parts = [
        (NodeFault::Disk, "disk", "the laboratory disk is part of our own server"),
        (NodeFault::Clock, "clock", "etcd asks the kernel for the time, past libfaketime"),
        (NodeFault::Log, "log", "etcd logs too little to fill a pipe"),
    ];
    let needed = parts.into_iter().filter(|(needs, ..)| scenario.needs(*needs));
    needed.map(|(_, part, why)| (part, why.to_owned())).collect()
}

/// The library that turns clocks, if it is installed.
pub(crate) fn faketime() -> Option<PathBuf> {
    let multiarch = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    let dirs =
        [multiarch.as_str(), "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime"];
    let mut files = dirs.iter().map(|dir| Path::new(dir).join("libfaketimeMT.so.1"));
    files.find(|file| file.is_file())
}
