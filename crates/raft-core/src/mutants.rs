//! Deliberate bugs, each behind a switch, so that it can be seen whether the tests would find it.
//!
//! `mutant!("name")`, and `mutant!("name", wrong, right)`: it is false, and known to be so by the compiler, in every build without debug
//! assertions: no release contains any of them. With them, at most one is switched on, for the
//! whole process, and only by a test that says so; the simulator's `raft-sim mutants` does.

/// Whether the deliberate bug of this name is switched on.
#[doc(hidden)]
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {
        $crate::mutants::is_on(const { $crate::mutants::key($name) })
    };
    // The first value if it is, else the second.
    ($name:literal, $wrong:expr, $right:expr) => {
        if $crate::mutant!($name) { $wrong } else { $right }
    };
}

/// What stands for a name. Names are few, and differ in this.
pub const fn key(name: &str) -> u64 {
    let (mut rest, mut hash) = (name.as_bytes(), 0xcbf2_9ce4_8422_2325_u64);
    while let [byte, more @ ..] = rest {
        #[expect(clippy::as_conversions, reason = "`u64::from` is not for constants")]
        let byte = *byte as u64;
        hash = (hash ^ byte).wrapping_mul(0x100_0000_01b3);
        rest = more;
    }
    hash
}

/// Whether this build contains deliberate bugs.
pub const INCLUDED: bool = cfg!(debug_assertions);

#[cfg(debug_assertions)]
mod switch {
    use core::sync::atomic::{AtomicU64, Ordering};

    /// What stands for the name of the one that is on; 0 if none is.
    static ON: AtomicU64 = AtomicU64::new(0);

    /// Whether the one that this stands for is switched on.
    #[inline]
    pub fn is_on(key: u64) -> bool {
        ON.load(Ordering::Relaxed) == key
    }

    /// Switches this one on, and all others off, in the whole process; or all of them.
    pub fn switch_to(name: Option<&str>) {
        ON.store(name.map_or(0, super::key), Ordering::Relaxed);
    }
}

#[cfg(debug_assertions)]
pub use switch::{is_on, switch_to};

/// There is none.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn is_on(_key: u64) -> bool {
    false
}
