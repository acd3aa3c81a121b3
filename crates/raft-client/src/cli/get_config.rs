//! `get-config`

use raft_client::{Client, Configuration, Member};

use super::status::{DEGRADED, table};
use super::target::Target;
use super::{Done, Failure};

pub(crate) async fn run(target: &Target, client: &Client) -> Result<Done, Failure> {
    let answer = client.get_configuration().await?;
    let (removed, by) = (answer.removed, answer.node_id);
    let Configuration { cluster, members, is_joint, leader, term } = answer.into();
    let joint = if is_joint { "   joint configuration" } else { "" };
    let table = member_table(&members, leader);
    let mut text = format!("{table}\ncluster {cluster}   term {term}{joint}\n");
    let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
    if !removed {
        text.extend(target.differences(&ids));
        return Ok(Done::with(text));
    }
    let doubt = "knew when it was removed; no member that it knew answers";
    let text = format!("{text}this is what n{by} {doubt}\n");
    Ok(Done { code: DEGRADED, ..Done::with(text) })
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
