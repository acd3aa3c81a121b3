//! How a node ends: a leader first finds another, then what has begun may finish.

use std::time::Duration;

use raft_core::{Instant, RoleName, Succession};
use raft_replica::StateMachine;
use tokio::sync::oneshot;

use super::Driver;
use crate::handle::{Asker, ClientRequest, Wish};

/// How the process is ending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopping {
    /// When it was asked for.
    pub(super) since: Instant,
    /// When to wait no longer.
    pub(super) until: Instant,
    /// Whether another leader is still to be found, and when to ask for it again.
    pub(super) hands_over: Option<Instant>,
}

/// How long the end of the process waits for open requests.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How long before that it waits for another leader, and how often it asks for one.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);

/// After so much of that, leadership goes to somebody who would find no majority: the best that can
/// be done for a cluster that has lost that many others.
const HAND_OVER_ANYWAY: Duration = Duration::from_millis(2500);

/// And after so much of it, a node that has nobody to hand over to ends as it is: a whole cluster
/// that is told to end shall do so soon.
const ALONE_MAX: Duration = Duration::from_secs(1);

const HAND_OVER_AGAIN: Duration = Duration::from_millis(10);

impl<S: StateMachine> Driver<S> {
    /// Whether everything is done that was to be done before the end.
    pub(super) fn is_done(&self) -> bool {
        let now = self.clock.now();
        self.stopping.is_some_and(|stopping| {
            stopping.hands_over.is_none() && (stopping.until <= now || self.requests.is_empty())
        })
    }

    /// The process is to end. A leader first finds another: until then requests wait here, and then
    /// are sent there.
    pub(super) fn on_stop(&mut self) {
        let now = self.clock.now();
        let hands_over =
            self.view.role == RoleName::Leader && 1 < self.replica.node().membership().voters.len();
        let hands_over = hands_over.then_some(now);
        self.stopping = Some(Stopping { since: now, until: now.after(HAND_OVER_MAX), hands_over });
    }

    /// Asks for another leader, again and again: a leader that is new itself does not know yet who
    /// could follow it. As long as the others would find no majority, it stays.
    fn hand_over(&mut self, now: Instant, succession: Succession) {
        let Some(stopping) = &mut self.stopping else { return };
        stopping.hands_over = Some(now.after(HAND_OVER_AGAIN));
        let may = match succession {
            Succession::Ready => true,
            Succession::NoQuorum => stopping.since.after(HAND_OVER_ANYWAY) <= now,
            Succession::Nobody => false,
        };
        if may && !self.handing_over {
            let (answer, _) = oneshot::channel();
            let asker = Asker::Waits(answer);
            self.submit(ClientRequest::new(Wish::Transfer { to: None }, asker));
        }
    }

    /// Once somebody else leads, or nobody will: what has not begun is refused, what has begun may
    /// finish for a while. Returns whether there is something to be done about it.
    pub(super) fn leave_if_handed_over(&mut self) -> bool {
        let now = self.clock.now();
        let Some(Stopping { since, until, hands_over }) = self.stopping else { return false };
        if self.leave.is_cancelled() {
            return false;
        }
        let successor = self.view.leader.is_some_and(|leader| leader != self.me);
        let due = hands_over.is_some_and(|at| at <= now);
        let succession = if due { self.replica.node().succession() } else { Succession::Ready };
        let alone = succession == Succession::Nobody && since.after(ALONE_MAX) <= now;
        if hands_over.is_none() || successor || alone || until <= now {
            self.leave.cancel();
            let until = now.after(DRAIN_MAX);
            self.stopping = Some(Stopping { since, until, hands_over: None });
            self.requests.stop_parked();
        } else if due {
            self.hand_over(now, succession);
            return true;
        }
        false
    }
}
