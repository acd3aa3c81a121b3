//! The evidence that a fault did something: what a link did, counted.

use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a link has done since it was added. All but the two that end in `_now` only grow.
        ///
        /// Nothing is lost track of: `bytes_read` = `bytes_towards` + `bytes_back` +
        /// `bytes_held_now` + `bytes_discarded`, whenever no byte is being moved.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The counters while they count.
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Tally {
            pub(crate) fn counters(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl Counters {
            /// What has been done since these were `before`, and what is so now.
            #[must_use]
            pub fn since(&self, before: &Self) -> Self {
                Self {
                    connections_now: self.connections_now,
                    bytes_held_now: self.bytes_held_now,
                    ..Self { $($name: self.$name.saturating_sub(before.$name),)* }
                }
            }

            /// Names and values, for a report.
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }

        /// Those of several links together.
        impl Sum for Counters {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::default(), |sum, it| Self { $($name: sum.$name + it.$name,)* })
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections,
    /// Connections open at this moment.
    connections_now,
    /// Connections that were accepted in silence, for the link hung.
    connections_hung,
    /// Times the port was closed, because the link refuses or because the target does.
    closures,
    /// Times the port was closed because the target refuses.
    closures_mirrored,
    /// Times a connection to the closed port was tried, and was refused.
    refusals_seen,
    /// Connections that were accepted in vain, for the target refused by then.
    target_refused,
    /// Connections reset because the link began to refuse, or was removed.
    resets_by_cut,
    /// Connections reset by chance (`resets_per_second`).
    resets_by_chance,
    /// Connections reset since a chunk was lost too often.
    resets_by_loss,
    /// Connections reset on one side because the other side reset them.
    resets_mirrored,
    /// Closes of one direction passed on.
    closes_mirrored,
    /// Bytes taken from either side.
    bytes_read,
    /// Bytes given to the target.
    bytes_towards,
    /// Bytes given to the one who dialled.
    bytes_back,
    /// Bytes waiting in the link at this moment.
    bytes_held_now,
    /// Bytes that a hanging link held, counted once for each cut.
    bytes_held_total,
    /// Bytes that were waiting when their connection ended.
    bytes_discarded,
    /// Chunks that left later than they came, by delay, jitter or loss.
    chunks_delayed,
    /// Losses, those of retransmissions included.
    chunks_lost,
    /// Chunks that waited for the rate.
    chunks_limited,
    /// Chunks that waited for the end of a pause.
    chunks_stalled,
    /// Errors that no fault explains: a port that could not be opened, a dial that failed without
    /// being refused. The last is in the link's `Status`.
    errors,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn subtract(counter: &AtomicU64, count: usize) {
        let before = counter.fetch_sub(count as u64, Ordering::Relaxed);
        assert!(before >= count as u64, "{before} - {count}: more was taken than was there");
    }

    pub(crate) fn one(counter: &AtomicU64) {
        Self::add(counter, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What only grows is told by what it grew; what goes up and down, as it is.
    #[test]
    fn counters_are_compared_and_added() {
        let before = Counters { connections: 3, bytes_held_now: 9, ..Counters::default() };
        let after = Counters { connections: 5, bytes_held_now: 2, ..Counters::default() };
        let since = after.since(&before);
        assert_eq!((since.connections, since.bytes_held_now), (2, 2));
        let sum: Counters = [before, after].into_iter().sum();
        assert_eq!((sum.connections, sum.bytes_held_now), (8, 11));
        assert!(sum.rows().contains(&("connections", 8)));
    }
}
