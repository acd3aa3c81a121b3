//! Who leads, and where.
//!
//! The answer is kept until it turns out wrong. Then all known nodes are asked at once; one that
//! says it leads itself is believed at once, and so is one that names another, unless that other
//! has just failed under the same term. Many operations that fail together share one search.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use raft_api::pb;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::attempt::ask_node;
use crate::connect::{Api, Link};
use crate::{Fault, FaultKind, Options, Reasons};

/// Once somebody has answered, the others get this much longer.
const STRAGGLERS: Duration = Duration::from_millis(20);

/// Learning the other members' addresses may take this long; it is a convenience.
const LEARNING: Duration = Duration::from_millis(300);

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
}

impl Directory {
    pub(crate) fn new(options: Options) -> Self {
        let links = options.endpoints.iter().map(|addr| Arc::new(Link::new(addr, &options)));
        Self {
            links: RwLock::new(links.collect()),
            known: watch::Sender::new(Known::default()),
            searching: tokio::sync::Mutex::new(None),
            options,
        }
    }

    /// The nodes known so far.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        let found = self.ask_everybody(within).await;
        let answered = |reasons: &Reasons| reasons.iter().any(|(_, fault)| fault.kind.is_answer());
        if found.as_ref().map_or_else(answered, |_| true) && !self.known.borrow().learnt {
            self.learn().await;
        }
        match found {
            Ok(leader) => {
                self.adopt(leader);
                Ok(())
            }
            Err(reasons) => {
                *last = Some((Instant::now(), reasons.clone()));
                Err(reasons)
            }
        }
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
        let mut asked: FuturesUnordered<_> =
            self.links().into_iter().map(|link| who_leads(link, within)).collect();
        let mut reasons = Reasons::default();
        let mut outdated: Option<Leader> = None;
        let mut until = Instant::now() + within;
        while let Ok(Some((link, answer))) = timeout_at(until, asked.next()).await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(fault) => {
                    reasons.add(link.addr(), fault);
                    continue;
                }
            };
            until = until.min(Instant::now() + STRAGGLERS);
            let own_word = answer.leader_id == answer.node_id;
            let unknown = answer.leader_id == 0 || (!own_word && answer.leader_addr.is_empty());
            let term = answer.term;
            let doubtful =
                |(addr, failed): &(Arc<str>, u64)| **addr == *answer.leader_addr && term <= *failed;
            let why = if unknown {
                Some("it knows no leader".to_owned())
            } else if !own_word && suspect.as_ref().is_some_and(doubtful) {
                Some(format!("it names n{}, which did not serve us", answer.leader_id))
            } else {
                None
            };
            if let Some(why) = why {
                reasons.add(link.addr(), Fault::new(FaultKind::NotLeader, why));
                continue;
            }
            let at = if own_word { Arc::clone(&link) } else { self.link(&answer.leader_addr) };
            let leader = Leader { link: at, node: answer.leader_id, term };
            if floor <= term {
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

    /// Learns where the members are, from the first node that tells.
    async fn learn(&self) {
        let members = self.configuration(LEARNING).await.map(|answer| answer.members);
        let addrs = members.into_iter().flatten().map(|member| member.client_addr);
        for addr in addrs.filter(|addr| !addr.is_empty()) {
            self.link(&addr);
            self.known.send_if_modified(|known| {
                known.learnt = true;
                false
            });
        }
    }

    /// The members, from the first node that answers.
    pub(crate) async fn configuration(
        &self,
        within: Duration,
    ) -> Result<pb::GetConfigurationResponse, Reasons> {
        let asked = self.links().into_iter().map(async |link| {
            let request = pb::GetConfigurationRequest {};
            let call = async |mut api: Api| api.get_configuration(request).await;
            (Arc::clone(link.addr()), ask_node(&link, within, call).await)
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut reasons = Reasons::default();
        while let Some((addr, answer)) = asked.next().await {
            match answer {
                Ok(answer) => return Ok(answer),
                Err(fault) => reasons.add(&addr, fault),
            }
        }
        Err(reasons)
    }
}

impl Known {
    /// Whether somebody leads in a later term than this, or somebody else in this one.
    pub(crate) fn supersedes(&self, leader: &Leader) -> bool {
        self.leader.as_ref().is_some_and(|known| leader.term < known.term)
    }
}

async fn who_leads(
    link: Arc<Link>,
    within: Duration,
) -> (Arc<Link>, Result<pb::GetLeaderResponse, Fault>) {
    let call = async |mut api: Api| api.get_leader(pb::GetLeaderRequest {}).await;
    let answer = ask_node(&link, within, call).await;
    (link, answer)
}
