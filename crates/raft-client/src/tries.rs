//! What an operation goes through: its deadline, its attempts, and how it ends.

use std::sync::Arc;
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
        self.attempt_begun_ends(Instant::now())
    }

    /// When an attempt that began then has taken too long.
    pub(crate) fn attempt_begun_ends(&self, began: Instant) -> Instant {
        let patience = 2_u32.saturating_pow(self.silences.min(8));
        self.deadline.min(began + self.attempt_timeout.saturating_mul(patience))
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

    /// Keeps why a node did not help, for whoever hears of the end. That it had no time left is no
    /// news of one of which more is known: the last attempt of all may begin just before the
    /// deadline. Not for what may have been done there, which is to be told as it is.
    pub(crate) fn blame(&mut self, addr: &Arc<str>, fault: Fault) {
        let had_no_time = fault.kind == FaultKind::TimedOut && self.left().is_zero();
        if !had_no_time || !self.reasons.knows(addr) {
            self.reasons.add(addr, fault);
        }
    }

    pub(crate) fn note(&mut self, tally: &Tally, link: &Link, fault: Fault) -> Result<(), Ending> {
        let kind = fault.kind;
        tally.fault(kind);
        self.blame(link.addr(), fault);
        self.final_ending(kind).map_or(Ok(()), |error| Err(Ending::Over(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_the_deadline_cut_short_does_not_hide_what_was_learnt() {
        let said = |tries: &mut Tries| tries.end(FailedKind::Unserved).to_string();
        let (known, unknown): (Arc<str>, Arc<str>) = ("n1:7101".into(), "n2:7102".into());
        let mut tries = Tries::new(&Options::new(["n1:7101"]), Duration::from_mins(1));
        tries.blame(&known, Fault::new(FaultKind::Unreachable, "no route to host"));
        tries.blame(&known, Fault::new(FaultKind::TimedOut, ""));
        tries.blame(&unknown, Fault::new(FaultKind::ConnectRefused, ""));
        tries.deadline = Instant::now();
        tries.blame(&unknown, Fault::new(FaultKind::TimedOut, ""));
        let end = said(&mut tries);
        let (one, other) = ("(n1:7101: no answer in time", "; n2:7102: connection refused)");
        assert!(end.contains(one), "had its time: {end}");
        assert!(end.contains(other), "had none left: {end}");
        tries.blame(&known, Fault::new(FaultKind::TimedOut, ""));
        let end = said(&mut tries);
        assert!(end.contains(&format!("{one})")), "nothing else is known: {end}");
    }
}
