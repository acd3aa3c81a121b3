//! Frames: how a recording is cut into pieces that show whether they are whole.

use alloc::vec::Vec;

use bytes::{Buf as _, Bytes};

use super::digest::hash;

pub(super) const START: u8 = 0;
pub(super) const STEP: u8 = 1;
pub(super) const TURN: u8 = 2;
pub(super) const STATE: u8 = 3;
pub(super) const END: u8 = 4;

/// Length, its inverse, checksum.
const HEAD: usize = 16;

/// What stands at a place of a recording.
pub(super) enum Found {
    /// A frame, and its length with everything.
    Frame { kind: u8, body: Bytes, len: usize },
    /// The beginning of one, as far as can be seen.
    Part,
    /// No frame. What claims to be one would be so long, if that can be read.
    Bad { len: Option<usize> },
}

/// Makes a frame out of a body. The checksum covers the frame's number as well, so that none can take
/// another's place.
pub(super) fn put(out: &mut Vec<u8>, number: u64, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend_from_slice(&[0; HEAD]);
    out.push(kind);
    body(out);
    let covered = out.get(HEAD..).unwrap_or_default();
    let len = u32::try_from(covered.len()).expect("an input is bounded far below 4 GiB");
    let sum = hash(number, covered);
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(&len.to_le_bytes());
    head.extend_from_slice(&(!len).to_le_bytes());
    head.extend_from_slice(&sum.to_le_bytes());
    if let Some(place) = out.get_mut(..HEAD) {
        place.copy_from_slice(&head);
    }
}

/// Reads the frame at the beginning of `bytes`.
pub(super) fn take(bytes: &[u8], number: u64) -> Found {
    let mut head = bytes;
    let (Ok(len), Ok(inverse), Ok(sum)) =
        (head.try_get_u32_le(), head.try_get_u32_le(), head.try_get_u64_le())
    else {
        return Found::Part;
    };
    let claimed = usize::try_from(len).ok().filter(|_| len == !inverse && len != 0);
    let Some(claimed) = claimed else { return Found::Bad { len: None } };
    let len = HEAD.saturating_add(claimed);
    let Some((&kind, body)) = bytes.get(HEAD..len).and_then(<[u8]>::split_first) else {
        return Found::Part;
    };
    if hash(number, head.get(..claimed).unwrap_or_default()) != sum {
        return Found::Bad { len: Some(len) };
    }
    Found::Frame { kind, body: Bytes::copy_from_slice(body), len }
}
