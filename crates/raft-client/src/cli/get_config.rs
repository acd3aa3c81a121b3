//! `get-config`

use raft_client::{Configuration, Member, MemberRole};
use serde_json::{Value, json};

use super::format::{Format, line};
use super::set_config::member_json;
use super::survey::{DEGRADED, outdated_word};
use super::table::table;
use super::{Context, Done, Failure};

#[derive(Debug, clap::Args)]
pub(crate) struct GetConfig {
    /// Print a file like cluster.yaml, with the voters as its nodes: `set-config --file` takes it.
    #[arg(long, conflicts_with = "output")]
    as_yaml: bool,
}

impl GetConfig {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let answer = context.client.get_configuration().await?;
        let (removed, by) = (answer.removed, answer.node_id);
        let configuration = Configuration::from(answer);
        if self.as_yaml {
            return yaml(&configuration, removed.then_some(by));
        }
        let outdated_by = removed.then_some(by);
        let mut data = match context.format {
            Format::Text => text(&configuration).into_bytes(),
            Format::Json => line(&json(&configuration, outdated_by)),
            Format::Table | Format::Raw => {
                let members = &configuration.members;
                format!("{}\n", member_table(members, configuration.leader)).into_bytes()
            }
        };
        if context.format == Format::Text {
            let more = match outdated_by {
                Some(by) => outdated_word(by),
                None => {
                    let members = configuration.members.iter().map(|member| member.id);
                    context.target.differences(&members.collect::<Vec<_>>()).concat()
                }
            };
            data.extend_from_slice(more.as_bytes());
        }
        let code = if removed { DEGRADED } else { 0 };
        Ok(Done { code, ..Done::with(data) })
    }
}

/// The voters as nodes of a file.
fn yaml(configuration: &Configuration, outdated_by: Option<u64>) -> Result<Done, Failure> {
    if let Some(by) = outdated_by {
        return Err(Failure::new(DEGRADED, outdated_word(by).trim_end().to_owned(), None));
    }
    if configuration.is_joint {
        let message = "the members are being changed: a file can have them only when that is done";
        let hint = Some("ask again in a moment");
        return Err(Failure::new(super::failure::REFUSED, message.to_owned(), hint));
    }
    let (voters, others): (Vec<&Member>, Vec<&Member>) =
        configuration.members.iter().partition(|member| member.role == MemberRole::Voter);
    let line = |member: &Member| {
        let [peer, client, http] = member.addresses().map(Value::from);
        let id = member.id;
        format!("  - {{id: {id}, peer: {peer}, client: {client}, http: {http}}}\n")
    };
    let nodes: String = voters.into_iter().map(line).collect();
    let name = Value::from(&*configuration.cluster);
    let yaml = format!("cluster: {{name: {name}}}\nnodes:\n{nodes}");
    let names: Vec<String> = others.iter().map(|member| format!("n{}", member.id)).collect();
    let note = (!names.is_empty())
        .then(|| format!("note: left out, because a file has voters only: {}", names.join(", ")));
    Ok(Done { note, ..Done::with(yaml) })
}

fn text(configuration: &Configuration) -> String {
    let Configuration { cluster, members, is_joint, leader, term } = configuration;
    let joint = if *is_joint { "   joint configuration" } else { "" };
    let table = member_table(members, *leader);
    format!("{table}\ncluster {cluster}   term {term}{joint}\n")
}

/// `outdated_by`: who knew it so when it was removed, if nobody knows better.
fn json(configuration: &Configuration, outdated_by: Option<u64>) -> Value {
    let Configuration { cluster, members, is_joint, leader, term } = configuration;
    let members: Vec<_> = members.iter().map(member_json).collect();
    json!({
        "schema": "raft-get-config/1",
        "cluster": cluster,
        "members": members,
        "joint": is_joint,
        "leader": leader,
        "term": term,
        "outdated_by": outdated_by,
    })
}

/// The members, a line each.
pub(super) fn member_table(members: &[Member], leader: u64) -> String {
    let rows = members.iter().map(|member| {
        let leads = if member.id == leader { "leader" } else { "" };
        [
            format!("n{}", member.id),
            member.role.to_string(),
            member.client.clone(),
            member.peer.clone(),
            leads.to_owned(),
        ]
    });
    table(["NODE", "ROLE", "CLIENTS", "PEERS", ""], rows)
}
