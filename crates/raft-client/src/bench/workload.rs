//! What the load consists of.
//!
//! Nothing of it is stored: a payload is computed from the seed, the worker and the number of the
//! write, so that verification can compute it again.
//!
//! ```text
//! put      bench/{key}                     the payload replaces the value; keys are shared
//! append   bench/{run}/{worker}/{list}     a framed payload is added to a list of the worker's own
//! propose                                  the payload goes into the log and nowhere else
//!
//! frame    number u64 · payload length u32 · payload
//! ```
//!
//! **Why verification appends.** Of a put that was applied twice nothing remains to be seen, and
//! a put that was lost is hidden by the next one to the same key. A list keeps both: each write
//! leaves one frame, in the order in which its worker sent them; a missing frame is a lost write
//! and a second one a write that was applied twice. No key belongs to two workers, and the run's
//! random number keeps the lists of two runs apart.

use bytes::{BufMut as _, Bytes, BytesMut};
use raft_kv::Command;

/// Which command the load consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Puts over a bounded set of keys.
    Put,
    /// Appends to lists, which keep a trace of every write.
    Append,
    /// Opaque proposals.
    Propose,
}

impl Kind {
    /// The name of the command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Append => "append",
            Self::Propose => "propose",
        }
    }
}

/// The commands of a run.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) kind: Kind,
    pub(super) value_size: usize,
    /// Number of keys that puts choose from.
    pub(super) keys: u64,
    pub(super) seed: u64,
    /// A random number that no other run has.
    pub(super) run: u32,
}

/// A frame's number and length.
const FRAME_HEAD: usize = 12;

/// A list ends after this many frames, or with the first one beyond this many bytes: to append to a
/// value costs the store a copy of it.
const LIST_FRAMES_MAX: usize = 32;
const LIST_BYTES_MAX: usize = 8 << 10;

impl Workload {
    /// A worker's write of this number, counted from 0.
    pub(super) fn command(&self, worker: usize, number: u64) -> Bytes {
        match self.kind {
            Kind::Put => {
                let key = mixed(self.seed, worker, number) % self.keys.max(1);
                let key = format!("bench/{key:010}").into();
                Command::Put { key, value: self.payload(worker, number) }
            }
            Kind::Append => {
                let key = self.list_key(worker, self.list_of(number));
                let payload = self.payload(worker, number);
                let mut data = BytesMut::with_capacity(FRAME_HEAD + payload.len());
                data.put_u64_le(number);
                data.put_u32_le(u32::try_from(payload.len()).expect("the size is below 8 MiB"));
                data.put_slice(&payload);
                Command::Append { key, data: data.freeze() }
            }
            Kind::Propose => Command::Propose { data: self.payload(worker, number) },
        }
        .encode()
    }

    /// The list that this write goes to.
    pub(super) fn list_of(&self, number: u64) -> u64 {
        number / self.list_len()
    }

    /// Writes that go to one list.
    pub(super) fn list_len(&self) -> u64 {
        let fit = LIST_BYTES_MAX / (FRAME_HEAD + self.value_size);
        fit.clamp(1, LIST_FRAMES_MAX) as u64
    }

    pub(super) fn list_key(&self, worker: usize, list: u64) -> Bytes {
        format!("bench/{:08x}/{worker:04}/{list:08}", self.run).into()
    }

    /// The list that a key stands for, if it is one of this worker.
    pub(super) fn list_of_key(&self, worker: usize, key: &[u8]) -> Option<u64> {
        let list = key.strip_prefix(&*self.list_prefix(worker))?;
        str::from_utf8(list).ok()?.parse().ok()
    }

    /// The first key that a list of this worker can have, and the first one beyond them.
    pub(super) fn list_range(&self, worker: usize) -> (Bytes, Bytes) {
        let start = self.list_prefix(worker);
        let mut end = start.clone();
        *end.last_mut().expect("ends with a slash") += 1;
        (start.into(), end.into())
    }

    fn list_prefix(&self, worker: usize) -> Vec<u8> {
        format!("bench/{:08x}/{worker:04}/", self.run).into_bytes()
    }

    /// The content of a write: as good as random, and the same whenever it is asked for.
    pub(super) fn payload(&self, worker: usize, number: u64) -> Bytes {
        let mut payload = BytesMut::zeroed(self.value_size);
        let mut state = mixed(self.seed, worker, number);
        for chunk in payload.chunks_mut(8) {
            state = state.wrapping_add(GOLDEN);
            chunk.copy_from_slice(&avalanche(state).to_le_bytes()[..chunk.len()]);
        }
        payload.freeze()
    }
}

/// The frames of a list, as number and payload. `None` ends a list that ends amid a frame.
pub(super) fn frames(list: &Bytes) -> impl Iterator<Item = Option<(u64, Bytes)>> {
    let mut rest = list.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = take_frame(&mut rest);
        if frame.is_none() {
            rest.clear();
        }
        Some(frame)
    })
}

fn take_frame(rest: &mut Bytes) -> Option<(u64, Bytes)> {
    let (number, after) = rest.split_first_chunk()?;
    let (len, _) = after.split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    let end = usize::try_from(u32::from_le_bytes(*len)).ok()?.checked_add(FRAME_HEAD)?;
    if rest.len() < end {
        return None;
    }
    let frame = rest.split_to(end);
    Some((number, frame.slice(FRAME_HEAD..)))
}

/// `SplitMix64`, of Steele, Lea and Flood: its step and its finisher.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn avalanche(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn mixed(seed: u64, worker: usize, number: u64) -> u64 {
    [worker as u64, number]
        .into_iter()
        .fold(avalanche(seed), |state, word| avalanche(state.wrapping_add(GOLDEN) ^ word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(value_size: usize) -> Workload {
        Workload { kind: Kind::Append, value_size, keys: 10, seed: 7, run: 0xab }
    }

    #[test]
    fn frames_come_back_as_they_were_appended() {
        for size in [0, 1, 8, 13, 5000] {
            let workload = workload(size);
            let mut list = BytesMut::new();
            for number in 0..3 {
                match Command::decode(&workload.command(4, number)).unwrap() {
                    Command::Append { data, .. } => list.put_slice(&data),
                    other => panic!("{other:?}"),
                }
            }
            let list = list.freeze();
            let expected: Vec<_> =
                (0..3).map(|number| Some((number, workload.payload(4, number)))).collect();
            assert_eq!(frames(&list).collect::<Vec<_>>(), expected);
            let cut = list.slice(..list.len() - 1);
            assert_eq!(frames(&cut).last(), Some(None), "a frame cut short is noticed");
        }
    }

    #[test]
    fn payloads_differ_by_seed_worker_and_number() {
        let payloads = [workload(16).payload(0, 0), workload(16).payload(0, 1)];
        let other =
            [workload(16).payload(1, 0), Workload { seed: 8, ..workload(16) }.payload(0, 0)];
        let mut all: Vec<_> = payloads.into_iter().chain(other).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_worker_finds_its_own_lists_between_its_bounds() {
        let workload = workload(0);
        let (start, end) = workload.list_range(3);
        let key = workload.list_key(3, 12);
        assert!(start < key && key < end);
        assert_eq!(workload.list_of_key(3, &key), Some(12));
        let stranger = workload.list_key(4, 12);
        assert!(end <= stranger, "the next worker's lists lie beyond");
        assert_eq!(workload.list_of_key(3, &stranger), None);
    }

    #[test]
    fn large_values_get_a_list_each() {
        assert_eq!(workload(0).list_len(), 32);
        assert_eq!(workload(1 << 10).list_len(), 7);
        assert_eq!(workload(1 << 20).list_len(), 1);
    }
}
