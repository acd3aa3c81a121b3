//! The shipped key-value store, with typed methods.

use bytes::Bytes;
use raft_kv::{Answer, Command, Query, Reply};

use crate::{
    Applied, Client, ClientError, Consistency, Failed, FailedKind, Fault, FaultKind, Found,
    Reasons, Unknown,
};

/// What came of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CasOutcome {
    /// The value was the expected one and is changed.
    Swapped,
    /// It was another, this one; nothing was changed.
    Mismatch(Option<Bytes>),
}

/// Keys with their values, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The keys and values.
    pub pairs: Vec<(Bytes, Bytes)>,
    /// Whether a bound cut the page short: go on after its last key.
    pub more: bool,
}

impl Client {
    /// Sets a key. Tells whether it had a value before.
    pub async fn put(&self, key: Bytes, value: Bytes) -> Result<Found<bool>, ClientError> {
        let command = Command::Put { key, value };
        self.carry_out(command, |reply| match reply {
            Reply::Put { replaced } => Some(replaced),
            _ => None,
        })
        .await
    }

    /// Removes a key. Tells whether it was there.
    pub async fn delete(&self, key: Bytes) -> Result<Found<bool>, ClientError> {
        self.carry_out(Command::Delete { key }, |reply| match reply {
            Reply::Deleted { existed } => Some(existed),
            _ => None,
        })
        .await
    }

    /// Sets or removes a key if its value is the expected one; `None` stands for no value.
    pub async fn cas(
        &self,
        key: Bytes,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<Found<CasOutcome>, ClientError> {
        self.carry_out(Command::Cas { key, expected, value }, |reply| match reply {
            Reply::Cas { swapped: true, .. } => Some(CasOutcome::Swapped),
            Reply::Cas { swapped: false, actual } => Some(CasOutcome::Mismatch(actual)),
            _ => None,
        })
        .await
    }

    /// Adds to the end of a key's value. Tells how long it is now.
    pub async fn append(&self, key: Bytes, data: Bytes) -> Result<Found<u64>, ClientError> {
        self.carry_out(Command::Append { key, data }, |reply| match reply {
            Reply::Appended { len } => Some(len),
            _ => None,
        })
        .await
    }

    /// Puts opaque data into the log. Tells how many such proposals there have been.
    pub async fn propose_data(&self, data: Bytes) -> Result<Found<u64>, ClientError> {
        self.carry_out(Command::Propose { data }, |reply| match reply {
            Reply::Proposed { count } => Some(count),
            _ => None,
        })
        .await
    }

    /// Reads a key.
    pub async fn get(
        &self,
        key: Bytes,
        consistency: Consistency,
    ) -> Result<Found<Option<Bytes>>, ClientError> {
        // What cannot be a key for a write cannot be one for a read.
        raft_kv::validate(&Command::Delete { key: key.clone() }.encode())
            .map_err(ClientError::out_of_bounds)?;
        self.look_up(Query::Get { key }, consistency, |answer| match answer {
            Answer::Value(value) => Some(value),
            Answer::Pairs { .. } => None,
        })
        .await
    }

    /// Reads the keys from `start` up to but without `end`; an empty `end` is the end of the store.
    /// A limit of 0 means as many as the store gives at once.
    pub async fn range(
        &self,
        start: Bytes,
        end: Bytes,
        limit: u32,
        consistency: Consistency,
    ) -> Result<Found<Page>, ClientError> {
        let query = Query::Range { start, end, limit };
        self.look_up(query, consistency, |answer| match answer {
            Answer::Pairs { pairs, more } => Some(Page { pairs, more }),
            Answer::Value(_) => None,
        })
        .await
    }

    async fn carry_out<T>(
        &self,
        command: Command,
        expect: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<Found<T>, ClientError> {
        let command = command.encode();
        raft_kv::validate(&command).map_err(ClientError::out_of_bounds)?;
        let Applied { result, receipt } = self.propose(command).await?;
        let reply = Reply::decode(&result).map_err(|error| done_somehow(&error))?;
        if let Reply::Invalid(reason) = reply {
            return Err(refused(FailedKind::Invalid, FaultKind::Invalid, reason));
        }
        let value = expect(reply).ok_or_else(|| done_somehow(&"an answer of another kind"))?;
        Ok(Found { value, receipt })
    }

    async fn look_up<T>(
        &self,
        query: Query,
        consistency: Consistency,
        expect: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<Found<T>, ClientError> {
        let Found { value, receipt } = self.query(query.encode(), consistency).await?;
        let answer = Answer::decode(&value).map_err(|error| incomprehensible(&error))?;
        let value = expect(answer).ok_or_else(|| incomprehensible(&"an answer of another kind"))?;
        Ok(Found { value, receipt })
    }
}

/// The answer cannot be read: this is not the store we know.
fn incomprehensible(why: &dyn std::fmt::Display) -> ClientError {
    refused(FailedKind::Rejected, FaultKind::Rejected, format!("the answer makes no sense: {why}"))
}

/// The command was applied by something, but its result cannot be read.
fn done_somehow(why: &dyn std::fmt::Display) -> ClientError {
    let mut reasons = Reasons::default();
    let detail = format!("the result makes no sense: {why}");
    reasons.add(&"the store".into(), Fault::new(FaultKind::OutcomeUnknown, detail));
    let after = std::time::Duration::ZERO;
    ClientError::Unknown(Unknown { after, session_lost: false, reasons })
}

fn refused(kind: FailedKind, fault: FaultKind, detail: String) -> ClientError {
    let mut reasons = Reasons::default();
    reasons.add(&"the store".into(), Fault::new(fault, detail));
    ClientError::Failed(Failed { kind, after: std::time::Duration::ZERO, reasons })
}
