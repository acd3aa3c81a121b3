//! Requests between their arrival and their end.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use raft_core::{Instant, Token};
use raft_replica::{Answer, Outcome, Refused};
use tokio::sync::oneshot;

use crate::handle::{Asker, ClientRequest, Declined, Wish};
use crate::stages::{Moment, Stages};

/// Requests between their arrival and their end: parked until a leader is known, then with the
/// replica until it answers. A client that went away costs its place until then, and no longer.
#[derive(Debug, Default)]
pub(super) struct Requests {
    last: u64,
    /// The last token that the replica has seen.
    seen: u64,
    /// With the replica. Its keys are `last` and smaller.
    open: BTreeMap<Token, Open>,
    /// Waiting for a leader, in order of arrival, so in order of `until`.
    parked: VecDeque<Parked>,
    /// Bytes of the commands in `parked`.
    parked_bytes: usize,
}

#[derive(Debug)]
struct Open {
    asker: Asker,
    /// What to say if the process ends first.
    cut_short: Declined,
    /// Since when it has been in the stage in which it is, if it is a write.
    since: Option<Moment>,
}

#[derive(Debug)]
struct Parked {
    until: Instant,
    request: ClientRequest,
}

/// Requests that wait for a leader. More are refused as overloaded.
const PARKED_MAX: usize = 1024;
const PARKED_BYTES_MAX: usize = 64 << 20;

/// How long a request waits for a leader: about as long as an election takes.
const PARKED_FOR: std::time::Duration = std::time::Duration::from_millis(500);

impl Requests {
    /// Gives a request a token under which the replica will answer it.
    pub(super) fn admit(&mut self, request: ClientRequest) -> (Token, Wish) {
        let ClientRequest { wish, asker, since } = request;
        let cut_short = match &wish {
            Wish::Propose(_) | Wish::ChangeMembership(_) | Wish::Transfer { .. } => {
                Declined::Replica(Refused::OutcomeUnknown)
            }
            Wish::Query { .. } => Declined::Stopping,
        };
        self.last += 1;
        let token = Token(self.last);
        let since = matches!(wish, Wish::Propose(_)).then_some(since);
        self.open.insert(token, Open { asker, cut_short, since });
        (token, wish)
    }

    /// All writes that were admitted since the last time go into the log now.
    pub(super) fn proposed(&mut self, now: Moment, stages: &Stages) {
        let first = Token(self.seen + 1);
        let writes = self.open.range_mut(first..).filter_map(|(_, open)| open.since.as_mut());
        let waited = |since: &mut Moment| now.saturating_duration_since(mem::replace(since, now));
        stages.queue.record_all(writes.map(waited));
        self.seen = self.last;
    }

    /// Ends a request, in a turn of the replica that began and ended then.
    pub(super) fn answer(&mut self, answer: Answer, took: (Moment, Moment), stages: &Stages) {
        let Answer { token, outcome } = answer;
        let open = self.open.remove(&token).expect("a request ends once");
        let ended = match outcome {
            Outcome::Refused(refused) => Err(Declined::Replica(refused)),
            outcome @ (Outcome::Applied { .. } | Outcome::SessionOpened { .. }) => {
                if let Some(since) = open.since {
                    stages.commit.record_between(since, took.0);
                }
                return open.asker.tell_applied(Ok(outcome), open.since.map(|_| took.1));
            }
            outcome @ (Outcome::Read { .. } | Outcome::Done) => Ok(outcome),
        };
        open.asker.tell(ended);
    }

    /// Lets a request wait for a leader, if there is room.
    pub(super) fn park(&mut self, now: Instant, request: ClientRequest) {
        let bytes = request.wish.bytes();
        if PARKED_MAX <= self.parked.len() || PARKED_BYTES_MAX < self.parked_bytes + bytes {
            request.asker.tell(Err(Declined::Replica(Refused::Overloaded)));
            return;
        }
        self.parked_bytes += bytes;
        self.parked.push_back(Parked { until: now.after(PARKED_FOR), request });
    }

    /// Takes the request that was parked first.
    pub(super) fn unpark(&mut self) -> Option<ClientRequest> {
        let Parked { until: _, request } = self.parked.pop_front()?;
        self.parked_bytes -= request.wish.bytes();
        Some(request)
    }

    /// Refuses those that have waited long enough, or whose client is gone.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.parked.front().is_some_and(|parked| parked.until <= now) {
            if let Some(request) = self.unpark() {
                let refused = Refused::NotLeader { leader: None };
                request.asker.tell(Err(Declined::Replica(refused)));
            }
        }
    }

    /// When the next parked request has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.parked.front().map(|parked| parked.until)
    }

    /// Whether nobody waits for the replica.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Refuses what is parked: nothing was done about it.
    pub(super) fn stop_parked(&mut self) {
        while let Some(request) = self.unpark() {
            request.asker.tell(Err(Declined::Stopping));
        }
    }

    /// Ends everything: the process will not see how it goes on.
    pub(super) fn stop_all(&mut self) {
        self.stop_parked();
        for Open { asker, cut_short, since: _ } in mem::take(&mut self.open).into_values() {
            asker.tell(Err(cut_short));
        }
    }
}

/// Answers, if anybody still listens.
pub(super) fn tell<T>(answer: oneshot::Sender<T>, value: T) {
    drop(answer.send(value));
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raft_replica::{Consistency, RequestKind};

    use super::*;
    use crate::handle::Told;

    fn request(wish: Wish) -> (ClientRequest, oneshot::Receiver<Told>) {
        let (answer, ended) = oneshot::channel();
        (ClientRequest::new(wish, Asker::Waits(answer)), ended)
    }

    fn query() -> Wish {
        Wish::Query { query: Bytes::new(), consistency: Consistency::Linearizable }
    }

    /// A parked request is refused once it has waited long enough, and not before.
    #[test]
    fn parked_requests_expire() {
        let mut requests = Requests::default();
        let (parked, mut ended) = request(query());
        requests.park(Instant(0), parked);
        let deadline = requests.next_deadline().unwrap();
        requests.expire(Instant(deadline.0 - 1));
        assert!(ended.try_recv().is_err());
        requests.expire(deadline);
        let refused = Declined::Replica(Refused::NotLeader { leader: None });
        assert_eq!(ended.try_recv().unwrap().ended, Err(refused));
        assert_eq!(requests.next_deadline(), None);
    }

    /// Room for parked requests is bounded.
    #[test]
    fn parking_is_bounded() {
        let mut requests = Requests::default();
        let mut waiting = Vec::new();
        for _ in 0..PARKED_MAX {
            let (parked, ended) = request(query());
            requests.park(Instant(0), parked);
            waiting.push(ended);
        }
        let (parked, mut ended) = request(query());
        requests.park(Instant(0), parked);
        assert_eq!(ended.try_recv().unwrap().ended, Err(Declined::Replica(Refused::Overloaded)));
    }

    /// At the end of the process a command whose fate is open is unknown, a read is not.
    #[test]
    fn the_end_tells_the_truth() {
        let mut requests = Requests::default();
        let (write, mut write_ended) = request(Wish::Propose(RequestKind::OpenSession));
        let (read, mut read_ended) = request(query());
        let (parked, mut parked_ended) = request(Wish::Propose(RequestKind::OpenSession));
        requests.admit(write);
        requests.admit(read);
        requests.park(Instant(0), parked);
        requests.stop_all();
        let unknown = Declined::Replica(Refused::OutcomeUnknown);
        assert_eq!(write_ended.try_recv().unwrap().ended, Err(unknown));
        assert_eq!(read_ended.try_recv().unwrap().ended, Err(Declined::Stopping));
        assert_eq!(parked_ended.try_recv().unwrap().ended, Err(Declined::Stopping));
        assert!(requests.is_empty());
    }
}
