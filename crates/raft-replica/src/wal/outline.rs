//! What the log amounts to, without the entries: kept by the writer, rebuilt by recovery, and
//! written at the head of every segment so that the segments before it can go. Both sides run this
//! very code, so they cannot disagree about what a record means.

use bytes::{Buf as _, Bytes};
use raft_core::{Compact, Entry, HardState, Index, LogId, Persist, SnapshotMeta, Term, codec};

/// The state of the log after some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) hard_state: HardState,
    pub(super) snapshot: Option<SnapshotMeta>,
    /// The entry just before the first one that is wanted. Never after the snapshot's last.
    pub(super) base: LogId,
    /// The last entry, or `base` if there is none.
    pub(super) last: LogId,
    /// Where each term begins among the entries after `base`; ascending in both.
    runs: Vec<LogId>,
}

impl Outline {
    /// Does what a whole persist says, in the order in which its records are written. `void` hears
    /// of every index from which on earlier entries are void.
    pub(super) fn persist(
        &mut self,
        persist: &Persist,
        mut void: impl FnMut(Index),
    ) -> Result<(), String> {
        if let Some(meta) = &persist.install {
            self.install(meta)?.into_iter().for_each(&mut void);
        }
        if let Some(compact) = &persist.compact {
            self.compact(compact)?;
        }
        if let Some(from) = persist.truncate_from {
            self.truncate(from)?.into_iter().for_each(&mut void);
        }
        if let Some(state) = &persist.hard_state {
            self.set_hard_state(state)?;
        }
        for entry in &persist.entries {
            self.append(entry)?.into_iter().for_each(&mut void);
        }
        Ok(())
    }

    /// The log now begins after `meta.last`; what was beyond it stays only if it continues it.
    /// Like its fellows, answers from which index on earlier entries are void, if any are.
    pub(super) fn install(&mut self, meta: &SnapshotMeta) -> Result<Option<Index>, String> {
        if meta.last.index < self.base.index {
            return Err(format!("a snapshot of {} is installed after {}", meta.last, self.base));
        }
        let continues = self.term_at(meta.last.index) == Some(meta.last.term);
        self.snapshot = Some(meta.clone());
        if continues {
            self.advance_base(meta.last);
            return Ok(None);
        }
        (self.base, self.last) = (meta.last, meta.last);
        self.runs.clear();
        Ok(Some(Index(0)))
    }

    /// Entries before `first_kept` are no longer wanted. Says nothing new if a later snapshot is
    /// known already.
    pub(super) fn compact(&mut self, compact: &Compact) -> Result<(), String> {
        let last = compact.snapshot.last;
        if self.snapshot.as_ref().is_some_and(|newer| last.index < newer.last.index) {
            return Ok(());
        }
        if self.term_at(last.index) != Some(last.term) {
            return Err(format!("a snapshot of {last} is not of this log, {self}"));
        }
        let base = compact.first_kept.prev();
        if last.index < base {
            return Err(format!("entries up to {base} are given up for a snapshot of {last}"));
        }
        self.snapshot = Some(compact.snapshot.clone());
        if self.base.index < base {
            let term = self.term_at(base).ok_or_else(|| format!("{base} is not in {self}"))?;
            self.advance_base(LogId::new(term, base));
        }
        Ok(())
    }

    /// Entries from `from` on are void.
    pub(super) fn truncate(&mut self, from: Index) -> Result<Option<Index>, String> {
        let covered = self.snapshot.as_ref().map_or(self.base.index, |meta| meta.last.index);
        if from <= covered.max(self.base.index) {
            return Err(format!("entries from {from} on are cut out of {self}"));
        }
        if self.last.index < from {
            return Ok(None);
        }
        let term = self.term_at(from.prev()).ok_or_else(|| format!("{from} is not in {self}"))?;
        self.last = LogId::new(term, from.prev());
        self.runs.retain(|run| run.index < from);
        Ok(Some(from))
    }

    /// The promises to others are now these.
    pub(super) fn set_hard_state(&mut self, state: &HardState) -> Result<(), String> {
        if state.term < self.hard_state.term {
            return Err(format!("term {} comes after {}", state.term, self.hard_state.term));
        }
        self.hard_state = state.clone();
        Ok(())
    }

    /// Appends an entry; whatever stood at its index and beyond is void.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<Option<Index>, String> {
        let id = entry.id;
        let void = if id.index <= self.last.index { self.truncate(id.index)? } else { None };
        if id.index != self.last.index.next() || id.term < self.last.term {
            return Err(format!("entry {id} does not continue {self}"));
        }
        if self.hard_state.term < id.term {
            return Err(format!("entry {id} is ahead of term {}", self.hard_state.term));
        }
        if self.last.term != id.term || self.runs.is_empty() {
            self.runs.push(id);
        }
        self.last = id;
        Ok(void)
    }

    /// Appends the encoding: hard state · has snapshot u8 (· snapshot) · base · last · count u32 ·
    /// log ids of the runs.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_hard_state(out, &self.hard_state);
        out.push(u8::from(self.snapshot.is_some()));
        if let Some(meta) = &self.snapshot {
            codec::put_snapshot_meta(out, meta);
        }
        codec::put_log_id(out, self.base);
        codec::put_log_id(out, self.last);
        let count = u32::try_from(self.runs.len()).expect("a log sees few terms");
        out.extend_from_slice(&count.to_le_bytes());
        for run in &self.runs {
            codec::put_log_id(out, *run);
        }
    }

    pub(super) fn take(input: &mut Bytes) -> Option<Self> {
        let hard_state = codec::take_hard_state(input)?;
        let snapshot = match input.try_get_u8().ok()? {
            0 => None,
            1 => Some(codec::take_snapshot_meta(input)?),
            _ => return None,
        };
        let base = codec::take_log_id(input)?;
        let last = codec::take_log_id(input)?;
        let mut runs = Vec::new();
        for _ in 0..input.try_get_u32_le().ok()? {
            runs.push(codec::take_log_id(input)?);
        }
        Some(Self { hard_state, snapshot, base, last, runs })
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if self.last.index < index {
            return None;
        }
        let after = self.runs.partition_point(|run| run.index <= index);
        self.runs.get(after.checked_sub(1)?).map(|run| run.term)
    }

    fn advance_base(&mut self, base: LogId) {
        let first = base.index.next();
        let after = self.runs.partition_point(|run| run.index <= first);
        if let Some(run) = after.checked_sub(1).and_then(|at| self.runs.get_mut(at)) {
            run.index = first;
        }
        self.runs.drain(..after.saturating_sub(1));
        if self.last.index <= base.index {
            self.runs.clear();
        }
        self.base = base;
    }
}

impl std::fmt::Display for Outline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the log after {} up to {}", self.base, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::Payload;

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    fn log(ids: &[(u64, u64)]) -> Outline {
        let hard_state = HardState { term: Term(9), ..HardState::default() };
        let mut outline = Outline { hard_state, ..Outline::default() };
        for &(index, term) in ids {
            outline.append(&Entry { id: id(index, term), payload: Payload::Noop }).unwrap();
        }
        outline
    }

    fn meta(last: LogId) -> SnapshotMeta {
        SnapshotMeta { last, ..SnapshotMeta::default() }
    }

    #[test]
    fn an_install_keeps_only_what_continues_it() {
        let mut outline = log(&[(1, 1), (2, 1), (3, 2), (4, 2)]);
        assert_eq!(outline.install(&meta(id(3, 2))), Ok(None));
        assert_eq!((outline.base, outline.last), (id(3, 2), id(4, 2)));
        assert_eq!(outline.install(&meta(id(4, 3))), Ok(Some(Index(0))));
        assert_eq!((outline.base, outline.last), (id(4, 3), id(4, 3)));
        assert!(outline.install(&meta(id(3, 3))).is_err());
    }

    #[test]
    fn compaction_moves_the_base_and_knows_its_term() {
        let mut outline = log(&[(1, 1), (2, 1), (3, 2), (4, 2), (5, 4)]);
        let compact = |last, first| Compact { snapshot: meta(last), first_kept: Index(first) };
        assert!(outline.compact(&compact(id(4, 1), 3)).is_err(), "a snapshot of another log");
        assert!(outline.compact(&compact(id(3, 2), 5)).is_err(), "more given up than covered");
        outline.compact(&compact(id(4, 2), 3)).unwrap();
        assert_eq!((outline.base, outline.last), (id(2, 1), id(5, 4)));
        assert_eq!(outline.runs, [id(3, 2), id(5, 4)]);
        outline.compact(&compact(id(3, 2), 4)).unwrap();
        assert_eq!(outline.base, id(2, 1), "an older snapshot says nothing new");
        assert!(outline.truncate(Index(4)).is_err(), "the snapshot covers it");
        outline.truncate(Index(5)).unwrap();
        assert_eq!(outline.last, id(4, 2));
        outline.compact(&compact(id(4, 2), 5)).unwrap();
        assert_eq!((outline.base, outline.runs.len()), (id(4, 2), 0));
    }

    #[test]
    fn an_outline_survives_a_round_trip() {
        let mut outline = log(&[(1, 1), (2, 1), (3, 2)]);
        outline.snapshot = Some(meta(id(2, 1)));
        let mut bytes = Vec::new();
        outline.encode(&mut bytes);
        assert_eq!(Outline::take(&mut bytes.into()), Some(outline));
    }
}
