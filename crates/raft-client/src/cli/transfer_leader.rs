//! `transfer-leader`

use std::time::Duration;

use raft_client::{Client, LeaderInfo, TransferError};
use serde_json::json;

use super::address::node_id;
use super::failure::REFUSED;
use super::format::{Format, line};
use super::{Context, Done, Failure};

pub(crate) const EXAMPLES: &str = "\
Examples:
  raft-client transfer-leader      to whom the leader finds best
  raft-client transfer-leader n2   to n2

Exit code 4: it is no member, no voter, too far behind or silent.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TransferLeader {
    /// The node that is to lead, such as 2 or n2 [default: the voter that is furthest along].
    #[arg(value_parser = node_id)]
    to: Option<u64>,
}

impl TransferLeader {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let client = &context.client;
        let within = client.options().operation_timeout;
        let done = match client.transfer_leadership(self.to, within).await {
            Ok(done) => done,
            Err(error) => return Err(self.failed(error, client).await),
        };
        let LeaderInfo { node, addr, term } = &done.to;
        let text = match context.format {
            Format::Text if done.led_already() => {
                format!("n{node} {addr} term {term} leads already\n")
            }
            Format::Text | Format::Table | Format::Raw => {
                let millis = done.took.as_secs_f64() * 1000.0;
                let before = &done.from;
                format!(
                    "n{} {} term {} -> n{node} {addr} term {term}   in {millis:.1} ms\n",
                    before.node, before.addr, before.term
                )
            }
            Format::Json => {
                let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                let leader = |leader: &LeaderInfo| json!({ "node": leader.node, "addr": leader.addr, "term": leader.term });
                let report = json!({
                    "schema": "raft-transfer-leader/1",
                    "changed": !done.led_already(),
                    "from": leader(&done.from),
                    "to": leader(&done.to),
                    "elapsed_us": micros(done.took),
                });
                return Ok(Done::with(line(&report)));
            }
        };
        Ok(Done::with(text))
    }
}

impl TransferLeader {
    /// What went wrong. Of a node that is no member the leader says only that it is no voter.
    async fn failed(&self, error: TransferError, client: &Client) -> Failure {
        if let (TransferError::Refused { .. }, Some(to)) = (&error, self.to)
            && let Ok(configuration) = client.configuration().await
            && configuration.member(to).is_none()
        {
            let hint = "`raft-client get-config` shows the members";
            return Failure::new(REFUSED, format!("n{to} is not a member"), Some(hint));
        }
        failed(error)
    }
}

fn failed(error: TransferError) -> Failure {
    match error {
        TransferError::Refused { by, message } => Failure::new(
            REFUSED,
            format!("n{} leads on: {message}", by.node),
            Some("`raft-client status` shows which nodes keep up"),
        ),
        TransferError::Elsewhere { leader } => Failure::new(
            REFUSED,
            format!("leadership was handed over, but n{} was elected", leader.node),
            Some("try again"),
        ),
        TransferError::Client(error) => error.into(),
    }
}
