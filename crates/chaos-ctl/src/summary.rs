//! What a run comes down to.

use std::collections::BTreeMap;
use std::fmt;

use crate::events::{Event, Shown};

/// Counts and durations of a run, gathered from its events.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Kills on purpose, by what the node was at that moment.
    pub kills: BTreeMap<&'static str, u64>,
    /// Pauses on purpose.
    pub pauses: u64,
    /// From the kill of a leader to the first sight of the next one, in microseconds.
    pub elections_us: Vec<u64>,
    /// Nodes that ended by themselves.
    pub crashes: u64,
    /// Nodes that differ although they have applied the same entries.
    pub diverged: u64,
    /// What was ordered by hand.
    pub orders: u64,
}

impl Summary {
    /// Takes an event into account.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Kill { role, .. } => *self.kills.entry(role).or_default() += 1,
            Event::Pause { .. } => self.pauses += 1,
            Event::Leader { after_us: Some(after), .. } => self.elections_us.push(*after),
            Event::Crash { .. } => self.crashes += 1,
            Event::Diverged { .. } => self.diverged += 1,
            Event::Order { .. } => self.orders += 1,
            _ => (),
        }
    }

    /// How many nodes were killed that led at that moment.
    pub fn leader_kills(&self) -> u64 {
        self.kills.get("leader").copied().unwrap_or(0)
    }

    /// The median (of two in the middle the lower) and the longest of the elections.
    fn election_times(&self) -> Option<(u64, u64)> {
        let mut sorted = self.elections_us.clone();
        sorted.sort_unstable();
        Some((*sorted.get(sorted.len().checked_sub(1)? / 2)?, *sorted.last()?))
    }
}

/// Two lines, the second one indented as far as the word `summary` and its gap before the first.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.kills.values().sum();
        write!(f, "{total} kill{}", if total == 1 { "" } else { "s" })?;
        if !self.kills.is_empty() {
            let roles = self.kills.iter().map(|(role, count)| format!("{count} {role}"));
            write!(f, " ({})", roles.collect::<Vec<_>>().join(", "))?;
        }
        if 0 < self.pauses {
            write!(f, "  {} pause{}", self.pauses, if self.pauses == 1 { "" } else { "s" })?;
        }
        if let Some((median, longest)) = self.election_times() {
            let (count, leaderless) = (self.elections_us.len(), self.elections_us.iter().sum());
            write!(f, "  {count} failover{}", if count == 1 { "" } else { "s" })?;
            write!(f, "  leader seen after p50 {} max {}", Shown(median), Shown(longest))?;
            write!(f, "  leaderless in all at most {}", Shown(leaderless))?;
        }
        write!(f, "\n          unexpected exits {}", self.crashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_run_and_a_busy_one() {
        let mut summary = Summary::default();
        assert_eq!(summary.to_string(), "0 kills\n          unexpected exits 0");
        for (role, after) in [("leader", 900_000), ("leader", 60_000), ("leader", 80_000)] {
            let (pid, signal, running, nodes) = (1, "SIGKILL", 2, 3);
            summary.note(&Event::Kill { node: 1, role, pid, signal, running, nodes });
            let (after_us, cause) = (Some(after), Some("kill"));
            summary.note(&Event::Leader { node: 2, term: 2, after_us, cause });
        }
        assert_eq!(summary.leader_kills(), 3);
        let text = "3 kills (3 leader)  3 failovers  leader seen after p50 80ms max 900ms  \
                    leaderless in all at most 1.04s\n          unexpected exits 0";
        assert_eq!(summary.to_string(), text);
    }
}
