//! What can be done to a cluster, and how a scenario's file says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use raft_api::units::{ByteSize, DurationRange};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::target::{Aim, Target};

/// Something that is done to a cluster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// SIGKILL, and a new start after a while.
    Kill(Kill),
    /// SIGKILL, and what was not synced is gone.
    PowerLoss(Kill),
    /// SIGTERM, and a new start at once.
    Restart(Restart),
    /// SIGSTOP, and SIGCONT after a while.
    Pause(Pause),
    /// Some nodes cannot reach some others.
    Partition(Partition),
    /// Links are slow, lossy, narrow or break.
    Link(Links),
    /// Links of some nodes are cut one by one, and heal in another order.
    Swizzle(Swizzle),
    /// Every sync takes longer.
    SlowDisk(SlowDisk),
    /// The next sync fails, which ends the node; it is started again after a while.
    DiskError(DiskFault),
    /// The disk is full.
    DiskFull(DiskFault),
    /// A bit of a stopped node's files is flipped.
    BitFlip(Flip),
    /// The wall clock jumps or drifts.
    Clock(Clock),
    /// The node may open no more files.
    FileDescriptors(FileDescriptors),
    /// Nobody reads the node's log.
    BlockLog(LogPipe),
    /// The leader hands over to another node.
    Transfer(Transfer),
    /// A member is replaced, or the cluster grows and shrinks.
    Membership(Membership),
}

/// See [`Fault::Kill`] and [`Fault::PowerLoss`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kill {
    #[serde(default = "any")]
    pub(crate) target: Aim,
    #[serde(default = "downtime")]
    pub(crate) downtime: DurationRange,
}

/// See [`Fault::Restart`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restart {
    #[serde(default = "next")]
    pub(crate) target: Aim,
}

/// See [`Fault::Pause`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pause {
    #[serde(default = "leader")]
    pub(crate) target: Aim,
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// Who is cut off from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// The target reaches nobody, and nobody reaches it.
    Isolate,
    /// Two halves; the leader may be in either.
    Halves,
    /// Every node sees a majority, each another one.
    Ring,
    /// Two halves that only one node joins.
    Bridge,
    /// The target hears nobody, but is heard.
    OneWayIn,
    /// The target is not heard, but hears.
    OneWayOut,
}

/// How a link is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Bytes go nowhere, connections stay.
    #[default]
    Hang,
    /// Connections are reset and refused.
    Refuse,
}

/// See [`Fault::Partition`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partition {
    #[serde(default = "isolate", deserialize_with = "one_or_many")]
    pub(crate) shape: Vec<Shape>,
    /// Of whom, for shapes around one node.
    #[serde(default = "leader")]
    pub(crate) target: Aim,
    #[serde(default)]
    pub(crate) mode: Mode,
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// Which links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinksOf {
    /// All of them.
    #[default]
    All,
    /// Those from and to the target.
    Target,
    /// Both directions between two nodes.
    Pair,
}

/// See [`Fault::Link`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "that is what it is called in a scenario")]
pub(crate) struct Links {
    #[serde(default)]
    pub(crate) links: LinksOf,
    #[serde(default = "leader")]
    pub(crate) target: Aim,
    /// Each piece comes so much later, within the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay: Option<DurationRange>,
    /// So many pieces are lost and sent again by TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loss: Option<Percent>,
    /// Bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<ByteSize>,
    /// So likely is a connection reset within a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reset: Option<Percent>,
    /// Now and then nothing goes through for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stall: Option<DurationRange>,
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// See [`Fault::Swizzle`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Swizzle {
    /// How long cutting and healing take together.
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// See [`Fault::SlowDisk`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowDisk {
    #[serde(default = "leader")]
    pub(crate) target: Aim,
    /// How much longer each sync takes.
    pub(crate) sync: DurationRange,
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// See [`Fault::DiskError`] and [`Fault::DiskFull`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskFault {
    #[serde(default = "any")]
    pub(crate) target: Aim,
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// See [`Fault::BitFlip`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flip {
    #[serde(default = "follower")]
    pub(crate) target: Aim,
}

/// See [`Fault::Clock`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clock {
    #[serde(default = "leader")]
    pub(crate) target: Aim,
    /// By how many seconds the wall clock jumps; below 0, back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jump_s: Option<i64>,
    /// How fast all clocks go, in hundredths: 100 is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate_percent: Option<u32>,
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// See [`Fault::FileDescriptors`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileDescriptors {
    #[serde(default = "any")]
    pub(crate) target: Aim,
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// See [`Fault::BlockLog`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogPipe {
    #[serde(default = "leader")]
    pub(crate) target: Aim,
    #[serde(rename = "for")]
    pub(crate) lasts: DurationRange,
}

/// See [`Fault::Transfer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    /// To whom.
    #[serde(default = "follower")]
    pub(crate) target: Aim,
}

/// What becomes of the membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MembershipChange {
    /// A new node for the target.
    Replace,
    /// Two more nodes.
    Grow,
    /// Two nodes fewer.
    Shrink,
}

/// See [`Fault::Membership`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    pub(crate) change: MembershipChange,
    #[serde(default = "any")]
    pub(crate) target: Aim,
}

/// What nodes suffer that no proxy and no signal gives, for [`Fault::needs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeFault {
    /// Links through proxies.
    Net,
    /// The server's laboratory disk.
    Disk,
    /// libfaketime.
    Clock,
    /// Logs through a pipe of ours.
    Log,
    /// Nothing but signals and calls.
    None,
}

/// A share: `10%`, `0.5%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Percent(pub(crate) f64);

fn any() -> Aim {
    Target::Any.into()
}

fn leader() -> Aim {
    Target::Leader.into()
}

fn follower() -> Aim {
    Target::Follower.into()
}

fn next() -> Aim {
    Target::Next.into()
}

fn isolate() -> Vec<Shape> {
    vec![Shape::Isolate]
}

fn downtime() -> DurationRange {
    let ms = Duration::from_millis;
    DurationRange::new(ms(500), ms(1000)).expect("written the right way round")
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Shape>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        One(Shape),
        Many(Vec<Shape>),
    }
    let shapes = match Raw::deserialize(deserializer)? {
        Raw::One(shape) => vec![shape],
        Raw::Many(shapes) => shapes,
    };
    if shapes.is_empty() {
        return Err(serde::de::Error::custom("name a shape"));
    }
    Ok(shapes)
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix('%').map(str::trim).map(str::parse::<f64>);
        match number {
            Some(Ok(percent)) if (0.0..=100.0).contains(&percent) => Ok(Self(percent)),
            _ => Err(format!("`{text}` is no share: write 10% or 0.5%")),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Fault {
    /// What it is called, in scenarios, events and reports.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::PowerLoss(_) => "power_loss",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Partition(_) => "partition",
            Self::Link(_) => "link",
            Self::Swizzle(_) => "swizzle",
            Self::SlowDisk(_) => "slow_disk",
            Self::DiskError(_) => "disk_error",
            Self::DiskFull(_) => "disk_full",
            Self::BitFlip(_) => "bit_flip",
            Self::Clock(_) => "clock",
            Self::FileDescriptors(_) => "fds",
            Self::BlockLog(_) => "block_log",
            Self::Transfer(_) => "transfer",
            Self::Membership(_) => "membership",
        }
    }

    /// Whom it hits; nothing if it is not about some node.
    pub(crate) fn target(&self) -> Option<&Aim> {
        match self {
            Self::Kill(kill) | Self::PowerLoss(kill) => Some(&kill.target),
            Self::Restart(it) => Some(&it.target),
            Self::Pause(it) => Some(&it.target),
            Self::Partition(it) => Some(&it.target),
            Self::Link(it) => Some(&it.target),
            Self::Swizzle(_) => None,
            Self::SlowDisk(it) => Some(&it.target),
            Self::DiskError(it) | Self::DiskFull(it) => Some(&it.target),
            Self::BitFlip(it) => Some(&it.target),
            Self::Clock(it) => Some(&it.target),
            Self::FileDescriptors(it) => Some(&it.target),
            Self::BlockLog(it) => Some(&it.target),
            Self::Transfer(it) => Some(&it.target),
            Self::Membership(it) => Some(&it.target),
        }
    }

    /// The same fault, to these.
    pub(crate) fn aimed_at(mut self, aim: Aim) -> Self {
        match &mut self {
            Self::Kill(kill) | Self::PowerLoss(kill) => kill.target = aim,
            Self::Restart(it) => it.target = aim,
            Self::Pause(it) => it.target = aim,
            Self::Partition(it) => it.target = aim,
            Self::Link(it) => it.target = aim,
            Self::Swizzle(_) => (),
            Self::SlowDisk(it) => it.target = aim,
            Self::DiskError(it) | Self::DiskFull(it) => it.target = aim,
            Self::BitFlip(it) => it.target = aim,
            Self::Clock(it) => it.target = aim,
            Self::FileDescriptors(it) => it.target = aim,
            Self::BlockLog(it) => it.target = aim,
            Self::Transfer(it) => it.target = aim,
            Self::Membership(it) => it.target = aim,
        }
        self
    }

    /// How long it lasts, or how long a node stays down; nothing if it is over at once.
    pub(crate) fn lasts(&self) -> Option<DurationRange> {
        match self {
            Self::Kill(kill) | Self::PowerLoss(kill) => Some(kill.downtime),
            Self::Pause(it) => Some(it.lasts),
            Self::Partition(it) => Some(it.lasts),
            Self::Link(it) => Some(it.lasts),
            Self::Swizzle(it) => Some(it.lasts),
            Self::SlowDisk(it) => Some(it.lasts),
            Self::DiskError(it) | Self::DiskFull(it) => Some(it.lasts),
            Self::Clock(it) => Some(it.lasts),
            Self::FileDescriptors(it) => Some(it.lasts),
            Self::BlockLog(it) => Some(it.lasts),
            Self::Restart(_) | Self::BitFlip(_) | Self::Transfer(_) | Self::Membership(_) => None,
        }
    }

    /// The same fault, for exactly so long.
    pub(crate) fn lasting(mut self, time: Duration) -> Self {
        let exactly = DurationRange::exactly(time);
        match &mut self {
            Self::Kill(kill) | Self::PowerLoss(kill) => kill.downtime = exactly,
            Self::Pause(it) => it.lasts = exactly,
            Self::Partition(it) => it.lasts = exactly,
            Self::Link(it) => it.lasts = exactly,
            Self::Swizzle(it) => it.lasts = exactly,
            Self::SlowDisk(it) => it.lasts = exactly,
            Self::DiskError(it) | Self::DiskFull(it) => it.lasts = exactly,
            Self::Clock(it) => it.lasts = exactly,
            Self::FileDescriptors(it) => it.lasts = exactly,
            Self::BlockLog(it) => it.lasts = exactly,
            Self::Restart(_) | Self::BitFlip(_) | Self::Transfer(_) | Self::Membership(_) => (),
        }
        self
    }

    /// What must be in place from the start for it to be possible.
    pub(crate) fn needs(&self) -> NodeFault {
        match self {
            Self::Partition(_) | Self::Link(_) | Self::Swizzle(_) => NodeFault::Net,
            Self::PowerLoss(_) | Self::SlowDisk(_) | Self::DiskError(_) | Self::DiskFull(_) => {
                NodeFault::Disk
            }
            Self::Clock(_) => NodeFault::Clock,
            Self::BlockLog(_) => NodeFault::Log,
            Self::Kill(_)
            | Self::Restart(_)
            | Self::Pause(_)
            | Self::BitFlip(_)
            | Self::FileDescriptors(_)
            | Self::Transfer(_)
            | Self::Membership(_) => NodeFault::None,
        }
    }

    /// Whether the nodes that it hits may be missing meanwhile.
    pub(crate) fn takes_down(&self) -> bool {
        !matches!(
            self,
            Self::Link(_)
                | Self::SlowDisk(_)
                | Self::Clock(_)
                | Self::FileDescriptors(_)
                | Self::Transfer(_)
                | Self::Membership(_)
        )
    }

    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(aim) = self.target() {
            aim.check()?;
        }
        match self {
            Self::Link(links)
                if links.delay.is_none()
                    && links.loss.is_none()
                    && links.rate.is_none()
                    && links.reset.is_none()
                    && links.stall.is_none() =>
            {
                Err("a link fault needs delay, loss, rate, reset or stall".to_owned())
            }
            Self::Link(links) if links.rate.is_some_and(|rate| rate.0 < 1024) => {
                Err("a rate below 1k lets nothing through; cut the link instead".to_owned())
            }
            Self::Clock(clock) if clock.jump_s.is_none() && clock.rate_percent.is_none() => {
                Err("a clock fault needs jump_s or rate_percent".to_owned())
            }
            _ => Ok(()),
        }
    }
}
