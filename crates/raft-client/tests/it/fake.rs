//! Nodes without Raft: several servers over one store, which lead, refuse, hang and lie as told.

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use raft_api::pb;
use raft_api::pb::management_rpc_server::{ManagementRpc, ManagementRpcServer};
use raft_kv::{Command, Store};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

/// What a node does with a write instead of applying it and saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Says that another one leads: the node of this number.
    NotLeader { hint: u64 },
    /// Says no.
    Refuse(pb::Refusal),
    /// Applies it and says that the outcome is unknown.
    ApplyInDoubt,
    /// Applies it and never answers.
    ApplyAndHang,
    /// Never does anything.
    Hang,
    /// Claims to have applied it.
    Lose,
    /// Applies it twice.
    ApplyTwice,
}

/// What happens to a request to change the members or the leader, instead of its being done. Says
/// how it is refused; with nothing, it is never answered.
type Twist<R> = Box<dyn FnOnce(&mut World, &R) -> Option<(pb::Refusal, &'static str)> + Send>;

/// What all nodes share.
#[derive(Default)]
pub(crate) struct World {
    /// Its name.
    pub(crate) cluster: String,
    /// Reads that came to a node.
    pub(crate) reads: u64,
    pub(crate) leader: u64,
    pub(crate) term: u64,
    pub(crate) addrs: BTreeMap<u64, String>,
    pub(crate) store: Store,
    /// Commands applied so far, not counting repeats.
    pub(crate) applied: u64,
    /// Every write that reached a node: node and session.
    pub(crate) writes: Vec<(u64, pb::Session)>,
    /// What the nodes do with the next writes.
    pub(crate) script: BTreeMap<u64, VecDeque<Act>>,
    /// A node that has lost its data and is refused by the others.
    pub(crate) wiped: Option<u64>,
    /// Nodes that have confirmed what was applied, and hold the log so far only.
    pub(crate) forgetful: BTreeMap<u64, u64>,
    /// Nodes that the leader has not heard for so many milliseconds.
    pub(crate) unheard_ms: BTreeMap<u64, u64>,
    /// What space the nodes' disks have; enough, where nothing is said.
    pub(crate) disk_space: BTreeMap<u64, pb::DiskSpace>,
    /// Nodes that hold another state than the others.
    pub(crate) hashes: BTreeMap<u64, u64>,
    /// The members, unlike those nodes that merely run.
    pub(crate) members: BTreeMap<u64, pb::Member>,
    /// A joint configuration ends after it has been looked at so often.
    pub(crate) joint_looks: Option<u32>,
    /// The entry that made them members.
    pub(crate) members_as_of: u64,
    /// Nodes that were removed, and whom they knew last.
    pub(crate) removed: BTreeMap<u64, Vec<String>>,
    /// Whom those take for the leader, if for anybody.
    pub(crate) bygone: u64,
    /// Requests to change the members that came to the leader, and what becomes of the next ones.
    pub(crate) changes: Vec<pb::SetConfigurationRequest>,
    twists: VecDeque<Twist<pb::SetConfigurationRequest>>,
    transfer_twists: VecDeque<Twist<u64>>,
    results: BTreeMap<(u64, u64), Bytes>,
    /// Sessions opened so far, and the one below which they are forgotten.
    sessions: u64,
    forgotten: u64,
}

/// Running nodes. They end, with their connections, when this is dropped.
pub(crate) struct Fakes {
    world: Arc<Mutex<World>>,
    runtimes: BTreeMap<u64, Runtime>,
}

struct Node {
    id: u64,
    world: Arc<Mutex<World>>,
}

impl Fakes {
    /// Nodes 1 to `count`; node 1 leads in term 1.
    pub(crate) fn start(count: u64) -> Self {
        let cluster = "fake".to_owned();
        let world = World { cluster, leader: 1, term: 1, ..World::default() };
        let world = Arc::new(Mutex::new(world));
        let mut fakes = Self { world, runtimes: BTreeMap::new() };
        for id in 1..=count {
            fakes.start_node(id);
            let mut world = fakes.world();
            let member = world.member(id, pb::MemberRole::Voter);
            world.members.insert(id, member);
        }
        fakes
    }

    /// A node that runs and is no member.
    pub(crate) fn start_node(&mut self, id: u64) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        self.world().addrs.insert(id, listener.local_addr().unwrap().to_string());
        let node = Node { id, world: Arc::clone(&self.world) };
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tonic::transport::Server::builder()
                .add_service(ManagementRpcServer::new(node))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
        });
        self.runtimes.insert(id, runtime);
    }

    /// Ends a node as SIGKILL would: its connections break, its port refuses.
    pub(crate) fn kill(&mut self, id: u64) {
        self.runtimes.remove(&id).unwrap().shutdown_background();
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn addr(&self, id: u64) -> String {
        self.world().addrs[&id].clone()
    }

    pub(crate) fn addrs(&self) -> Vec<String> {
        self.world().addrs.values().cloned().collect()
    }

    /// Tells a node what to do with the next writes that reach it.
    pub(crate) fn script(&self, id: u64, acts: impl IntoIterator<Item = Act>) {
        self.world().script.entry(id).or_default().extend(acts);
    }

    /// What becomes of the next request to change the members.
    pub(crate) fn twist(
        &self,
        twist: impl FnOnce(
            &mut World,
            &pb::SetConfigurationRequest,
        ) -> Option<(pb::Refusal, &'static str)>
        + Send
        + 'static,
    ) {
        self.world().twists.push_back(Box::new(twist));
    }

    /// What becomes of the next request to hand leadership over.
    pub(crate) fn twist_transfer(
        &self,
        twist: impl FnOnce(&mut World, &u64) -> Option<(pb::Refusal, &'static str)> + Send + 'static,
    ) {
        self.world().transfer_twists.push_back(Box::new(twist));
    }

    /// Waits until so many writes have reached the nodes.
    pub(crate) async fn writes_reach(&self, count: usize) {
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        while self.world().writes.len() < count {
            looks.tick().await;
        }
    }

    pub(crate) fn elect(&self, leader: u64) {
        self.world().elect(leader);
    }

    /// As if the cluster had let all sessions expire.
    pub(crate) fn forget_sessions(&self) {
        let mut world = self.world();
        world.forgotten = world.sessions;
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        for (_, runtime) in std::mem::take(&mut self.runtimes) {
            runtime.shutdown_background();
        }
    }
}

/// An address where somebody listens and never says a word, like a stopped process.
pub(crate) fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

/// An address where nobody listens, and nobody else can while the socket lives.
pub(crate) fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    (socket, addr)
}

/// A server that speaks gRPC and knows none of our methods, as on a peer port.
pub(crate) fn other_service() -> (Runtime, String) {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tonic::transport::Server::builder()
            .add_routes(tonic::service::Routes::default())
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
    });
    (runtime, addr)
}

impl World {
    pub(crate) fn elect(&mut self, leader: u64) {
        self.leader = leader;
        self.term += 1;
    }

    /// A member as it would be listed.
    pub(crate) fn member(&self, id: u64, role: pb::MemberRole) -> pb::Member {
        pb::Member {
            id,
            peer_addr: format!("10.0.0.1:{}", 7000 + id),
            client_addr: self.addrs.get(&id).cloned().unwrap_or_default(),
            role: role.into(),
            http_addr: format!("10.0.0.1:{}", 7200 + id),
        }
    }

    /// The configuration becomes the one asked for, with the addresses that are left empty as they
    /// were.
    pub(crate) fn become_target(&mut self, request: &pb::SetConfigurationRequest) {
        let before = std::mem::take(&mut self.members);
        for member in &request.members {
            let mut member = member.clone();
            if member.peer_addr.is_empty() {
                let known = &before[&member.id];
                member.peer_addr.clone_from(&known.peer_addr);
                member.client_addr.clone_from(&known.client_addr);
                member.http_addr.clone_from(&known.http_addr);
            }
            self.members.insert(member.id, member);
        }
    }

    /// The newcomers become learners, as the first step of a change.
    pub(crate) fn stage(&mut self, request: &pb::SetConfigurationRequest) {
        for member in &request.members {
            let learner = pb::Member { role: pb::MemberRole::Learner.into(), ..member.clone() };
            self.members.entry(member.id).or_insert(learner);
        }
    }

    /// The joint configuration on the way, until it has been looked at so often.
    pub(crate) fn join(&mut self, request: &pb::SetConfigurationRequest, looks: u32) {
        let before = self.members.clone();
        self.become_target(request);
        for (id, member) in before {
            let stays =
                self.members.get(&id).is_some_and(|now| now.role() == pb::MemberRole::Voter);
            if member.role() == pb::MemberRole::Voter && !stays {
                let role = pb::MemberRole::Outgoing.into();
                self.members.insert(id, pb::Member { role, ..member });
            }
        }
        self.joint_looks = Some(looks);
    }

    fn look(&mut self) -> (Vec<pb::Member>, bool) {
        if self.joint_looks == Some(0) {
            self.members.retain(|_, member| member.role() != pb::MemberRole::Outgoing);
            self.joint_looks = None;
        }
        self.joint_looks = self.joint_looks.map(|looks| looks - 1);
        (self.members.values().cloned().collect(), self.joint_looks.is_some())
    }

    fn change(
        &mut self,
        node: u64,
        request: &pb::SetConfigurationRequest,
    ) -> Option<(pb::Refusal, &'static str)> {
        if self.leader != node {
            return Some((pb::Refusal::NotLeader, ""));
        }
        self.changes.push(request.clone());
        if let Some(twist) = self.twists.pop_front() {
            return twist(self, request);
        }
        if self.joint_looks.is_some() {
            return Some((pb::Refusal::MembershipInProgress, "under way"));
        }
        let roles = |members: &mut dyn Iterator<Item = &pb::Member>| {
            members.map(|member| (member.id, member.role)).collect::<BTreeMap<_, _>>()
        };
        if roles(&mut request.expected.iter()) != roles(&mut self.members.values()) {
            return Some((pb::Refusal::MembershipChanged, "changed"));
        }
        self.become_target(request);
        Some((pb::Refusal::None, ""))
    }

    fn transfer(&mut self, node: u64, to: u64) -> Option<(pb::Refusal, &'static str)> {
        if self.leader != node {
            return Some((pb::Refusal::NotLeader, ""));
        }
        if let Some(twist) = self.transfer_twists.pop_front() {
            return twist(self, &to);
        }
        let voter = |id: &u64| {
            self.members.get(id).is_some_and(|member| member.role() == pb::MemberRole::Voter)
        };
        let others = self.members.keys().copied().filter(|id| *id != node);
        let to = if to == 0 { others.filter(voter).min() } else { Some(to).filter(voter) };
        let Some(to) = to else {
            return Some((pb::Refusal::Transfer, "that node is not a voter"));
        };
        if to != node {
            self.elect(to);
        }
        Some((pb::Refusal::None, ""))
    }

    /// Makes a voter a learner.
    pub(crate) fn member_is_learner(&mut self, id: u64) {
        self.members.get_mut(&id).unwrap().role = pb::MemberRole::Learner.into();
    }

    fn header(&self, node: u64, refusal: pb::Refusal) -> pb::Header {
        pb::Header {
            success: refusal == pb::Refusal::None,
            refusal: refusal.into(),
            message: String::new(),
            leader_id: self.leader,
            leader_addr: self.addrs.get(&self.leader).cloned().unwrap_or_default(),
            term: self.term,
            index: self.applied,
            node_id: node,
            members_as_of: self.members_as_of,
        }
    }

    /// Applies a command unless the session knows it. Tells whether it was a repeat.
    fn apply(&mut self, session: pb::Session, command: &Bytes) -> (Bytes, bool) {
        let key = (session.id, session.sequence);
        if let Some(result) = self.results.get(&key) {
            return (result.clone(), true);
        }
        let result = self.store.apply_bytes(command);
        self.applied += 1;
        self.results.insert(key, result.clone());
        (result, false)
    }
}

impl Node {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The answer to a write; `None`: there is none.
    fn write(&self, session: pb::Session, command: &Bytes) -> Option<pb::ProposeResponse> {
        let mut world = self.world();
        world.writes.push((self.id, session));
        let act = world.script.get_mut(&self.id).and_then(VecDeque::pop_front);
        let mut refusal = pb::Refusal::None;
        let (mut result, mut duplicate) = (Bytes::new(), false);
        let mut leader = world.leader;
        match act {
            Some(Act::NotLeader { hint }) => {
                leader = hint;
                refusal = pb::Refusal::NotLeader;
            }
            Some(Act::Refuse(because)) => refusal = because,
            Some(Act::Hang) => return None,
            _ if world.leader != self.id => refusal = pb::Refusal::NotLeader,
            _ if session.id <= world.forgotten => refusal = pb::Refusal::SessionUnknown,
            Some(Act::ApplyInDoubt) => {
                world.apply(session, command);
                refusal = pb::Refusal::OutcomeUnknown;
            }
            Some(Act::ApplyAndHang) => {
                world.apply(session, command);
                return None;
            }
            Some(Act::Lose) => result = Store::new().apply_bytes(command),
            Some(Act::ApplyTwice) => {
                world.apply(session, command);
                result = world.store.apply_bytes(command);
            }
            None => (result, duplicate) = world.apply(session, command),
        }
        let header = world.header(self.id, refusal);
        Some(pb::ProposeResponse {
            success: header.success,
            leader_id: leader,
            leader_addr: world.addrs.get(&leader).cloned().unwrap_or_default(),
            term: header.term,
            index: header.index,
            result,
            refusal: header.refusal,
            message: header.message,
            duplicate,
            node_id: self.id,
            members_as_of: world.members_as_of,
        })
    }
}

#[tonic::async_trait]
impl ManagementRpc for Node {
    async fn get_leader(
        &self,
        _: Request<pb::GetLeaderRequest>,
    ) -> Result<Response<pb::GetLeaderResponse>, Status> {
        let world = self.world();
        let pb::Header { leader_id, leader_addr, term, node_id, .. } =
            world.header(self.id, pb::Refusal::None);
        let answer = match world.removed.get(&node_id) {
            Some(left) => pb::GetLeaderResponse {
                term,
                node_id,
                removed: true,
                leader_id: world.bygone,
                leader_addr: world.addrs.get(&world.bygone).cloned().unwrap_or_default(),
                member_addrs: left.clone(),
                cluster: world.cluster.clone(),
            },
            None => pb::GetLeaderResponse {
                leader_id,
                leader_addr,
                term,
                node_id,
                cluster: world.cluster.clone(),
                ..pb::GetLeaderResponse::default()
            },
        };
        Ok(Response::new(answer))
    }

    async fn get_configuration(
        &self,
        _: Request<pb::GetConfigurationRequest>,
    ) -> Result<Response<pb::GetConfigurationResponse>, Status> {
        let mut world = self.world();
        let (members, joint) = world.look();
        Ok(Response::new(pb::GetConfigurationResponse {
            cluster: world.cluster.clone(),
            members,
            joint,
            leader_id: world.leader,
            term: world.term,
            node_id: self.id,
            removed: world.removed.contains_key(&self.id),
        }))
    }

    async fn set_configuration(
        &self,
        request: Request<pb::SetConfigurationRequest>,
    ) -> Result<Response<pb::SetConfigurationResponse>, Status> {
        let answer = {
            let mut world = self.world();
            let ended = world.change(self.id, &request.into_inner());
            ended.map(|(refusal, message)| {
                let message = message.to_owned();
                let header = Some(pb::Header { message, ..world.header(self.id, refusal) });
                let members = world.members.values().cloned().collect();
                let joint = world.joint_looks.is_some();
                pb::SetConfigurationResponse { header, members, joint }
            })
        };
        match answer {
            Some(answer) => Ok(Response::new(answer)),
            None => std::future::pending().await,
        }
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        let header = {
            let mut world = self.world();
            let ended = world.transfer(self.id, request.into_inner().to);
            ended.map(|(refusal, message)| {
                let message = message.to_owned();
                pb::Header { message, ..world.header(self.id, refusal) }
            })
        };
        match header {
            header @ Some(_) => Ok(Response::new(pb::TransferLeadershipResponse { header })),
            None => std::future::pending().await,
        }
    }

    async fn open_session(
        &self,
        _: Request<pb::OpenSessionRequest>,
    ) -> Result<Response<pb::OpenSessionResponse>, Status> {
        let mut world = self.world();
        let leads = world.leader == self.id;
        let refusal = if leads { pb::Refusal::None } else { pb::Refusal::NotLeader };
        world.sessions += u64::from(leads);
        let header = Some(world.header(self.id, refusal));
        Ok(Response::new(pb::OpenSessionResponse { header, session_id: world.sessions }))
    }

    async fn propose(
        &self,
        request: Request<pb::ProposeRequest>,
    ) -> Result<Response<pb::ProposeResponse>, Status> {
        let request = request.into_inner();
        assert!(Command::decode(&request.data).is_ok(), "the client sends commands of the store");
        let session = request.session.expect("writes come under a session");
        match self.write(session, &request.data) {
            Some(answer) => Ok(Response::new(answer)),
            None => std::future::pending().await,
        }
    }

    type ProposeStreamStream = BoxStream<'static, Result<pb::ProposeResponse, Status>>;

    /// Ends with the first answer that is a refusal.
    async fn propose_stream(
        &self,
        request: Request<Streaming<pb::ProposeRequest>>,
    ) -> Result<Response<Self::ProposeStreamStream>, Status> {
        let node = Self { id: self.id, world: Arc::clone(&self.world) };
        let answers = stream::unfold(Some((node, request.into_inner())), async |state| {
            let (node, mut requests) = state?;
            let request = requests.message().await.ok()??;
            let session = request.session.expect("writes come under a session");
            let answer = match node.write(session, &request.data) {
                Some(answer) => answer,
                None => std::future::pending().await,
            };
            let rest = answer.success.then_some((node, requests));
            Some((Ok(answer), rest))
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn query(
        &self,
        request: Request<pb::QueryRequest>,
    ) -> Result<Response<pb::QueryResponse>, Status> {
        let request = request.into_inner();
        let mut world = self.world();
        world.reads += 1;
        let stale = request.consistency() == pb::Consistency::Stale;
        let (refusal, result) = if world.leader == self.id || stale {
            (pb::Refusal::None, world.store.query_bytes(&request.data).unwrap())
        } else {
            (pb::Refusal::NotLeader, Bytes::new())
        };
        let header = Some(world.header(self.id, refusal));
        Ok(Response::new(pb::QueryResponse { header, result }))
    }

    async fn status(
        &self,
        _: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let world = self.world();
        let leads = world.leader == self.id;
        let index = if world.wiped == Some(self.id) { 0 } else { world.applied };
        let index = world.forgetful.get(&self.id).copied().unwrap_or(index);
        let peers = world.addrs.keys().filter(|&&id| leads && id != self.id);
        let peers = peers.map(|&id| pb::PeerStatus {
            id,
            match_index: world.applied,
            heard_ms: world.unheard_ms.get(&id).copied().unwrap_or(0),
            ..Default::default()
        });
        Ok(Response::new(pb::StatusResponse {
            node_id: self.id,
            cluster: world.cluster.clone(),
            role: if leads { pb::Role::Leader } else { pb::Role::Follower }.into(),
            term: world.term,
            leader_id: world.leader,
            commit_index: index,
            applied_index: index,
            last_index: index,
            state_hash: world.hashes.get(&self.id).copied().unwrap_or(index * 0x1_0001),
            peers: peers.collect(),
            data_dir: format!("/data/n{}", self.id),
            disk_space: world.disk_space.get(&self.id).copied().unwrap_or_default().into(),
            ..pb::StatusResponse::default()
        }))
    }
}
