//! Finds a place for the writes that nobody was answered.
//!
//! A timeout leaves a write without an index: nobody said where it took effect, or whether. What others
//! saw says it. The order of the answered operations is replayed; where one of them found what nobody
//! had put there, an unanswered write must have come before it, and is put right there. As late as that
//! is as good as any place: such a write only needs to have been called before whatever follows it
//! returned, and what follows is least at the latest place. What nobody saw is left out.
//!
//! With values that are written only once there is nothing to choose but among writes that nobody saw.
//! Where values repeat, this may choose badly. That never makes a wrong proof, since the finished order is
//! verified like any other: it leaves the choice to [`crate::exact`]. Takes O(n log n).

use std::collections::{HashMap, HashSet};

use crate::demand::Demand;
use crate::history::{History, OpId, Operation, Outcome};
use crate::model::Input;
use crate::replay::{Keys, Store};

/// The order of `known`, with unanswered writes in between where somebody saw their effect.
pub(crate) fn complete(history: &History, keys: &Keys<'_>, known: &[OpId]) -> Vec<OpId> {
    let operations = history.operations();
    let mut pool = Pool::new(operations, keys, known);
    if pool.is_empty() {
        return known.to_vec();
    }
    let deadlines = deadlines(operations, known);
    let mut store = Store::new(keys);
    let mut order = Vec::with_capacity(known.len());
    for (position, (op, deadline_ns)) in known.iter().zip(deadlines).enumerate() {
        let operation = &operations[op.0];
        keys.demands(*op, operation, |key, demand| {
            for unknown in pool.meet(demand, key, store.value(key), deadline_ns) {
                let stepped = store.step(unknown, &operations[unknown.0]);
                debug_assert!(stepped, "a write without an answer can always take effect");
                order.push(unknown);
            }
        });
        if !store.step(*op, operation) {
            // No proof will come of this, and the verification says of what.
            order.extend(&known[position..]);
            return order;
        }
        order.push(*op);
    }
    order
}

/// For each place in the order, the earliest return from there on: what was called later than that
/// cannot stand before it.
pub(crate) fn deadlines(operations: &[Operation], known: &[OpId]) -> Vec<u64> {
    let mut earliest_ns = u64::MAX;
    let mut deadlines: Vec<u64> = known
        .iter()
        .rev()
        .map(|op| {
            if let Some((_, returned_ns)) = operations[op.0].answer() {
                earliest_ns = earliest_ns.min(returned_ns);
            }
            earliest_ns
        })
        .collect();
    deadlines.reverse();
    deadlines
}

/// Of alternatives that are as good as each other, so many are looked at.
const SCAN_MAX: usize = 64;

/// And so many writes are tried to explain one answer, so that the whole takes no longer than sorting.
const CHAIN_TRIES_MAX: usize = 256;

/// The unanswered writes that have no place yet.
struct Pool<'h> {
    operations: &'h [Operation],
    /// By key and by what they leave behind, the one called first at the end.
    writers: HashMap<(usize, Option<&'h str>), Vec<OpId>>,
    /// By key, those whose effect no answer shows: good to explain that there was something. The one
    /// called first at the end.
    spare: HashMap<usize, Vec<OpId>>,
    /// By operation.
    used: Vec<bool>,
}

impl<'h> Pool<'h> {
    fn new(operations: &'h [Operation], keys: &Keys<'h>, known: &[OpId]) -> Pool<'h> {
        let mut used = vec![true; operations.len()];
        let mut unanswered: Vec<OpId> = (0..operations.len())
            .map(OpId)
            .filter(|op| operations[op.0].outcome == Outcome::Unknown)
            .filter(|op| operations[op.0].index.is_none())
            .filter(|op| operations[op.0].input.leaves().is_some())
            .collect();
        unanswered.sort_unstable_by_key(|op| (operations[op.0].called_ns, *op));
        let mut writers: HashMap<_, Vec<OpId>> = HashMap::new();
        for op in unanswered.iter().rev() {
            if let Some(value) = operations[op.0].input.leaves() {
                writers.entry((keys.of_operation(*op), value)).or_default().push(*op);
                used[op.0] = false;
            }
        }
        let needed = needed(operations, keys, known, &writers);
        let mut spare: HashMap<_, Vec<OpId>> = HashMap::new();
        for op in unanswered.iter().rev() {
            let key = keys.of_operation(*op);
            let value = operations[op.0].input.leaves().flatten();
            if value.is_none_or(|value| !needed.contains(&(key, value))) {
                spare.entry(key).or_default().push(*op);
            }
        }
        Pool { operations, writers, spare, used }
    }

    fn is_empty(&self) -> bool {
        self.writers.is_empty()
    }

    /// Writes, called by the deadline, that turn a key's value into what is demanded; in that order,
    /// and none if there is no need or no way.
    fn meet(
        &mut self,
        demand: Demand<'h>,
        key: usize,
        held: Option<&'h str>,
        deadline_ns: u64,
    ) -> Vec<OpId> {
        match demand {
            _ if demand.allows(held) => Vec::new(),
            Demand::Exactly(value) => self.chain(key, held, value, deadline_ns),
            Demand::Anything | Demand::AnythingBut(_) => {
                self.change(key, held, deadline_ns).into_iter().collect()
            }
        }
    }

    /// From what is held to what is wanted.
    fn chain(
        &mut self,
        key: usize,
        held: Option<&'h str>,
        wanted: Option<&'h str>,
        deadline_ns: u64,
    ) -> Vec<OpId> {
        let (mut chain, mut tries) = (Vec::new(), CHAIN_TRIES_MAX);
        let goal = Goal { key, held, deadline_ns };
        if !self.extend(&goal, wanted, &mut chain, &mut tries) {
            chain.clear();
        }
        for op in &chain {
            let value = self.operations[op.0].input.leaves().flatten();
            if let Some(list) = self.writers.get_mut(&(key, value)) {
                prune(list, &self.used);
            }
        }
        chain
    }

    /// Extends the chain by what leaves `wanted` behind, found backwards: a swap takes effect only where
    /// what it expects was there, and so wants another write before it.
    fn extend(
        &mut self,
        goal: &Goal<'h>,
        wanted: Option<&'h str>,
        chain: &mut Vec<OpId>,
        tries: &mut usize,
    ) -> bool {
        let Goal { key, held, deadline_ns } = *goal;
        let operations = self.operations;
        // A swap that can take effect on what is held, before what needs nothing, before a swap that
        // needs another write.
        let cost = |op: &OpId| match &operations[op.0].input {
            Input::Cas { expected, .. } if expected.as_deref() == held => 0,
            Input::Cas { .. } => 2,
            _ => 1,
        };
        let list = self.writers.get(&(key, wanted)).map_or(&[][..], Vec::as_slice);
        let mut ways: Vec<OpId> = candidates(list, operations, &self.used, deadline_ns).collect();
        ways.sort_by_key(cost);
        for op in ways {
            if *tries == 0 {
                return false;
            }
            *tries -= 1;
            self.used[op.0] = true;
            let ready = match &operations[op.0].input {
                Input::Cas { expected, .. } if expected.as_deref() != held => {
                    self.extend(goal, expected.as_deref(), chain, tries)
                }
                _ => true,
            };
            if ready {
                chain.push(op);
                return true;
            }
            self.used[op.0] = false;
        }
        false
    }

    /// Takes a write whose effect no answer shows, and that changes what is held.
    fn change(&mut self, key: usize, held: Option<&str>, deadline_ns: u64) -> Option<OpId> {
        let list = self.spare.get_mut(&key)?;
        let (operations, used) = (self.operations, &mut self.used);
        prune(list, used);
        let changes = |op: &OpId| match &operations[op.0].input {
            Input::Cas { expected, value } => {
                expected.as_deref() == held && value.as_deref() != held
            }
            input => input.leaves().is_some_and(|value| value != held),
        };
        let op = candidates(list, operations, used, deadline_ns).find(changes)?;
        used[op.0] = true;
        Some(op)
    }
}

/// Where a chain starts and until when its writes must have been called.
struct Goal<'h> {
    key: usize,
    held: Option<&'h str>,
    deadline_ns: u64,
}

/// Those of a list that are not used and were called by the deadline, first called first.
fn candidates(
    list: &[OpId],
    operations: &[Operation],
    used: &[bool],
    deadline_ns: u64,
) -> impl Iterator<Item = OpId> {
    list.iter()
        .rev()
        .copied()
        .take(SCAN_MAX)
        .take_while(move |op| operations[op.0].called_ns <= deadline_ns)
        .filter(|op| !used[op.0])
}

/// Forgets the used at the end, so that they are not looked at again and again.
fn prune(list: &mut Vec<OpId>, used: &[bool]) {
    while list.last().is_some_and(|op| used[op.0]) {
        list.pop();
    }
}

/// What must have been there at some time, because somebody saw it, or a swap that left what somebody
/// saw expected it. By key.
fn needed<'h>(
    operations: &'h [Operation],
    keys: &Keys<'h>,
    known: &[OpId],
    writers: &HashMap<(usize, Option<&'h str>), Vec<OpId>>,
) -> HashSet<(usize, &'h str)> {
    let mut needed = HashSet::new();
    let mut fresh = Vec::new();
    for op in known {
        keys.demands(*op, &operations[op.0], |key, demand| {
            if let Demand::Exactly(Some(value)) = demand {
                fresh.push((key, value));
            }
        });
    }
    while let Some((key, value)) = fresh.pop() {
        if !needed.insert((key, value)) {
            continue;
        }
        for op in writers.get(&(key, Some(value))).into_iter().flatten() {
            if let Input::Cas { expected: Some(expected), .. } = &operations[op.0].input {
                fresh.push((key, expected));
            }
        }
    }
    needed
}
