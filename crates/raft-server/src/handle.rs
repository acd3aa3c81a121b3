//! The services' way to the driver.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use raft_core::{Index, MembershipChange, Node, NodeId, RoleName, Term};
use raft_replica::{Consistency, Outcome, Refused, RequestKind, Status};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

/// The services' way to the driver. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    requests: mpsc::Sender<ClientRequest>,
    inquiries: mpsc::Sender<Inquiry>,
    view: watch::Receiver<View>,
    /// Bytes of commands and queries from arrival to answer.
    bytes: Arc<Semaphore>,
    command_bytes_max: usize,
}

/// A request that is with the driver, and resolves to its end.
#[derive(Debug)]
pub(crate) struct Pending {
    ended: oneshot::Receiver<Ended>,
    lost: Declined,
    _permit: OwnedSemaphorePermit,
}

/// What a client wants, on its way to the driver.
#[derive(Debug)]
pub(crate) struct ClientRequest {
    pub(crate) wish: Wish,
    pub(crate) answer: oneshot::Sender<Ended>,
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
const BYTES_MAX: usize = 256 << 20;

/// Cost of a request beside its bytes.
const OVERHEAD: usize = 256;

impl Wish {
    /// Whether only a leader, or a node that knows one, can do anything about it.
    pub(crate) fn needs_leader(&self) -> bool {
        match self {
            Self::Propose(_) | Self::ChangeMembership(_) | Self::Transfer { .. } => true,
            Self::Query { consistency, .. } => *consistency == Consistency::Linearizable,
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
        let ended = ready!(Pin::new(&mut self.ended).poll(context));
        Poll::Ready(ended.unwrap_or_else(|_gone| Err(self.lost.clone())))
    }
}

impl Handle {
    /// A handle and the driver's ends of it.
    pub(crate) fn new(view: View, command_bytes_max: usize) -> (Self, Ends) {
        let (requests, requests_end) = mpsc::channel(REQUESTS_MAX);
        let (inquiries, inquiries_end) = mpsc::channel(INQUIRIES_MAX);
        let (view_end, view) = watch::channel(view);
        let bytes = Arc::new(Semaphore::new(BYTES_MAX));
        let handle = Self { requests, inquiries, view, bytes, command_bytes_max };
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
        0 < self.requests.capacity() && bytes + OVERHEAD <= self.bytes.available_permits()
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
        let cost = u32::try_from(bytes.saturating_add(OVERHEAD)).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.bytes).try_acquire_many_owned(cost) else {
            return Err(Declined::Replica(Refused::Overloaded));
        };
        let (answer, ended) = oneshot::channel();
        match self.requests.try_send(ClientRequest { wish, answer }) {
            Ok(()) => Ok(Pending { ended, lost, _permit: permit }),
            Err(TrySendError::Full(_)) => Err(Declined::Replica(Refused::Overloaded)),
            Err(TrySendError::Closed(_)) => Err(Declined::Stopping),
        }
    }

    fn check_size(&self, bytes: usize) -> Result<(), Declined> {
        let max = self.command_bytes_max;
        if max < bytes { Err(Declined::TooLarge { bytes, max }) } else { Ok(()) }
    }
}
