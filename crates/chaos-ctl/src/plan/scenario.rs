//! A scenario's file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use raft_api::units::{ByteSize, Count, DurationRange, HumanDuration};
use serde::{Deserialize, Serialize};

use super::fault::{
    Clock, DiskFault, Fault, FileDescriptors, Flip, Kill, Links, LogPipe, Membership, NodeFault,
    Partition, Pause, Restart, SlowDisk, Swizzle, Transfer,
};

/// What is done to a cluster, under which load, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Of the format: 1.
    pub(crate) version: u32,
    pub(crate) name: String,
    /// In a sentence.
    pub(crate) shows: String,
    #[serde(default = "three")]
    pub(crate) nodes: u16,
    /// A snapshot is made after so many entries. Few, so that nodes come back by snapshot and by log.
    #[serde(default = "snapshot")]
    pub(crate) snapshot: Count,
    /// Decides all that is left to chance; drawn if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// How many faults of `random`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rounds: Option<u32>,
    /// How long faults of `random` go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<HumanDuration>,
    /// The load runs so long before the first fault.
    #[serde(default = "warmup")]
    pub(crate) warmup: HumanDuration,
    #[serde(default)]
    pub(crate) guards: Guards,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) random: Option<Random>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) schedule: Vec<Step>,
    #[serde(default)]
    pub(crate) load: LoadPlan,
    #[serde(default)]
    pub(crate) expect: Expect,
}

/// What keeps a run sensible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guards {
    /// How many nodes may be down, paused or cut off at once.
    #[serde(default)]
    pub(crate) max_down: MaxDown,
    /// Whether a fault waits until the cluster is whole again after the one before. Without it
    /// faults overlap.
    #[serde(default = "yes")]
    pub(crate) healthy_first: bool,
}

impl Default for Guards {
    fn default() -> Self {
        Self { max_down: MaxDown::default(), healthy_first: true }
    }
}

/// How many nodes may be missing at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MaxDown {
    /// So that a majority is left.
    #[default]
    Minority,
    /// All of them.
    All,
}

/// Faults by chance, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Random {
    /// How long after the cluster is whole again; or, if faults overlap, after the fault before.
    pub(crate) every: DurationRange,
    pub(crate) faults: Vec<Step>,
}

/// A fault, and when it comes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// How often it is drawn, among the faults of `random`.
    pub(crate) weight: u32,
    /// From the end of the warm-up, in a `schedule`.
    pub(crate) at: Option<Duration>,
    /// What ends it before its time.
    pub(crate) until: Option<Condition>,
    pub(crate) fault: Fault,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    /// The others have dropped the log that the target would need: it has to get a snapshot.
    SnapshotNeeded,
    /// Another node leads.
    NewLeader,
}

/// What clients do meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadPlan {
    /// Operations under way at any time.
    #[serde(default = "ten")]
    pub(crate) concurrency: u16,
    /// Operations per second that are due, in all; as many as possible without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Count>,
    /// Bytes of each value.
    #[serde(default = "value")]
    pub(crate) value: ByteSize,
    /// How many keys the operations share.
    #[serde(default = "keys")]
    pub(crate) keys: Count,
    /// How often which operation is made.
    #[serde(default = "mix")]
    pub(crate) mix: BTreeMap<String, u32>,
    /// Which nodes are asked to read.
    #[serde(default = "leader")]
    pub(crate) read_from: String,
    /// How fresh reads are: `linearizable`, or `stale`, which may well fail.
    #[serde(default = "linearizable")]
    pub(crate) consistency: String,
}

impl Default for LoadPlan {
    fn default() -> Self {
        Self {
            concurrency: ten(),
            rate: None,
            value: value(),
            keys: keys(),
            mix: mix(),
            read_from: leader(),
            consistency: linearizable(),
        }
    }
}

/// What must be so, besides the promises that always must be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// Half of the gaps between acknowledged writes that faults make are not longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) median_gap: Option<HumanDuration>,
    /// None of them is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) longest_gap: Option<HumanDuration>,
    /// After the last fault the cluster is whole within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recovered_within: Option<HumanDuration>,
}

/// Why a file is no scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScenarioError(pub(crate) String);

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A step as it is written: exactly one of the faults is there.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<HumanDuration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kill: Option<Kill>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    power_loss: Option<Kill>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart: Option<Restart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<Pause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<Partition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<Links>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swizzle: Option<Swizzle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slow_disk: Option<SlowDisk>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk_error: Option<DiskFault>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk_full: Option<DiskFault>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bit_flip: Option<Flip>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<Clock>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fds: Option<FileDescriptors>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_log: Option<LogPipe>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transfer: Option<Transfer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    membership: Option<Membership>,
}

impl Entry {
    fn faults(self) -> impl Iterator<Item = Fault> {
        let all = [
            self.kill.map(Fault::Kill),
            self.power_loss.map(Fault::PowerLoss),
            self.restart.map(Fault::Restart),
            self.pause.map(Fault::Pause),
            self.partition.map(Fault::Partition),
            self.link.map(Fault::Link),
            self.swizzle.map(Fault::Swizzle),
            self.slow_disk.map(Fault::SlowDisk),
            self.disk_error.map(Fault::DiskError),
            self.disk_full.map(Fault::DiskFull),
            self.bit_flip.map(Fault::BitFlip),
            self.clock.map(Fault::Clock),
            self.fds.map(Fault::FileDescriptors),
            self.block_log.map(Fault::BlockLog),
            self.transfer.map(Fault::Transfer),
            self.membership.map(Fault::Membership),
        ];
        all.into_iter().flatten()
    }

    fn of(fault: Fault) -> Self {
        let mut entry = Self::default();
        match fault {
            Fault::Kill(it) => entry.kill = Some(it),
            Fault::PowerLoss(it) => entry.power_loss = Some(it),
            Fault::Restart(it) => entry.restart = Some(it),
            Fault::Pause(it) => entry.pause = Some(it),
            Fault::Partition(it) => entry.partition = Some(it),
            Fault::Link(it) => entry.link = Some(it),
            Fault::Swizzle(it) => entry.swizzle = Some(it),
            Fault::SlowDisk(it) => entry.slow_disk = Some(it),
            Fault::DiskError(it) => entry.disk_error = Some(it),
            Fault::DiskFull(it) => entry.disk_full = Some(it),
            Fault::BitFlip(it) => entry.bit_flip = Some(it),
            Fault::Clock(it) => entry.clock = Some(it),
            Fault::FileDescriptors(it) => entry.fds = Some(it),
            Fault::BlockLog(it) => entry.block_log = Some(it),
            Fault::Transfer(it) => entry.transfer = Some(it),
            Fault::Membership(it) => entry.membership = Some(it),
        }
        entry
    }
}

impl Serialize for Step {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = Entry::of(self.fault.clone());
        entry.weight = (self.weight != 1).then_some(self.weight);
        entry.at = self.at.map(HumanDuration);
        entry.until = self.until;
        entry.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = Entry::deserialize(deserializer)?;
        let (weight, at, until) = (entry.weight.unwrap_or(1), entry.at, entry.until);
        let mut faults = entry.faults();
        let (Some(fault), None) = (faults.next(), faults.next()) else {
            return Err(serde::de::Error::custom(
                "a step has exactly one fault, such as `kill: {target: leader}`",
            ));
        };
        fault.check().map_err(serde::de::Error::custom)?;
        Ok(Self { weight, at: at.map(|at| at.0), until, fault })
    }
}

fn three() -> u16 {
    3
}

fn snapshot() -> Count {
    Count(10_000)
}

fn ten() -> u16 {
    10
}

fn yes() -> bool {
    true
}

fn warmup() -> HumanDuration {
    HumanDuration(Duration::from_millis(1500))
}

fn value() -> ByteSize {
    ByteSize(128)
}

fn keys() -> Count {
    Count(64)
}

fn mix() -> BTreeMap<String, u32> {
    [("put", 45), ("get", 40), ("cas", 15)].map(|(kind, share)| (kind.to_owned(), share)).into()
}

fn leader() -> String {
    "leader".to_owned()
}

fn linearizable() -> String {
    "linearizable".to_owned()
}

/// The client takes no larger weights, and tells apart no shorter values.
const SHARE_MAX: u32 = 1_000_000;
const VALUE_BYTES_MIN: u64 = 16;

/// A cluster of more nodes is none of this program's.
const NODES_MAX: u16 = 9;

impl Scenario {
    /// Reads a scenario.
    pub(crate) fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            serde_yaml::from_str(text).map_err(|error| ScenarioError(error.to_string()))?;
        scenario.check().map_err(ScenarioError)?;
        Ok(scenario)
    }

    /// Reads a scenario's file.
    pub(crate) fn load(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ScenarioError(format!("could not read {}: {error}", path.display()))
        })?;
        Self::parse(&text).map_err(|error| ScenarioError(format!("{}: {error}", path.display())))
    }

    /// As a file that [`Scenario::parse`] reads.
    pub(crate) fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("plain data becomes YAML")
    }

    fn check(&self) -> Result<(), String> {
        if self.version != 1 {
            return Err(format!(
                "version {} is not known; this program reads version 1",
                self.version
            ));
        }
        let plain = |symbol: char| symbol.is_ascii_alphanumeric() || "-_".contains(symbol);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(format!("`{}` is no name: letters, digits, - and _", self.name));
        }
        if !(1..=NODES_MAX).contains(&self.nodes) {
            return Err(format!("{} nodes: from 1 to {NODES_MAX} can be run", self.nodes));
        }
        if self.snapshot.0 < 20 {
            return Err("`snapshot` is 20 entries or more".to_owned());
        }
        match &self.random {
            Some(random) if random.faults.iter().all(|step| step.weight == 0) => {
                return Err("`random` names no fault with a weight above 0".to_owned());
            }
            Some(_) if self.rounds.is_none() && self.duration.is_none() => {
                return Err("`random` needs `rounds` or `duration`: when does it end?".to_owned());
            }
            Some(random) if random.faults.iter().any(|step| step.at.is_some()) => {
                return Err("`at` belongs to the steps of `schedule`".to_owned());
            }
            None if self.schedule.is_empty() && self.duration.is_none() => {
                return Err("nothing is done: name `random` or `schedule`".to_owned());
            }
            _ => (),
        }
        if let Some(step) = self.schedule.iter().find(|step| step.at.is_none()) {
            return Err(format!("a {} in `schedule` needs `at`", step.fault.kind()));
        }
        if self.guards.max_down == MaxDown::Minority && self.nodes < 3 && self.has_faults() {
            return Err(format!(
                "no minority of {} nodes can be taken down; it takes three nodes or more, or \
                 `guards: {{max_down: all}}`",
                self.nodes
            ));
        }
        self.check_targets()?;
        self.load.check()
    }

    /// A fault for a node that never is would be waited for, and left out.
    fn check_targets(&self) -> Result<(), String> {
        let adds = |fault: &Fault| matches!(fault, Fault::Membership(_) | Fault::BitFlip(_));
        if self.faults().any(adds) {
            return Ok(());
        }
        let named = self.faults().filter_map(Fault::target).flat_map(super::target::Aim::named);
        let mut strange = named.filter(|id| u64::from(self.nodes) < id.0);
        match strange.next() {
            Some(id) => Err(format!("a fault is for {id}, and there are {} nodes", self.nodes)),
            None => Ok(()),
        }
    }

    fn has_faults(&self) -> bool {
        self.faults().any(Fault::takes_down)
    }

    /// All faults that may come.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        let random = self.random.iter().flat_map(|random| &random.faults);
        random.filter(|step| 0 < step.weight).chain(&self.schedule).map(|step| &step.fault)
    }

    /// Whether some fault needs this to be in place.
    pub(crate) fn needs(&self, part: NodeFault) -> bool {
        self.faults().any(|fault| fault.needs() == part)
    }
}

impl LoadPlan {
    fn check(&self) -> Result<(), String> {
        let known = ["put", "get", "cas"];
        if let Some(kind) = self.mix.keys().find(|kind| !known.contains(&kind.as_str())) {
            return Err(format!("`{kind}` is no operation that can be judged: put, get, cas"));
        }
        if self.mix.get("put").is_none_or(|share| *share == 0) {
            return Err("a load without puts shows nothing".to_owned());
        }
        if let Some((kind, _)) = self.mix.iter().find(|(_, share)| SHARE_MAX < **share) {
            return Err(format!("the share of {kind} is {SHARE_MAX} at most"));
        }
        if self.value.0 < VALUE_BYTES_MIN {
            return Err(format!(
                "values of {} cannot be told apart: {VALUE_BYTES_MIN} bytes or more",
                self.value
            ));
        }
        if self.keys.0 == 0 || self.concurrency == 0 {
            return Err("a load needs keys and concurrency".to_owned());
        }
        if !["leader", "follower", "any"].contains(&self.read_from.as_str()) {
            return Err(format!("read_from is leader, follower or any, not `{}`", self.read_from));
        }
        if !["linearizable", "stale"].contains(&self.consistency.as_str()) {
            return Err(format!(
                "consistency is linearizable or stale, not `{}`",
                self.consistency
            ));
        }
        Ok(())
    }

    /// The mix as the bench reads it: `cas=15,get=40,put=45`.
    pub(crate) fn mix_text(&self) -> String {
        let parts = self.mix.iter().filter(|(_, share)| 0 < **share);
        parts.map(|(kind, share)| format!("{kind}={share}")).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Target;
    use crate::plan::target::Aim;

    const STORM: &str = "
version: 1
name: storm
shows: Whoever leads is hit.
nodes: 5
duration: 5m
guards: {healthy_first: false}
random:
  every: 2-4s
  faults:
    - {weight: 5, kill: {target: {leader: 60, follower: 40}, downtime: 1-5s}}
    - {weight: 2, pause: {for: 1-4s}}
    - {partition: {shape: [isolate, ring], for: 3-10s}}
    - {link: {delay: 50-110ms, loss: 10%, for: 5-15s}}
schedule:
  - {at: 10s, power_loss: {target: all}}
  - {at: 25s, until: snapshot_needed, partition: {target: 3, for: 1m}}
";

    #[test]
    fn a_scenario_says_what_it_was_read_from() {
        let scenario = Scenario::parse(STORM).unwrap();
        assert_eq!(Scenario::parse(&scenario.to_yaml()).unwrap(), scenario);
        assert_eq!(scenario.schedule.len(), 2);
        assert_eq!(scenario.schedule[1].until, Some(Condition::SnapshotNeeded));
        let Fault::PowerLoss(kill) = &scenario.schedule[0].fault else { panic!() };
        assert_eq!(kill.target, Aim::One(Target::All));
        assert!(scenario.needs(NodeFault::Net) && scenario.needs(NodeFault::Disk));
        assert!(!scenario.needs(NodeFault::Clock));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let cases = [
            ("version: 1", "version: 2", "version 2 is not known"),
            ("duration: 5m\n", "", "when does it end"),
            ("{target: all}}", "{target: all}, kill: {}}", "exactly one fault"),
            ("at: 10s, ", "", "needs `at`"),
            ("{weight: 2, pause", "{at: 2s, pause", "`at` belongs"),
            ("delay: 50-110ms, loss: 10%, ", "", "needs delay"),
            ("loss: 10%", "loss: 10", "share"),
            ("downtime: 1-5s", "downtme: 1-5s", "downtme"),
            ("leader: 60, follower: 40", "leader: 0", "weight above 0"),
            ("nodes: 5", "nodes: 2", "no minority"),
            ("nodes: 5", "nodes: 0", "0 nodes"),
            ("name: storm", "name: ../storm", "is no name"),
            ("nodes: 5", "nodes: 5\nload: {mix: {append: 1}}", "append"),
            ("nodes: 5", "nodes: 5\nload: {mix: {put: 1000001}}", "the share of put"),
            ("nodes: 5", "nodes: 5\nload: {value: 8B}", "cannot be told apart"),
            ("target: 3,", "target: 6,", "a fault is for n6, and there are 5 nodes"),
            ("leader: 60, follower: 40", "leader: 60, n7: 40", "a fault is for n7"),
        ];
        for (from, to, message) in cases {
            assert!(STORM.contains(from), "{from}");
            let error = Scenario::parse(&STORM.replacen(from, to, 1)).unwrap_err();
            assert!(error.0.contains(message), "{to}: {error}");
        }
    }
}
