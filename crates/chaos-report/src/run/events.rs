//! `events.jsonl`: what the laboratory did and saw, in its own words.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Part;
use super::lines;
use super::results::words;
use super::span::Span;

/// Events that are shown, at most.
const EVENTS_MAX: usize = 300;

/// Characters of one that are shown, at most.
const WORDS_MAX: usize = 240;

/// What happened at a moment.
pub(crate) struct Event {
    /// After the begin.
    pub(crate) at_us: u64,
    pub(crate) kind: String,
    pub(crate) words: String,
}

/// The first of the events, and how many there are.
pub(crate) struct Events {
    pub(crate) shown: Vec<Event>,
    pub(crate) count: u64,
}

#[derive(Deserialize)]
struct Line {
    mono_ns: u64,
    kind: String,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// Said by every event, or of no use to a reader of the page.
const PLAIN: [&str; 4] = ["wall", "src", "pid", "config"];

pub(crate) fn read(path: &Path, span: Span) -> Part<Events> {
    let mut events = Events { shown: Vec::new(), count: 0 };
    lines::each(path, |line: Line| {
        events.count += 1;
        if events.shown.len() < EVENTS_MAX {
            events.shown.push(line.event(span));
        }
    })?;
    if events.count == 0 {
        return Err("events.jsonl has no line that can be read".to_owned());
    }
    Ok(events)
}

impl Line {
    fn event(self, span: Span) -> Event {
        let more = self.more.iter().filter(|(name, value)| {
            !PLAIN.contains(&name.as_str()) && !value.is_null() && value.as_str() != Some("")
        });
        let said = |(name, value): (&String, &Value)| match (name.as_str(), value) {
            ("node", Value::Number(node)) => format!("n{node}"),
            ("what" | "text" | "reason" | "evidence", Value::String(text)) => text.clone(),
            (name, Value::Number(us)) if name.ends_with("_us") => {
                let name = name.trim_end_matches("_us").replace('_', " ");
                format!("{name} {}", crate::text::micros(us.as_u64().unwrap_or_default()))
            }
            _ => format!("{} {}", name.replace('_', " "), words(value)),
        };
        let words = more.map(said).collect::<Vec<_>>().join(", ");
        let words = words.chars().take(WORDS_MAX).collect();
        Event { at_us: span.offset(self.mono_ns / 1_000), kind: self.kind, words }
    }
}
