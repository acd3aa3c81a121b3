//! What an entry's data looks like: a command, and around it what makes it apply once; or what a replica
//! has to say itself.
//!
//! ```text
//! kind u8 · leader's clock u64 (ms) · rest, all little-endian
//! 0 command            rest: the command
//! 1 session command    rest: session u64 · sequence u64 · first outstanding u64 · the command
//! 2 open session       rest: time to live u64 (ms)
//! 3 check              rest: index u64 · state hash u64 · node u64; its clock is 0, which is no time
//! ```

use bytes::{Buf as _, Bytes};
use raft_core::pack::Packer;
use raft_core::{Index, NodeId};

use crate::check::Check;
use crate::request::SessionHeader;

/// What an entry asks for, and the leader's clock when it was proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Milliseconds; sessions expire by it, so that they expire at the same entry everywhere.
    pub(crate) clock_ms: u64,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Command {
        session: Option<SessionHeader>,
        command: Bytes,
    },
    /// The time to live stands in the entry, because every replica must use the same.
    OpenSession {
        ttl_ms: u64,
    },
    /// What the leader's state hashed to.
    Check(Check),
}

/// Bytes before a command, at most: a kind and four numbers.
const HEAD_MAX: usize = 33;

const COMMAND: u8 = 0;
const SESSION_COMMAND: u8 = 1;
const OPEN_SESSION: u8 = 2;
const CHECK: u8 = 3;

impl Envelope {
    /// Its bytes, beside those of others.
    pub(crate) fn encode(&self, packer: &mut Packer) -> Bytes {
        let mut head = [0; HEAD_MAX];
        let (kind, numbers, command): (_, &[u64], &[u8]) = match &self.content {
            Content::Command { session: None, command } => (COMMAND, &[], command),
            Content::Command { session: Some(it), command } => {
                (SESSION_COMMAND, &[it.id, it.sequence, it.first_outstanding], command)
            }
            Content::OpenSession { ttl_ms } => (OPEN_SESSION, &[*ttl_ms], &[]),
            Content::Check(Check { index, hash, by }) => (CHECK, &[index.0, *hash, by.0], &[]),
        };
        head[0] = kind;
        let (places, _) = head[1..].as_chunks_mut();
        let numbers = [self.clock_ms].into_iter().chain(numbers.iter().copied());
        let count =
            numbers.zip(places).map(|(number, place)| *place = number.to_le_bytes()).count();
        packer.pack(&[&head[..=8 * count], command])
    }

    /// None for bytes that [`Envelope::encode`] does not write: another version's, or damage that
    /// no checksum caught. Such an entry must not be guessed at.
    pub(crate) fn decode(mut data: Bytes) -> Option<Self> {
        let kind = data.try_get_u8().ok()?;
        let clock_ms = data.try_get_u64_le().ok()?;
        let content = match kind {
            COMMAND => Content::Command { session: None, command: data },
            SESSION_COMMAND => {
                let session = SessionHeader {
                    id: data.try_get_u64_le().ok()?,
                    sequence: data.try_get_u64_le().ok()?,
                    first_outstanding: data.try_get_u64_le().ok()?,
                };
                Content::Command { session: Some(session), command: data }
            }
            OPEN_SESSION => {
                let ttl_ms = data.try_get_u64_le().ok()?;
                if !data.is_empty() {
                    return None;
                }
                Content::OpenSession { ttl_ms }
            }
            CHECK => {
                let check = Check {
                    index: Index(data.try_get_u64_le().ok()?),
                    hash: data.try_get_u64_le().ok()?,
                    by: NodeId(data.try_get_u64_le().ok()?),
                };
                if !data.is_empty() {
                    return None;
                }
                Content::Check(check)
            }
            _ => return None,
        };
        Some(Self { clock_ms, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_envelope_survives_a_round_trip(
            clock_ms in any::<u64>(),
            session in any::<Option<(u64, u64, u64)>>(),
            command in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let session = session.map(|(id, sequence, first_outstanding)| {
                SessionHeader { id, sequence, first_outstanding }
            });
            let content = Content::Command { session, command: command.into() };
            let envelope = Envelope { clock_ms, content };
            prop_assert_eq!(Envelope::decode(envelope.encode(&mut Packer::default())), Some(envelope));
            let envelope = Envelope { clock_ms, content: Content::OpenSession { ttl_ms: clock_ms } };
            prop_assert_eq!(Envelope::decode(envelope.encode(&mut Packer::default())), Some(envelope));
            let check = Check { index: Index(clock_ms), hash: !clock_ms, by: NodeId(clock_ms ^ 5) };
            let envelope = Envelope { clock_ms: 0, content: Content::Check(check) };
            prop_assert_eq!(Envelope::decode(envelope.encode(&mut Packer::default())), Some(envelope));
        }

        #[test]
        fn garbage_is_refused_or_read_never_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Some(envelope) = Envelope::decode(bytes.clone().into()) {
                prop_assert_eq!(envelope.encode(&mut Packer::default()), Bytes::from(bytes));
            }
        }
    }
}
