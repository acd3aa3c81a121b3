//! The replicated state: the state machine, and around it what ring 1 adds to every one: sessions,
//! log time, and a rolling hash that makes two replicas comparable.

use std::io::{self, Read, Write};

use bytes::Bytes;
use raft_core::{Entry, LogId, Payload, mutant};

use crate::bytes_io::{get_log_id, get_u64, put_log_id, put_u64};
use crate::check::{Check, Checks};
use crate::envelope::{Content, Envelope};
use crate::request::{Outcome, Refused, SessionHeader};
use crate::sessions::{Sessions, Verdict};
use crate::state_machine::{Image, StateMachine};

/// Written at the front of a snapshot.
const FORMAT: u64 = 1;

/// Where a snapshot's state hash ends: format, applied id and hash.
pub(crate) const HEAD: u64 = 32;

/// Everything that the log determines.
#[derive(Debug)]
pub(crate) struct State<S> {
    /// The last entry applied.
    pub(crate) applied: LogId,
    /// Rolls over (index, command, result): equal on all replicas at an equal index, or one of them
    /// has gone wrong.
    pub(crate) hash: u64,
    pub(crate) sessions: Sessions,
    pub(crate) machine: S,
    /// How the state compares with the leader's; no part of it.
    pub(crate) checks: Checks,
}

/// A frozen [`State`].
pub(crate) struct StateImage<I> {
    pub(crate) applied: LogId,
    hash: u64,
    sessions: Sessions,
    machine: I,
}

impl<S: StateMachine> State<S> {
    pub(crate) fn new(machine: S) -> Self {
        Self {
            applied: LogId::ZERO,
            hash: 0,
            sessions: Sessions::default(),
            machine,
            checks: Checks::default(),
        }
    }

    /// Applies a committed entry; gives the answer to whoever asked for it.
    ///
    /// # Panics
    ///
    /// If the entry is not the next one, or no version of this software wrote it: a replica that
    /// guessed would no longer be one.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Outcome {
        assert_eq!(entry.id.index, self.applied.index.next(), "applied {}", self.applied);
        self.applied = entry.id;
        let (command, outcome, check) = match &entry.payload {
            Payload::Noop | Payload::Config(_) => (Bytes::new(), nothing_done(entry.id), None),
            Payload::Data(data) => {
                let envelope = Envelope::decode(data.clone());
                let envelope = envelope.unwrap_or_else(|| {
                    panic!("entry {} is in a format this version does not know", entry.id)
                });
                let (outcome, check) = self.apply_envelope(entry.id, &envelope);
                (data.clone(), outcome, check)
            }
        };
        self.hash = roll(self.hash, entry.id, &command, &outcome);
        self.checks.note(entry.id.index, self.hash, check);
        outcome
    }

    fn apply_envelope(&mut self, id: LogId, envelope: &Envelope) -> (Outcome, Option<Check>) {
        self.sessions.advance(envelope.clock_ms);
        let outcome = match &envelope.content {
            Content::OpenSession { ttl_ms } => {
                // The entry's own index: nobody else can have it.
                self.sessions.open(id.index.0, *ttl_ms);
                Outcome::SessionOpened { id, session: id.index.0 }
            }
            Content::Command { session: None, command } => {
                let result = self.machine.apply(command);
                Outcome::Applied { id, result, duplicate: false }
            }
            Content::Command { session: Some(header), command } => {
                self.apply_once(id, header, command)
            }
            Content::Check(check) => return (nothing_done(id), Some(*check)),
        };
        (outcome, None)
    }

    fn apply_once(&mut self, id: LogId, header: &SessionHeader, command: &Bytes) -> Outcome {
        match self.sessions.look_up(header) {
            Verdict::New => {
                let result = self.machine.apply(command);
                self.sessions.remember(header, id, result.clone());
                Outcome::Applied { id, result, duplicate: false }
            }
            Verdict::Repeat(..) if mutant!("a repeat is applied again") => {
                let result = self.machine.apply(command);
                Outcome::Applied { id, result, duplicate: false }
            }
            Verdict::Repeat(id, result) => Outcome::Applied { id, result, duplicate: true },
            Verdict::Refused(refused) => Outcome::Refused(refused),
        }
    }

    pub(crate) fn image(&self) -> StateImage<S::Image> {
        StateImage {
            applied: self.applied,
            hash: self.hash,
            sessions: self.sessions.clone(),
            machine: self.machine.image(),
        }
    }

    pub(crate) fn restore(source: &mut dyn Read) -> io::Result<Self> {
        let format = get_u64(source)?;
        if format != FORMAT {
            let text =
                format!("its state is in format version {format}, and this program reads {FORMAT}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(Self {
            applied: get_log_id(source)?,
            hash: get_u64(source)?,
            sessions: match Sessions::read_from(source)? {
                _ if mutant!("a snapshot has no sessions") => Sessions::default(),
                mut sessions if mutant!("a snapshot has sessions without answers") => {
                    sessions.forget_answers();
                    sessions
                }
                sessions => sessions,
            },
            machine: S::restore(source)?,
            checks: Checks::default(),
        })
    }
}

/// The state hash in the first [`HEAD`] bytes of a snapshot's payload, if this program knows their
/// format.
pub(crate) fn hash_in(mut head: &[u8]) -> Option<u64> {
    let format = get_u64(&mut head).ok()?;
    get_log_id(&mut head).ok()?;
    let hash = get_u64(&mut head).ok()?;
    (format == FORMAT).then_some(hash)
}

impl<I: Image> StateImage<I> {
    pub(crate) fn applied(&self) -> LogId {
        self.applied
    }

    pub(crate) fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        put_u64(sink, FORMAT)?;
        put_log_id(sink, self.applied)?;
        put_u64(sink, self.hash)?;
        self.sessions.write_to(sink)?;
        self.machine.write_to(sink)
    }
}

impl<I> std::fmt::Debug for StateImage<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateImage").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// An entry that no client asked for.
fn nothing_done(id: LogId) -> Outcome {
    Outcome::Applied { id, result: Bytes::new(), duplicate: false }
}

/// Folds one applied entry into the hash: a multiplicative mix of (index, term) and the checksums
/// of command and result. It compares replicas; it resists no forger.
fn roll(hash: u64, id: LogId, command: &[u8], outcome: &Outcome) -> u64 {
    let result = match outcome {
        Outcome::Applied { result, duplicate, .. } => {
            crc32c::crc32c_append(u32::from(*duplicate), result)
        }
        Outcome::SessionOpened { .. } => 2,
        Outcome::Read { .. } | Outcome::Done => 3,
        Outcome::Refused(refused) => match refused {
            Refused::SessionUnknown => 4,
            Refused::SessionStale => 5,
            Refused::Overloaded => 6,
            Refused::NotLeader { .. }
            | Refused::OutcomeUnknown
            | Refused::DiskFull
            | Refused::Invalid(_)
            | Refused::Transferring { .. }
            | Refused::Membership(_)
            | Refused::Transfer(_) => 7,
        },
    };
    let sums = u64::from(crc32c::crc32c(command)) << 32 | u64::from(result);
    let mut z = mix(hash ^ sums);
    z = mix(z ^ id.index.0);
    mix(z ^ id.term.0)
}

/// The finaliser of `SplitMix64`: every bit of the input reaches every bit of the output.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
