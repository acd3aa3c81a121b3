//! Shrinking: from a plan that fails, the shortest one found that fails in the same way. Things
//! planned are left out, classes of faults, clients and machines go, settings go back to what they
//! are in a quiet world, and what lasts gets shorter, as long as the same property is violated.

use std::collections::BTreeSet;

use crate::plan::{Plan, Recovery};
use crate::scenario::Scenario;
use crate::word::{Span, Word as _};

/// What of a violation's text says which one it is: the property, and of an assertion the words
/// before the first number.
pub fn kind_of(violation: &str) -> &str {
    const ASSERTION: &str = "no assertion fails: ";
    match violation.strip_prefix(ASSERTION) {
        Some(what) => {
            let words = what.find(|it: char| it.is_ascii_digit() || it == '\n');
            &violation[..ASSERTION.len() + words.unwrap_or(what.len())]
        }
        None => violation.split(": ").next().unwrap_or_default(),
    }
}

/// Shrinks a plan that fails, with at most so many trials. `fails` carries a plan out, and says
/// whether it fails in the same way.
pub fn shrink(plan: Plan, trials: u64, fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut shrinker = Shrinker { best: plan, trials, fails };
    loop {
        let before = shrinker.best.to_string();
        shrinker.drop_acts();
        shrinker.heal_at_once();
        shrinker.end_earlier();
        shrinker.drop_members_of_sets();
        shrinker.use_fewer_machines();
        shrinker.set_back();
        shrinker.shorten_spans();
        if shrinker.trials == 0 || shrinker.best.to_string() == before {
            return shrinker.best;
        }
    }
}

struct Shrinker<F> {
    best: Plan,
    trials: u64,
    fails: F,
}

/// Settings that say who and what there is. They are not set back but made smaller.
const SIZES: &[&str] = &[
    "seed",
    "nodes",
    "learners",
    "spares",
    "faults",
    "faults_us",
    "clients",
    "client_ops",
    "sabotage",
];

impl<F: FnMut(&Plan) -> bool> Shrinker<F> {
    /// Takes a plan for the best one if it still fails.
    fn attempt(&mut self, plan: Plan) -> bool {
        if self.trials == 0 {
            return false;
        }
        self.trials -= 1;
        let fails = (self.fails)(&plan);
        if fails {
            self.best = plan;
        }
        fails
    }

    fn attempt_setting(&mut self, name: &str, value: &str) -> bool {
        let Some(scenario) = self.best.scenario.with(name, value) else { return false };
        self.attempt(Plan { scenario, ..self.best.clone() })
    }

    /// Leaves out what is planned, in ever smaller stretches (delta debugging), the last first.
    fn drop_acts(&mut self) {
        let mut stretch = self.best.acts.len();
        while 0 < stretch {
            let mut end = self.best.acts.len();
            while 0 < end {
                let start = end.saturating_sub(stretch);
                let mut plan = self.best.clone();
                drop(plan.acts.drain(start..end));
                self.attempt(plan);
                end = start;
            }
            stretch /= 2;
        }
    }

    fn heal_at_once(&mut self) {
        if self.best.recovery != Recovery::All {
            let plan = Plan { recovery: Recovery::All, ..self.best.clone() };
            self.attempt(plan);
        }
    }

    /// Heals the world earlier, but not before all has been done.
    fn end_earlier(&mut self) {
        for part in [0, 2, 4, 6, 7] {
            let least = self.best.acts.last().map_or(0, |planned| planned.at.0 + 1);
            let now = self.best.scenario.faults_us;
            let earlier = least + now.saturating_sub(least) / 8 * part;
            if earlier < now && self.attempt_setting("faults_us", &earlier.to_string()) {
                return;
            }
        }
    }

    fn drop_members_of_sets(&mut self) {
        for fault in self.best.scenario.faults.clone() {
            let mut less = self.best.scenario.faults.clone();
            less.remove(&fault);
            self.attempt_setting("faults", &less.show());
        }
        for client in self.best.scenario.clients.clone() {
            let mut less: BTreeSet<u64> = self.best.scenario.clients.clone();
            less.remove(&client);
            self.attempt_setting("clients", &less.show());
        }
        for ops in [0, 1, 2, 4, 8, 16, 32, 64] {
            if ops < self.best.scenario.client_ops
                && self.attempt_setting("client_ops", &ops.to_string())
            {
                break;
            }
        }
    }

    fn use_fewer_machines(&mut self) {
        for name in ["spares", "learners", "nodes"] {
            for count in 0..7_u64 {
                let settings = self.best.scenario.settings();
                let now = settings.iter().find(|(known, _)| *known == name);
                let now: u64 = now.and_then(|(_, value)| value.parse().ok()).unwrap_or_default();
                if now <= count || self.attempt_setting(name, &count.to_string()) {
                    break;
                }
            }
        }
    }

    /// Sets the rest back to what it is in a quiet world.
    fn set_back(&mut self) {
        let plain = Scenario::plain().settings();
        for ((name, value), (_, now)) in plain.iter().zip(self.best.scenario.settings()) {
            if !SIZES.contains(name) && *value != now {
                self.attempt_setting(name, value);
            }
        }
    }

    /// Halves what lasts.
    fn shorten_spans(&mut self) {
        for position in 0..self.best.acts.len() {
            loop {
                let mut plan = self.best.clone();
                let Some(Span(us)) = plan.acts[position].act.span() else { break };
                *us /= 2;
                if *us < 1_000 || !self.attempt(plan) {
                    break;
                }
            }
        }
    }
}
