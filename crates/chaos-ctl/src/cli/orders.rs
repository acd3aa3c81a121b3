//! Orders to a cluster that runs: `kill`, `stop`, `start`, `restart`, `pause`, `resume`, `partition`,
//! `link`, `heal`, `power-loss` and `disk`.

use clap::Args;
use raft_api::units::{ByteSize, DurationRange, HumanDuration};

use super::Which;
use crate::control::{Blow, DiskTrouble, Effect, Order, Scope, Way, ask};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::plan::{Percent, Target};

/// Sends an order to whoever runs the cluster, and shows the answer.
async fn send(which: Which, order: Order) -> Result<Code, Failure> {
    let config = which.load()?;
    let answer = ask(&Home::of(&config), &config.name, &order).await?;
    let mut output = Output::stdout();
    for line in answer.lines()? {
        output.line(&line);
    }
    Ok(Code::Done)
}

/// Whom: leader, follower, any, minority, majority, all, or nodes as in n1 or 1,3.
#[derive(Debug, Args)]
struct Whom {
    /// Whom: leader, follower, any, minority, majority, all, or nodes as in n1 or 1,3
    #[arg(value_name = "TARGET")]
    target: Target,
    #[command(flatten)]
    which: Which,
}

/// End nodes with SIGKILL; they stay down until `start`
#[derive(Debug, Args)]
pub(super) struct Kill {
    #[command(flatten)]
    whom: Whom,
    /// The signal
    #[arg(long, value_enum, default_value = "KILL", ignore_case = true)]
    signal: Blow,
    /// Start them again so long after the signal
    #[arg(long, value_name = "TIME")]
    restart_after: Option<HumanDuration>,
}

impl Kill {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Self { whom: Whom { target, which }, signal, restart_after } = self;
        send(which, Order::Kill { target, signal, restart_after }).await
    }
}

/// End nodes with SIGTERM; they stay down until `start`
#[derive(Debug, Args)]
pub(super) struct Stop {
    #[command(flatten)]
    whom: Whom,
}

impl Stop {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Whom { target, which } = self.whom;
        send(which, Order::Stop { target }).await
    }
}

/// Start nodes that are down
#[derive(Debug, Args)]
pub(super) struct Start {
    #[command(flatten)]
    whom: Whom,
}

impl Start {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Whom { target, which } = self.whom;
        send(which, Order::Start { target }).await
    }
}

/// End nodes with SIGTERM and start them again at once; several at the same moment
#[derive(Debug, Args)]
pub(super) struct Restart {
    #[command(flatten)]
    whom: Whom,
}

impl Restart {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Whom { target, which } = self.whom;
        send(which, Order::Restart { target }).await
    }
}

/// Let nodes stand still (SIGSTOP)
#[derive(Debug, Args)]
pub(super) struct Pause {
    #[command(flatten)]
    whom: Whom,
    /// Let them go on after this time
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<HumanDuration>,
}

impl Pause {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Self { whom: Whom { target, which }, lasts } = self;
        send(which, Order::Pause { target, lasts }).await
    }
}

/// Let nodes go on that stand still (SIGCONT)
#[derive(Debug, Args)]
pub(super) struct Resume {
    #[command(flatten)]
    whom: Whom,
}

impl Resume {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Whom { target, which } = self.whom;
        send(which, Order::Resume { target }).await
    }
}

/// Cut the cluster into parts that cannot reach one another; needs `up --lab`
#[derive(Debug, Args)]
pub(super) struct Partition {
    /// Groups as in 1,2/3,4,5; or one node, cut off: leader, follower, n1; or ring: every node hears
    /// a majority, each another one; or halves, by chance
    cut: String,
    /// Cut one node off in one direction: `in`, it hears nobody; `out`, nobody hears it
    #[arg(long, value_enum)]
    one_way: Option<Way>,
    /// Reset and refuse connections instead of letting bytes go nowhere
    #[arg(long)]
    refuse: bool,
    /// Heal after this time
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<HumanDuration>,
    #[command(flatten)]
    which: Which,
}

impl Partition {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Self { cut, one_way, refuse, lasts, which } = self;
        send(which, Order::Partition { cut, one_way, refuse, lasts }).await
    }
}

/// Make links slow, lossy, narrow or dead; needs `up --lab`
#[derive(Debug, Args)]
pub(super) struct Link {
    /// '1>2' or 1:2 one way, 1-2 both ways, leader for all links of the leader, or all
    #[arg(value_name = "LINK")]
    links: String,
    /// Bytes come so much later
    #[arg(long, value_name = "TIME")]
    delay: Option<HumanDuration>,
    /// And up to so much more
    #[arg(long, value_name = "TIME")]
    jitter: Option<HumanDuration>,
    /// So many pieces are lost, and sent again by TCP
    #[arg(long, value_name = "PERCENT")]
    loss: Option<Percent>,
    /// Bytes in a second, as in 1MB
    #[arg(long, value_name = "SIZE")]
    rate: Option<ByteSize>,
    /// Bytes go nowhere, connections stay
    #[arg(long)]
    hang: bool,
    /// How likely a connection is reset within a second
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "100%")]
    reset: Option<Percent>,
    /// Heal after this time
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<HumanDuration>,
    #[command(flatten)]
    which: Which,
}

impl Link {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Self { links, delay, jitter, loss, rate, hang, reset, lasts, which } = self;
        let effect = Effect { delay, jitter, loss, rate, hang, reset };
        send(which, Order::Link { links, effect, lasts }).await
    }
}

/// Undo what was ordered: links and disks, pauses, and nodes that are down
#[derive(Debug, Args)]
pub(super) struct Heal {
    /// `faults` leaves down what is down, `links` heals links alone
    #[arg(value_enum, default_value = "all")]
    what: Scope,
    #[command(flatten)]
    which: Which,
}

impl Heal {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        send(self.which, Order::Heal { what: self.what }).await
    }
}

/// Kill nodes, and what they had not synced is gone; needs `up --lab`
#[derive(Debug, Args)]
pub(super) struct PowerLoss {
    #[command(flatten)]
    whom: Whom,
    /// Start them again so long after the power loss
    #[arg(long, value_name = "TIME")]
    restart_after: Option<HumanDuration>,
}

impl PowerLoss {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Self { whom: Whom { target, which }, restart_after } = self;
        send(which, Order::PowerLoss { target, restart_after }).await
    }
}

/// Trouble a node's disk; needs `up --lab`
#[derive(Debug, Args)]
pub(super) struct Disk {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    trouble: Trouble,
    /// Heal after this time; with --io-error: the node, which ends itself, stays down so long
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<HumanDuration>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Trouble {
    /// Each sync takes so much longer: 50ms, 20-80ms
    #[arg(long, value_name = "RANGE")]
    slow_fsync: Option<DurationRange>,
    /// No write finds room
    #[arg(long)]
    full: bool,
    /// The next sync fails
    #[arg(long)]
    io_error: bool,
}

impl Disk {
    pub(super) async fn send(self) -> Result<Code, Failure> {
        let Self { whom: Whom { target, which }, trouble, lasts } = self;
        let trouble = match (trouble.slow_fsync, trouble.full) {
            (Some(more), _) => DiskTrouble::SlowFsync(more),
            (None, true) => DiskTrouble::Full,
            (None, false) => DiskTrouble::IoError,
        };
        send(which, Order::Disk { target, trouble, lasts }).await
    }
}
