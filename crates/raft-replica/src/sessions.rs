//! Client sessions: what makes a retried write apply once (dissertation §6.3). The table is part of
//! the replicated state: every replica holds the same one at the same index, and a snapshot carries
//! it, so that a retry is recognised after any change of leader.
//!
//! Nothing here looks at a clock: time is what the entries say, and never goes back.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{LogId, mutant};

use crate::bytes_io::{get_bytes, get_log_id, get_u64, put_bytes, put_log_id, put_u64};
use crate::request::{Refused, SessionHeader};

/// Sessions at most. Opening one more ends the one that was idle longest.
const SESSIONS_MAX: usize = 16_384;

/// Answers a session may leave unconfirmed. A client that needs more has lost count.
const ANSWERS_MAX: usize = 16_384;

/// How often expiry is looked at, in log time.
const SWEEP_MS: u64 = 1_000;

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    /// The latest time any entry told, in milliseconds.
    clock_ms: u64,
    /// When expiry was last looked at.
    swept_ms: u64,
    /// Shared with the clone that a snapshot is written from, until they change.
    open: BTreeMap<u64, Arc<Session>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Session {
    ttl_ms: u64,
    used_ms: u64,
    /// Answers to smaller sequence numbers are forgotten: the client has them.
    first_outstanding: u64,
    /// Where each write was applied, and its result.
    answers: BTreeMap<u64, (LogId, Bytes)>,
}

/// What is known of a write before it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has not been applied: do it, and [`Sessions::remember`] the result.
    New,
    /// It has been applied, there and with this result.
    Repeat(LogId, Bytes),
    /// It must not be applied.
    Refused(Refused),
}

impl Sessions {
    /// An entry says what time it is. A clock that goes back, as another leader's may, is ignored.
    pub(crate) fn advance(&mut self, clock_ms: u64) {
        self.clock_ms = self.clock_ms.max(clock_ms);
        if self.swept_ms.saturating_add(SWEEP_MS) <= self.clock_ms {
            self.swept_ms = self.clock_ms;
            let now = self.clock_ms;
            self.open.retain(|_, session| now <= session.used_ms.saturating_add(session.ttl_ms));
        }
    }

    /// Its own clock is ahead of the log's.
    pub(crate) fn hurry(&mut self, ahead_ms: u64) {
        self.advance(self.clock_ms.saturating_add(ahead_ms));
    }

    /// What was answered is not known any more. Only a mutant does that.
    pub(crate) fn forget_answers(&mut self) {
        for session in self.open.values_mut() {
            Arc::make_mut(session).answers.clear();
        }
    }

    /// Opens a session named after the entry that asks for it.
    pub(crate) fn open(&mut self, id: u64, ttl_ms: u64) {
        if SESSIONS_MAX <= self.open.len() {
            let idle = self.open.iter().min_by_key(|(_, session)| session.used_ms);
            if let Some(id) = idle.map(|(&id, _)| id) {
                self.open.remove(&id);
            }
        }
        let session = Session { ttl_ms, used_ms: self.clock_ms, ..Session::default() };
        self.open.insert(id, Arc::new(session));
    }

    /// Looks a write up, and takes note of what the client has got by now.
    pub(crate) fn look_up(&mut self, header: &SessionHeader) -> Verdict {
        // A session that ended is an error, never silently a new one: the write may have been
        // applied under the old one.
        let Some(session) = self.open.get_mut(&header.id) else {
            return Verdict::Refused(Refused::SessionUnknown);
        };
        let session = Arc::make_mut(session);
        session.used_ms = self.clock_ms;
        if session.first_outstanding < header.first_outstanding {
            session.first_outstanding = header.first_outstanding;
            session.answers = session.answers.split_off(&header.first_outstanding);
        }
        if header.sequence < session.first_outstanding
            && !mutant!("a number whose answer is forgotten is new")
        {
            return Verdict::Refused(Refused::SessionStale);
        }
        if let Some((id, result)) = session.answers.get(&header.sequence) {
            let other = Bytes::from_static(&[0, 0]);
            let result = mutant!("a repeat gets another answer", other, result.clone());
            return Verdict::Repeat(*id, result);
        }
        if ANSWERS_MAX <= session.answers.len() {
            return Verdict::Refused(Refused::Overloaded);
        }
        Verdict::New
    }

    /// Keeps a result until the client says that it has it.
    pub(crate) fn remember(&mut self, header: &SessionHeader, id: LogId, result: Bytes) {
        if let Some(session) = self.open.get_mut(&header.id) {
            Arc::make_mut(session).answers.insert(header.sequence, (id, result));
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.open.len() as u64
    }

    pub(crate) fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        put_u64(sink, self.clock_ms)?;
        put_u64(sink, self.swept_ms)?;
        put_u64(sink, self.len())?;
        for (&id, session) in &self.open {
            put_u64(sink, id)?;
            put_u64(sink, session.ttl_ms)?;
            put_u64(sink, session.used_ms)?;
            put_u64(sink, session.first_outstanding)?;
            put_u64(sink, session.answers.len() as u64)?;
            for (&sequence, (at, result)) in &session.answers {
                put_u64(sink, sequence)?;
                put_log_id(sink, *at)?;
                put_bytes(sink, result)?;
            }
        }
        Ok(())
    }

    pub(crate) fn read_from(source: &mut dyn Read) -> io::Result<Self> {
        let clock_ms = get_u64(source)?;
        let swept_ms = get_u64(source)?;
        let mut open = BTreeMap::new();
        for _ in 0..get_u64(source)? {
            let id = get_u64(source)?;
            let mut session = Session {
                ttl_ms: get_u64(source)?,
                used_ms: get_u64(source)?,
                first_outstanding: get_u64(source)?,
                answers: BTreeMap::new(),
            };
            for _ in 0..get_u64(source)? {
                let sequence = get_u64(source)?;
                let at = get_log_id(source)?;
                session.answers.insert(sequence, (at, get_bytes(source)?));
            }
            open.insert(id, Arc::new(session));
        }
        Ok(Self { clock_ms, swept_ms, open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Index, Term};

    fn at(index: u64) -> LogId {
        LogId::new(Term(1), Index(index))
    }

    fn header(sequence: u64, first_outstanding: u64) -> SessionHeader {
        SessionHeader { id: 7, sequence, first_outstanding }
    }

    fn opened() -> Sessions {
        let mut sessions = Sessions::default();
        sessions.advance(1_000);
        sessions.open(7, 5_000);
        sessions
    }

    #[test]
    fn a_repeat_gets_the_first_answer() {
        let mut sessions = opened();
        assert_eq!(sessions.look_up(&header(1, 1)), Verdict::New);
        sessions.remember(&header(1, 1), at(8), Bytes::from_static(b"one"));
        let repeat = Verdict::Repeat(at(8), Bytes::from_static(b"one"));
        assert_eq!(sessions.look_up(&header(1, 1)), repeat);
        assert_eq!(sessions.look_up(&header(2, 1)), Verdict::New);
    }

    /// An answer is kept exactly as long as the client may ask for it again, however its requests
    /// overtake each other.
    #[test]
    fn answers_are_kept_until_the_client_has_them() {
        let mut sessions = opened();
        for sequence in [3, 1, 2] {
            assert_eq!(sessions.look_up(&header(sequence, 1)), Verdict::New);
            sessions.remember(&header(sequence, 1), at(10 + sequence), Bytes::new());
        }
        assert_eq!(sessions.look_up(&header(4, 3)), Verdict::New);
        assert_eq!(sessions.look_up(&header(2, 1)), Verdict::Refused(Refused::SessionStale));
        assert_eq!(sessions.look_up(&header(3, 3)), Verdict::Repeat(at(13), Bytes::new()));
    }

    #[test]
    fn an_expired_session_is_an_error_not_a_new_one() {
        let mut sessions = opened();
        sessions.advance(6_000);
        assert_eq!(sessions.look_up(&header(1, 1)), Verdict::New);
        sessions.advance(12_001);
        assert_eq!(sessions.look_up(&header(2, 1)), Verdict::Refused(Refused::SessionUnknown));
    }

    #[test]
    fn log_time_never_goes_back() {
        let mut sessions = opened();
        sessions.advance(4_000);
        sessions.advance(500);
        assert_eq!(sessions.clock_ms, 4_000);
    }

    #[test]
    fn the_table_survives_a_snapshot() {
        let mut sessions = opened();
        sessions.remember(&header(1, 1), at(8), Bytes::from_static(b"one"));
        sessions.remember(&header(2, 1), at(9), Bytes::new());
        let mut out = Vec::new();
        sessions.write_to(&mut out).unwrap();
        assert_eq!(Sessions::read_from(&mut out.as_slice()).unwrap(), sessions);
        for end in 0..out.len() {
            assert!(Sessions::read_from(&mut &out[..end]).is_err(), "cut at {end}");
        }
    }
}
