//! Handing leadership over on request (dissertation §3.10).

use std::time::Duration;

use raft_api::pb::Refusal;
use tokio::time::Instant;

use crate::attempt::Ask;
use crate::discover::Leader;
use crate::tries::Tries;
use crate::{Client, ClientError, FailedKind, FaultKind, LeaderInfo};

/// How often it is handed over again when somebody else was elected instead.
const ROUNDS_MAX: u32 = 3;

/// A transfer that a leader has begun is over after this, one way or the other.
const DOUBT: Duration = Duration::from_secs(2);

/// Leadership as it is after a request to hand it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// Who led when it was asked for.
    pub from: LeaderInfo,
    /// Who leads. The same, if that was the one to lead.
    pub to: LeaderInfo,
    /// How long it took until the new leader was known.
    pub took: Duration,
}

impl Transferred {
    /// Whether nothing had to be done.
    pub fn led_already(&self) -> bool {
        self.from == self.to
    }
}

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The leader said no, and goes on leading.
    #[error("{message}")]
    Refused {
        /// The leader.
        by: LeaderInfo,
        /// In its words.
        message: String,
    },
    /// It was handed over, and then somebody else was elected.
    #[error("n{} leads instead", leader.node)]
    Elsewhere {
        /// Who leads.
        leader: LeaderInfo,
    },
    /// There was nobody to ask, or it is not known in time what came of it.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Client {
    /// Hands leadership over to this node, or to whom the leader finds best, and waits until the
    /// new leader is known.
    pub async fn transfer_leadership(
        &self,
        to: Option<u64>,
        within: Duration,
    ) -> Result<Transferred, TransferError> {
        let course = Course {
            client: self,
            to,
            tries: Tries::new(self.options(), within),
            from: None,
            in_doubt_since: None,
            rounds: 0,
        };
        Box::pin(course.run()).await
    }
}

/// A transfer that is being made.
struct Course<'a> {
    client: &'a Client,
    to: Option<u64>,
    tries: Tries,
    /// The first leader that was met.
    from: Option<LeaderInfo>,
    /// Whether, and since when, a request may have begun something without our being told.
    in_doubt_since: Option<Instant>,
    /// Transfers that were made and led to somebody else.
    rounds: u32,
}

impl Course<'_> {
    async fn run(mut self) -> Result<Transferred, TransferError> {
        loop {
            let leader = self.client.leader(&mut self.tries).await?;
            let now = info(&leader);
            let from = self.from.get_or_insert_with(|| now.clone()).clone();
            if self.is_wanted(&now, &from) {
                if !self.leads(&leader).await? {
                    continue;
                }
                let to = if now.node == from.node { from.clone() } else { now };
                return Ok(self.done(from, to));
            }
            if !self.ask(&leader).await? {
                continue;
            }
            let successor = self.successor(&leader).await?;
            let as_wished = self.to.map_or(successor.node != now.node, |to| to == successor.node);
            if as_wished {
                return Ok(self.done(from, successor));
            }
            self.rounds += 1;
            if self.rounds == ROUNDS_MAX {
                return Err(TransferError::Elsewhere { leader: successor });
            }
        }
    }

    /// Whether all is as it should be: the one who shall lead does, or somebody else after a
    /// request that had no answer.
    fn is_wanted(&self, now: &LeaderInfo, from: &LeaderInfo) -> bool {
        self.to.map_or(self.in_doubt_since.is_some() && now.node != from.node, |to| to == now.node)
    }

    fn done(&self, from: LeaderInfo, to: LeaderInfo) -> Transferred {
        Transferred { from, to, took: self.tries.started.elapsed() }
    }

    /// Tells whether this leader has handed over.
    async fn ask(&mut self, leader: &Leader) -> Result<bool, TransferError> {
        self.tries.attempts += 1;
        let ask = Ask::TransferLeadership(self.to.unwrap_or(0));
        let began = Instant::now();
        let ends = self.tries.attempt_begun_ends(began);
        let Err(setback) = self.client.attempt(ask, leader, began, ends).await else {
            return Ok(true);
        };
        let kind = setback.fault.kind;
        self.client.tally().fault(kind);
        self.tries.silences += u32::from(kind == FaultKind::TimedOut);
        self.tries.reasons.add(leader.link.addr(), setback.fault.clone());
        if kind.may_have_happened() {
            self.in_doubt_since = Some(Instant::now());
        }
        if setback.refusal == Refusal::Transfer {
            // That one is being made already may be our own doing.
            if self.in_doubt_since.is_none_or(|since| DOUBT < since.elapsed()) {
                let message = setback.fault.detail;
                return Err(TransferError::Refused { by: info(leader), message });
            }
            self.tries.pause(FailedKind::Unserved).await?;
            return Ok(false);
        }
        if let Some(error) = self.tries.final_ending(kind) {
            return Err(error.into());
        }
        if self.client.go_on(leader, setback, &mut self.tries) {
            self.tries.pause(FailedKind::Unserved).await?;
        }
        Ok(false)
    }

    /// Whether it does lead, in its own words. If not, it is not taken for the leader any more.
    async fn leads(&mut self, leader: &Leader) -> Result<bool, ClientError> {
        let within = self.tries.attempt_ends().saturating_duration_since(Instant::now());
        match self.client.directory().members_from(leader, within).await {
            Ok(answer) if answer.leader_id == answer.node_id => return Ok(true),
            Ok(_) => (),
            Err(fault) => self.tries.blame(leader.link.addr(), fault),
        }
        self.client.directory().suspect(leader);
        self.tries.pause(FailedKind::Unserved).await?;
        Ok(false)
    }

    /// Who leads after this leader, which has handed over.
    async fn successor(&mut self, before: &Leader) -> Result<LeaderInfo, ClientError> {
        loop {
            self.client.directory().suspect(before);
            let leader = self.client.leader(&mut self.tries).await?;
            if before.term < leader.term && self.leads(&leader).await? {
                return Ok(info(&leader));
            }
            if leader.term <= before.term {
                self.client.directory().suspect(&leader);
                self.tries.pause(FailedKind::NoLeader).await?;
            }
        }
    }
}

fn info(leader: &Leader) -> LeaderInfo {
    LeaderInfo { node: leader.node, addr: leader.link.addr().to_string(), term: leader.term }
}
