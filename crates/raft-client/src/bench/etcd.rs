//! The same load against etcd, for comparison: same workers, same connections, same gRPC stack.
//!
//! etcd has no sessions: a write whose answer is lost may not be repeated, and its outcome is
//! unknown. A write that was not sent, or that was turned away before it was looked at, and every
//! read, is tried again at the next endpoint. Requests go to the leader as long as it is known: its
//! followers would only pass them on. Reads go elsewhere if that is asked for.
//!
//! What took effect has the store's revision for its place in the history: a write made it, a read
//! saw it.

mod wire;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use raft_rpc::client::Channel;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic::codegen::http::uri::PathAndQuery;

use super::operation::{Operation, Outcome};
use super::recorder::Miss;
use super::silence::Reign;
use super::summary::Cluster;
use super::target::{Answered, Reads};
use crate::attempt::fault_of;
use crate::connect::{MESSAGE_BYTES_MAX, channel};
use crate::counters::{Counters, Tally};
use crate::{
    ClientError, Consistency, Failed, FailedKind, Fault, FaultKind, Options, ReadFrom, Reasons,
};
use wire::compare::{CompareResult, CompareTarget, TargetUnion};
use wire::maintenance_client::MaintenanceClient;
use wire::{request_op::Request, response_op::Response};

/// Between an attempt that failed and the next one.
const PAUSE: Duration = Duration::from_millis(10);

/// How often a cluster that is not there yet is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// An etcd cluster.
#[derive(Debug)]
pub(super) struct Etcd {
    nodes: Vec<Node>,
    /// Where requests go.
    current: AtomicUsize,
    /// Whose turn it is of those that are read from, if that is not the leader.
    reader: AtomicUsize,
    /// The last term that was seen, and the position of its leader among the nodes, if it is one.
    reign: Mutex<(u64, Option<usize>)>,
    options: Options,
    reads: Reads,
    tally: Tally,
}

#[derive(Debug)]
struct Node {
    addr: String,
    /// Whether the last one that was met there greeted with something that is no HTTP/2.
    is_strange: Arc<AtomicBool>,
    slots: Vec<Mutex<Option<Channel>>>,
    next: AtomicUsize,
}

/// An attempt that failed.
struct Setback {
    fault: Fault,
    /// Whether it may have taken effect.
    doubt: bool,
}

impl Etcd {
    pub(super) fn new(options: Options, reads: Reads) -> Self {
        let node = |addr: &String| Node {
            addr: addr.clone(),
            is_strange: Arc::default(),
            slots: (0..options.connections.max(1)).map(|_| Mutex::new(None)).collect(),
            next: AtomicUsize::new(0),
        };
        Self {
            nodes: options.endpoints.iter().map(node).collect(),
            current: AtomicUsize::new(0),
            reader: AtomicUsize::new(0),
            reign: Mutex::new((0, None)),
            options,
            reads,
            tally: Tally::default(),
        }
    }

    /// The same cluster, read in another way.
    pub(super) fn reading(&self, reads: Reads) -> Self {
        let other = Self::new(self.options.clone(), reads);
        other.current.store(self.current.load(Ordering::Relaxed), Ordering::Relaxed);
        *other.reign() = *self.reign();
        other
    }

    pub(super) fn counters(&self) -> Counters {
        self.tally.read()
    }

    pub(super) fn connections(&self) -> usize {
        self.options.connections
    }

    /// Finds the leader and makes all connections to it.
    pub(super) async fn ready(&self, within: Duration) -> Result<Cluster, ClientError> {
        let ends = Instant::now() + within;
        loop {
            let (cluster, reasons) = self.look(ends).await;
            if let Some(cluster) = cluster {
                self.connect().await;
                return Ok(cluster);
            }
            if ends <= Instant::now() {
                let answered = reasons.iter().any(|(_, fault)| fault.kind.is_answer());
                let kind = if answered { FailedKind::NoLeader } else { FailedKind::NoCluster };
                return Err(ClientError::Failed(Failed { kind, after: within, reasons }));
            }
            sleep(LOOK).await;
        }
    }

    /// Makes the connections that the load needs. One that breaks meanwhile is made when it is needed.
    async fn connect(&self) {
        let current = self.current.load(Ordering::Relaxed);
        let all = self.reads.from != ReadFrom::Leader;
        for (position, node) in self.nodes.iter().enumerate() {
            let slots = if all || position == current { node.slots.len() } else { 0 };
            for slot in 0..slots {
                drop(node.connection_at(slot, self.options.connect_timeout).await);
            }
        }
    }

    /// Asks every node how it is. There is a cluster if some node knows a leader.
    async fn look(&self, ends: Instant) -> (Option<Cluster>, Reasons) {
        let mut reasons = Reasons::default();
        let mut members = Vec::new();
        let mut found: Option<(String, u64, u64)> = None;
        // All at once: who keeps silent must not use up the others' time.
        let within = ends.min(Instant::now() + self.options.attempt_timeout);
        let asked = self.nodes.iter().map(|node| timeout_at(within, self.status(node)));
        let answers = join_all(asked).await;
        for ((position, node), answer) in self.nodes.iter().enumerate().zip(answers) {
            let silent = |_elapsed| Err(Fault::new(FaultKind::TimedOut, ""));
            match answer.unwrap_or_else(silent) {
                Ok(status) => {
                    let id = status.header.as_ref().map_or(0, |header| header.member_id);
                    members.push((id, position));
                    if status.leader == 0 {
                        let fault = Fault::new(FaultKind::NotLeader, "it knows no leader");
                        reasons.add(&node.addr.as_str().into(), fault);
                    } else {
                        found = Some((status.version, status.leader, status.raft_term));
                    }
                }
                Err(fault) => reasons.add(&node.addr.as_str().into(), fault),
            }
        }
        let Some((version, leader, term)) = found else { return (None, reasons) };
        let led_by = members.iter().find(|(id, _)| *id == leader).map(|(_, position)| *position);
        *self.reign() = (term, led_by);
        self.current
            .store(led_by.or(members.first().map(|it| it.1)).unwrap_or(0), Ordering::Relaxed);
        let cluster = Cluster {
            name: format!("etcd {version}"),
            nodes: self.nodes.len(),
            up: members.len(),
            leader: led_by.map_or(0, number),
            term,
            debug_build: false,
        };
        (Some(cluster), reasons)
    }

    async fn status(&self, node: &Node) -> Result<wire::StatusResponse, Fault> {
        let (slot, channel) = node.connection(self.options.connect_timeout).await?;
        let mut api = MaintenanceClient::new(channel);
        let answer = api.status(wire::StatusRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| {
            node.discard(slot);
            let fault = fault_of(&status);
            if fault.kind.is_answer() || !node.is_strange.load(Ordering::Relaxed) {
                return fault;
            }
            Fault::new(FaultKind::OtherService, "it speaks no HTTP/2")
        })
    }

    /// A request that changes nothing and needs nobody else.
    pub(super) async fn empty_trip(&self) -> Result<(), String> {
        let node = &self.nodes[self.current.load(Ordering::Relaxed)];
        self.status(node).await.map(drop).map_err(|fault| fault.to_string())
    }

    /// Carries it out within this time.
    pub(super) async fn carry_out(
        &self,
        operation: &Operation,
        within: Duration,
    ) -> Result<Answered, Miss> {
        let ends = Instant::now() + within;
        let is_read = operation.kind().is_read();
        let mut reader = if is_read { self.reader() } else { None };
        let mut attempts = 0;
        loop {
            let position = reader.unwrap_or_else(|| self.current.load(Ordering::Relaxed));
            let node = &self.nodes[position];
            attempts += 1;
            if 1 < attempts {
                self.tally.retry();
            }
            let attempt_ends = ends.min(Instant::now() + self.options.attempt_timeout);
            let attempt = timeout_at(attempt_ends, self.attempt(node, operation)).await;
            let silent =
                |_elapsed| Err(Setback { fault: Fault::new(FaultKind::TimedOut, ""), doubt: true });
            let Setback { fault, doubt } = match attempt.unwrap_or_else(silent) {
                Ok((outcome, header)) => {
                    let index = header.as_ref().and_then(|it| it.revision.try_into().ok());
                    let reign = self.follow(header).await;
                    let node = Some(number(position));
                    return Ok(Answered { outcome, reign, attempts, index, node });
                }
                Err(setback) => setback,
            };
            self.tally.fault(fault.kind);
            // Whoever fails first sends all the others on.
            let next = (position + 1) % self.nodes.len();
            let order = Ordering::Relaxed;
            match &mut reader {
                Some(reader) => *reader = next,
                None => drop(self.current.compare_exchange(position, next, order, order)),
            }
            let said = format!("{}: {fault}", node.addr);
            if doubt && !is_read {
                return Err(Miss::Unknown(format!("the write may or may not be done ({said})")));
            }
            if fault.kind == FaultKind::Rejected {
                return Err(Miss::Refused(said));
            }
            // One that is begun too late would only leave a doubt.
            if ends <= Instant::now() + 2 * PAUSE {
                return Err(Miss::Failed(format!("not served in time ({said})")));
            }
            sleep(PAUSE).await;
        }
    }

    /// Who is read from next, if it does not matter who leads.
    fn reader(&self) -> Option<usize> {
        let turn = self.reader.fetch_add(1, Ordering::Relaxed) % self.nodes.len();
        let (_, leader) = *self.reign();
        match self.reads.from {
            ReadFrom::Leader => None,
            ReadFrom::Followers if leader == Some(turn) => Some((turn + 1) % self.nodes.len()),
            ReadFrom::Followers | ReadFrom::Any => Some(turn),
        }
    }

    async fn attempt(
        &self,
        node: &Node,
        operation: &Operation,
    ) -> Result<(Outcome, Option<wire::ResponseHeader>), Setback> {
        let connected = node.connection(self.options.connect_timeout).await;
        let (slot, channel) = connected.map_err(|fault| Setback { fault, doubt: false })?;
        let serializable = self.reads.consistency == Consistency::Stale;
        ask(&channel, operation.clone(), serializable).await.map_err(|status| {
            let setback = setback(&status);
            if !setback.fault.kind.is_answer() {
                node.discard(slot);
            }
            setback
        })
    }

    /// Learns of a new term, and who leads in it.
    async fn follow(&self, header: Option<wire::ResponseHeader>) -> Option<Reign> {
        let term = header?.raft_term;
        let (known, leader) = *self.reign();
        if term <= known {
            return Some(Reign { leader: number(leader?), term });
        }
        *self.reign() = (term, None);
        let ends = Instant::now() + self.options.attempt_timeout;
        let (cluster, _) = self.look(ends).await;
        let cluster = cluster.filter(|cluster| cluster.leader != 0)?;
        Some(Reign { leader: cluster.leader, term: cluster.term })
    }

    fn reign(&self) -> std::sync::MutexGuard<'_, (u64, Option<usize>)> {
        self.reign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nodes are numbered as they were named, from 1.
fn number(position: usize) -> u64 {
    position as u64 + 1
}

/// What an attempt's end means. etcd says that it is overloaded, or knows no leader, before it
/// proposes anything; its other words about itself leave a doubt.
fn setback(status: &Status) -> Setback {
    let said = status.message();
    let fault = fault_of(status);
    if fault.kind == FaultKind::Rejected || !said.starts_with("etcdserver: ") {
        let doubt = !matches!(fault.kind, FaultKind::ConnectionClosed | FaultKind::Rejected);
        return Setback { fault, doubt };
    }
    if said == "etcdserver: no leader" || said == "etcdserver: too many requests" {
        return Setback { fault: Fault::new(FaultKind::Overloaded, said), doubt: false };
    }
    Setback { fault: Fault::new(FaultKind::OutcomeUnknown, said), doubt: true }
}

async fn ask(
    channel: &Channel,
    operation: Operation,
    serializable: bool,
) -> Result<(Outcome, Option<wire::ResponseHeader>), Status> {
    match operation {
        Operation::Get { key } => {
            const PATH: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Range");
            let request = wire::RangeRequest { key, serializable };
            let found: wire::RangeResponse =
                channel.unary(PATH, &request, MESSAGE_BYTES_MAX).await?;
            Ok((Outcome::Value(first(found.kvs)), found.header))
        }
        Operation::Put { key, value } => {
            const PATH: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Put");
            let request = wire::PutRequest { key, value };
            let done: wire::PutResponse = channel.unary(PATH, &request, MESSAGE_BYTES_MAX).await?;
            Ok((Outcome::Written, done.header))
        }
        Operation::Cas { key, expected, value } => {
            const PATH: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Txn");
            let request = swap(key, expected, value);
            let done: wire::TxnResponse = channel.unary(PATH, &request, MESSAGE_BYTES_MAX).await?;
            if done.succeeded {
                return Ok((Outcome::Swapped, done.header));
            }
            let held = done.responses.into_iter().find_map(|it| match it.response {
                Some(Response::ResponseRange(found)) => first(found.kvs),
                Some(Response::ResponsePut(_)) | None => None,
            });
            Ok((Outcome::Mismatch(held), done.header))
        }
        Operation::Append { .. } | Operation::Propose { .. } => {
            Err(Status::invalid_argument("etcd has no such operation"))
        }
    }
}

fn first(pairs: Vec<wire::KeyValue>) -> Option<Bytes> {
    pairs.into_iter().next().map(|pair| pair.value)
}

/// A compare-and-swap in etcd's words.
fn swap(key: Bytes, expected: Option<Bytes>, value: Bytes) -> wire::TxnRequest {
    let (target, union) = match expected {
        Some(value) => (CompareTarget::Value, TargetUnion::Value(value)),
        // A key that is not there has version 0.
        None => (CompareTarget::Version, TargetUnion::Version(0)),
    };
    let compare = wire::Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.clone(),
        target_union: Some(union),
    };
    let put = Request::RequestPut(wire::PutRequest { key: key.clone(), value });
    let get = Request::RequestRange(wire::RangeRequest { key, serializable: false });
    wire::TxnRequest {
        compare: vec![compare],
        success: vec![wire::RequestOp { request: Some(put) }],
        failure: vec![wire::RequestOp { request: Some(get) }],
    }
}

impl Node {
    async fn connection(&self, within: Duration) -> Result<(usize, Channel), Fault> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        Ok((slot, self.connection_at(slot, within).await?))
    }

    async fn connection_at(&self, slot: usize, within: Duration) -> Result<Channel, Fault> {
        if let Some(channel) = self.lock(slot).clone() {
            return Ok(channel);
        }
        let made = channel(&self.addr, within, &self.is_strange).await?;
        Ok(self.lock(slot).get_or_insert(made).clone())
    }

    fn discard(&self, slot: usize) {
        *self.lock(slot) = None;
    }

    fn lock(&self, slot: usize) -> std::sync::MutexGuard<'_, Option<Channel>> {
        self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
