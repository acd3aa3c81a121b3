//! `set-config`

mod failed;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;
use raft_api::cluster::NodeConfig;
use raft_api::{ClusterConfig, NodeId};
use raft_client::{
    ChangeError, Client, Configuration, Difference, Edit, Member, MemberRole, MembershipChange,
    Refused, Safeguards, edited,
};
use tokio::time::Instant;

use super::address::{Contact, Newcomer, node_id};
use super::failure::DEADLINE;
use super::format::Format;
use super::target::Target;
use super::{Context, Done, Failure, emit, say};

use failed::{brought_up_to_date, emptied, failed, left_behind, senseless, silent};
pub(super) use report::member_json;
use report::{Report, describe, moves};

/// How long it may take unless --timeout says otherwise: new voters have to catch up.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// The others get so long to elect somebody when the leader has removed itself.
const SUCCESSION: Duration = Duration::from_secs(2);

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// With --wait, the members get at least this long, however long the change took.
const WAIT_MIN: Duration = Duration::from_secs(1);

pub(crate) const EXAMPLES: &str = "\
Examples:
  n2 is replaced by n4, in one step:
    raft-client set-config --add 4=10.0.0.4:7001 --remove 2
  two learners, with their addresses from cluster.yaml:
    raft-client set-config --add 4,5 --learner
  a learner becomes a voter:
    raft-client set-config --promote 4
  what it would take to have the nodes of a file:
    raft-client set-config --file five.yaml --dry-run
  n2 lost its disk and comes back with an empty directory:
    raft-client set-config --remove 2
    raft-server --id 2 --config cluster.yaml --join
    raft-client set-config --add 2

Start a new node before its membership: a voter has to catch up before it counts. One that does \
not in time stays a learner. A change that was broken off may still be finished by the cluster; \
`raft-client get-config` shows it.";

#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES, group(
    ArgGroup::new("wish").required(true).multiple(true)
        .args(["add", "remove", "promote", "demote", "file"])
))]
pub(crate) struct SetConfig {
    /// A new voter, or with --learner a new learner. ADDR is its peer address, host:port; it serves
    /// clients at port + 100 and metrics at port + 200, or write PEER/CLIENT/HTTP. Without an
    /// address cluster.yaml tells it.
    #[arg(long, value_delimiter = ',', value_name = "ID[=ADDR]", value_parser = Newcomer::parse)]
    pub(super) add: Vec<Newcomer>,

    /// Those that are added receive everything and count for nothing.
    #[arg(long, requires = "add")]
    pub(super) learner: bool,

    /// A member that is to be none any more.
    #[arg(long, value_delimiter = ',', value_name = "ID", value_parser = node_id)]
    pub(super) remove: Vec<u64>,

    /// A learner that is to be a voter.
    #[arg(long, value_delimiter = ',', value_name = "ID", value_parser = node_id)]
    pub(super) promote: Vec<u64>,

    /// A voter that is to be a learner.
    #[arg(long, value_delimiter = ',', value_name = "ID", value_parser = node_id)]
    pub(super) demote: Vec<u64>,

    /// A file like cluster.yaml: the nodes in it are to be the voters, and nobody else a member.
    #[arg(long, conflicts_with_all = ["add", "remove", "promote", "demote"], value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) manner: Manner,
}

/// How a change is made.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Manner {
    /// Only print what would be done.
    #[arg(long)]
    dry_run: bool,

    /// When it is done, wait until all voters, and whoever is new, have applied everything that is
    /// committed then.
    #[arg(long)]
    wait: bool,

    /// Neither wait until new voters have caught up nor ask whether a majority is alive. They must have
    /// answered once. The cluster may stand still afterwards.
    #[arg(long)]
    force: bool,
}

impl SetConfig {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let (target, format) = (&context.target, context.format);
        let timeout = context.timeout.unwrap_or(TIMEOUT);
        let deadline = Instant::now() + timeout;
        let client = target.client(timeout);
        let base = client.settled_configuration(timeout).await?;
        let change = self.plan(base.clone(), target)?;
        let differences = change.differences();
        if format == Format::Text {
            emit(describe(&differences).as_bytes())?;
        }
        if let Some(warning) = moves(&differences) {
            say(format, "warning", &warning);
        }
        if self.manner.dry_run {
            let report =
                Report { change: &change, configuration: &base, done: None, applied: None };
            return Ok(report.shown(format));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let done = client.change_membership(&change, left).await;
        let done = match done {
            Ok(done) => done,
            Err(error) => return Err(explained(&client, error, &differences).await),
        };
        let applied = if self.manner.wait {
            let members = awaited(&done.configuration, &differences);
            Some(wait(&client, &members, deadline).await?)
        } else {
            None
        };
        let configuration = &led(&client, done.configuration.clone(), deadline).await;
        let report = Report { change: &change, configuration, done: Some(&done), applied };
        Ok(report.shown(format))
    }

    fn plan(&self, base: Configuration, target: &Target) -> Result<MembershipChange, Failure> {
        let members = match &self.file {
            Some(file) => members_of(&ClusterConfig::load(file)?, &base)?,
            None => {
                edited(&base, &self.edits(&base, target)?).map_err(|error| senseless(&error))?
            }
        };
        let safeguards = if self.manner.force { Safeguards::Waived } else { Safeguards::Kept };
        let change = MembershipChange::new(base, members).map_err(|error| senseless(&error))?;
        Ok(change.with_safeguards(safeguards))
    }

    fn edits(&self, base: &Configuration, target: &Target) -> Result<Vec<Edit>, Failure> {
        let role = if self.learner { MemberRole::Learner } else { MemberRole::Voter };
        let mut edits = Vec::new();
        for newcomer in &self.add {
            let id = newcomer.id;
            let known = base.member(id).is_some();
            let Contact { peer, client, http, .. } = match &newcomer.contact {
                Some(contact) => target.completed(id, contact),
                None if known => Contact::default(), // As it is.
                None => target.contact(id)?,
            };
            edits.push(Edit::Add(Member { id, role, peer, client, http }));
        }
        edits.extend(self.remove.iter().map(|id| Edit::Remove(*id)));
        edits.extend(self.promote.iter().map(|id| Edit::Promote(*id)));
        edits.extend(self.demote.iter().map(|id| Edit::Demote(*id)));
        Ok(edits)
    }
}

/// What went wrong, with what the members have to say to it.
async fn explained(client: &Client, error: ChangeError, differences: &[Difference]) -> Failure {
    let error = brought_up_to_date(client, error).await;
    let is_behind = matches!(error, ChangeError::Refused { why: Refused::Behind, .. });
    let is_late = matches!(error, ChangeError::Unfinished { .. });
    let failure = failed(error, differences);
    let advice = match emptied(client, differences).await {
        None if is_behind => left_behind(client, differences).await,
        None if is_late => silent(client, differences).await,
        advice => advice,
    };
    match advice {
        Some(hint) => failure.advising(hint),
        None => failure,
    }
}

/// The configuration with a leader who is a member: one that has removed itself leads until the others
/// have another one, and that passes. As it is, if it does not.
async fn led(client: &Client, last: Configuration, deadline: Instant) -> Configuration {
    let until = deadline.min(Instant::now() + SUCCESSION);
    let mut looks = tokio::time::interval(BETWEEN_LOOKS);
    let mut last = last;
    while last.member(last.leader).is_none() && Instant::now() < until {
        looks.tick().await;
        let left = until.saturating_duration_since(Instant::now());
        last = client.settled_configuration(left).await.unwrap_or(last);
    }
    last
}

/// The members that --wait waits for. A learner that was one before may lie still for as long as it
/// likes: it holds up nothing.
fn awaited(configuration: &Configuration, differences: &[Difference]) -> Vec<Member> {
    let idle: Vec<u64> = differences
        .iter()
        .filter_map(|difference| match difference {
            Difference::Same(member) if member.role == MemberRole::Learner => Some(member.id),
            _ => None,
        })
        .collect();
    let members = configuration.members.iter();
    members.filter(|member| !idle.contains(&member.id)).cloned().collect()
}

async fn wait(client: &Client, members: &[Member], deadline: Instant) -> Result<u64, Failure> {
    let left = deadline.saturating_duration_since(Instant::now()).max(WAIT_MIN);
    client.wait_until_applied(members, left).await.map_err(|lagging| {
        let message = format!("the configuration is changed, but {lagging}");
        let hint = "`raft-client status` shows how they get on";
        Failure::new(DEADLINE, message, Some(hint)).because(lagging.reasons)
    })
}

/// The nodes of a file as voters.
fn members_of(file: &ClusterConfig, base: &Configuration) -> Result<Vec<Member>, Failure> {
    // A file that names no cluster is called `default`.
    if file.name != base.cluster && file.name != "default" {
        let path = file.path.display();
        let message =
            format!("{path} is about the cluster `{}`, and this is `{}`", file.name, base.cluster);
        return Err(Failure::usage(message, Some("name the same cluster there, or none")));
    }
    let member = |node: &NodeConfig| Member {
        id: node.id.0,
        role: MemberRole::Voter,
        peer: node.peer.clone(),
        client: node.client.clone(),
        http: node.http.clone(),
    };
    Ok(file.nodes.iter().map(member).collect())
}

impl Target {
    /// Where a node is that is to join, by cluster.yaml.
    fn contact(&self, id: u64) -> Result<Contact, Failure> {
        let Some(path) = ClusterConfig::locate(self.file.as_deref())? else {
            let message = format!("nobody says where n{id} is: there is no cluster.yaml here");
            let hint = format!("write --add {id}=HOST:PORT, with its peer port");
            return Err(Failure::usage(message, Some(&hint)));
        };
        let config = ClusterConfig::load(&path)?;
        let node = match config.node(NodeId(id)) {
            Some(node) => node.clone(),
            None => config.newcomer(NodeId(id), None).map_err(|error| {
                let path = path.display();
                let why = format!("--add {id}: it is not in {path}, and {}", error.reason());
                Failure::usage(
                    why,
                    Some(&format!("write --add {id}=HOST:PORT, with its peer port")),
                )
            })?,
        };
        let NodeConfig { peer, client, http, .. } = node;
        Ok(Contact { peer, client, http, is_derived: false })
    }

    /// A bare peer address, with the other addresses that cluster.yaml has for it.
    fn completed(&self, id: u64, contact: &Contact) -> Contact {
        let file = ClusterConfig::locate(self.file.as_deref()).ok().flatten();
        let config = file.and_then(|path| ClusterConfig::load(&path).ok());
        let node = config.as_ref().and_then(|config| config.node(NodeId(id)));
        match node.filter(|node| contact.is_derived && node.peer == contact.peer) {
            Some(node) => {
                Contact { client: node.client.clone(), http: node.http.clone(), ..contact.clone() }
            }
            None => contact.clone(),
        }
    }
}
