//! What the nodes say about themselves, as anybody can ask them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use raft_api::cluster::{ClusterConfig, NodeConfig};
use raft_api::pb::management_rpc_client::ManagementRpcClient;
use raft_api::pb::{GetConfigurationRequest, Role, StatusRequest, StatusResponse};
use tonic::transport::{Channel, Endpoint};

use crate::NodeId;
use crate::events::grouped;
use crate::exit::Failure;
use crate::system::{Probe, System};

/// A way to ask a node.
pub type Api = ManagementRpcClient<Channel>;

/// Asks nodes how they are.
#[derive(Clone, Debug)]
pub struct Watch {
    clients: BTreeMap<NodeId, Voice>,
}

/// How a node is asked.
#[derive(Clone, Debug)]
enum Voice {
    Ours(Api),
    Etcd(Probe),
}

impl Watch {
    /// Asks the nodes of a cluster. Connections are made when they are needed, and made again when
    /// they are lost.
    pub fn new(config: &ClusterConfig) -> Result<Self, Failure> {
        Self::of(config, &System::Raft)
    }

    /// The same, whosever servers they are.
    pub fn of(config: &ClusterConfig, system: &System) -> Result<Self, Failure> {
        let mut watch = Self { clients: BTreeMap::new() };
        for node in &config.nodes {
            match system {
                System::Raft => watch.add(node)?,
                System::Etcd(etcd) => {
                    let probe = Probe::new(node, etcd.members())?;
                    watch.clients.insert(node.id, Voice::Etcd(probe));
                }
            }
        }
        Ok(watch)
    }

    /// The members of etcd among those that are asked.
    pub fn probes(&self) -> impl Iterator<Item = (NodeId, Probe)> {
        self.clients.iter().filter_map(|(id, voice)| match voice {
            Voice::Ours(_) => None,
            Voice::Etcd(probe) => Some((*id, probe.clone())),
        })
    }

    /// Asks this node as well.
    pub fn add(&mut self, node: &NodeConfig) -> Result<(), Failure> {
        self.clients.insert(node.id, Voice::Ours(client(node)?));
        Ok(())
    }

    /// Asks those as well that are members in the words of the nodes asked so far, and returns
    /// them. Nodes that were removed are asked whom they knew last, but not believed.
    pub async fn follow(&mut self, patience: Duration) -> Vec<(NodeId, String)> {
        let mut found = Vec::new();
        let mut asked = BTreeSet::new();
        loop {
            let new: Vec<NodeId> =
                self.clients.keys().copied().filter(|id| asked.insert(*id)).collect();
            if new.is_empty() {
                return found;
            }
            let answers = new.iter().filter_map(|id| self.clients.get(id));
            let answers = answers.map(async |client| {
                let Voice::Ours(client) = client else { return None };
                let mut client = client.clone();
                let asking = client.get_configuration(GetConfigurationRequest {});
                tokio::time::timeout(patience, asking).await.ok()?.ok()
            });
            let answers = join_all(answers).await.into_iter().flatten();
            for member in answers.flat_map(|answer| answer.into_inner().members) {
                let (id, addr) = (NodeId(member.id), member.client_addr);
                if addr.is_empty() || self.clients.contains_key(&id) {
                    continue;
                }
                if let Ok(client) = client_at(id, &addr) {
                    self.clients.insert(id, Voice::Ours(client));
                    found.push((id, addr));
                }
            }
        }
    }

    /// Asks this node no more.
    pub fn remove(&mut self, id: NodeId) {
        self.clients.remove(&id);
    }

    /// Asks some nodes over and over for so long. What each said is a view of that node alone.
    /// Under load this is how nodes are seen at the same index: not at once, but often.
    pub async fn burst_at(
        &self,
        who: impl Fn(NodeId) -> bool,
        lasts: Duration,
        patience: Duration,
    ) -> Vec<View> {
        let until = Instant::now() + lasts;
        let asked = self.clients.iter().filter(|(id, _)| who(**id));
        let series = asked.map(async |(id, client)| {
            let mut seen = Vec::new();
            while Instant::now() < until {
                let nodes = BTreeMap::from([(*id, ask(client.clone(), patience).await)]);
                seen.push(View { at: Instant::now(), nodes });
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            seen
        });
        join_all(series).await.into_iter().flatten().collect()
    }

    /// Asks all nodes at once and waits so long at most.
    pub async fn look(&self, patience: Duration) -> View {
        self.look_at(|_all| true, patience).await
    }

    /// Asks some of the nodes.
    pub async fn look_at(&self, who: impl Fn(NodeId) -> bool, patience: Duration) -> View {
        let asked = self.clients.iter().filter(|(id, _)| who(**id));
        let answers = asked.map(async |(id, client)| (*id, ask(client.clone(), patience).await));
        let nodes = join_all(answers).await.into_iter().collect();
        View { at: Instant::now(), nodes }
    }
}

/// A way to ask a node. The connection is made when it is needed.
pub fn client(node: &NodeConfig) -> Result<Api, Failure> {
    client_at(node.id, &node.client)
}

fn client_at(id: NodeId, addr: &str) -> Result<Api, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"));
    let endpoint = endpoint
        .map_err(|error| Failure::usage(format!("{id} has an address that is none: {error}")))?;
    // A node that does not answer in time costs a reset stream each time. The limit on those would
    // end the connection for good.
    let endpoint = endpoint.http2_max_local_error_reset_streams(None);
    let endpoint = endpoint.connect_timeout(Duration::from_millis(500));
    Ok(ManagementRpcClient::new(endpoint.connect_lazy()))
}

async fn ask(voice: Voice, patience: Duration) -> Result<StatusResponse, String> {
    let asking = async {
        match voice {
            Voice::Ours(mut client) => {
                client.status(StatusRequest::default()).await.map(tonic::Response::into_inner)
            }
            Voice::Etcd(mut probe) => probe.status().await,
        }
    };
    match tokio::time::timeout(patience, asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) if status.code() == tonic::Code::Unavailable => Err("not reachable".into()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_elapsed) => Err(format!("no answer in {} ms", patience.as_millis())),
    }
}

/// What was answered at about the same time.
#[derive(Clone, Debug)]
pub struct View {
    /// When the last answer was in.
    pub at: Instant,
    /// The answers, or why there is none.
    pub nodes: BTreeMap<NodeId, Result<StatusResponse, String>>,
}

impl View {
    /// What a node said.
    pub fn of(&self, id: NodeId) -> Option<&StatusResponse> {
        self.nodes.get(&id)?.as_ref().ok()
    }

    /// Those that answered.
    pub fn answers(&self) -> impl Iterator<Item = (NodeId, &StatusResponse)> {
        self.nodes.iter().filter_map(|(id, answer)| Some((*id, answer.as_ref().ok()?)))
    }

    /// Who leads: of those that claim to, the one with the highest term. One of an earlier term
    /// has been replaced and does not know it yet.
    pub fn leader(&self) -> Option<(NodeId, &StatusResponse)> {
        let claims = self.answers().filter(|(_, status)| status.role() == Role::Leader);
        claims.max_by_key(|(_, status)| status.term)
    }

    /// Whether a node says that it was removed: then nothing is expected of it.
    pub fn is_removed(&self, id: NodeId) -> bool {
        self.of(id).is_some_and(|status| status.removed)
    }

    /// Whether more than half of the nodes follow a leader that has committed something.
    pub fn serves(&self) -> bool {
        let Some((leader, claim)) = self.leader() else { return false };
        let follows =
            |status: &StatusResponse| status.leader_id == leader.0 && status.term == claim.term;
        let voices = self.answers().filter(|(_, status)| follows(status)).count();
        let nodes = self.nodes.keys().filter(|id| !self.is_removed(**id)).count();
        0 < claim.commit_index && nodes < 2 * voices
    }

    /// Whether all nodes answered and are of one mind about who leads, but for those that were
    /// removed.
    pub fn is_agreed(&self) -> bool {
        let Some((leader, claim)) = self.leader() else {
            return false;
        };
        let follows =
            |status: &StatusResponse| status.leader_id == leader.0 && status.term == claim.term;
        let agrees = |status: &StatusResponse| status.removed || follows(status);
        self.nodes.values().all(|answer| answer.as_ref().is_ok_and(agrees))
    }

    /// The nodes that have not applied this index, and in words how they are. One that answers
    /// and knows of no commit at all is refused by the others: they do not take what comes with
    /// an empty data directory for the node they knew.
    pub fn short_of(&self, index: u64) -> Vec<String> {
        let short = self.nodes.iter().filter_map(|(id, answer)| match answer {
            Ok(status) if status.removed || index <= status.applied_index => None,
            Ok(status) => {
                let (at, goal) = (grouped(status.applied_index), grouped(index));
                let why = if status.commit_index == 0 { REPLACED } else { "" };
                Some(format!("{id} is up but at index {at} of {goal}{why}"))
            }
            Err(reason) => Some(format!("{id} does not answer: {reason}")),
        });
        short.collect()
    }

    /// Nodes that answer and are cut off all the same. One look is not enough to tell a node that
    /// is busy from one that stands still, so there is an earlier one to compare with.
    pub fn cut_off(&self, earlier: &View) -> Vec<String> {
        let Some((leader, claim)) = self.leader() else {
            return Vec::new();
        };
        let followers = self.answers().filter(|(id, status)| *id != leader && !status.removed);
        let cut_off = followers.filter_map(|(id, status)| {
            let why = if status.last_index == 0 && 0 < claim.commit_index { REPLACED } else { "" };
            if why.is_empty()
                && let Some(held) =
                    earlier.of(leader).and_then(|led| forgotten((id, status), claim, led))
            {
                let (last, held) = (grouped(status.last_index), grouped(held));
                return Some(format!("{id} ends at index {last} and has confirmed {held}{OLDER}"));
            }
            let peer = claim.peers.iter().find(|peer| peer.id == id.0);
            if let Some(peer) = peer.filter(|peer| HEARD_MAX < Duration::from_millis(peer.heard_ms))
            {
                let silence = peer.heard_ms / 1000;
                return Some(format!(
                    "{id} is up but the leader has not heard it for {silence} s{why}"
                ));
            }
            let (then, led_then) = (earlier.of(id)?, earlier.of(leader)?);
            let empty = status.commit_index == 0 && then.commit_index == 0;
            let stands = status.applied_index == then.applied_index
                && status.applied_index < led_then.applied_index
                && led_then.applied_index < claim.applied_index;
            let (at, of) = (grouped(status.applied_index), grouped(claim.commit_index));
            (empty && 0 < led_then.commit_index || stands)
                .then(|| format!("{id} is up but stands at index {at} of {of}{why}"))
        });
        let idle =
            (claim.commit_index == 0).then(|| format!("{leader} leads and has committed nothing"));
        idle.into_iter().chain(cut_off).collect()
    }

    /// Whether another look could tell more: some node is not where the leader is, or that has not
    /// begun yet.
    pub fn is_uneven(&self) -> bool {
        let Some((_, claim)) = self.leader() else {
            return false;
        };
        let led = claim.applied_index;
        led == 0 || self.answers().any(|(_, status)| status.applied_index < led)
    }

    /// Whether there is a leader that has committed something.
    pub fn has_begun(&self) -> bool {
        self.leader().is_some_and(|(_, claim)| 0 < claim.commit_index)
    }
}

/// A leader hears its followers many times a second.
const HEARD_MAX: Duration = Duration::from_secs(2);
const REPLACED: &str = ": its data directory may have been replaced";
const OLDER: &str = ": its data directory may be an older copy of itself";

/// How far a node has confirmed the log, if that is more than it holds by now: within a term nobody cuts
/// what it confirmed. What the leader said must be older than what the node says.
fn forgotten(
    (id, status): (NodeId, &StatusResponse),
    claim: &StatusResponse,
    led_then: &StatusResponse,
) -> Option<u64> {
    let same_term = led_then.role() == Role::Leader
        && led_then.term == claim.term
        && led_then.term == status.term;
    let held = led_then.peers.iter().find(|peer| peer.id == id.0)?.match_index;
    (same_term && status.last_index < held).then_some(held)
}

/// Who keeps up. A node does if, not long ago, it had applied what the leader had committed by an
/// earlier look: so load alone makes nobody late, and a node that stands still is.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    nodes: BTreeMap<NodeId, Keeping>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Keeping {
    goal: Option<u64>,
    reached: Option<Instant>,
}

impl Pace {
    /// Whoever was not seen at its goal for so long does not keep up. Looks are a second apart.
    const REACHED_MAX: Duration = Duration::from_secs(3);

    /// Takes the answers in.
    pub fn note(&mut self, view: &View) {
        let commit = view.leader().map(|(_, claim)| claim.commit_index).filter(|it| 0 < *it);
        for (id, status) in view.answers() {
            let node = self.nodes.entry(id).or_default();
            let goal = node.goal.or(commit);
            if goal.is_some_and(|goal| goal <= status.applied_index) {
                *node = Keeping { goal: commit, reached: Some(view.at) };
            } else {
                node.goal = goal;
            }
        }
    }

    /// Whether a node keeps up.
    pub fn keeps_up(&self, id: NodeId, now: Instant) -> bool {
        let reached = self.nodes.get(&id).and_then(|node| node.reached);
        reached.is_some_and(|reached| now.duration_since(reached) <= Self::REACHED_MAX)
    }

    /// Forgets a node.
    pub fn forget(&mut self, id: NodeId) {
        self.nodes.remove(&id);
    }

    /// Forgets what was seen: everybody has to show it anew.
    pub fn restart(&mut self) {
        self.nodes.clear();
    }
}

/// A role in one word.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Learner => "learner",
    }
}

/// State hashes by the index at which they were seen, to compare nodes that pass the same index at
/// different moments.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    seen: BTreeMap<u64, BTreeMap<NodeId, u64>>,
}

/// Two nodes that have applied the same entries and differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The index.
    pub index: u64,
    /// One node and its hash.
    pub one: (NodeId, u64),
    /// The other.
    pub other: (NodeId, u64),
}

impl Hashes {
    /// Older indexes are forgotten beyond this many.
    const KEPT_MAX: usize = 10_000;

    /// Takes the answers in, and tells if one contradicts what was seen before.
    pub fn note(&mut self, view: &View) -> Option<Divergence> {
        let mut found = None;
        for (id, status) in view.answers() {
            let index = status.applied_index;
            let at_index = self.seen.entry(index).or_default();
            let differs = at_index.iter().find(|(_, hash)| **hash != status.state_hash);
            if let Some((other, hash)) = differs {
                found = Some(Divergence {
                    index,
                    one: (id, status.state_hash),
                    other: (*other, *hash),
                });
            }
            at_index.insert(id, status.state_hash);
        }
        while Self::KEPT_MAX < self.seen.len() {
            self.seen.pop_first();
        }
        found
    }

    /// The latest index, from this one on, at which this many nodes were seen. Index 0 is the
    /// same everywhere and proves nothing.
    pub fn compared(&self, nodes: usize, from: u64) -> Option<u64> {
        let mut seen = self.seen.range(from.max(1)..).rev();
        let full = seen.find(|(_, at_index)| at_index.len() == nodes);
        full.map(|(index, _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use raft_api::pb::PeerStatus;

    use super::*;

    fn status(role: Role, term: u64, leader_id: u64) -> StatusResponse {
        StatusResponse { role: role.into(), term, leader_id, ..Default::default() }
    }

    fn applied(applied_index: u64, state_hash: u64) -> StatusResponse {
        StatusResponse { applied_index, state_hash, ..Default::default() }
    }

    fn view(nodes: impl IntoIterator<Item = StatusResponse>) -> View {
        let nodes = (1..).map(NodeId).zip(nodes.into_iter().map(Ok)).collect();
        View { at: Instant::now(), nodes }
    }

    #[test]
    fn the_claim_of_the_highest_term_counts() {
        let stale = status(Role::Leader, 4, 1);
        let fresh = status(Role::Leader, 5, 2);
        let seen = view([stale, fresh, status(Role::Follower, 5, 2)]);
        assert_eq!(seen.leader().map(|(id, _)| id), Some(NodeId(2)));
        assert!(!seen.is_agreed(), "n1 does not know yet");
    }

    #[test]
    fn agreement_needs_every_node() {
        let led = || [status(Role::Leader, 5, 1), status(Role::Follower, 5, 1)];
        assert!(view(led()).is_agreed());
        let mut missing = view(led());
        missing.nodes.insert(NodeId(3), Err("not reachable".to_owned()));
        assert!(!missing.is_agreed());
        assert!(!view([status(Role::Follower, 5, 2), status(Role::Follower, 5, 2)]).is_agreed());
    }

    /// Of a node that was removed nothing is expected, and one that is not well does not keep the
    /// others from serving.
    #[test]
    fn some_may_be_missing_from_what_serves() {
        let led = |role, term| StatusResponse { commit_index: 3, ..status(role, term, 1) };
        let removed = StatusResponse { removed: true, ..Default::default() };
        let pair = view([led(Role::Leader, 5), led(Role::Follower, 5), removed]);
        assert!(pair.is_agreed() && pair.serves() && pair.short_of(0).is_empty());
        let stranger =
            view([led(Role::Leader, 5), led(Role::Follower, 5), StatusResponse::default()]);
        assert!(!stranger.is_agreed() && stranger.serves());
        let alone = view([led(Role::Leader, 5), StatusResponse::default()]);
        assert!(!alone.serves());
    }

    #[test]
    fn hashes_are_compared_at_an_equal_index_across_moments() {
        let mut hashes = Hashes::default();
        assert_eq!(hashes.note(&view([applied(10, 7), applied(9, 6)])), None);
        assert_eq!(hashes.compared(2, 0), None);
        assert_eq!(hashes.note(&view([applied(12, 9), applied(10, 7)])), None);
        assert_eq!(hashes.compared(2, 10), Some(10));
        let expected = Divergence { index: 12, one: (NodeId(2), 8), other: (NodeId(1), 9) };
        assert_eq!(hashes.note(&view([applied(13, 1), applied(12, 8)])), Some(expected));
    }

    #[test]
    fn index_0_and_what_was_seen_before_compare_nothing() {
        let mut hashes = Hashes::default();
        hashes.note(&view([applied(0, 7), applied(0, 7)]));
        assert_eq!(hashes.compared(2, 0), None);
        hashes.note(&view([applied(10, 8), applied(10, 8)]));
        assert_eq!(hashes.compared(2, 11), None);
        assert_eq!(hashes.compared(2, 0), Some(10));
    }

    /// A leader and a follower, where they are.
    fn pair(led: u64, follows: u64) -> View {
        let leader =
            StatusResponse { commit_index: led, applied_index: led, ..status(Role::Leader, 2, 1) };
        let follower = status(Role::Follower, 2, 1);
        let (commit_index, applied_index) = (follows, follows);
        let last_index = follows;
        view([leader, StatusResponse { commit_index, applied_index, last_index, ..follower }])
    }

    #[test]
    fn load_makes_nobody_late_and_standing_still_does() {
        let (mut pace, n2) = (Pace::default(), NodeId(2));
        pace.note(&pair(10, 8));
        assert!(!pace.keeps_up(n2, Instant::now()), "not yet");
        pace.note(&pair(20, 12));
        pace.note(&pair(30, 21));
        let now = Instant::now();
        assert!(pace.keeps_up(n2, now), "what was committed a look ago is applied");
        assert!(!pace.keeps_up(n2, now + 2 * Pace::REACHED_MAX), "that was long ago");
        pace.restart();
        for _look in 0..3 {
            pace.note(&pair(30, 0));
        }
        assert!(!pace.keeps_up(n2, Instant::now()));
        assert!(pace.keeps_up(NodeId(1), Instant::now()));
    }

    #[test]
    fn a_node_that_is_cut_off_is_told_from_one_that_is_busy() {
        assert!(pair(30, 20).cut_off(&pair(20, 10)).is_empty());
        assert!(pair(30, 20).cut_off(&pair(20, 20)).is_empty(), "it was level a moment ago");
        let stands = ["n2 is up but stands at index 10 of 30"];
        assert_eq!(pair(30, 10).cut_off(&pair(20, 10)), stands);
        let empty =
            ["n2 is up but stands at index 0 of 30: its data directory may have been replaced"];
        assert_eq!(pair(30, 0).cut_off(&pair(30, 0)), empty);
        let mut unheard = pair(30, 0);
        let peer = PeerStatus { id: 2, heard_ms: 12_345, ..Default::default() };
        unheard.nodes.get_mut(&NodeId(1)).unwrap().as_mut().unwrap().peers.push(peer);
        let line = "n2 is up but the leader has not heard it for 12 s: its data directory may have \
                    been replaced";
        assert_eq!(unheard.cut_off(&unheard.clone()), [line]);
    }

    /// Also where nothing happens, and never by an answer that is older than the leader's, or of
    /// another term: then it may have moved on, or been cut.
    #[test]
    fn a_node_on_an_older_copy_of_its_disk_is_named() {
        let seen = |term, matched, last| {
            let mut seen = pair(703, 402);
            let mut answers = seen.nodes.values_mut().map(|answer| answer.as_mut().unwrap());
            let (leader, follower) = (answers.next().unwrap(), answers.next().unwrap());
            let peer = PeerStatus { id: 2, match_index: matched, ..Default::default() };
            leader.peers.push(peer);
            (leader.term, follower.term, follower.last_index) = (term, term, last);
            seen
        };
        let line = "n2 ends at index 402 and has confirmed 703: its data directory may be an older \
                    copy of itself";
        assert_eq!(seen(2, 703, 402).cut_off(&seen(2, 703, 402)), [line]);
        assert!(seen(2, 703, 703).cut_off(&seen(2, 703, 402)).is_empty(), "it has it");
        assert!(seen(2, 703, 402).cut_off(&seen(2, 402, 402)).is_empty(), "it may have by now");
        assert!(seen(3, 703, 402).cut_off(&seen(2, 703, 402)).is_empty(), "it may have been cut");
    }

    #[test]
    fn who_is_short_of_an_index_is_named_with_the_reason() {
        let mut seen = pair(4006, 0);
        seen.nodes.insert(NodeId(3), Err("not reachable".to_owned()));
        let expected = [
            "n2 is up but at index 0 of 4 006: its data directory may have been replaced",
            "n3 does not answer: not reachable",
        ];
        assert_eq!(seen.short_of(4006), expected);
    }
}
