//! Who leads, and where.
//!
//! The answer is kept until it turns out wrong. Then all known nodes are asked at once; one that
//! says it leads itself is believed at once, and so is one that names another, unless that other
//! has just failed under the same term. Many operations that fail together share one search.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use raft_api::pb;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::attempt::ask_node;
use crate::connect::{Api, Link};
use crate::{Fault, FaultKind, Options, Reasons};

/// Once somebody has answered, the others get this much longer.
const STRAGGLERS: Duration = Duration::from_millis(20);

/// Learning the other members' addresses may take this long; it is a convenience.
const LEARNING: Duration = Duration::from_millis(300);

/// While a leader is used, it is asked for the members again so often.
const RELEARNING: Duration = Duration::from_secs(1);

/// While nobody leads, whoever answers is asked so often: all may be replaced, and soon be gone.
const RELEARNING_LEADERLESS: Duration = Duration::from_millis(100);

/// A node that is believed to lead.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    pub(crate) link: Arc<Link>,
    pub(crate) node: u64,
    pub(crate) term: u64,
}

/// What is known of the cluster.
#[derive(Debug)]
pub(crate) struct Directory {
    options: Options,
    links: RwLock<Vec<Arc<Link>>>,
    known: watch::Sender<Known>,
    /// Held by the one who searches. Keeps when the last search ended, and how.
    searching: tokio::sync::Mutex<Option<(Instant, Reasons)>>,
    born: Instant,
    /// When the members were last read, in milliseconds since `born` and one more; 0: never.
    learnt_at_ms: AtomicU64,
    /// The entry that made the members what they are, in the words of the last answer.
    members_as_of: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    leader: Option<Leader>,
    /// The greatest term that has a leader as far as we know.
    term: u64,
    /// A leader that failed us, and in which term. Others' word for it does not count.
    suspect: Option<(Arc<str>, u64)>,
    /// Whether the members' addresses have been learnt.
    learnt: bool,
    /// Where the members serve clients, in the words of a leader; and in which term it said so.
    members: Vec<String>,
    members_term: u64,
    /// Nodes that said that they are no members any more.
    removed: BTreeSet<Arc<str>>,
    /// The name of the cluster whose leader was found first. It is the one that is meant, if the
    /// client was not told.
    cluster: Option<String>,
}

impl Directory {
    pub(crate) fn new(options: Options) -> Self {
        let links = options.endpoints.iter().map(|addr| Arc::new(Link::new(addr, &options)));
        Self {
            links: RwLock::new(links.collect()),
            known: watch::Sender::new(Known::default()),
            searching: tokio::sync::Mutex::new(None),
            born: Instant::now(),
            learnt_at_ms: AtomicU64::new(0),
            members_as_of: AtomicU64::new(0),
            options,
        }
    }

    /// The nodes known so far.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The nodes known to be members; all known nodes as long as no leader has told.
    pub(crate) fn members(&self) -> Vec<Arc<Link>> {
        let mut links = self.links();
        let known = self.known.borrow();
        if !known.members.is_empty() {
            links.retain(|link| known.members.iter().any(|addr| **addr == **link.addr()));
        }
        links
    }

    /// The way to this address, new or known.
    pub(crate) fn link(&self, addr: &str) -> Arc<Link> {
        let known = |links: &[Arc<Link>]| links.iter().find(|link| **link.addr() == *addr).cloned();
        if let Some(link) = known(&self.links()) {
            return link;
        }
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = known(&links) {
            return link; // Somebody was faster.
        }
        let link = Arc::new(Link::new(addr, &self.options));
        links.push(Arc::clone(&link));
        link
    }

    /// The leader, if one is known.
    pub(crate) fn leader(&self) -> Option<Leader> {
        self.known.borrow().leader.clone()
    }

    /// To be told when another leader is known.
    pub(crate) fn watch(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Takes note of a leader, unless a later one is known. With none known even an older term
    /// will do: the cluster may have been made anew.
    pub(crate) fn adopt(&self, leader: Leader) {
        self.known.send_if_modified(|known| {
            if known.leader.is_some() && leader.term < known.term {
                return false;
            }
            let news = known.leader.as_ref().is_none_or(|old| old.node != leader.node);
            let changed = news || known.term < leader.term;
            if changed {
                self.learnt_at_ms.store(0, Ordering::Relaxed); // Others may be members by now.
            }
            known.term = leader.term;
            known.leader = Some(leader);
            changed
        });
    }

    /// Takes note that this leader failed us, unless another one is known by now.
    pub(crate) fn suspect(&self, failed: &Leader) {
        self.known.send_if_modified(|known| {
            let same = |leader: &Leader| Arc::ptr_eq(&leader.link, &failed.link);
            if known.leader.as_ref().is_some_and(same) {
                known.leader = None;
                known.suspect = Some((Arc::clone(failed.link.addr()), failed.term));
            }
            false
        });
    }

    /// Looks for a leader and takes note of it. Else tells what each node had to say. Does not
    /// take much longer than `within`, unless somebody else's search has to be waited for.
    pub(crate) async fn search(&self, within: Duration) -> Result<(), Reasons> {
        let since = Instant::now();
        let mut last = self.searching.lock().await;
        if self.known.borrow().leader.is_some() {
            return Ok(());
        }
        if let Some((_, reasons)) = last.as_ref().filter(|(ended, _)| since <= *ended) {
            return Err(reasons.clone());
        }
        match self.ask_everybody(within).await {
            Ok(leader) => {
                self.adopt(leader.clone());
                if !self.known.borrow().learnt && self.is_to_relearn(RELEARNING) {
                    drop(Box::pin(self.members_from(&leader, LEARNING)).await);
                }
                Ok(())
            }
            Err(reasons) => {
                // Before anything else: who is broken off below still has something to tell.
                *last = Some((Instant::now(), reasons.clone()));
                // Those who were members once may know who is now.
                let answered = reasons.iter().any(|(_, fault)| fault.kind.is_answer());
                if answered && self.is_to_relearn(RELEARNING_LEADERLESS) {
                    drop(Box::pin(self.configuration(LEARNING)).await);
                }
                *last = Some((Instant::now(), reasons.clone()));
                Err(reasons)
            }
        }
    }

    /// What each node had to say in the last search, unless one is under way.
    pub(crate) fn last_reasons(&self) -> Reasons {
        let last = self.searching.try_lock();
        let last = last.ok().and_then(|last| last.as_ref().map(|(_, reasons)| reasons.clone()));
        last.unwrap_or_default()
    }

    /// Looks whether another leader has come up while the known one keeps silent.
    pub(crate) async fn look_around(&self) {
        let Ok(_alone) = self.searching.try_lock() else { return };
        if let Ok(leader) = self.ask_everybody(self.options.attempt_timeout).await {
            self.adopt(leader);
        }
    }

    async fn ask_everybody(&self, within: Duration) -> Result<Leader, Reasons> {
        let (floor, suspect) = {
            let known = self.known.borrow();
            (known.term, known.suspect.clone())
        };
        let links = self.links();
        let mut names: BTreeSet<Arc<str>> =
            links.iter().map(|link| Arc::clone(link.addr())).collect();
        let mut asked: FuturesUnordered<_> =
            links.into_iter().map(|link| self.who_leads(link, within)).collect();
        let mut reasons = Reasons::default();
        let mut outdated: Option<Leader> = None;
        let ends = Instant::now() + within;
        let mut until = ends;
        while let Ok(Some((link, answer))) = timeout_at(until, asked.next()).await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(fault) => {
                    reasons.add(link.addr(), fault);
                    continue;
                }
            };
            self.note_removed(&link, answer.removed);
            let own_word = answer.leader_id == answer.node_id;
            if answer.removed {
                // Those who stayed know more: the leader it names may have been removed as well.
                let others = answer.member_addrs.iter().chain([&answer.leader_addr]);
                let others = others.filter(|addr| !addr.is_empty()).map(|addr| self.link(addr));
                for other in others.filter(|other| names.insert(Arc::clone(other.addr()))) {
                    asked.push(self.who_leads(other, within));
                    until = ends;
                }
                if own_word {
                    // It leads until another one can.
                    let (node, term) = (answer.node_id, answer.term);
                    outdated = outdated.or(Some(Leader { link, node, term }));
                    continue;
                }
                let last = answer.member_addrs.join(", ");
                let why = format!("it last knew the members {last}");
                reasons.add(link.addr(), Fault::new(FaultKind::Removed, why));
                continue;
            }
            until = until.min(Instant::now() + STRAGGLERS);
            let term = answer.term;
            if let Some(why) = doubt(&answer, suspect.as_ref()) {
                reasons.add(link.addr(), Fault::new(FaultKind::NotLeader, why));
                continue;
            }
            let at = if own_word { Arc::clone(&link) } else { self.link(&answer.leader_addr) };
            let leader = Leader { link: at, node: answer.leader_id, term };
            if floor <= term {
                self.note_cluster(&answer.cluster);
                return Ok(leader);
            }
            if outdated.as_ref().is_none_or(|old| old.term < term) {
                outdated = Some(leader);
            }
        }
        for link in self.links() {
            let silent = Fault::new(FaultKind::TimedOut, "");
            reasons.0.entry(Arc::clone(link.addr())).or_insert(silent);
        }
        outdated.ok_or(reasons)
    }

    /// Does the work. Every now and then it reads the members beside it, so that the way to new
    /// members is known before the old ones are gone.
    pub(crate) async fn learning_beside<T>(
        &self,
        leader: &Leader,
        mut work: impl Future<Output = T> + Unpin,
    ) -> T {
        if !self.is_to_relearn(RELEARNING) {
            return work.await;
        }
        let mut reading = Box::pin(self.members_from(leader, LEARNING));
        tokio::select! {
            biased;
            done = &mut work => {
                if timeout(STRAGGLERS, reading).await.is_err() {
                    // Not in a while but with the next operation: the old ones may soon be gone.
                    self.learnt_at_ms.store(0, Ordering::Relaxed);
                }
                done
            }
            _ = &mut reading => work.await,
        }
    }

    /// An answer tells since when the members are what they are: when that is news, they are read
    /// with the next operation, however lately they were.
    pub(crate) fn note_members_as_of(&self, as_of: u64) {
        if self.members_as_of.swap(as_of, Ordering::Relaxed) != as_of {
            self.learnt_at_ms.store(0, Ordering::Relaxed);
        }
    }

    fn note_removed(&self, link: &Link, removed: bool) {
        if !self.options.endpoints.iter().any(|addr| **addr == **link.addr()) {
            return;
        }
        self.known.send_if_modified(|known| {
            if removed {
                known.removed.insert(Arc::clone(link.addr()));
            } else {
                known.removed.remove(link.addr());
            }
            false
        });
    }

    /// Those of the endpoints that said that they are no members any more.
    pub(crate) fn removed_endpoints(&self) -> Vec<String> {
        let known = self.known.borrow();
        let removed = |addr: &&String| known.removed.contains(addr.as_str());
        self.options.endpoints.iter().filter(removed).cloned().collect()
    }

    /// Whether it is time to read the members again. Only one caller is told so.
    fn is_to_relearn(&self, every: Duration) -> bool {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = millis(self.born.elapsed()) + 1;
        let at = self.learnt_at_ms.load(Ordering::Relaxed);
        let order = Ordering::Relaxed;
        let claim = || self.learnt_at_ms.compare_exchange(at, now, order, order).is_ok();
        (at == 0 || at + millis(every) <= now) && claim()
    }

    /// The members in the words of this leader, noted.
    pub(crate) async fn members_from(
        &self,
        leader: &Leader,
        within: Duration,
    ) -> Result<pb::GetConfigurationResponse, Fault> {
        let (_link, answer) = self.ask_members(Arc::clone(&leader.link), within).await;
        answer.inspect(|answer| self.note_members(answer))
    }

    /// The members, and the ways to them noted. Whoever knows the latest term is believed; once
    /// somebody has answered, the others do not get long.
    pub(crate) async fn configuration(
        &self,
        within: Duration,
    ) -> Result<pb::GetConfigurationResponse, Reasons> {
        let mut asked = FuturesUnordered::new();
        let mut names = BTreeSet::new();
        let mut reasons = Reasons::default();
        let mut best: Option<pb::GetConfigurationResponse> = None;
        let ends = Instant::now() + within;
        let mut until = ends;
        loop {
            // Whoever is heard of is asked as well: all that were known may have been removed.
            let links = self.links().into_iter();
            for link in links.filter(|link| names.insert(Arc::clone(link.addr()))) {
                asked.push(self.ask_members(link, within));
            }
            let Ok(Some((link, answer))) = timeout_at(until, asked.next()).await else { break };
            let answer = match answer {
                Ok(answer) => answer,
                Err(fault) => {
                    reasons.add(link.addr(), fault);
                    continue;
                }
            };
            self.note_members(&answer);
            self.note_removed(&link, answer.removed);
            let straggle = if answer.removed { within } else { STRAGGLERS };
            until = ends.min(until.min(Instant::now() + straggle));
            let rank = |answer: &pb::GetConfigurationResponse| {
                (!answer.removed, answer.term, answer.node_id == answer.leader_id)
            };
            if best.as_ref().is_none_or(|best| rank(best) < rank(&answer)) {
                best = Some(answer);
            }
        }
        best.ok_or(reasons)
    }

    async fn who_leads(&self, link: Arc<Link>, within: Duration) -> Answer<pb::GetLeaderResponse> {
        let call = async |mut api: Api| api.get_leader(pb::GetLeaderRequest {}).await;
        let answer = ask_node(&link, within, call).await;
        self.if_meant(link, answer, |answer| &answer.cluster)
    }

    async fn ask_members(
        &self,
        link: Arc<Link>,
        within: Duration,
    ) -> Answer<pb::GetConfigurationResponse> {
        let call = async |mut api: Api| api.get_configuration(pb::GetConfigurationRequest {}).await;
        let answer = ask_node(&link, within, call).await;
        self.if_meant(link, answer, |answer| &answer.cluster)
    }

    /// The answer, if it is from the cluster that the client is for. Another may have taken its
    /// addresses: one that was founded on what was left of it, say.
    fn if_meant<T>(
        &self,
        link: Arc<Link>,
        answer: Result<T, Fault>,
        cluster: impl Fn(&T) -> &str,
    ) -> Answer<T> {
        let answer = answer.and_then(|answer| {
            let found = cluster(&answer);
            match &self.meant() {
                Some(meant) if !found.is_empty() && meant != found => {
                    let why = format!("it serves '{found}', not '{meant}'");
                    Err(Fault::new(FaultKind::OtherCluster, why))
                }
                Some(_) | None => Ok(answer),
            }
        });
        (link, answer)
    }

    /// The name of the cluster that is meant: what the client was told, or found first.
    fn meant(&self) -> Option<String> {
        let told = self.options.cluster.clone();
        told.or_else(|| self.known.borrow().cluster.clone())
    }

    /// A leader of this cluster was found.
    fn note_cluster(&self, name: &str) {
        self.known.send_if_modified(|known| {
            if known.cluster.is_none() && !name.is_empty() {
                known.cluster = Some(name.to_owned());
            }
            false
        });
    }

    /// Those of the endpoints that are no member's, if a leader has told who is.
    pub(crate) fn strangers(&self) -> Vec<String> {
        let known = self.known.borrow();
        let strange = |addr: &&String| !known.members.is_empty() && !known.members.contains(addr);
        self.options.endpoints.iter().filter(strange).cloned().collect()
    }

    /// Takes note of where the members are. What a leader says is all there is: the ways to others
    /// are forgotten, but for those that were given.
    fn note_members(&self, answer: &pb::GetConfigurationResponse) {
        let addrs = answer.members.iter().map(|member| &member.client_addr);
        let addrs: Vec<String> = addrs.filter(|addr| !addr.is_empty()).cloned().collect();
        if addrs.is_empty() {
            return;
        }
        for addr in &addrs {
            self.link(addr);
        }
        let own_word = answer.leader_id == answer.node_id;
        let mut keep: Option<Arc<Link>> = None;
        let mut all = false;
        self.known.send_if_modified(|known| {
            known.learnt |= !answer.removed;
            if own_word && known.members_term <= answer.term {
                known.members_term = answer.term;
                known.members.clone_from(&addrs);
                keep = known.leader.as_ref().map(|leader| Arc::clone(&leader.link));
                all = !answer.joint;
            }
            false
        });
        if all {
            let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
            links.retain(|link| {
                let is = |addr: &String| **addr == **link.addr();
                addrs.iter().any(is)
                    || self.options.endpoints.iter().any(is)
                    || keep.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, link))
            });
        }
    }
}

/// What a node said, and which one it was.
type Answer<T> = (Arc<Link>, Result<T, Fault>);

/// Why this answer is no way to a leader, if so. `suspect`: a leader that failed us, and in which
/// term.
fn doubt(answer: &pb::GetLeaderResponse, suspect: Option<&(Arc<str>, u64)>) -> Option<String> {
    let own_word = answer.leader_id == answer.node_id;
    if answer.leader_id == 0 || (!own_word && answer.leader_addr.is_empty()) {
        return Some("it knows no leader".to_owned());
    }
    let failed =
        suspect.is_some_and(|(addr, term)| **addr == *answer.leader_addr && answer.term <= *term);
    (!own_word && failed).then(|| format!("it names n{}, which did not serve us", answer.leader_id))
}

impl Known {
    /// Whether somebody leads in a later term than this, or somebody else in this one.
    pub(crate) fn supersedes(&self, leader: &Leader) -> bool {
        self.leader.as_ref().is_some_and(|known| leader.term < known.term)
    }
}
