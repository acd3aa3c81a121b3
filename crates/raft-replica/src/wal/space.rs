//! What the log does when there is no space for another segment.
//!
//! The segment it has was filled with zeros when it was made, so that writing into it takes no space.
//! A full disk is therefore noticed long before the log needs what is not there: its owner can stop
//! taking things in, keep the rest for promises, and go on when there is space again.

use std::sync::Arc;

use raft_core::Persist;

use super::format::{FIRST_FRAME, padded};
use super::spare::{PrepareJob, Prepared, Retired, Spare};
use super::{Extent, QUICK_SEGMENT_BYTES, Wal, record};
use crate::error::DiskError;

/// Such a part of a segment is kept for promises when there is no space for another one.
const RESERVE: u64 = 4;

impl Wal {
    /// Finds the space that these jobs need, so that [`Wal::run`] has it. An error that
    /// [`DiskError::is_full`] is no end: nothing of the log has been written, nor is anything of it in
    /// doubt, and the same can be asked again.
    pub fn make_room(&mut self, jobs: &[Persist]) -> Result<(), DiskError> {
        // Only near the end of a segment is it worth looking more closely.
        if self.has_room(jobs) {
            return Ok(());
        }
        let room = self.room();
        let records = self.encode(jobs);
        if records == 0 || padded(self.frame.len() as u64) <= room {
            return Ok(());
        }
        let mut head = Vec::new();
        record::put_head(&mut head, &self.outline);
        let needed = FIRST_FRAME + padded(head.len() as u64 + self.frame.len() as u64);
        if self.spare.as_ref().is_some_and(|spare| needed <= spare.len) {
            return Ok(());
        }
        let Prepared { spare, full } = self.prepare_inline(needed).run()?;
        if let Some(error) = full {
            self.full = true;
            return Err(error);
        }
        self.stats.rolls_inline += 1;
        self.take_over(spare);
        Ok(())
    }

    /// Whether these jobs surely need no other segment: then [`Wal::run`] is a write and a sync.
    pub fn has_room(&self, jobs: &[Persist]) -> bool {
        record::len_at_most(jobs) <= self.room()
    }

    /// Bytes that are left in the segment.
    fn room(&self) -> u64 {
        self.active.extent.len.saturating_sub(self.active.end)
    }

    /// Whether there is no next segment for want of space, and this one is nearly full: what is left
    /// should be kept for votes and the like.
    pub fn is_short_of_space(&self) -> bool {
        let Extent { len, .. } = self.active.extent;
        self.full && self.spare.is_none() && self.room() <= len / RESERVE
    }

    /// Whether a segment could not be made ready for want of space. None is wanted before
    /// [`Wal::try_again`].
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// There may be space now: the next [`Wal::prepare`] finds out. Until then there is none.
    pub fn try_again(&mut self) {
        self.look_again = true;
    }

    /// Keeps a spare. One too many is removed like a segment nobody needs.
    pub(super) fn take_over(&mut self, spare: Option<Spare>) {
        let one_too_many = match (&self.spare, spare) {
            (_, None) => None,
            (Some(old), Some(new)) if new.len < old.len => Some(new),
            (_, Some(new)) => self.spare.replace(new),
        };
        self.retired.extend(one_too_many.map(|Spare { path, len, .. }| Retired { path, len }));
    }

    /// A small spare, for when the writer has to wait for it.
    pub(super) fn prepare_inline(&mut self, needed: u64) -> PrepareJob {
        PrepareJob {
            disk: Arc::clone(&self.disk),
            // While a job is under way, what it has not removed yet comes before these.
            retired: if self.preparing { Vec::new() } else { std::mem::take(&mut self.retired) },
            spare: Some(self.name_spare()),
            len: needed.max(self.segment_bytes.min(QUICK_SEGMENT_BYTES)),
            len_max: self.segment_bytes,
        }
    }
}
