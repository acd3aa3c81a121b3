//! Deliberate bugs, each behind a switch, so that it can be seen whether the tests would find it.
//!
//! `mutant!("name")`, and `mutant!("name", wrong, right)`: it is false, and known to be so by the compiler, in every build without debug
//! assertions: no release contains any of them. With them, at most one is switched on, for the
//! whole process, and only by a test that says so; the simulator's `raft-sim mutants` does, and
//! `RAFT_MUTANT` in the environment of a server.

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

/// All of them, in this ring and the next.
#[cfg(debug_assertions)]
pub const NAMES: &[&str] = &[
    "a vote is told before it is durable",
    "a term is written without its vote",
    "a vote is kept for the next term",
    "a node votes twice in a term",
    "a vote is given to any log",
    "logs are compared by their length",
    "an equal log gets no vote",
    "a vote of another term counts",
    "a pre-vote counts as a vote",
    "a pre-vote moves the term",
    "nobody asks before it campaigns",
    "a candidate leads before its own vote is durable",
    "votes are asked for before the log is durable",
    "who votes does not wait for the elected",
    "all wait equally long",
    "a leader does not mind a later term in an answer",
    "a deposed leader keeps others from campaigning",
    "the term of a heartbeat is not looked at",
    "half is a majority",
    "learners count",
    "the entry before is not asked for",
    "of the entry before only the index is compared",
    "an old append cuts what follows it",
    "a conflict is not cut",
    "a match is taken for the whole log",
    "a match goes back",
    "an answer of an earlier term counts",
    "a leader never goes back behind its log's beginning",
    "a refusal in the pipeline is ignored",
    "what is lost is not sent again",
    "an append is acknowledged before it is durable",
    "a leader counts itself by memory",
    "nobody waits for the disk",
    "an entry of an earlier term is committed by counting",
    "a majority is counted without sorting",
    "a follower commits what may differ",
    "a heartbeat commits what the peer may lack",
    "no entry opens a term",
    "what is applied is applied again",
    "what is not committed is applied",
    "a write is acknowledged when it is proposed",
    "an unknown outcome is told as a refusal",
    "only who is asked remembers its answers",
    "a repeat is applied again",
    "a repeat gets another answer",
    "a number whose answer is forgotten is new",
    "sessions expire by the local clock",
    "a snapshot has no sessions",
    "a snapshot has sessions without answers",
    "a leader reads without asking",
    "a read joins the round under way",
    "a read does not wait for what it must see",
    "a new leader reads before it has committed anything",
    "a follower reads without asking",
    "a wiped disk is believed",
    "a configuration counts when it is committed",
    "a configuration is not rolled back",
    "a new leader changes members before it has committed anything",
    "a joint configuration is left before it is committed",
    "a joint configuration is counted as one",
    "only the new half of a joint configuration counts",
    "newcomers vote before they have caught up",
    "a vote tells whose seat it is",
    "whoever answers first is the founder",
    "of a learner's disk the first word is the last",
    "who was never met is made a voter",
    "who has forgotten votes as before",
    "a leader that is out goes on",
    "the word to take over does not wait for the log",
    "a snapshot has no members",
    "an older snapshot is installed",
    "a snapshot counts as installed without its data",
    "what follows a snapshot stays whatever it is",
    "a snapshot is confirmed before it is durable",
    "a snapshot is labelled with the log's end",
    "a snapshot is not synced",
    "the name of a snapshot is not synced",
    "a snapshot that arrived is not synced",
    "the name of a snapshot that arrived is not synced",
    "pieces of a snapshot are taken as they come",
    "a full disk is no error to a snapshot",
    "the log is not synced",
    "a failed sync is ignored",
    "a failed sync is tried again",
    "the name of a segment is not synced",
    "the first of several entries is not written",
    "a recycled segment may hold old frames",
    "the log's checksums are not looked at",
    "damage in the middle of the log is cut",
    "a vote is not read back",
];

/// There is none.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn is_on(_key: u64) -> bool {
    false
}
