//! `get-config`

use raft_api::pb::MemberRole;
use raft_client::Client;

use super::status::table;
use super::{Done, Failure};

pub(crate) async fn run(client: &Client) -> Result<Done, Failure> {
    let configuration = client.get_configuration().await?;
    let rows = configuration.members.iter().map(|member| {
        let role = match member.role() {
            MemberRole::Voter => "voter",
            MemberRole::Learner => "learner",
            MemberRole::Outgoing => "outgoing",
        };
        let leads = if member.id == configuration.leader_id { "leader" } else { "" };
        [
            format!("n{}", member.id),
            role.to_owned(),
            member.client_addr.clone(),
            member.peer_addr.clone(),
            leads.to_owned(),
        ]
    });
    let joint = if configuration.joint { "   joint configuration" } else { "" };
    let table = table(["NODE", "ROLE", "CLIENTS", "PEERS", ""], rows);
    let (cluster, term) = (&configuration.cluster, configuration.term);
    Ok(Done::with(format!("{table}\ncluster {cluster}   term {term}{joint}\n")))
}
