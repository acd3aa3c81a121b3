//! Reads that any member may answer.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{Client, ReadFrom};
use crate::attempt::{Ask, Reply, Setback};
use crate::connect::Link;
use crate::tries::{Ending, Tries};
use crate::{FailedKind, Fault, FaultKind};

impl Client {
    /// Who may be asked to read, in this order: beginning anywhere, and those last that have kept
    /// silent lately.
    fn readers(&self, from: ReadFrom) -> Vec<Arc<Link>> {
        let mut links = self.0.directory.members();
        if let Some(leader) = self.0.directory.leader() {
            let leads = |link: &Arc<Link>| link.addr() == leader.link.addr();
            if from == ReadFrom::Followers && 1 < links.len() {
                links.retain(|link| !leads(link));
            } else if !links.iter().any(leads) {
                links.push(leader.link); // It is reached at another address than the members know.
            }
        }
        if !links.is_empty() {
            let first = rand::random_range(0..links.len());
            links.rotate_left(first);
        }
        links.sort_by_key(|link| link.is_avoided());
        links
    }

    /// Asks one node after the other, beginning anywhere.
    pub(super) async fn ask_anybody(
        &self,
        ask: Ask<'_>,
        from: ReadFrom,
        tries: &mut Tries,
    ) -> Result<Reply, Ending> {
        loop {
            let links = self.readers(from);
            let count = links.len();
            for (place, link) in links.into_iter().enumerate() {
                tries.attempts += 1;
                if 1 < tries.attempts {
                    self.0.tally.retry();
                }
                let (began, mut ends) = (Instant::now(), tries.attempt_ends());
                if place + 1 < count {
                    // The others are to have their turn before the deadline.
                    ends = ends.min(began + tries.left() / 2);
                }
                let silent = |_elapsed| Err(Fault::new(FaultKind::TimedOut, "").into());
                let answer = timeout_at(ends, ask.send(&link)).await.unwrap_or_else(silent);
                self.tell(&link, ask, began, &answer);
                match answer {
                    Ok(mut reply) => {
                        reply.receipt.attempts = tries.attempts;
                        return Ok(reply);
                    }
                    Err(setback) => self.go_past(&link, setback, tries)?,
                }
            }
            if tries.reasons.are_all_of_other_services() {
                return Err(Ending::Over(tries.end(FailedKind::Rejected)));
            }
            tries.pause(FailedKind::Unserved).await.map_err(Ending::Over)?;
        }
    }

    /// Draws the conclusions from a setback at one of many.
    fn go_past(&self, link: &Link, setback: Setback, tries: &mut Tries) -> Result<(), Ending> {
        let fault = setback.fault;
        let is_strange = fault.kind == FaultKind::OtherService;
        if is_strange || !fault.kind.is_answer() {
            link.avoid();
        }
        if !is_strange {
            return tries.note(&self.0.tally, link, fault);
        }
        // Another service is no reason to ask nobody else.
        self.0.tally.fault(fault.kind);
        tries.reasons.add(link.addr(), fault);
        Ok(())
    }
}
