//! Small commands side by side, in few pieces of memory.
//!
//! A log keeps a hundred thousand commands and more for a while. Each in memory of its own, they cost an
//! allocation each. As parts of the frame in which they came, they hold on to all of it; and as no
//! frame is as large as another, an allocator finds no use for what lies between them. Side by side in
//! blocks of one size they take what they are long, and go together, as they came.

use bytes::{Bytes, BytesMut};

use crate::types::{Entry, Payload};

/// Bytes in a block.
const BLOCK: usize = 16 << 10;

/// What is longer than this has memory of its own: less than this much of a block stays empty.
const SMALL_MAX: usize = BLOCK / 8;

/// Lays byte strings side by side. Those that share a block share its memory: it is free when the last of
/// them is gone.
#[derive(Debug, Default)]
pub struct Packer {
    /// What is left of the newest block.
    block: BytesMut,
}

impl Packer {
    /// What these parts are, one after the other.
    pub fn pack(&mut self, parts: &[&[u8]]) -> Bytes {
        let len = parts.iter().map(|part| part.len()).sum();
        if SMALL_MAX < len {
            return parts.concat().into();
        }
        if self.block.capacity() < len {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        for part in parts {
            self.block.extend_from_slice(part);
        }
        self.block.split().freeze()
    }

    /// Copies the commands of entries that came in one piece of memory of `bytes`, which may be part of
    /// a larger one, unless they are so long that they are as well kept there.
    pub fn repack(&mut self, entries: &mut [Entry], bytes: usize) {
        if entries.len().saturating_mul(SMALL_MAX) < bytes {
            return;
        }
        for entry in entries {
            if let Payload::Data(data) = &mut entry.payload {
                *data = self.pack(&[data]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
