//! What the load consists of.
//!
//! Nothing of it is stored: kinds, keys, sizes and payloads are computed from the seed, the worker
//! and a count, so that verification can compute them again.
//!
//! ```text
//! put, get, cas  bench/{key}                   keys are shared, by all runs;
//!                bench/{run}/{key}             with a history, by the workers of one run;
//!                bench/{run}/{worker}/{key}    with verification by nobody
//! append         bench/{run}/{worker}/{list}   a framed payload is added to a list of the worker's
//! propose                                      the payload goes into the log and nowhere else
//!
//! frame    number u64 · payload length u32 · payload
//! payload  worker u32 · number u64 · check u32 · as good as random     as far as there is room
//! ```
//!
//! **Why verification appends** unless it is told otherwise. Of a put that was applied twice
//! nothing remains to be seen unless somebody reads at the right moment, and a put that was lost is
//! hidden by the next one to the same key. A list keeps both: each write leaves one frame, in the
//! order in which its worker sent them; a missing frame is a lost write and a second one a write
//! that was applied twice. No key belongs to two workers, and the run's random number keeps the
//! keys of two runs apart.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::keys::{KeyChoice, KeySpace, Sizes};
use super::operation::{Kind, Mix};

/// What a load is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// How often which kind.
    pub mix: Mix,
    /// Bytes of each value.
    pub sizes: Sizes,
    /// Number of keys, at least 1.
    pub keys: u64,
    /// How one is chosen.
    pub choice: KeyChoice,
    /// Bytes of each key, at least; filled up with zeros.
    pub key_size: usize,
    /// Determines kinds, keys and values.
    pub seed: u64,
}

/// The operations of a run.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) shape: Shape,
    space: KeySpace,
    /// Workers.
    lanes: usize,
    /// Who else writes to the keys.
    sharing: Sharing,
    /// A random number that no other run has.
    run: u32,
}

/// With whom a worker shares its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// With all runs.
    Runs,
    /// With the other workers of its run.
    Workers,
    /// With nobody: what its keys hold can be judged.
    Nobody,
}

/// A frame's number and length.
const FRAME_HEAD: usize = 12;

/// What a payload says of itself.
const IDENTITY: usize = 16;

/// A list ends after this many frames, or with the first one beyond this many bytes: to append to a
/// value costs the store a copy of it.
const LIST_FRAMES_MAX: usize = 32;
const LIST_BYTES_MAX: usize = 8 << 10;

impl Workload {
    pub(super) fn new(shape: Shape, lanes: usize, sharing: Sharing, run: u32) -> Self {
        // Together the workers have as many keys as they were given.
        let keys = match sharing {
            Sharing::Nobody => (shape.keys / lanes.max(1) as u64).max(1),
            Sharing::Runs | Sharing::Workers => shape.keys,
        };
        let space = KeySpace::new(keys, shape.choice);
        Self { shape, space, lanes, sharing, run }
    }

    /// Whether each worker has keys of its own, so that what they hold can be judged.
    pub(super) fn is_owned(&self) -> bool {
        self.sharing == Sharing::Nobody
    }

    /// The kind of a worker's operation of this number.
    pub(super) fn kind(&self, worker: usize, turn: u64) -> Kind {
        self.shape.mix.draw(mixed(self.shape.seed, worker, turn))
    }

    /// The number of the key that it goes to.
    pub(super) fn choose(&self, worker: usize, turn: u64) -> u64 {
        let word = avalanche(mixed(self.shape.seed, worker, turn).wrapping_add(GOLDEN));
        let turn = if self.is_owned() { turn } else { turn * self.lanes as u64 + worker as u64 };
        self.space.choose(word, turn)
    }

    /// The key of this number.
    pub(super) fn key(&self, worker: usize, key: u64) -> Bytes {
        let prefix = self.key_prefix(worker);
        let width = self.shape.key_size.saturating_sub(prefix.len());
        let mut name = prefix;
        name.extend_from_slice(format!("{key:0width$}").as_bytes());
        name.into()
    }

    /// The number of a key of this worker, if it is one.
    pub(super) fn number_of_key(&self, worker: usize, key: &[u8]) -> Option<u64> {
        let number = key.strip_prefix(&*self.key_prefix(worker))?;
        str::from_utf8(number).ok()?.parse().ok()
    }

    fn key_prefix(&self, worker: usize) -> Vec<u8> {
        match self.sharing {
            Sharing::Runs => b"bench/".to_vec(),
            Sharing::Workers => format!("bench/{:08x}/", self.run).into_bytes(),
            Sharing::Nobody => self.own_prefix(worker),
        }
    }

    /// What is added to a list for a worker's write of this number.
    pub(super) fn frame(&self, worker: usize, number: u64) -> Bytes {
        let payload = self.payload(worker, number);
        let mut data = BytesMut::with_capacity(FRAME_HEAD + payload.len());
        data.put_u64_le(number);
        data.put_u32_le(u32::try_from(payload.len()).expect("the size is below 8 MiB"));
        data.put_slice(&payload);
        data.freeze()
    }

    /// The list that this write goes to.
    pub(super) fn list_of(&self, number: u64) -> u64 {
        number / self.list_len()
    }

    /// Writes that go to one list.
    pub(super) fn list_len(&self) -> u64 {
        let fit = LIST_BYTES_MAX / (FRAME_HEAD + self.shape.sizes.max);
        fit.clamp(1, LIST_FRAMES_MAX) as u64
    }

    pub(super) fn list_key(&self, worker: usize, list: u64) -> Bytes {
        format!("bench/{:08x}/{worker:04}/{list:08}", self.run).into()
    }

    /// The list that a key stands for, if it is one of this worker.
    pub(super) fn list_of_key(&self, worker: usize, key: &[u8]) -> Option<u64> {
        let list = key.strip_prefix(&*self.own_prefix(worker))?;
        str::from_utf8(list).ok()?.parse().ok()
    }

    /// The first key that this worker alone can have, and the first one beyond them.
    pub(super) fn own_range(&self, worker: usize) -> (Bytes, Bytes) {
        let start = self.own_prefix(worker);
        let mut end = start.clone();
        *end.last_mut().expect("ends with a slash") += 1;
        (start.into(), end.into())
    }

    fn own_prefix(&self, worker: usize) -> Vec<u8> {
        format!("bench/{:08x}/{worker:04}/", self.run).into_bytes()
    }

    /// The content of a write: as good as random, and the same whenever it is asked for.
    pub(super) fn payload(&self, worker: usize, number: u64) -> Bytes {
        let word = mixed(self.shape.seed, worker, number);
        let mut payload = BytesMut::zeroed(self.shape.sizes.choose(avalanche(!word)));
        let mut state = word;
        for chunk in payload.chunks_mut(8) {
            state = state.wrapping_add(GOLDEN);
            chunk.copy_from_slice(&avalanche(state).to_le_bytes()[..chunk.len()]);
        }
        if let Some(mut identity) = payload.get_mut(..IDENTITY) {
            identity.put_u32_le(u32::try_from(worker).expect("workers are counted in 16 bits"));
            identity.put_u64_le(number);
            identity.put_u32_le(check_of(word));
        }
        payload.freeze()
    }

    /// Whose write of which number a value says it is, if it was written under this seed.
    pub(super) fn author(&self, value: &[u8]) -> Option<(usize, u64)> {
        let (worker, rest) = value.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (check, _) = rest.split_first_chunk()?;
        let worker = usize::try_from(u32::from_le_bytes(*worker)).ok()?;
        let number = u64::from_le_bytes(*number);
        let word = mixed(self.shape.seed, worker, number);
        (u32::from_le_bytes(*check) == check_of(word)).then_some((worker, number))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half a random word is one, too")]
fn check_of(word: u64) -> u32 {
    avalanche(word) as u32
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

    fn workload(size: usize) -> Workload {
        let sizes = Sizes { min: size, max: size };
        let mix = Mix::only(Kind::Append);
        let shape =
            Shape { mix, sizes, keys: 10, choice: KeyChoice::Uniform, key_size: 16, seed: 7 };
        Workload::new(shape, 5, Sharing::Nobody, 0xab)
    }

    #[test]
    fn frames_come_back_as_they_were_appended() {
        for size in [0, 1, 8, 13, 5000] {
            let workload = workload(size);
            let mut list = BytesMut::new();
            for number in 0..3 {
                list.put_slice(&workload.frame(4, number));
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
    fn a_value_knows_whose_it_is() {
        let workload = workload(16);
        assert_eq!(workload.author(&workload.payload(4, 99)), Some((4, 99)));
        assert_eq!(workload.author(b"something else of some length"), None);
        assert_eq!(workload.author(b"short"), None);
    }

    #[test]
    fn keys_are_shared_unless_they_are_owned() {
        let owned = workload(0);
        assert_eq!(owned.key(3, 1), "bench/000000ab/0003/1");
        assert_eq!(owned.number_of_key(3, &owned.key(3, 1)), Some(1));
        assert_eq!(owned.number_of_key(2, &owned.key(3, 1)), None);
        assert!((0..100).all(|turn| owned.choose(3, turn) < 2), "ten keys for five workers");
        let shared = Workload::new(owned.shape, 5, Sharing::Runs, 0xab);
        assert_eq!(shared.key(3, 7), "bench/0000000007");
    }

    #[test]
    fn payloads_differ_by_seed_worker_and_number() {
        let payloads = [workload(16).payload(0, 0), workload(16).payload(0, 1)];
        let mut reseeded = workload(16);
        reseeded.shape.seed = 8;
        let other = [workload(16).payload(1, 0), reseeded.payload(0, 0)];
        let mut all: Vec<_> = payloads.into_iter().chain(other).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_worker_finds_its_own_lists_between_its_bounds() {
        let workload = workload(0);
        let (start, end) = workload.own_range(3);
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
