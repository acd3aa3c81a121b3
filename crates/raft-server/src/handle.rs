//! The services' way to the driver.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use raft_core::{Index, MembershipChange, Node, NodeId, RoleName, Term};
use raft_replica::{Consistency, Outcome, Refused, RequestKind, Status};
use raft_rpc::server::Teller;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::stages::{Moment, Stages};

/// The services' way to the driver. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    requests: mpsc::Sender<ClientRequest>,
    inquiries: mpsc::Sender<Inquiry>,
    view: watch::Receiver<View>,
    /// Bytes of commands and queries from arrival to answer.
    bytes: Arc<Semaphore>,
    /// The same, of small ones that came when all of those were taken.
    bytes_of_small: Arc<Semaphore>,
    command_bytes_max: usize,
    stages: Arc<Stages>,
}

/// A request that is with the driver, and resolves to its end.
#[derive(Debug)]
pub(crate) struct Pending {
    ended: oneshot::Receiver<Told>,
    lost: Declined,
    stages: Arc<Stages>,
    _permit: OwnedSemaphorePermit,
}

/// What a client wants, on its way to the driver.
#[derive(Debug)]
pub(crate) struct ClientRequest {
    pub(crate) wish: Wish,
    pub(crate) asker: Asker,
    /// When it was taken up.
    pub(crate) since: Moment,
}

/// Who is to be told how a request ended.
#[derive(Debug)]
pub(crate) enum Asker {
    /// Somebody who waits for this one.
    Waits(oneshot::Sender<Told>),
    /// The connection from which the call came.
    Calls(Teller<Told>),
}

/// How a request ended, on its way to whoever asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) ended: Ended,
    /// When it was applied, if it is a write that was.
    pub(crate) applied: Option<Moment>,
}

impl Asker {
    /// Tells it, if anybody still listens.
    pub(crate) fn tell(self, ended: Ended) {
        self.tell_applied(ended, None);
    }

    /// The same, of a write that was applied then.
    pub(crate) fn tell_applied(self, ended: Ended, applied: Option<Moment>) {
        let told = Told { ended, applied };
        match self {
            Self::Waits(answer) => drop(answer.send(told)),
            Self::Calls(teller) => teller.tell(told),
        }
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Waits(answer) => answer.is_closed(),
            Self::Calls(teller) => teller.is_closed(),
        }
    }
}

/// What a client wants.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Something for the log.
    Propose(RequestKind),
    /// An answer from the state.
    Query { query: Bytes, consistency: Consistency },
    /// Another membership. The token is filled in by the driver.
    ChangeMembership(Box<MembershipChange>),
    /// Another leader.
    Transfer { to: Option<NodeId> },
}

/// Asks how the node is.
pub(crate) type Inquiry = oneshot::Sender<Status>;

/// How a request ended. The outcome is never [`Outcome::Refused`].
pub(crate) type Ended = Result<Outcome, Declined>;

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// The replica refused.
    Replica(Refused),
    /// It is larger than the limit.
    TooLarge { bytes: usize, max: usize },
    /// The process is ending, and did nothing.
    Stopping,
}

/// Who leads, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) role: RoleName,
    pub(crate) term: Term,
    pub(crate) leader: Option<NodeId>,
    /// Whether this node was a member and is none any more.
    pub(crate) removed: bool,
    /// The entry that the active configuration came with.
    pub(crate) members_as_of: Index,
}

/// The driver's ends of a handle.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) requests: mpsc::Receiver<ClientRequest>,
    pub(crate) inquiries: mpsc::Receiver<Inquiry>,
    pub(crate) view: watch::Sender<View>,
}

/// Requests between the services and the driver. Full: the next is refused as overloaded.
const REQUESTS_MAX: usize = 8192;

/// Inquiries between the services and the driver. Full: the next waits.
const INQUIRIES_MAX: usize = 64;

/// Bytes of requests from arrival to answer. Used up: the next is refused as overloaded.
const BYTES_MAX: usize = 240 << 20;

/// The same beyond those, for small requests alone: however many large ones there are, they leave this.
const BYTES_OF_SMALL_MAX: usize = 16 << 20;

/// A request that costs no more is small.
const SMALL_MAX: usize = 4 << 10;

/// Cost of a request beside its bytes.
const OVERHEAD: usize = 256;

impl ClientRequest {
    /// A request that is taken up now.
    pub(crate) fn new(wish: Wish, asker: Asker) -> Self {
        Self { wish, asker, since: Moment::now() }
    }
}

impl Wish {
    /// Whether only a leader, or a node that knows one, can do anything about it.
    pub(crate) fn needs_leader(&self) -> bool {
        match self {
            Self::Propose(_) | Self::ChangeMembership(_) | Self::Transfer { .. } => true,
            Self::Query { consistency, .. } => *consistency == Consistency::Linearizable,
        }
    }

    /// Bytes of the command or query.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Propose(RequestKind::Command { command, .. }) => command.len(),
            Self::Query { query, .. } => query.len(),
            Self::Propose(RequestKind::OpenSession)
            | Self::ChangeMembership(_)
            | Self::Transfer { .. } => 0,
        }
    }
}

impl View {
    /// What a node knows.
    pub(crate) fn of(node: &Node) -> Self {
        let view = Self {
            role: node.role(),
            term: node.term(),
            leader: node.leader(),
            removed: false,
            members_as_of: Index(0),
        };
        view.among_members(node)
    }

    /// The same, with what the node knows of the members.
    pub(crate) fn among_members(self, node: &Node) -> Self {
        let members = node.membership();
        // A restart makes it forget that its removal was committed.
        let left = !members.is_empty() && !members.contains(node.id());
        let members_as_of = node.membership_as_of().index;
        Self { removed: left || node.is_removed(), members_as_of, ..self }
    }
}

impl Future for Pending {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        match ready!(Pin::new(&mut self.ended).poll(context)) {
            Ok(Told { ended, applied }) => {
                if let Some(applied) = applied {
                    self.stages.reply.record(applied.elapsed());
                }
                Poll::Ready(ended)
            }
            Err(_gone) => Poll::Ready(Err(self.lost.clone())),
        }
    }
}

impl Handle {
    /// A handle and the driver's ends of it.
    pub(crate) fn new(view: View, command_bytes_max: usize, stages: Arc<Stages>) -> (Self, Ends) {
        let (requests, requests_end) = mpsc::channel(REQUESTS_MAX);
        let (inquiries, inquiries_end) = mpsc::channel(INQUIRIES_MAX);
        let (view_end, view) = watch::channel(view);
        let bytes = Arc::new(Semaphore::new(BYTES_MAX));
        let bytes_of_small = Arc::new(Semaphore::new(BYTES_OF_SMALL_MAX));
        let handle =
            Self { requests, inquiries, view, bytes, bytes_of_small, command_bytes_max, stages };
        (handle, Ends { requests: requests_end, inquiries: inquiries_end, view: view_end })
    }

    /// Puts a command into the log and waits for its end.
    pub(crate) async fn propose(&self, kind: RequestKind) -> Ended {
        self.submit(kind)?.await
    }

    /// Sends a command on its way to the log. Two of them keep their order.
    pub(crate) fn submit(&self, kind: RequestKind) -> Result<Pending, Declined> {
        if let RequestKind::Command { command, .. } = &kind {
            self.check_size(command.len())?;
        }
        let bytes = match &kind {
            RequestKind::Command { command, .. } => command.len(),
            RequestKind::OpenSession => 0,
        };
        // Nobody can tell what became of a command whose answer is lost.
        self.send(Wish::Propose(kind), bytes, Declined::Replica(Refused::OutcomeUnknown))
    }

    /// Whether a command of so many bytes would not be refused as one too many, right now.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        let cost = bytes.saturating_add(OVERHEAD);
        let is_there = |bytes: &Semaphore| cost <= bytes.available_permits();
        let has_bytes =
            is_there(&self.bytes) || (cost <= SMALL_MAX && is_there(&self.bytes_of_small));
        0 < self.requests.capacity() && has_bytes
    }

    /// Reads the state.
    pub(crate) async fn query(&self, query: Bytes, consistency: Consistency) -> Ended {
        let bytes = query.len();
        self.check_size(bytes)?;
        self.send(Wish::Query { query, consistency }, bytes, Declined::Stopping)?.await
    }

    /// Changes the membership.
    pub(crate) async fn change_membership(&self, change: MembershipChange) -> Ended {
        let lost = Declined::Replica(Refused::OutcomeUnknown);
        self.send(Wish::ChangeMembership(Box::new(change)), 0, lost)?.await
    }

    /// Hands leadership over.
    pub(crate) async fn transfer(&self, to: Option<NodeId>) -> Ended {
        let lost = Declined::Replica(Refused::OutcomeUnknown);
        self.send(Wish::Transfer { to }, 0, lost)?.await
    }

    /// How the node is; `None` if it is ending.
    pub(crate) async fn status(&self) -> Option<Status> {
        let (answer, status) = oneshot::channel();
        self.inquiries.send(answer).await.ok()?;
        status.await.ok()
    }

    /// Who leads, as far as this node knows.
    pub(crate) fn view(&self) -> View {
        *self.view.borrow()
    }

    /// Bytes in a command or query, at most.
    pub(crate) fn command_bytes_max(&self) -> usize {
        self.command_bytes_max
    }

    /// Tells of every change of the view.
    pub(crate) fn watch(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Sends a wish to the driver; `lost` is its end if the driver goes away with it.
    fn send(&self, wish: Wish, bytes: usize, lost: Declined) -> Result<Pending, Declined> {
        let (answer, ended) = oneshot::channel();
        match self.hand_over(wish, bytes, Asker::Waits(answer)) {
            Ok(permit) => {
                Ok(Pending { ended, lost, stages: Arc::clone(&self.stages), _permit: permit })
            }
            Err((declined, _asker)) => Err(declined),
        }
    }

    /// Takes up a call: whoever it came from is told how it ended, also if that is here. What it costs
    /// is given back when the permit goes.
    pub(crate) fn call(&self, wish: Wish, teller: Teller<Told>) -> Option<OwnedSemaphorePermit> {
        let bytes = wish.bytes();
        let asker = Asker::Calls(teller);
        let taken = match self.check_size(bytes) {
            Ok(()) => self.hand_over(wish, bytes, asker),
            Err(declined) => Err((declined, asker)),
        };
        taken.map_err(|(declined, asker)| asker.tell(Err(declined))).ok()
    }

    fn hand_over(
        &self,
        wish: Wish,
        bytes: usize,
        asker: Asker,
    ) -> Result<OwnedSemaphorePermit, (Declined, Asker)> {
        let Some(permit) = self.take_bytes(bytes.saturating_add(OVERHEAD)) else {
            return Err((Declined::Replica(Refused::Overloaded), asker));
        };
        match self.requests.try_send(ClientRequest::new(wish, asker)) {
            Ok(()) => Ok(permit),
            Err(TrySendError::Full(ClientRequest { asker, .. })) => {
                Err((Declined::Replica(Refused::Overloaded), asker))
            }
            Err(TrySendError::Closed(ClientRequest { asker, .. })) => {
                Err((Declined::Stopping, asker))
            }
        }
    }

    /// Takes what a request costs, if that is left for it.
    fn take_bytes(&self, cost: usize) -> Option<OwnedSemaphorePermit> {
        let take = |bytes: &Arc<Semaphore>| {
            Arc::clone(bytes).try_acquire_many_owned(u32::try_from(cost).ok()?).ok()
        };
        take(&self.bytes)
            .or_else(|| if cost <= SMALL_MAX { take(&self.bytes_of_small) } else { None })
    }

    fn check_size(&self, bytes: usize) -> Result<(), Declined> {
        let max = self.command_bytes_max;
        if max < bytes { Err(Declined::TooLarge { bytes, max }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
