//! Says in plain words what is wrong, for whoever reads the report first.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::check::Violation;
use crate::demand::Demand;
use crate::history::{OpId, Operation, Outcome};
use crate::model::{Input, Output};

/// More writes than these that may have been read explain nothing.
const ORIGINS_MAX: usize = 3;

const NO_ORDER: &str = "no order of these operations explains all their answers";

impl Violation {
    /// Who did and saw what, and why that cannot be: one sentence, for a reader who knows nothing of
    /// linearizability.
    pub fn in_words(&self) -> String {
        let clock = Clock::fitting(self.operations());
        let told = self.origins().chain(&self.conflict).map(|(_, operation)| clock.tell(operation));
        let told: Vec<String> = told.collect();
        format!("{}: {}", told.join("; "), self.conclusion(&clock))
    }

    /// Who wrote what was read, where reads contradict each other without the help of any write.
    fn origins(&self) -> impl Iterator<Item = &(OpId, Operation)> {
        let only_reads = self.conflict.iter().all(|(_, operation)| operation.left().is_none());
        let clear = 1 < self.conflict.len() && self.sources.len() <= ORIGINS_MAX;
        self.sources.iter().filter(move |_| only_reads && clear)
    }

    fn operations(&self) -> impl Iterator<Item = &Operation> {
        let all = self.conflict.iter().chain(&self.sources).chain(&self.failed);
        all.map(|(_, operation)| operation)
    }

    /// Why these answers cannot be.
    fn conclusion(&self, clock: &Clock) -> String {
        let conflict = || self.conflict.iter().map(|(_, operation)| operation);
        let last = conflict()
            .filter(|operation| operation.demand() != Demand::Anything)
            .max_by_key(|operation| operation.called_ns);
        let Some(last) = last else { return String::from(NO_ORDER) };
        let (name, demand) = (noun(last), last.demand());
        if let (1, Demand::Exactly(Some(_))) = (self.conflict.len(), demand)
            && let Some(why) = self.origin(last, clock)
        {
            return why;
        }
        let before = |operation: &&Operation| {
            operation.returned_ns < Some(last.called_ns) && !std::ptr::eq(*operation, last)
        };
        let missed = conflict()
            .filter(before)
            .filter(|operation| operation.left().is_some_and(|left| !demand.allows(left)))
            .max_by_key(|operation| operation.returned_ns);
        if let Some(missed) = missed {
            let what = match missed.left().flatten() {
                Some(left) => format!("{} of {}", noun(missed), plain(left)),
                None => String::from(noun(missed)),
            };
            return format!(
                "the {name} began after the {what} was acknowledged, and does not show it"
            );
        }
        let newer = |operation: &&Operation| matches!(operation.demand(), Demand::Exactly(seen) if !demand.allows(seen));
        if conflict().filter(before).any(|operation| newer(&operation)) {
            return format!(
                "the last {name} began after another had been answered, and shows an older state again"
            );
        }
        let swaps_alike = |operation: &&Operation| {
            operation.outcome == Outcome::Ok(Output::Swapped) && operation.demand() == demand
        };
        if swaps_alike(&last) && 1 < conflict().filter(swaps_alike).count() {
            return String::from("more than one swap found the same value, and each replaced it");
        }
        String::from(NO_ORDER)
    }

    /// Why a value could not be there, if that can be said of the value alone.
    fn origin(&self, reader: &Operation, clock: &Clock) -> Option<String> {
        let name = noun(reader);
        if let Some((_, failed)) = self.failed.first()
            && self.sources.is_empty()
        {
            let told = clock.tell(failed);
            return Some(format!("the only write of that value certainly failed ({told})"));
        }
        if self.sources.is_empty() {
            return Some(String::from("nobody ever wrote that value"));
        }
        let later = |operation: &Operation| Some(operation.called_ns) > reader.returned_ns;
        self.sources.iter().all(|(_, operation)| later(operation)).then(|| {
            let told = clock.tell(&self.sources[0].1);
            format!("the {name} had ended before anybody wrote that value ({told})")
        })
    }
}

fn noun(operation: &Operation) -> &'static str {
    match operation.input {
        Input::Get | Input::Range { .. } => "read",
        Input::Put { .. } => "write",
        Input::Delete => "delete",
        Input::Cas { .. } => "swap",
    }
}

/// Without quotes where none are needed.
fn plain(text: &str) -> String {
    let simple = |char: char| char.is_ascii_alphanumeric() || "_-.:/".contains(char);
    if !text.is_empty() && text.chars().all(simple) { text.into() } else { format!("{text:?}") }
}

fn value(value: Option<&str>) -> String {
    value.map_or_else(|| String::from("nothing"), plain)
}

/// What else a client was told.
fn remark(outcome: &Outcome) -> String {
    let Outcome::Ok(output) = outcome else { return String::new() };
    match output {
        Output::Put { replaced: true } => String::from(" over another value"),
        Output::Deleted { existed: true } => String::from(" where there was a value"),
        Output::Put { replaced: false } | Output::Deleted { existed: false } => {
            String::from(" where there was nothing")
        }
        Output::Differs => String::from(" and was told that it differs"),
        Output::DiffersFrom(found) => format!(" and found {}", value(found.as_deref())),
        Output::Done | Output::Swapped | Output::Value(_) | Output::Pairs { .. } => String::new(),
    }
}

/// Writes instants with as many digits as it takes to tell them apart.
struct Clock {
    digits: usize,
}

impl Clock {
    fn fitting<'a>(operations: impl Iterator<Item = &'a Operation>) -> Clock {
        let instants: BTreeSet<u64> = operations
            .flat_map(|operation| [Some(operation.called_ns), operation.returned_ns])
            .flatten()
            .collect();
        let differ = |unit: &u64| {
            let rounded: BTreeSet<u64> = instants.iter().map(|instant| instant / unit).collect();
            rounded.len() == instants.len()
        };
        let digits = [(1_000_000, 3), (1_000, 6)].into_iter().find(|(unit, _)| differ(unit));
        Clock { digits: digits.map_or(9, |(_, digits)| digits) }
    }

    fn at(&self, nanos: u64) -> String {
        let nanos_per_second = 1_000_000_000;
        let exact = format!("{}.{:09}", nanos / nanos_per_second, nanos % nanos_per_second);
        exact[..exact.len() - (9 - self.digits)].to_owned()
    }

    /// What a client did, and what it was told when and by whom.
    fn tell(&self, operation: &Operation) -> String {
        let key = plain(&operation.key);
        let mut told = format!("client {} ", operation.process.0);
        let done = match (&operation.input, &operation.outcome) {
            (Input::Get, Outcome::Ok(Output::Value(Some(seen)))) => {
                format!("read {key}={}", plain(seen))
            }
            (Input::Get, Outcome::Ok(_)) => format!("read {key} and found nothing"),
            (Input::Get, _) => format!("read {key}"),
            (Input::Range { .. }, _) => format!("read the keys from {key} on"),
            (Input::Put { value }, _) => format!("wrote {key}={}", plain(value)),
            (Input::Delete, _) => format!("deleted {key}"),
            (Input::Cas { expected, value: new }, outcome) => {
                let did = match outcome {
                    Outcome::Ok(Output::Swapped) => "swapped",
                    _ => "wanted to swap",
                };
                let (from, to) = (value(expected.as_deref()), value(new.as_deref()));
                format!("{did} {key} from {from} to {to}")
            }
        };
        told.push_str(&done);
        told.push_str(&remark(&operation.outcome));
        told + &self.when(operation)
    }

    fn when(&self, operation: &Operation) -> String {
        let called = self.at(operation.called_ns);
        let returned = self.at(operation.returned_ns.unwrap_or(operation.called_ns));
        let mut by = String::new();
        let whence =
            [("node", operation.node), ("term", operation.term), ("index", operation.index)];
        for (name, number) in whence {
            if let Some(number) = number {
                write!(by, ", {name} {number}").expect("a string takes all");
            }
        }
        match operation.outcome {
            Outcome::Ok(_) if operation.input.is_read() => {
                format!(" from {called} to {returned} s{by}")
            }
            Outcome::Ok(_) => format!(" (acknowledged at {returned} s{by})"),
            Outcome::Fail => format!(" (called at {called} s, failed)"),
            Outcome::Unknown => format!(" (called at {called} s, never answered)"),
        }
    }
}
