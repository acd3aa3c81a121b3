//! The bytes of a segment. All numbers are little-endian. `docs/storage.md` has the drawing.

use raft_core::{ClusterId, Incarnation, NodeId, mutant};

use crate::error::Unreadable;

/// The unit in which frames begin. A disk writes whole sectors, so a new frame never shares one
/// with a frame that is durable already. Measured against 8 and 4096 bytes: as fast as either
/// while only one write is under way, and a small batch takes an eighth of a page.
pub(super) const SECTOR: usize = 512;

/// Where the first frame begins.
pub(super) const FIRST_FRAME: u64 = 512;

/// Length of a frame's header.
pub(super) const FRAME_HEADER: usize = 24;

const MAGIC: [u8; 8] = *b"RAFTWAL\n";
const VERSION: u32 = 3;

/// Bytes of the segment header that carry something; the rest of the sector is zero.
const HEADER: usize = 80;

/// The start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) owner: Owner,
    /// Segments are numbered without gaps.
    pub(super) number: u64,
    /// Length of the file.
    pub(super) len: u64,
    /// The number of the segment's first frame.
    pub(super) first_frame: u64,
    /// Where the frames of the segment before this one end; 0 if there is none.
    pub(super) previous_end: u64,
    /// The checksum of the last frame of the segment before this one.
    pub(super) previous_check: u32,
}

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
}

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Length of the payload in bytes, never 0.
    pub(super) len: u32,
    /// Covers the segment's seed, every other field and the payload.
    pub(super) check: u32,
    /// Frames are numbered without gaps, across segments.
    pub(super) number: u64,
    /// The checksum of the frame before this one, for the first of a segment its seed.
    pub(super) previous: u32,
    /// Number of records in the payload.
    pub(super) records: u32,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of cluster {} (incarnation {})", self.node, self.cluster, self.incarnation)
    }
}

impl SegmentHeader {
    /// What every checksum of the segment begins with. A CRC of 32 bits tells any two numbers
    /// below 2^32 apart, so what an earlier life of a recycled file left behind never passes.
    pub(super) fn seed(&self) -> u32 {
        if mutant!("a recycled segment may hold old frames") {
            return 0;
        }
        let seed = crc32c::crc32c(&self.owner.incarnation.0.to_le_bytes());
        crc32c::crc32c_append(seed, &self.number.to_le_bytes())
    }

    pub(super) fn encode(&self) -> [u8; SECTOR] {
        let mut bytes = Vec::with_capacity(SECTOR);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.seed().to_le_bytes());
        bytes.extend_from_slice(&self.owner.cluster.0.to_le_bytes());
        bytes.extend_from_slice(&self.owner.node.0.to_le_bytes());
        bytes.extend_from_slice(&self.owner.incarnation.0.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first_frame.to_le_bytes());
        bytes.extend_from_slice(&self.previous_end.to_le_bytes());
        bytes.extend_from_slice(&self.len.to_le_bytes());
        bytes.extend_from_slice(&self.previous_check.to_le_bytes());
        let check = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&check.to_le_bytes());
        assert_eq!(bytes.len(), HEADER, "the header has a fixed length");
        let mut sector = [0; SECTOR];
        sector[..HEADER].copy_from_slice(&bytes);
        sector
    }

    /// Reads a header, or says what is wrong with it.
    pub(super) fn decode(sector: &[u8]) -> Result<Self, Unreadable> {
        let Some(bytes) = sector.get(..HEADER) else {
            return Err(Unreadable::Wrong("the file is shorter than a segment header"));
        };
        if !bytes.starts_with(&MAGIC) {
            return Err(Unreadable::Wrong("it does not begin like a log segment"));
        }
        Unreadable::judge(&bytes[..HEADER - 4], u32_at(bytes, HEADER - 4), VERSION)?;
        let header = Self {
            owner: Owner {
                cluster: ClusterId(u64_at(bytes, 16)),
                node: NodeId(u64_at(bytes, 24)),
                incarnation: Incarnation(u64_at(bytes, 32)),
            },
            number: u64_at(bytes, 40),
            first_frame: u64_at(bytes, 48),
            previous_end: u64_at(bytes, 56),
            len: u64_at(bytes, 64),
            previous_check: u32_at(bytes, 72),
        };
        if header.seed() == u32_at(bytes, 12) {
            Ok(header)
        } else {
            Err(Unreadable::Wrong("the seed of the segment header is wrong"))
        }
    }
}

impl FrameHeader {
    /// Completes a frame: `frame` is [`FRAME_HEADER`] bytes to be overwritten, then the payload.
    /// Returns the frame's checksum.
    pub(super) fn seal(frame: &mut [u8], seed: u32, number: u64, link: (u32, u32)) -> u32 {
        let (previous, records) = link;
        let len = frame.len().saturating_sub(FRAME_HEADER);
        let len = u32::try_from(len).expect("a batch is bounded far below 4 GiB");
        let mut header = Self { len, check: 0, number, previous, records };
        let (head, payload) = frame.split_at_mut(FRAME_HEADER);
        header.check = header.checksum(seed, payload);
        head.copy_from_slice(&header.encode());
        header.check
    }

    fn encode(&self) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        bytes[0..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.check.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.previous.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.records.to_le_bytes());
        bytes
    }

    /// Reads the fields; whether they are true is for [`FrameHeader::holds`] to say.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Self::fields(bytes).filter(|header| header.len != 0)
    }

    /// The same of what need not be a frame at all.
    pub(super) fn fields(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER)?;
        Some(Self {
            len: u32_at(bytes, 0),
            check: u32_at(bytes, 4),
            number: u64_at(bytes, 8),
            previous: u32_at(bytes, 16),
            records: u32_at(bytes, 20),
        })
    }

    /// Whether the checksum fits this payload in a segment of this seed.
    pub(super) fn holds(&self, seed: u32, payload: &[u8]) -> bool {
        self.check == self.checksum(seed, payload)
            || mutant!("the log's checksums are not looked at")
    }

    /// Length of the frame on disk, padding included.
    pub(super) fn extent(&self) -> u64 {
        padded(u64::from(self.len).saturating_add(FRAME_HEADER as u64))
    }

    fn checksum(&self, seed: u32, payload: &[u8]) -> u32 {
        let mut check = crc32c::crc32c(&seed.to_le_bytes());
        check = crc32c::crc32c_append(check, &self.len.to_le_bytes());
        check = crc32c::crc32c_append(check, &self.encode()[8..]);
        crc32c::crc32c_append(check, payload)
    }
}

/// Rounded up to whole sectors.
pub(super) fn padded(len: u64) -> u64 {
    len.next_multiple_of(SECTOR as u64)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        let owner =
            Owner { cluster: ClusterId(1), node: NodeId(2), incarnation: Incarnation(u64::MAX) };
        let (first_frame, previous_end, previous_check) = (5, 6, 7);
        SegmentHeader { owner, number: 4, len: 8, first_frame, previous_end, previous_check }
    }

    #[test]
    fn headers_survive_a_round_trip_and_no_flipped_bit() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
        for bit in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit} flipped unnoticed");
        }
    }

    #[test]
    fn a_frame_of_one_segment_does_not_pass_in_another() {
        let mut frame = vec![0; FRAME_HEADER];
        frame.extend_from_slice(b"payload");
        let check = FrameHeader::seal(&mut frame, header().seed(), 9, (3, 1));
        let read = FrameHeader::decode(&frame).unwrap();
        assert_eq!(read, FrameHeader { len: 7, check, number: 9, previous: 3, records: 1 });
        assert!(read.holds(header().seed(), b"payload"));
        let other = SegmentHeader { number: 5, ..header() };
        assert!(!read.holds(other.seed(), b"payload"));
    }
}
