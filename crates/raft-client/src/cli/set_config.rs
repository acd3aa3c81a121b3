//! `set-config`

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, ValueEnum};
use raft_api::cluster::NodeConfig;
use raft_api::{ClusterConfig, NodeId};
use raft_client::{
    ChangeError, Changed, Client, Configuration, Difference, Edit, Member, MemberRole,
    MembershipChange, PlanError, Refused, Safeguards, edited,
};
use serde_json::json;
use tokio::time::Instant;

use super::address::{Contact, Newcomer, node_id};
use super::failure::{DEADLINE, REFUSED};
use super::get_config::member_table;
use super::target::Target;
use super::{Done, Failure, complain, emit};

/// How long it may take unless --timeout says otherwise: new voters have to catch up.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

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

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group(
    ArgGroup::new("wish").required(true).multiple(true)
        .args(["add", "remove", "promote", "demote", "file"])
))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct SetConfig {
    /// A new voter, or with --learner a new learner. ADDR is its peer address, host:port; it serves
    /// clients at port + 100 and metrics at port + 200, or write PEER/CLIENT/HTTP. Without an
    /// address cluster.yaml tells it.
    #[arg(long, value_delimiter = ',', value_name = "ID[=ADDR]", value_parser = Newcomer::parse)]
    add: Vec<Newcomer>,

    /// Those that are added receive everything and count for nothing.
    #[arg(long, requires = "add")]
    learner: bool,

    /// A member that is to be none any more.
    #[arg(long, value_delimiter = ',', value_name = "ID", value_parser = node_id)]
    remove: Vec<u64>,

    /// A learner that is to be a voter.
    #[arg(long, value_delimiter = ',', value_name = "ID", value_parser = node_id)]
    promote: Vec<u64>,

    /// A voter that is to be a learner.
    #[arg(long, value_delimiter = ',', value_name = "ID", value_parser = node_id)]
    demote: Vec<u64>,

    /// A file like cluster.yaml: the nodes in it are to be the voters, and nobody else a member.
    #[arg(long, conflicts_with_all = ["add", "remove", "promote", "demote"], value_name = "FILE")]
    file: Option<PathBuf>,

    /// Only print what would be done.
    #[arg(long)]
    dry_run: bool,

    /// When it is done, wait until all members have applied everything that is committed then.
    #[arg(long)]
    wait: bool,

    /// Neither wait until new voters have caught up nor ask whether a majority is alive. They must have
    /// answered once. The cluster may stand still afterwards.
    #[arg(long)]
    force: bool,

    /// How to report.
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// One object; times in whole microseconds.
    Json,
}

impl SetConfig {
    pub(crate) async fn run(self, target: &Target, timeout: Duration) -> Result<Done, Failure> {
        let deadline = Instant::now() + timeout;
        let client = target.client(timeout);
        let base = client.settled_configuration(timeout).await?;
        let change = self.plan(base.clone(), target)?;
        let differences = change.differences();
        if self.output == Output::Text {
            emit(describe(&differences).as_bytes())?;
        }
        if let Some(warning) = moves(&differences) {
            complain(&warning);
        }
        if self.dry_run {
            let report =
                Report { change: &change, configuration: &base, done: None, applied: None };
            return Ok(self.report(&report));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let done = client.change_membership(&change, left).await;
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let failure = failed(error, &differences);
                return Err(match emptied(&client, &differences).await {
                    Some(hint) => failure.advising(hint),
                    None => failure,
                });
            }
        };
        let applied = if self.wait {
            Some(wait(&client, &done.configuration, deadline).await?)
        } else {
            None
        };
        let configuration = &done.configuration;
        let report = Report { change: &change, configuration, done: Some(&done), applied };
        Ok(self.report(&report))
    }

    fn plan(&self, base: Configuration, target: &Target) -> Result<MembershipChange, Failure> {
        let members = match &self.file {
            Some(file) => members_of(&ClusterConfig::load(file)?, &base)?,
            None => {
                edited(&base, &self.edits(&base, target)?).map_err(|error| senseless(&error))?
            }
        };
        let safeguards = if self.force { Safeguards::Waived } else { Safeguards::Kept };
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

    fn report(&self, report: &Report<'_>) -> Done {
        match self.output {
            Output::Text => Done::with(report.text()),
            Output::Json => Done::with(format!("{}\n", report.json())),
        }
    }
}

async fn wait(
    client: &Client,
    configuration: &Configuration,
    deadline: Instant,
) -> Result<u64, Failure> {
    let left = deadline.saturating_duration_since(Instant::now()).max(WAIT_MIN);
    client.wait_until_applied(&configuration.members, left).await.map_err(|lagging| {
        let message = format!("the configuration is changed, but {lagging}");
        Failure::new(DEADLINE, message, Some("`raft-client status` shows how they get on"))
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

/// A line for each member: `+` new, `-` gone, `~` otherwise than before.
fn describe(differences: &[Difference]) -> String {
    let line = |difference: &Difference| match difference {
        Difference::Same(member) => row(' ', member, &member.role.to_string(), &member.peer),
        Difference::Added(member) => row('+', member, &member.role.to_string(), &member.peer),
        Difference::Removed(member) => row('-', member, &member.role.to_string(), &member.peer),
        Difference::Altered { before, after } => {
            let role = arrow(&before.role.to_string(), &after.role.to_string());
            let [old, new] = [before, after].map(Member::addresses);
            let moved = old.iter().zip(&new).filter(|(old, new)| old != new);
            let moved: Vec<String> = moved.map(|(old, new)| arrow(old, new)).collect();
            let at = if moved.is_empty() { after.peer.clone() } else { moved.join(", ") };
            row('~', after, &role, &at)
        }
    };
    differences.iter().map(line).collect()
}

/// What to know before the others look for a voter elsewhere: no safeguard tries that first.
fn moves(differences: &[Difference]) -> Option<String> {
    let moved = differences.iter().filter_map(|difference| match difference {
        Difference::Altered { before, after }
            if before.role == MemberRole::Voter && before.peer != after.peer =>
        {
            Some(format!("n{}", after.id))
        }
        _ => None,
    });
    let moved: Vec<String> = moved.collect();
    let (first, rest) = moved.split_first()?;
    let all = moved.join(", ");
    let one_by_one = match rest {
        [] => String::new(),
        _ => format!(": move one voter at a time, beginning with {first}"),
    };
    Some(format!(
        "warning: nothing tries the new peer address of {all} before it holds. If it is wrong, {all} is \
         cut off, `raft-client status` shows it, and the same command with the right address mends it \
         for as long as a majority is reached{one_by_one}"
    ))
}

fn row(sign: char, member: &Member, role: &str, addr: &str) -> String {
    let id = format!("n{}", member.id);
    format!("{}\n", format!("{sign} {id:<4} {role:<16}  {addr}").trim_end())
}

fn arrow(before: &str, after: &str) -> String {
    if before == after { before.to_owned() } else { format!("{before} -> {after}") }
}

struct Report<'a> {
    change: &'a MembershipChange,
    configuration: &'a Configuration,
    /// Nothing for a dry run.
    done: Option<&'a Changed>,
    /// What all members have applied, if that was waited for.
    applied: Option<u64>,
}

impl Report<'_> {
    fn text(&self) -> String {
        let nothing = self.change.is_nothing();
        let mut text = match self.done {
            _ if nothing => "nothing to do\n".to_owned(),
            None => return "dry run: nothing was changed\n".to_owned(),
            Some(done) => {
                let table = member_table(&self.configuration.members, self.configuration.leader);
                let took = done.took.as_secs_f64();
                format!("\n{table}\nchanged in {took:.2} s   term {}\n", self.configuration.term)
            }
        };
        if let Some(index) = self.applied {
            let everybody = "all members have applied everything up to index";
            text = format!("{text}{everybody} {index}\n");
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let difference = |difference: &Difference| {
            let (change, before, after) = match difference {
                Difference::Same(member) => ("same", Some(member), Some(member)),
                Difference::Added(member) => ("added", None, Some(member)),
                Difference::Removed(member) => ("removed", Some(member), None),
                Difference::Altered { before, after } => ("altered", Some(before), Some(after)),
            };
            let (before, after) = (before.map(member_json), after.map(member_json));
            json!({ "change": change, "before": before, "after": after })
        };
        let differences: Vec<_> = self.change.differences().iter().map(difference).collect();
        let Configuration { cluster, members, leader, term, .. } = self.configuration;
        let members: Vec<_> = members.iter().map(member_json).collect();
        let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        json!({
            "schema": "raft-set-config/1",
            "dry_run": self.done.is_none(),
            "changed": self.done.is_some() && !self.change.is_nothing(),
            "differences": differences,
            "cluster": cluster,
            "members": members,
            "leader": leader,
            "term": term,
            "elapsed_us": self.done.map(|done| micros(done.took)),
            "applied_everywhere": self.applied,
        })
    }
}

pub(super) fn member_json(member: &Member) -> serde_json::Value {
    let Member { id, role, peer, client, http } = member;
    json!({ "id": id, "role": role.to_string(), "peer": peer, "client": client, "http": http })
}

fn senseless(error: &PlanError) -> Failure {
    let hint = match error {
        PlanError::NotAMember(_) => "`raft-client get-config` shows the members",
        PlanError::AlreadyThat { id, .. } => {
            &format!("`raft-client get-config` shows the members. {}", way_back(*id))
        }
        PlanError::NoId => "ids begin at 1",
        PlanError::Twice(_) => "name every node once, with what it is to become",
        PlanError::UnderWay => "wait until it is done",
        PlanError::NoVoter => "keep or add at least one voter",
        PlanError::TooMany { .. } => {
            "each member costs its leader time and memory; three to seven voters are usual"
        }
        PlanError::BadAddress { .. } => "write HOST:PORT, such as 10.0.0.4:7001",
        PlanError::SharedAddress { .. } => {
            "every address is used once; one that is not written follows from the peer's: client \
             is port + 100, http is port + 200"
        }
    };
    Failure::usage(error.to_string(), Some(hint))
}

/// How a node comes back that has lost its disk: its seat is the old one's.
fn way_back(id: u64) -> String {
    format!(
        "If n{id} has lost its disk, its seat is still kept for what was there: --remove {id} first, \
         then start it with an empty directory and --join, then --add {id}"
    )
}

/// What to do about members that were to become voters and run with another disk than the one they
/// were added with: they answer, and hold nothing, for the leader does not speak with them.
async fn emptied(client: &Client, differences: &[Difference]) -> Option<String> {
    for difference in differences {
        let Difference::Altered { before, after } = difference else { continue };
        if before.role == MemberRole::Learner && after.role == MemberRole::Voter {
            let status = client.status(&after.client).await.status.ok()?;
            if (status.node_id, status.commit_index) == (after.id, 0) {
                let (id, addr) = (after.id, &after.client);
                let what = format!("n{id} answers at {addr} and holds nothing.");
                return Some(format!("{what} {}", way_back(id)));
            }
        }
    }
    None
}

fn failed(error: ChangeError, differences: &[Difference]) -> Failure {
    let adds = differences.iter().any(|it| matches!(it, Difference::Added(_)));
    let (code, message, hint) = match &error {
        ChangeError::Client(_) => return client_failure(error),
        ChangeError::Refused { why, .. } => {
            let hint = match why {
                Refused::Senseless | Refused::TooMany => {
                    "`raft-client get-config` shows the members"
                }
                Refused::Unreachable if adds => {
                    "start the new nodes first; --force does without this check"
                }
                Refused::Unreachable => {
                    "`raft-client status` shows who is down: start more of those that are to stay, or \
                     take out those that are dead; --force does without this check"
                }
                Refused::Behind => {
                    "is it running with --join? The same wish goes on from where it stands"
                }
            };
            (REFUSED, format!("the leader refused: {error}"), hint)
        }
        ChangeError::Interfered { found } => (
            REFUSED,
            format!("{error}: now {}", summary(found)),
            "look at it with `raft-client get-config`, and begin anew if that is still to be changed",
        ),
        ChangeError::Unfinished { found, .. } => (
            DEADLINE,
            format!("{error}; reached: {}", summary(found)),
            "what has begun may go on by itself: `raft-client get-config` shows it",
        ),
    };
    Failure::new(code, message, Some(hint))
}

fn client_failure(error: ChangeError) -> Failure {
    match error {
        ChangeError::Client(error) => error.into(),
        other => Failure::internal(other.to_string()),
    }
}

/// `n1 voter, n4 learner`
fn summary(configuration: &Configuration) -> String {
    let member = |member: &Member| format!("n{} {}", member.id, member.role);
    let members: Vec<String> = configuration.members.iter().map(member).collect();
    let joint = if configuration.is_joint { " (joint)" } else { "" };
    format!("{}{joint}", members.join(", "))
}
