//! What a person asks of a running cluster from another terminal, and what the runner answers.
//!
//! A runner listens on a socket in its cluster's folder. One line of JSON is one order, and one line
//! is its answer; a connection may carry several, one after the other.

mod socket;

use std::fmt;

use raft_api::units::{ByteSize, DurationRange, HumanDuration};
use serde::{Deserialize, Serialize};

use crate::exit::{Code, Failure};
use crate::plan::{Percent, Target};

pub(crate) use socket::{Asked, Orders, ask};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Order {
    /// End nodes by a signal. Without a time they stay down.
    Kill { target: Target, signal: Blow, restart_after: Option<HumanDuration> },
    /// End nodes gently; they stay down.
    Stop { target: Target },
    /// Start nodes that are down.
    Start { target: Target },
    /// End nodes gently, and start them again at once.
    Restart { target: Target },
    /// Let nodes stand still.
    Pause { target: Target, lasts: Option<HumanDuration> },
    /// Let them go on.
    Resume { target: Target },
    /// Cut the cluster into parts.
    Partition { cut: String, one_way: Option<Way>, refuse: bool, lasts: Option<HumanDuration> },
    /// Make links slow, lossy, narrow or dead.
    Link { links: String, effect: Effect, lasts: Option<HumanDuration> },
    /// Undo.
    Heal { what: Scope },
    /// Kill nodes, and what they had not synced is gone.
    PowerLoss { target: Target, restart_after: Option<HumanDuration> },
    /// Trouble a disk.
    Disk { target: Target, trouble: DiskTrouble, lasts: Option<HumanDuration> },
}

/// Signals that end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "UPPERCASE")]
#[value(rename_all = "UPPER")]
pub(crate) enum Blow {
    Kill,
    Term,
    Int,
    Quit,
    Abrt,
    Segv,
}

/// Which way a node is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// It hears nobody.
    In,
    /// Nobody hears it.
    Out,
}

/// What is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scope {
    /// All that was done, and nodes that are down are started.
    All,
    /// Pauses, links and disks; what is down stays down.
    Faults,
    /// Links alone.
    Links,
}

/// What links are made to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Effect {
    pub(crate) delay: Option<HumanDuration>,
    pub(crate) jitter: Option<HumanDuration>,
    pub(crate) loss: Option<Percent>,
    /// Bytes in a second.
    pub(crate) rate: Option<ByteSize>,
    pub(crate) hang: bool,
    /// How likely a connection is reset within a second.
    pub(crate) reset: Option<Percent>,
}

/// What a disk suffers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DiskTrouble {
    /// Each sync takes so much longer.
    SlowFsync(DurationRange),
    /// No write finds room.
    Full,
    /// The next sync fails.
    IoError,
}

impl Blow {
    pub(crate) fn signal(self) -> nix::sys::signal::Signal {
        use nix::sys::signal::Signal;
        match self {
            Self::Kill => Signal::SIGKILL,
            Self::Term => Signal::SIGTERM,
            Self::Int => Signal::SIGINT,
            Self::Quit => Signal::SIGQUIT,
            Self::Abrt => Signal::SIGABRT,
            Self::Segv => Signal::SIGSEGV,
        }
    }
}

/// The order as it is typed.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = |f: &mut fmt::Formatter<'_>, name: &str, value: Option<String>| match value {
            Some(value) => write!(f, " --{name} {value}"),
            None => Ok(()),
        };
        let time = |time: &Option<HumanDuration>| time.map(|time| time.to_string());
        match self {
            Self::Kill { target, signal, restart_after } => {
                write!(f, "kill {target}")?;
                let signal = (*signal != Blow::Kill).then(|| signal.signal().as_str()[3..].into());
                option(f, "signal", signal)?;
                option(f, "restart-after", time(restart_after))
            }
            Self::Stop { target } => write!(f, "stop {target}"),
            Self::Start { target } => write!(f, "start {target}"),
            Self::Restart { target } => write!(f, "restart {target}"),
            Self::Pause { target, lasts } => {
                write!(f, "pause {target}")?;
                option(f, "for", time(lasts))
            }
            Self::Resume { target } => write!(f, "resume {target}"),
            Self::Partition { cut, one_way, refuse, lasts } => {
                write!(f, "partition {cut}")?;
                let way = one_way.map(|way| if way == Way::In { "in" } else { "out" }.to_owned());
                option(f, "one-way", way)?;
                f.write_str(if *refuse { " --refuse" } else { "" })?;
                option(f, "for", time(lasts))
            }
            Self::Link { links, effect, lasts } => {
                write!(f, "link {links}")?;
                option(f, "delay", time(&effect.delay))?;
                option(f, "jitter", time(&effect.jitter))?;
                option(f, "loss", effect.loss.map(|it| it.to_string()))?;
                option(f, "rate", effect.rate.map(|it| it.to_string()))?;
                f.write_str(if effect.hang { " --hang" } else { "" })?;
                option(f, "reset", effect.reset.map(|it| it.to_string()))?;
                option(f, "for", time(lasts))
            }
            Self::Heal { what } => {
                let what = match what {
                    Scope::All => "all",
                    Scope::Faults => "faults",
                    Scope::Links => "links",
                };
                write!(f, "heal {what}")
            }
            Self::PowerLoss { target, restart_after } => {
                write!(f, "power-loss {target}")?;
                option(f, "restart-after", time(restart_after))
            }
            Self::Disk { target, trouble, lasts } => {
                match trouble {
                    DiskTrouble::SlowFsync(more) => write!(f, "disk {target} --slow-fsync {more}")?,
                    DiskTrouble::Full => write!(f, "disk {target} --full")?,
                    DiskTrouble::IoError => write!(f, "disk {target} --io-error")?,
                }
                option(f, "for", time(lasts))
            }
        }
    }
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It was done: what, and what shows it.
    Done { lines: Vec<String> },
    /// It was not done, and nothing was.
    Refused { why: String, hint: Option<String> },
}

impl Answer {
    pub(crate) fn of(outcome: Result<Vec<String>, Failure>) -> Self {
        match outcome {
            Ok(lines) => Self::Done { lines },
            Err(failure) => {
                Self::Refused { why: format!("{:#}", failure.error), hint: failure.hint }
            }
        }
    }

    /// What the command that asked makes of it.
    pub(crate) fn lines(self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Done { lines } => Ok(lines),
            Self::Refused { why, hint } => Err(Failure { hint, ..Failure::new(Code::Usage, why) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation says of the wire.
    #[test]
    fn the_documented_lines_are_read() {
        let page = include_str!("../../../docs/chaos.md");
        let line = |begin: &str| page.lines().map(str::trim).find(|it| it.starts_with(begin));
        let order: Order = serde_json::from_str(line("{\"order\"").unwrap()).unwrap();
        assert_eq!(order.to_string(), "pause leader --for 5s");
        let answer: Answer = serde_json::from_str(line("{\"outcome\"").unwrap()).unwrap();
        assert!(answer.lines().unwrap()[0].contains("SIGSTOP, seen stopped"));
    }

    #[test]
    fn an_order_is_shown_as_it_is_typed_and_survives_the_wire() {
        let time = |text: &str| Some(text.parse::<HumanDuration>().unwrap());
        let target = || "n1,n3".parse::<Target>().unwrap();
        let effect = Effect {
            delay: time("80ms"),
            jitter: time("30ms"),
            loss: Some("10%".parse().unwrap()),
            rate: Some("1MiB".parse().unwrap()),
            hang: true,
            reset: Some("5%".parse().unwrap()),
        };
        let slow = DiskTrouble::SlowFsync("50ms".parse().unwrap());
        let cut = || "1,2/3".to_owned();
        let orders = [
            (
                Order::Kill {
                    target: Target::Leader,
                    signal: Blow::Term,
                    restart_after: time("3s"),
                },
                "kill leader --signal TERM --restart-after 3s",
            ),
            (Order::Stop { target: target() }, "stop n1,n3"),
            (Order::Start { target: Target::All }, "start all"),
            (Order::Restart { target: target() }, "restart n1,n3"),
            (Order::Pause { target: target(), lasts: time("5s") }, "pause n1,n3 --for 5s"),
            (Order::Resume { target: target() }, "resume n1,n3"),
            (
                Order::Partition {
                    cut: cut(),
                    one_way: Some(Way::In),
                    refuse: true,
                    lasts: time("8s"),
                },
                "partition 1,2/3 --one-way in --refuse --for 8s",
            ),
            (
                Order::Link { links: "1>2".to_owned(), effect, lasts: None },
                "link 1>2 --delay 80ms --jitter 30ms --loss 10% --rate 1MiB --hang --reset 5%",
            ),
            (Order::Heal { what: Scope::Links }, "heal links"),
            (
                Order::PowerLoss { target: target(), restart_after: time("1s") },
                "power-loss n1,n3 --restart-after 1s",
            ),
            (
                Order::Disk { target: target(), trouble: slow, lasts: None },
                "disk n1,n3 --slow-fsync 50ms",
            ),
        ];
        for (order, typed) in orders {
            assert_eq!(order.to_string(), typed);
            let line = serde_json::to_string(&order).unwrap();
            assert_eq!(serde_json::from_str::<Order>(&line).unwrap(), order, "{line}");
        }
    }
}
