//! The settings of a scenario, by name: written to plans, read from them, and set back one by one.

use std::collections::BTreeSet;

use super::{Fault, MACHINES_MAX, Sabotage, Scenario};
use crate::word::{Word, named};

/// A setting, whatever its type.
trait Setting {
    fn show(&self) -> String;
    fn set(&mut self, word: &str) -> Result<(), String>;
}

impl<T: Word> Setting for T {
    fn show(&self) -> String {
        Word::show(self)
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        *self = T::read(word)?;
        Ok(())
    }
}

impl Word for Fault {
    fn show(&self) -> String {
        format!("{self:?}")
    }

    fn read(word: &str) -> Result<Self, String> {
        named(Self::ALL, word)
    }
}

impl Word for Option<Sabotage> {
    fn show(&self) -> String {
        self.map_or("-".to_owned(), |sabotage| format!("{sabotage:?}"))
    }

    fn read(word: &str) -> Result<Self, String> {
        if word == "-" { Ok(None) } else { named(Sabotage::ALL, word).map(Some) }
    }
}

impl Scenario {
    /// Every setting, and its name.
    fn table(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        let core = &mut self.template.core;
        vec![
            ("seed", &mut self.seed),
            ("nodes", &mut self.nodes),
            ("learners", &mut self.learners),
            ("spares", &mut self.spares),
            ("faults_us", &mut self.faults_us),
            ("faults", &mut self.faults),
            ("fault_gap_us", &mut self.fault_gap_us),
            ("operator_changes", &mut self.habits.changes),
            ("operator_transfers", &mut self.habits.transfers),
            ("operator_gap_us", &mut self.habits.gap_us),
            ("hints_permille", &mut self.hints_permille),
            ("clients", &mut self.clients),
            ("client_ops", &mut self.client_ops),
            ("keys", &mut self.keys),
            ("padding", &mut self.padding),
            ("think_us", &mut self.think_us),
            ("delay_us", &mut self.delay_us),
            ("loss_permille", &mut self.loss_permille),
            ("write_us", &mut self.write_us),
            ("notice_us", &mut self.notice_us),
            ("sabotage", &mut self.sabotage),
            ("heartbeat", &mut core.heartbeat),
            ("election_timeout", &mut core.election_timeout),
            ("election_jitter", &mut core.election_jitter),
            ("append_bytes_max", &mut core.append_bytes_max),
            ("append_entries_max", &mut core.append_entries_max),
            ("inflight_messages_max", &mut core.inflight_messages_max),
            ("inflight_bytes_max", &mut core.inflight_bytes_max),
            ("uncommitted_bytes_max", &mut core.uncommitted_bytes_max),
            ("snapshot_chunk_bytes", &mut core.snapshot_chunk_bytes),
            ("trailing_entries", &mut core.trailing_entries),
            ("fast_failover", &mut core.fast_failover),
            ("failover_stagger", &mut core.failover_stagger),
            ("transfer_lag_bytes_max", &mut core.transfer_lag_bytes_max),
            ("apply_bytes_max", &mut core.apply_bytes_max),
            ("apply_lag_bytes_max", &mut core.apply_lag_bytes_max),
            ("segment_bytes", &mut self.template.segment_bytes),
            ("snapshot_entries", &mut self.template.snapshot_entries),
            ("snapshot_bytes", &mut self.template.snapshot_bytes),
            ("session_ttl_ms", &mut self.template.session_ttl_ms),
            ("check_entries", &mut self.template.check_entries),
        ]
    }

    /// Every setting: its name and its value.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut copy = self.clone();
        copy.table().into_iter().map(|(name, setting)| (name, setting.show())).collect()
    }

    /// The plain scenario with these settings: number of the line, name, value.
    pub(crate) fn with_settings<'a>(
        settings: impl IntoIterator<Item = (usize, &'a str, &'a str)>,
    ) -> Result<Self, String> {
        let mut scenario = Self::plain();
        let mut seen = BTreeSet::new();
        for (line, name, value) in settings {
            if !seen.insert(name) {
                return Err(format!("line {line}: {name} is there twice"));
            }
            scenario.set(name, value).map_err(|fault| format!("line {line}: {name}: {fault}"))?;
        }
        scenario.check()?;
        scenario.settle();
        Ok(scenario)
    }

    /// The same scenario with another value for a setting; none if that makes no sense.
    pub(crate) fn with(&self, name: &str, value: &str) -> Option<Self> {
        let mut scenario = self.clone();
        scenario.set(name, value).ok()?;
        scenario.check().ok()?;
        scenario.settle();
        Some(scenario)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let found = self.table().into_iter().find(|(known, _)| *known == name);
        let (_, setting) = found.ok_or("there is no such setting")?;
        setting.set(value)
    }

    fn check(&self) -> Result<(), String> {
        let Self { nodes, learners, spares, .. } = *self;
        let machines = nodes.checked_add(spares).filter(|&machines| machines <= MACHINES_MAX);
        if machines.is_none() || nodes <= learners {
            return Err(format!("there are 1 to {MACHINES_MAX} machines, and one of them votes"));
        }
        if self.clients.is_empty() || self.keys == 0 || self.think_us == 0 {
            return Err("clients, keys and think_us are not 0".to_owned());
        }
        if self.habits.gap_us == 0 || self.template.core.heartbeat.is_zero() {
            return Err("operator_gap_us and heartbeat are not 0".to_owned());
        }
        Ok(())
    }
}
