//! The streams peers have dialled: check who speaks, and pass on what they say.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message as _;
use raft_api::convert::from_frame;
use raft_api::pb;
use raft_core::pack::Packer;
use raft_core::{Message, NodeId};
use raft_rpc::Talk;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

use super::{Identity, Peers};
use crate::roster::Rosters;
use crate::seldom::Seldom;

/// How long a peer may take to say who it is.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// Receives from peers. Nothing that arrives is trusted: a frame that is not from another node of this
/// cluster to this node ends its stream, one that cannot be read is dropped, and both are counted.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    me: Identity,
    rosters: Arc<Rosters>,
    peers: Peers,
    driver: mpsc::Sender<Vec<Message>>,
    counters: Arc<Counters>,
    /// Refusals that were logged lately.
    refusals: Arc<Seldom<(Option<IpAddr>, Option<NodeId>)>>,
}

/// What was not believed, since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    refused: AtomicU64,
    unreadable: AtomicU64,
}

impl Inbound {
    /// Passes messages on to the driver.
    pub(crate) fn new(
        me: Identity,
        (rosters, peers): (Arc<Rosters>, Peers),
        driver: mpsc::Sender<Vec<Message>>,
    ) -> Self {
        Self { me, rosters, peers, driver, counters: Arc::default(), refusals: Arc::default() }
    }

    /// What was not believed, since the start.
    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Tells a caller whom it has reached, and receives until the stream ends or has to be ended.
    pub(crate) async fn receive(self, mut talk: Talk, remote: Option<IpAddr>) {
        talk.put(&self.notice(String::new()));
        if talk.flush().await.is_ok() {
            if let Some(last_word) = self.receive_from(&mut talk, remote).await {
                talk.put(&last_word);
            }
            talk.finish(Ok(())).await;
        }
    }

    async fn receive_from(
        &self,
        talk: &mut Talk,
        remote: Option<IpAddr>,
    ) -> Option<pb::PeerNotice> {
        let (mut met, mut packer) = (false, Packer::default());
        // Silence from the beginning: whoever it is keeps others out.
        let mut next = timeout(FIRST_WORD, talk.message()).await.ok().flatten();
        while let Some(message) = next {
            let decoded = message.and_then(|message| {
                pb::PeerFrame::decode(message).map_err(|error| Status::internal(error.to_string()))
            });
            let frame = match decoded {
                Ok(frame) => frame,
                Err(status) => {
                    self.on_broken(&status);
                    return None;
                }
            };
            if let Err(why) = self.check(&frame) {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                self.say_refused(&frame, remote, &why);
                return Some(self.notice(why));
            }
            let from = NodeId(frame.from);
            if !met {
                met = true;
                if let Some(contact) = &frame.contact {
                    self.rosters.hear(from, &contact.clone().into());
                }
                self.peers.nudge(from);
            }
            match from_frame(frame, &mut packer) {
                Ok(messages) if messages.is_empty() => (),
                // Closed: the process is ending.
                Ok(messages) => self.driver.send(messages).await.ok()?,
                Err(error) => {
                    let before = self.counters.unreadable.fetch_add(1, Ordering::Relaxed);
                    if before == 0 {
                        tracing::warn!(node = %self.me.id, %from, %error, "dropped a frame");
                    }
                }
            }
            next = talk.message().await;
        }
        None
    }

    /// Whoever is refused comes again and again.
    fn say_refused(&self, frame: &pb::PeerFrame, remote: Option<IpAddr>, why: &str) {
        let address = remote.map_or_else(String::new, |remote| remote.to_string());
        // Several nodes may share an address; what a stranger claims to be does not count.
        let peer = Some(NodeId(frame.from)).filter(|&peer| self.rosters.knows(peer));
        if self.refusals.may((remote, peer)) {
            let (node, from) = (self.me.id, frame.from);
            tracing::warn!(%node, from, %address, why, "refused a peer's stream");
        }
    }

    /// A stream that ends badly either broke on the way or carried what is not a frame.
    fn on_broken(&self, status: &Status) {
        if status.code() == tonic::Code::Internal || status.code() == tonic::Code::OutOfRange {
            self.counters.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        tracing::debug!(node = %self.me.id, why = status.message(), "a peer's stream broke");
    }

    fn check(&self, frame: &pb::PeerFrame) -> Result<(), String> {
        let me = self.me;
        if frame.cluster != me.cluster.0 {
            return Err(format!("{} belongs to another cluster", me.id));
        }
        if frame.to != me.id.0 {
            return Err(format!("this is {}, not {}", me.id, NodeId(frame.to)));
        }
        // Who is a member is the core's to judge: a newcomer knows nobody yet.
        if frame.from == me.id.0 || frame.from == 0 {
            return Err(format!("{} knows no peer {}", me.id, NodeId(frame.from)));
        }
        Ok(())
    }

    fn notice(&self, refusal: String) -> pb::PeerNotice {
        pb::PeerNotice {
            cluster: self.me.cluster.0,
            node_id: self.me.id.0,
            incarnation: self.me.incarnation.0,
            refusal,
        }
    }
}

impl Counters {
    /// Streams that were ended because of who spoke.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Frames that could not be read.
    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }
}
