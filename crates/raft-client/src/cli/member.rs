//! `member` and `config`: other ways to say `get-config` and `set-config`.

use super::address::{Newcomer, node_id};
use super::get_config::GetConfig;
use super::set_config::{Manner, SetConfig};
use super::{Context, Done, Failure};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum MemberCommand {
    /// As `get-config`.
    List(GetConfig),
    /// As `set-config --add`.
    Add(Add),
    /// As `set-config --remove`.
    Remove(Nodes),
    /// As `set-config --promote`.
    Promote(Nodes),
    /// As `set-config --demote`.
    Demote(Nodes),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// New voters, or with --learner new learners. ADDR is a peer address, host:port, or
    /// PEER/CLIENT/HTTP; without it cluster.yaml tells.
    #[arg(
        required = true,
        value_delimiter = ',',
        value_name = "ID[=ADDR]",
        value_parser = Newcomer::parse
    )]
    nodes: Vec<Newcomer>,

    /// They receive everything and count for nothing.
    #[arg(long)]
    learner: bool,

    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Nodes {
    /// The members, such as 2 or n2.
    #[arg(required = true, value_delimiter = ',', value_name = "ID", value_parser = node_id)]
    nodes: Vec<u64>,

    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// As `get-config`.
    Get(GetConfig),
    /// As `set-config`.
    Set(Box<SetConfig>),
}

impl MemberCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let wish = SetConfig::default();
        let wish = match self {
            Self::List(command) => return command.run(context).await,
            Self::Add(Add { nodes, learner, manner }) => {
                SetConfig { add: nodes, learner, manner, ..wish }
            }
            Self::Remove(Nodes { nodes, manner }) => SetConfig { remove: nodes, manner, ..wish },
            Self::Promote(Nodes { nodes, manner }) => SetConfig { promote: nodes, manner, ..wish },
            Self::Demote(Nodes { nodes, manner }) => SetConfig { demote: nodes, manner, ..wish },
        };
        wish.run(context).await
    }
}

impl ConfigCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        match self {
            Self::Get(command) => command.run(context).await,
            Self::Set(command) => command.run(context).await,
        }
    }
}
