//! `get-leader`

use raft_client::{Client, LeaderInfo};

use super::{Done, Failure};

pub(crate) async fn run(client: &Client) -> Result<Done, Failure> {
    let LeaderInfo { node, addr, term } = client.get_leader().await?;
    Ok(Done::with(format!("n{node} {addr} term {term}\n")))
}
