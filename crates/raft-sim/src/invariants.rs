//! What must always hold, one file per property, and who watches: every turn of a node, every
//! message that leaves one, every start and every answer passes through the [`Witness`].

mod acknowledged;
mod commit_on_quorum;
mod durability;
mod durable_match;
mod elected;
mod election_safety;
mod leader_completeness;
mod ledger;
mod log_matching;
mod milestones;
mod monotony;
mod one_outcome;
mod one_step;
mod one_vote;
mod own_term;
mod read_floor;
mod state_machine_safety;
mod worthy;

use std::collections::BTreeMap;
use std::fmt;

use raft_core::{Index, LogId, Message, Node, NodeId, Payload, Term, Token};
use raft_replica::{Answer, OpenReport, Replica};

use crate::agenda::Life;
use crate::machine::Machine;
use crate::scenario::{Sabotage, Scenario};
use crate::sometimes::{Mark, Sometimes};
use crate::trace::Trace;
pub(crate) use ledger::checksum;
pub use ledger::{Committed, DiskModel, Ledger, has_quorum};
pub use one_outcome::Pending;

/// Something that must never happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The property that does not hold.
    pub property: &'static str,
    /// What was seen.
    pub what: String,
}

/// A node after a turn.
pub struct View<'a> {
    /// The node.
    pub id: NodeId,
    /// Which of its processes.
    pub life: Life,
    /// The replica.
    pub replica: &'a Replica<Machine>,
}

/// A property. Each method says what is wrong, if something is.
pub trait Invariant {
    /// Its name.
    fn name(&self) -> &'static str;

    /// A node has taken a turn.
    fn on_turn(&mut self, _ledger: &Ledger, _view: &View<'_>) -> Result<(), String> {
        Ok(())
    }

    /// A node has appended this configuration.
    fn on_membership(&mut self, _: &Ledger, _view: &View<'_>, _id: LogId) -> Result<(), String> {
        Ok(())
    }

    /// A node's disk has been replaced by an empty one.
    fn on_wipe(&mut self, _id: NodeId) {}

    /// A message leaves a node.
    fn on_send(&mut self, _message: &Message) -> Result<(), String> {
        Ok(())
    }

    /// A node has been opened.
    fn on_start(
        &mut self,
        _ledger: &mut Ledger,
        _view: &View<'_>,
        _report: &OpenReport,
    ) -> Result<(), String> {
        Ok(())
    }

    /// A read has reached a node.
    fn on_read(&mut self, _ledger: &Ledger, _token: Token) {}

    /// A node answers a client.
    fn on_answer(&mut self, _ledger: &Ledger, _answer: &Answer) -> Result<(), String> {
        Ok(())
    }
}

/// Watches everything.
pub struct Witness {
    /// What was seen.
    pub trace: Trace,
    /// How often it was seen.
    pub sometimes: Sometimes,
    /// What is known of all nodes together.
    pub ledger: Ledger,
    /// Requests without an outcome.
    pub pending: Pending,
    /// Who campaigned in which term.
    candidates: BTreeMap<Term, NodeId>,
    halves: milestones::Halves,
    invariants: Vec<Box<dyn Invariant>>,
}

impl Witness {
    /// Who watches the nodes of this scenario.
    pub fn new(scenario: &Scenario, trace: Trace) -> Self {
        let mut invariants: Vec<Box<dyn Invariant>> = vec![
            Box::<election_safety::ElectionSafety>::default(),
            Box::<one_vote::OneVote>::default(),
            Box::<log_matching::LogMatching>::default(),
            Box::<state_machine_safety::StateMachineSafety>::default(),
            Box::<commit_on_quorum::CommitOnQuorum>::default(),
            Box::<leader_completeness::LeaderCompleteness>::default(),
            Box::<own_term::OwnTerm>::default(),
            Box::<worthy::Worthy>::default(),
            Box::<durable_match::DurableMatch>::default(),
            Box::<one_step::OneStep>::default(),
            Box::<monotony::Monotony>::default(),
            Box::<durability::Durability>::default(),
            Box::<acknowledged::Acknowledged>::default(),
            Box::<read_floor::ReadFloor>::default(),
        ];
        // Who forges votes is to be found out by what comes of it.
        if scenario.sabotage != Some(Sabotage::ForgedVotes) {
            invariants.push(Box::<elected::Elected>::default());
        }
        Self {
            trace,
            sometimes: Sometimes::default(),
            ledger: Ledger::new(&scenario.ids(), scenario.bootstrap()),
            pending: Pending::default(),
            candidates: BTreeMap::new(),
            halves: milestones::Halves::default(),
            invariants,
        }
    }

    /// A node has taken a turn.
    pub fn on_turn(&mut self, view: &View<'_>) -> Result<(), Violation> {
        let known = self.ledger.memberships().len();
        let committed = self.ledger.all_committed().len();
        self.ledger
            .on_turn(view)
            .map_err(Violation::named("snapshots cover only the committed"))?;
        milestones::count(&self.ledger, known, view, &mut self.sometimes);
        self.halves.count(&self.ledger, view, &mut self.sometimes);
        let news = &self.ledger.all_committed()[committed..];
        let later = news.iter().filter(|it| it.entry.id.term < it.in_term).count();
        self.sometimes.add(Mark::CommittedLater, later as u64);
        self.each(|invariant, ledger| invariant.on_turn(ledger, view))
    }

    /// The active configuration of a node has changed in its last turn.
    pub fn on_membership(&mut self, view: &View<'_>) -> Result<(), Violation> {
        let node = view.node();
        for index in (self.ledger.commit().next().0..=node.last().index.0).map(Index) {
            let Some(entry) = node.entry(index) else { continue };
            if let Payload::Config(membership) = &entry.payload {
                self.ledger.on_membership(entry.id, membership);
                self.each(|invariant, ledger| invariant.on_membership(ledger, view, entry.id))?;
            }
        }
        Ok(())
    }

    /// A node's disk is replaced by an empty one.
    pub fn on_wipe(&mut self, id: NodeId) {
        self.ledger.wipe(id);
        for invariant in &mut self.invariants {
            invariant.on_wipe(id);
        }
    }

    /// A message leaves a node.
    pub fn on_send(&mut self, message: &Message) -> Result<(), Violation> {
        self.each(|invariant, _| invariant.on_send(message))
    }

    /// A node has been opened.
    pub fn on_start(&mut self, view: &View<'_>, report: &OpenReport) -> Result<(), Violation> {
        self.each(|invariant, ledger| invariant.on_start(ledger, view, report))
    }

    /// A read has reached a node.
    pub fn on_read(&mut self, token: Token) {
        for invariant in &mut self.invariants {
            invariant.on_read(&self.ledger, token);
        }
    }

    /// A node campaigns.
    pub fn on_campaign(&mut self, id: NodeId, term: Term) {
        if self.candidates.insert(term, id).is_some_and(|other| other != id) {
            self.sometimes.hit(Mark::SplitVote);
        }
    }

    /// A node answers a client.
    pub fn on_answer(&mut self, id: NodeId, answer: &Answer) -> Result<(), Violation> {
        self.pending
            .answered(answer.token, id)
            .map_err(Violation::named("every request has one outcome"))?;
        self.each(|invariant, ledger| invariant.on_answer(ledger, answer))
    }

    fn each(
        &mut self,
        mut ask: impl FnMut(&mut dyn Invariant, &mut Ledger) -> Result<(), String>,
    ) -> Result<(), Violation> {
        for invariant in &mut self.invariants {
            ask(&mut **invariant, &mut self.ledger).map_err(Violation::named(invariant.name()))?;
        }
        Ok(())
    }
}

impl View<'_> {
    /// Its consensus state.
    pub fn node(&self) -> &Node {
        self.replica.node()
    }
}

impl Violation {
    /// Makes a violation of this property.
    pub fn named(property: &'static str) -> impl Fn(String) -> Self {
        move |what| Self { property, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}
