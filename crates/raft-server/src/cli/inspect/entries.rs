//! The log of a data directory, for programs: one object per line.

use std::fmt::Write as _;

use raft_core::Entry;
use raft_kv::Command;
use raft_replica::{EntryContent, EntrySurvey};
use serde_json::{Map, Value, json};

use super::{Report, json};
use crate::machine::Services;

/// Keys and values up to this length are shown; of longer ones, how long they are.
const SHOWN_MAX: usize = 256;

pub(super) fn show(report: &Report, services: Services) -> String {
    let mut out = format!("{}\n", head(report));
    for entry in &report.survey.log.entries {
        out.push_str(&line(entry, services).to_string());
        out.push('\n');
    }
    out
}

/// Whose log it is, what it begins with, and how far it goes.
fn head(report: &Report) -> Value {
    let Report { data_dir, user, survey } = report;
    let log = &survey.log;
    let named = survey.snapshots.iter().find(|snapshot| snapshot.named == Some(true));
    let snapshot = log.snapshot.as_ref().map(|meta| {
        let hash = named.and_then(|snapshot| snapshot.state_hash);
        json!({"last": json::id(meta.last), "state_hash": hash.map(|hash| format!("{hash:016x}"))})
    });
    json!({
        "schema": "raft-log/1",
        "data_dir": data_dir,
        "in_use": user.is_some(),
        "node": survey.identity.as_ref().map(|identity| identity.node.0),
        "cluster": survey.identity.as_ref().map(|identity| identity.cluster.to_string()),
        "incarnation": survey.identity.as_ref().map(|identity| identity.incarnation.to_string()),
        "hard_state": json::hard_state(survey),
        "snapshot": snapshot,
        "base": json::id(log.base),
        "last": json::id(log.last()),
        "entries": log.entries.len(),
        "whole": survey.problems.is_empty() && survey.flaws.is_empty(),
        "broken": log.broken,
        "torn": log.cut.as_ref().is_some_and(|cut| cut.torn),
        "problems": survey.problems.iter().map(json::problem).collect::<Vec<_>>(),
    })
}

fn line(entry: &Entry, services: Services) -> Value {
    let EntrySurvey { id, hash, clock_ms, content } = EntrySurvey::of(entry);
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("index", id.index.0.into());
    put("term", id.term.0.into());
    put("hash", format!("{hash:016x}").into());
    if let Some(clock_ms) = clock_ms {
        put("clock_ms", clock_ms.into());
    }
    match content {
        EntryContent::Noop => drop(put("kind", "noop".into())),
        EntryContent::Unknown => drop(put("kind", "unknown".into())),
        EntryContent::Config(membership) => {
            put("kind", "config".into());
            put("members", json::members(&membership));
        }
        EntryContent::OpenSession { ttl_ms } => {
            put("kind", "open_session".into());
            put("session", id.index.0.into());
            put("ttl_ms", ttl_ms.into());
        }
        EntryContent::Check { index, hash, by } => {
            put("kind", "check".into());
            put("applied", index.0.into());
            put("state_hash", format!("{hash:016x}").into());
            put("by", by.0.into());
        }
        EntryContent::Command { session, command } => {
            put("kind", "command".into());
            if let Some(session) = session {
                put("session", session.id.into());
                put("sequence", session.sequence.into());
                put("first_outstanding", session.first_outstanding.into());
            }
            let decoded = Command::decode(&command).ok().filter(|_| services == Services::WithKv);
            match decoded {
                Some(command) => put_command(&mut fields, &command),
                None => put_bytes(&mut fields, "data", Some(&command)),
            }
        }
    }
    fields.into()
}

fn put_command(fields: &mut Map<String, Value>, command: &Command) {
    let op = match command {
        Command::Put { .. } => "put",
        Command::Delete { .. } => "delete",
        Command::Cas { .. } => "cas",
        Command::Append { .. } => "append",
        Command::Propose { .. } => "propose",
    };
    fields.insert("op".to_owned(), op.into());
    match command {
        Command::Put { key, value } => {
            put_bytes(fields, "key", Some(key));
            put_bytes(fields, "value", Some(value));
        }
        Command::Delete { key } => put_bytes(fields, "key", Some(key)),
        Command::Cas { key, expected, value } => {
            put_bytes(fields, "key", Some(key));
            put_bytes(fields, "expected", expected.as_deref());
            put_bytes(fields, "value", value.as_deref());
        }
        Command::Append { key, data } => {
            put_bytes(fields, "key", Some(key));
            put_bytes(fields, "data", Some(data));
        }
        Command::Propose { data } => put_bytes(fields, "data", Some(data)),
    }
}

/// As text where it is text, else as hexadecimal digits; and its length, if it is too long to be shown.
fn put_bytes(fields: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    let (name, value) = match bytes {
        None => (name.to_owned(), Value::Null),
        Some(bytes) if SHOWN_MAX < bytes.len() => (format!("{name}_bytes"), bytes.len().into()),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => (name.to_owned(), text.into()),
            Err(_) => (format!("{name}_hex"), hex(bytes).into()),
        },
    };
    fields.insert(name, value);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes whatever is written to it");
        out
    })
}
