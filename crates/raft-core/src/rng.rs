//! Randomness for election timeouts: seeded, so that a run can be repeated.

/// `SplitMix64` (Steele, Lea, Flood 2014): small, fast, and every seed is a good one. Election timeouts
/// need spread, not secrecy.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `bound` inclusive. The bias of the remainder is below 2⁻³² for bounds of
    /// microseconds in a second, far below what an election could notice.
    pub(crate) fn up_to(&mut self, bound: u64) -> u64 {
        match bound.checked_add(1) {
            Some(modulus) => self.next().checked_rem(modulus).unwrap_or(0),
            None => self.next(),
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
