//! `get-config`

use raft_client::{Client, Configuration, Member};
use serde_json::json;

use super::set_config::{Output, member_json};
use super::status::{DEGRADED, outdated_word, table};
use super::target::Target;
use super::{Done, Failure};

#[derive(Debug, clap::Args)]
pub(crate) struct GetConfig {
    /// How to report.
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

impl GetConfig {
    pub(crate) async fn run(self, target: &Target, client: &Client) -> Result<Done, Failure> {
        let answer = client.get_configuration().await?;
        let (removed, by) = (answer.removed, answer.node_id);
        let configuration = Configuration::from(answer);
        let mut data = match self.output {
            Output::Text => text(&configuration),
            Output::Json => format!("{}\n", json(&configuration, removed.then_some(by))),
        };
        if !removed {
            if self.output == Output::Text {
                let members = configuration.members.iter().map(|member| member.id);
                data.extend(target.differences(&members.collect::<Vec<_>>()));
            }
            return Ok(Done::with(data));
        }
        if self.output == Output::Text {
            data.push_str(&outdated_word(by));
        }
        Ok(Done { code: DEGRADED, ..Done::with(data) })
    }
}

fn text(configuration: &Configuration) -> String {
    let Configuration { cluster, members, is_joint, leader, term } = configuration;
    let joint = if *is_joint { "   joint configuration" } else { "" };
    let table = member_table(members, *leader);
    format!("{table}\ncluster {cluster}   term {term}{joint}\n")
}

/// `outdated_by`: who knew it so when it was removed, if nobody knows better.
fn json(configuration: &Configuration, outdated_by: Option<u64>) -> serde_json::Value {
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
