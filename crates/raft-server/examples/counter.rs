//! A state machine of one's own: a replicated counter, with queries of its own.
//!
//! ```text
//! cargo run --example counter -- --id 1 --config cluster.yaml
//! ```
//!
//! Commands are texts: `add 5`, `add -2`. The result is the new value. Queries are `value` and `largest`.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use bytes::Bytes;
use raft_server::{Image, Invalid, StateMachine};

/// The state, and its own frozen copy.
#[derive(Clone, Debug, Default)]
struct Counter {
    value: i64,
    largest: i64,
}

impl StateMachine for Counter {
    type Image = Self;

    fn apply(&mut self, command: &Bytes) -> Bytes {
        // By now it is in the log of every node: what makes no sense must make none everywhere.
        let Ok(amount) = parse(command) else { return Bytes::from_static(b"not a command") };
        self.value = self.value.saturating_add(amount);
        self.largest = self.largest.max(self.value);
        self.value.to_string().into()
    }

    fn validate(&self, command: &[u8]) -> Result<(), Invalid> {
        parse(command).map(drop)
    }

    fn query(&self, query: &[u8]) -> Result<Bytes, Invalid> {
        match query {
            b"value" => Ok(self.value.to_string().into()),
            b"largest" => Ok(self.largest.to_string().into()),
            _ => Err(Invalid::new("a query is `value` or `largest`")),
        }
    }

    fn image(&self) -> Self {
        self.clone()
    }

    fn restore(source: &mut dyn Read) -> io::Result<Self> {
        let (mut value, mut largest) = ([0; 8], [0; 8]);
        source.read_exact(&mut value)?;
        source.read_exact(&mut largest)?;
        Ok(Self { value: i64::from_le_bytes(value), largest: i64::from_le_bytes(largest) })
    }

    fn len(&self) -> u64 {
        1
    }
}

impl Image for Counter {
    fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        sink.write_all(&self.value.to_le_bytes())?;
        sink.write_all(&self.largest.to_le_bytes())
    }
}

fn parse(command: &[u8]) -> Result<i64, Invalid> {
    let text = std::str::from_utf8(command).ok().and_then(|text| text.strip_prefix("add "));
    let amount = text.and_then(|text| text.parse().ok());
    amount.ok_or_else(|| Invalid::new("a command is `add`, a blank and a number"))
}

fn main() -> ExitCode {
    raft_server::main::<Counter>()
}
