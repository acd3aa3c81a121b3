//! What the directory of a run holds, read with bounded memory.

pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod latency;
pub(crate) mod lines;
pub(crate) mod percentiles;
pub(crate) mod results;
pub(crate) mod span;
pub(crate) mod states;

use std::path::Path;

use events::Events;
use files::RawFile;
use history::{History, Window};
use percentiles::Percentiles;
use results::{Fault, Results};
use span::Span;
use states::States;

use crate::ReportError;

pub(crate) use results::SCHEMA;

/// Faults that are shown from near, at most: those with the longest gaps.
const CLOSE_UPS_MAX: usize = 24;

/// A part of the page, or why it is missing.
pub(crate) type Part<T> = Result<T, String>;

/// Everything that the page shows.
pub(crate) struct Run {
    pub(crate) results: Results,
    pub(crate) span: Span,
    pub(crate) history: Part<History>,
    pub(crate) states: Part<States>,
    pub(crate) percentiles: Part<Vec<Percentiles>>,
    pub(crate) events: Part<Events>,
    pub(crate) files: Vec<RawFile>,
    /// The faults of `results` by place that `history.windows` shows from near.
    pub(crate) close: Vec<usize>,
}

impl Run {
    pub(crate) fn read(dir: &Path) -> Result<Self, ReportError> {
        let results = Results::read(&dir.join("results.json"))?;
        let span = Span::of(&results);
        let close = worst(&results.faults);
        let windows = close.iter().map(|place| Window::around(&results.faults[*place], span));
        let windows: Vec<Window> = windows.collect();
        let zero_us = results.registers.as_ref().and_then(|clients| clients.started_mono_us);
        let history = match zero_us {
            Some(zero_us) => History::read(&dir.join("history.jsonl"), zero_us, span, windows),
            None => Err("results.json does not say when the clients began".to_owned()),
        };
        let states = States::read(&dir.join("states.jsonl"), span);
        let percentiles = percentiles::read(&dir.join("load").join("bench"));
        let events = events::read(&dir.join("events.jsonl"), span);
        let files = files::list(dir);
        Ok(Self { results, span, history, states, percentiles, events, files, close })
    }
}

/// Those that bit with the longest gaps, in their order in time.
fn worst(faults: &[Fault]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..faults.len()).filter(|place| faults[*place].bit()).collect();
    places.sort_by_key(|place| std::cmp::Reverse(faults[*place].gap_us));
    places.truncate(CLOSE_UPS_MAX);
    places.sort_unstable();
    places
}
