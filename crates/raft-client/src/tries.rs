//! What an operation goes through: its deadline, its attempts, and how it ends.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::connect::Link;
use crate::counters::Tally;
use crate::{
    ClientError, Failed, FailedKind, Fault, FaultKind, Options, Reasons, Step, Tracer, Unknown,
};

/// What an operation has been through.
pub(crate) struct Tries {
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    /// How long one attempt may take, as long as none ran out.
    pub(crate) attempt_timeout: Duration,
    pub(crate) attempts: u32,
    /// How often an attempt got no answer in time.
    pub(crate) silences: u32,
    /// Whether the last refusal was answered by following its hint.
    pub(crate) followed: bool,
    /// Whether an attempt may have taken effect.
    pub(crate) doubt: bool,
    /// Whether an attempt at a write is being made right now.
    pub(crate) under_way: bool,
    pub(crate) reasons: Reasons,
    pub(crate) backoff: Backoff,
    tracer: Option<Tracer>,
}

/// How asking the leader came to an end without an answer.
pub(crate) enum Ending {
    Over(ClientError),
    /// The session is not known any more, and no attempt under it leaves a doubt.
    SessionGone,
}

impl Tries {
    pub(crate) fn new(options: &Options, within: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            deadline: started + within,
            attempt_timeout: options.attempt_timeout,
            attempts: 0,
            silences: 0,
            followed: false,
            doubt: false,
            under_way: false,
            reasons: Reasons::default(),
            backoff: Backoff::new(options),
            tracer: options.tracer.clone(),
        }
    }

    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// When an attempt that begins now has taken too long.
    pub(crate) fn attempt_ends(&self) -> Instant {
        let patience = 2_u32.saturating_pow(self.silences.min(8));
        self.deadline.min(Instant::now() + self.attempt_timeout.saturating_mul(patience))
    }

    /// Waits before the next attempt; an error if there is no time for one.
    pub(crate) async fn pause(&mut self, kind: FailedKind) -> Result<(), ClientError> {
        let pause = self.backoff.pause();
        self.tell(&Step::Pause(pause));
        let until = Instant::now() + pause;
        sleep_until(until.min(self.deadline)).await;
        if until < self.deadline { Ok(()) } else { Err(self.end(kind)) }
    }

    /// Tells whoever follows the operation.
    pub(crate) fn tell(&self, step: &Step<'_>) {
        if let Some(tracer) = &self.tracer {
            tracer.tell(step);
        }
    }

    /// The error if this kind of fault ends the operation.
    pub(crate) fn final_ending(&mut self, kind: FaultKind) -> Option<ClientError> {
        Some(match kind {
            FaultKind::TooLarge => self.end(FailedKind::TooLarge),
            FaultKind::Invalid => self.end(FailedKind::Invalid),
            FaultKind::Rejected | FaultKind::OtherService | FaultKind::SessionStale => {
                self.end(FailedKind::Rejected)
            }
            // An earlier attempt may have been applied, and what would tell is gone.
            FaultKind::SessionUnknown => {
                let reasons = std::mem::take(&mut self.reasons);
                let after = self.started.elapsed();
                ClientError::Unknown(Unknown { after, session_lost: true, reasons })
            }
            _ => return None,
        })
    }

    /// The operation is over without an answer.
    pub(crate) fn end(&mut self, kind: FailedKind) -> ClientError {
        let reasons = std::mem::take(&mut self.reasons);
        let after = self.started.elapsed();
        if self.doubt {
            return ClientError::Unknown(Unknown { after, session_lost: false, reasons });
        }
        let mut faults = reasons.0.values().map(|fault| fault.kind);
        let undecided = matches!(kind, FailedKind::NoLeader | FailedKind::Unserved);
        let nobody = undecided && !reasons.0.is_empty() && !faults.any(FaultKind::is_answer);
        let kind = if nobody { FailedKind::NoCluster } else { kind };
        ClientError::Failed(Failed { kind, after, reasons })
    }

    /// The operation was broken off before its time.
    pub(crate) fn abandon(&mut self) -> ClientError {
        self.doubt |= self.under_way;
        self.end(FailedKind::Unserved)
    }

    pub(crate) fn note(&mut self, tally: &Tally, link: &Link, fault: Fault) -> Result<(), Ending> {
        let kind = fault.kind;
        tally.fault(kind);
        self.reasons.add(link.addr(), fault);
        self.final_ending(kind).map_or(Ok(()), |error| Err(Ending::Over(error)))
    }
}
