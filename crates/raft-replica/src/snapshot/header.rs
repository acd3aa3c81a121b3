//! The beginning of a snapshot file, and its name.

use std::io;

use bytes::Bytes;
use raft_core::{ClusterId, Index, LogId, SnapshotMeta, Term, codec};

use crate::disk::DiskFile;
use crate::error::Unreadable;

const MAGIC: [u8; 8] = *b"RAFTSNP\n";
const VERSION: u32 = 2;

/// Magic, version, length, cluster.
const FIXED: usize = 24;

/// The header of a snapshot. Its length depends on the membership only.
pub(super) fn encode(cluster: ClusterId, meta: &SnapshotMeta) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&cluster.0.to_le_bytes());
    codec::put_snapshot_meta(&mut bytes, meta);
    let len = u32::try_from(bytes.len().saturating_add(4)).expect("a cluster has few members");
    bytes[12..16].copy_from_slice(&len.to_le_bytes());
    let check = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&check.to_le_bytes());
    bytes
}

/// Reads the header of a file, or says what is wrong with it.
pub(super) fn read(
    file: &dyn DiskFile,
) -> io::Result<Result<(ClusterId, SnapshotMeta), Unreadable>> {
    const LEN_MAX: usize = 1 << 20;
    let mut bytes = vec![0; FIXED];
    let count = file.read_at(0, &mut bytes)?;
    if count < FIXED || !bytes.starts_with(&MAGIC) {
        return Ok(Err(Unreadable::Wrong("it does not begin like a snapshot")));
    }

    let len = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
    let len = usize::try_from(len).map_or(LEN_MAX, |len| len.clamp(FIXED, LEN_MAX));
    bytes.resize(len, 0);
    let count = file.read_at(0, &mut bytes)?;
    bytes.truncate(count);
    Ok(decode(bytes))
}

fn decode(mut bytes: Vec<u8>) -> Result<(ClusterId, SnapshotMeta), Unreadable> {
    let Some(check) = bytes.split_last_chunk::<4>().map(|(_, check)| *check) else {
        return Err(Unreadable::Wrong("it is cut short"));
    };
    bytes.truncate(bytes.len().saturating_sub(check.len()));
    Unreadable::judge(&bytes, u32::from_le_bytes(check), VERSION)?;
    if bytes.len() < FIXED {
        return Err(Unreadable::Wrong("it is cut short"));
    }
    let cluster: [u8; 8] = bytes[16..FIXED].try_into().expect("eight bytes are eight bytes");
    let mut rest = Bytes::from(bytes).slice(FIXED..);
    let meta = codec::take_snapshot_meta(&mut rest)
        .ok_or(Unreadable::Wrong("its header makes no sense"))?;
    Ok((ClusterId(u64::from_le_bytes(cluster)), meta))
}

/// The name of a snapshot's file.
pub(super) fn name(last: LogId) -> String {
    format!("{:08}-{:016}.snap", last.term.0, last.index.0)
}

/// Which snapshot a file of this name is.
pub(super) fn parse_name(name: &str) -> Option<LogId> {
    let (term, index) = name.strip_suffix(".snap")?.split_once('-')?;
    Some(LogId::new(Term(term.parse().ok()?), Index(index.parse().ok()?)))
        .filter(|&last| self::name(last) == name)
}
