//! Randomness from a seed, in streams of their own: what one part of the world draws never shifts
//! what another one gets, so that two runs that differ in one thing stay alike in the rest.

/// A stream of random numbers (xoshiro256**, seeded by `SplitMix64`).
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream of this name, of this seed.
    pub fn stream(seed: u64, name: &str) -> Self {
        let mut x = fnv(FNV_START, name.as_bytes()) ^ mix(seed);
        let state = std::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(x)
        });
        Self { state }
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        let [_, second, _, _] = self.state;
        let result = second.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let [a, b, c, d] = &mut self.state;
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "nothing lies between {low} and {high}");
        let span = u128::from(high - low) + 1;
        // Multiply and shift: a bias of 2^-64 does not matter here.
        let scaled = (u128::from(self.draw()) * span) >> 64;
        low + u64::try_from(scaled).expect("less than the span, which fits")
    }

    /// A number of a range.
    pub fn within(&mut self, (low, high): (u64, u64)) -> u64 {
        self.between(low, high)
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("a length fits");
        usize::try_from(self.between(0, count - 1)).expect("less than a length")
    }

    /// True in `permille` of 1000 cases.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.between(0, 999) < permille
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Where [`fnv`] begins.
pub const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on hashing: FNV-1a, 64 bit.
pub fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The finaliser of `SplitMix64`.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
