//! `get-config`

use raft_client::{Client, Configuration, Member};

use super::status::table;
use super::{Done, Failure};

pub(crate) async fn run(client: &Client) -> Result<Done, Failure> {
    let Configuration { cluster, members, is_joint, leader, term } =
        client.get_configuration().await?.into();
    let joint = if is_joint { "   joint configuration" } else { "" };
    let table = member_table(&members, leader);
    Ok(Done::with(format!("{table}\ncluster {cluster}   term {term}{joint}\n")))
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
