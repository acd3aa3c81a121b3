//! `get-leader`

use std::time::{Duration, SystemTime};

use raft_api::units::HumanDuration;
use raft_client::{Client, ClientError, LeaderInfo, Options};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::format::{Format, line};
use super::{Context, Done, Failure, emit, table, time_to_wait};

/// While it is watched, the leader is asked so often.
const EVERY: Duration = Duration::from_millis(100);

/// A leader that does not answer for so long while it is watched is none.
const SILENCE: Duration = Duration::from_millis(700);

#[derive(Debug, clap::Args)]
pub(crate) struct GetLeader {
    /// Wait as long as this until there is a leader that says so itself [default: what --timeout
    /// says, and the word of the others will do].
    #[arg(long, value_name = "DURATION", value_parser = time_to_wait)]
    wait: Option<HumanDuration>,
    /// Print a line, with the time, whenever there is another one, or none.
    #[arg(long)]
    watch: bool,
}

impl GetLeader {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let leader = match &self.wait {
            Some(wait) => confirmed(&with_timeout(context, wait.0)).await,
            None if self.watch => return watch(context).await,
            None => context.client.get_leader().await,
        };
        if self.watch {
            leader?;
            return watch(context).await;
        }
        Ok(Done::with(shown(&leader?, context.format)))
    }
}

fn shown(leader: &LeaderInfo, format: Format) -> Vec<u8> {
    let LeaderInfo { node, addr, term } = leader;
    match format {
        Format::Text => format!("n{node} {addr} term {term}\n").into_bytes(),
        Format::Raw => format!("{addr}\n").into_bytes(),
        Format::Table => {
            let row = [format!("n{node}"), addr.clone(), term.to_string()];
            table::lines(["NODE", "ADDRESS", "TERM"], [row]).into_bytes()
        }
        Format::Json => line(&json!({
            "schema": "raft-get-leader/1", "node": node, "addr": addr, "term": term,
        })),
    }
}

fn with_timeout(context: &Context, operation_timeout: Duration) -> Client {
    let options = context.client.options().clone();
    let attempt_timeout = options.attempt_timeout.min(operation_timeout);
    Client::new(Options { operation_timeout, attempt_timeout, ..options })
}

/// The leader, in its own words.
async fn confirmed(client: &Client) -> Result<LeaderInfo, ClientError> {
    let known = client.configuration().await?;
    let addr = match known.member(known.leader) {
        Some(member) if !member.client.is_empty() => member.client.clone(),
        _ => client.get_leader().await?.addr,
    };
    Ok(LeaderInfo { node: known.leader, addr, term: known.term })
}

/// Until nobody reads any more.
async fn watch(context: &Context) -> Result<Done, Failure> {
    let client = with_timeout(context, SILENCE);
    let mut last: Option<Option<LeaderInfo>> = None;
    loop {
        let next = Instant::now() + EVERY;
        let now = confirmed(&client).await.ok();
        if last.as_ref() != Some(&now) {
            if !emit(&event(now.as_ref(), context.format))? {
                return Ok(Done::default());
            }
            last = Some(now);
        }
        sleep_until(next).await;
    }
}

fn event(leader: Option<&LeaderInfo>, format: Format) -> Vec<u8> {
    let at = humantime::format_rfc3339_millis(SystemTime::now());
    match (leader, format) {
        (_, Format::Json) => line(&json!({
            "schema": "raft-get-leader/1",
            "at": at.to_string(),
            "node": leader.map(|leader| leader.node),
            "addr": leader.map(|leader| &leader.addr),
            "term": leader.map(|leader| leader.term),
        })),
        (Some(LeaderInfo { addr, .. }), Format::Raw) => format!("{addr}\n").into_bytes(),
        (None, Format::Raw) => b"\n".to_vec(),
        (Some(LeaderInfo { node, addr, term }), Format::Text | Format::Table) => {
            format!("{at}  n{node} {addr} term {term}\n").into_bytes()
        }
        (None, Format::Text | Format::Table) => format!("{at}  no leader\n").into_bytes(),
    }
}
