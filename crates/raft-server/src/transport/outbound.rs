//! The stream to one peer: dial, make sure who answers, send, and dial again when it breaks.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::StreamExt as _;
use prost::Message as _;
use raft_api::convert::to_frame;
use raft_api::{Contact, pb};
use raft_core::NodeId;
use raft_rpc::client::{self, Channel};
use raft_rpc::{Gone, Talk};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::codegen::http::uri::{Authority, PathAndQuery};

use super::outbox::{Batches, Outbox};
use super::socket::Socket;
use super::{CONNECTION_WINDOW, Identity, KEEPALIVE, PIECE_BYTES_MAX, Peers, STREAM_WINDOW};
use crate::roster::{Roster, Rosters};

/// Keeps streams to everybody in the roster open.
pub(crate) struct Dialing {
    pub(crate) me: Identity,
    /// Where this node is: peers are told, for they may not know.
    pub(crate) contact: Contact,
    pub(crate) rosters: Arc<Rosters>,
    pub(crate) peers: Peers,
    pub(crate) frame_bytes_max: usize,
    /// Who is told when a peer's process is found gone.
    pub(crate) gone: mpsc::Sender<NodeId>,
}

/// Keeps a stream to one peer open.
#[derive(Debug)]
struct Dialer {
    me: Identity,
    contact: Contact,
    peer: NodeId,
    roster: watch::Receiver<Roster>,
    /// Where the peer is dialled, as host:port.
    address: String,
    outbox: Arc<Outbox>,
    frame_bytes_max: usize,
    gone: mpsc::Sender<NodeId>,
}

/// How a stream ended, or why there was none.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    /// Nobody answers there.
    Unreachable(String),
    /// Somebody answers who is not the peer, or does not want this node. That takes an operator.
    Refused(String),
    /// It worked for a while.
    Lost(String),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

const STREAM: PathAndQuery = PathAndQuery::from_static("/raft.v1.PeerRpc/Stream");

/// With so many bytes on their way to a peer that takes no more, the rest waits in the outbox.
const UNSENT_MAX: usize = 64 << 10;

/// The pause before the next attempt: doubled each time, from the first to the second.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The pause after a refusal.
const PAUSE_REFUSED: Duration = Duration::from_secs(5);

/// When to try a port again whose connection broke: a process that is killed closes its sockets one
/// after the other.
const EXAMINE_PAUSES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(10)];

impl Dialing {
    /// Dials for ever.
    pub(crate) async fn run(self) {
        let mut roster = self.rosters.watch();
        let mut known = BTreeSet::from([self.me.id]);
        let mut dialers = JoinSet::new();
        loop {
            let ids: Vec<NodeId> = roster.borrow_and_update().ids().collect();
            for peer in ids.into_iter().filter(|&id| known.insert(id)) {
                let dialer = Dialer {
                    me: self.me,
                    contact: self.contact.clone(),
                    peer,
                    roster: self.rosters.watch(),
                    address: String::new(),
                    outbox: self.peers.outbox(peer),
                    frame_bytes_max: self.frame_bytes_max,
                    gone: self.gone.clone(),
                };
                dialers.spawn(dialer.run());
            }
            if roster.changed().await.is_err() {
                return; // The process is ending.
            }
        }
    }
}

impl Dialer {
    /// Dials for ever.
    async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        let mut said = None;
        for attempt in 0_usize.. {
            self.choose_address(attempt);
            let broken = self.stream(&mut said).await;
            self.outbox.close();
            self.say(&mut said, &broken);
            let next = match broken {
                Broken::Lost(_) => {
                    pause = PAUSE_MIN;
                    self.examine().await;
                    pause
                }
                Broken::Unreachable(_) => {
                    pause = (pause * 2).min(PAUSE_MAX);
                    pause
                }
                Broken::Refused(_) => PAUSE_REFUSED,
            };
            tokio::select! {
                () = sleep(next.mul_f64(rand::random_range(0.5..1.0))) => (),
                () = self.outbox.nudged(), if next <= PAUSE_MAX => (),
                Ok(()) = self.roster.changed() => (),
            }
        }
    }

    /// Where several addresses are known, one after the other is tried.
    fn choose_address(&mut self, attempt: usize) {
        let addresses = self.roster.borrow_and_update().peer_addresses(self.peer);
        let position = attempt.checked_rem(addresses.len()).unwrap_or_default();
        self.address = addresses.into_iter().nth(position).unwrap_or_default();
    }

    /// The connection broke: is the process gone? A dead one's port refuses at once. One that is
    /// alive, or cannot be reached, does not: that is no evidence.
    async fn examine(&self) {
        for pause in EXAMINE_PAUSES {
            sleep(pause).await;
            let dialed = timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.address)).await;
            let Ok(Err(error)) = dialed else { continue };
            if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) {
                tracing::debug!(node = %self.me.id, peer = %self.peer, %error, "the peer's process is gone");
                if self.gone.try_send(self.peer).is_err() {
                    // The driver is busy, and learns it from the peer's silence.
                    tracing::debug!(node = %self.me.id, peer = %self.peer, "nobody is told");
                }
                return;
            }
        }
    }

    /// Says what is wrong, once for each thing.
    fn say(&self, said: &mut Option<String>, broken: &Broken) {
        let (Broken::Unreachable(why) | Broken::Refused(why) | Broken::Lost(why)) = broken;
        if said.as_ref() == Some(why) {
            return;
        }
        let (node, peer, address) = (self.me.id, self.peer, self.address.as_str());
        match broken {
            Broken::Unreachable(_) => tracing::info!(%node, %peer, %address, why, "no connection"),
            Broken::Refused(_) => tracing::warn!(%node, %peer, %address, why, "refused"),
            Broken::Lost(_) => tracing::info!(%node, %peer, %address, why, "connection lost"),
        }
        *said = Some(why.clone());
    }

    /// One stream, from dialling to its end.
    async fn stream(&self, said: &mut Option<String>) -> Broken {
        let mut talk = match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(Ok(talk)) => talk,
            Ok(Err(error)) => return Broken::Unreachable(innermost(&*error)),
            Err(_) => return Broken::Unreachable("no connection in time".to_owned()),
        };
        let batches = self.outbox.begin();
        match timeout(GREETING_TIMEOUT, next_notice(&mut talk)).await {
            Ok(Some(Ok(greeting))) => {
                if let Err(why) = self.check(&greeting) {
                    return Broken::Refused(why);
                }
            }
            Ok(None) => return Broken::Unreachable("closed before a greeting".to_owned()),
            Ok(Some(Err(status))) => return Broken::Unreachable(in_words(&status)),
            Err(_) => return Broken::Unreachable("no greeting".to_owned()),
        }
        self.outbox.open();
        *said = None;
        tracing::info!(node = %self.me.id, peer = %self.peer, "connected");
        talk.put(&self.first_word());
        let mut sending = Sending { talk, batches };
        poll_fn(|context| sending.poll(context)).await
    }

    /// Who this is, and where: there may be nothing else to say for long.
    fn first_word(&self) -> pb::PeerFrame {
        pb::PeerFrame {
            cluster: self.me.cluster.0,
            from: self.me.id.0,
            to: self.peer.0,
            incarnation: self.me.incarnation.0,
            messages: Vec::new(),
            contact: Some(self.contact.clone().into()),
        }
    }

    async fn connect(&self) -> Result<Talk, Box<dyn Error>> {
        let socket = Socket::new(TcpStream::connect(&self.address).await?)?;
        let options = client::Options {
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            frame_bytes_max: PIECE_BYTES_MAX,
            keepalive: KEEPALIVE,
        };
        let authority = Authority::try_from(self.address.as_str())?;
        let channel = Channel::open(socket, authority, options).await?;
        Ok(channel.talk(STREAM, self.frame_bytes_max).await?)
    }

    /// Whether the one who greets is the one who was called.
    fn check(&self, greeting: &pb::PeerNotice) -> Result<(), String> {
        if !greeting.refusal.is_empty() {
            return Err(greeting.refusal.clone());
        }
        if greeting.cluster != self.me.cluster.0 {
            return Err("a node of another cluster answers there".to_owned());
        }
        if greeting.node_id != self.peer.0 {
            return Err(format!("{} answers there", NodeId(greeting.node_id)));
        }
        Ok(())
    }
}

/// A stream that works.
struct Sending {
    talk: Talk,
    batches: Batches,
}

impl Sending {
    /// Sends what there is to say, until the stream ends: after the greeting the peer speaks only to say
    /// why.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Broken> {
        loop {
            while self.talk.unsent() < UNSENT_MAX
                && let Poll::Ready(batch) = self.batches.poll_next_unpin(context)
            {
                let Some(batch) = batch else {
                    return Poll::Ready(Broken::Lost("given up".to_owned()));
                };
                self.talk.put(&to_frame(batch));
            }
            let full = UNSENT_MAX <= self.talk.unsent();
            match self.talk.poll_flush(context) {
                Poll::Ready(Ok(())) if full => (),
                // Why it is gone is heard below.
                Poll::Ready(Ok(()) | Err(Gone)) | Poll::Pending => break,
            }
        }
        loop {
            return Poll::Ready(match ready!(poll_notice(&mut self.talk, context)) {
                Some(Ok(notice)) if notice.refusal.is_empty() => continue,
                Some(Ok(notice)) => Broken::Refused(notice.refusal),
                None => Broken::Lost("closed by the peer".to_owned()),
                Some(Err(status)) => Broken::Lost(in_words(&status)),
            });
        }
    }
}

/// What the peer says next.
async fn next_notice(talk: &mut Talk) -> Option<Result<pb::PeerNotice, Status>> {
    poll_fn(|context| poll_notice(talk, context)).await
}

fn poll_notice(
    talk: &mut Talk,
    context: &mut Context<'_>,
) -> Poll<Option<Result<pb::PeerNotice, Status>>> {
    let message = ready!(talk.poll_message(context));
    Poll::Ready(message.map(|message| {
        pb::PeerNotice::decode(message?).map_err(|error| Status::internal(error.to_string()))
    }))
}

fn in_words(status: &Status) -> String {
    match status.source() {
        Some(source) => innermost(source),
        None => status.message().to_owned(),
    }
}

/// What is at the bottom of an error: `connection refused` says more than `transport error`.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
