//! `--trace`: the way of an operation, a line for each step.

use std::time::Duration;

use raft_client::{Outcome, Step, Tracer};
use serde_json::json;
use tokio::time::Instant;

use super::complain;
use super::format::Format;

/// Tells every step on standard error.
pub(crate) fn tracer(format: Format) -> Tracer {
    let began = Instant::now();
    Tracer::new(move |step| {
        let at = began.elapsed();
        complain(&match format {
            Format::Json => json(step, at),
            Format::Text | Format::Table | Format::Raw => text(step, at),
        });
    })
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn text(step: &Step<'_>, at: Duration) -> String {
    let said = match step {
        Step::Asked { addr, what, took, outcome } => {
            let came = match outcome {
                Outcome::Answered(words) => words.clone(),
                Outcome::Failed(fault) => fault.to_string(),
                Outcome::GivenUp => "not waited for".to_owned(),
            };
            format!("{addr:<21}  {what}: {came} ({})", millis(*took))
        }
        Step::Pause(time) => format!("{:<21}  pause of {}", "", millis(*time)),
        Step::Follow { node, addr } => format!("{:<21}  on to n{node} at {addr}", ""),
    };
    format!("trace {:>10}  {said}", millis(at))
}

fn json(step: &Step<'_>, at: Duration) -> String {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let step = match step {
        Step::Asked { addr, what, took, outcome } => {
            let (answer, error) = match outcome {
                Outcome::Answered(words) => (Some(words.clone()), None),
                Outcome::Failed(fault) => (None, Some((fault.kind.name(), fault.to_string()))),
                Outcome::GivenUp => (None, Some(("given_up", "not waited for".to_owned()))),
            };
            let error = error.map(|(kind, message)| json!({ "kind": kind, "message": message }));
            json!({
                "asked": addr, "what": what, "took_us": micros(*took), "answer": answer, "error": error,
            })
        }
        Step::Pause(time) => json!({ "pause_us": micros(*time) }),
        Step::Follow { node, addr } => json!({ "follows": node, "addr": addr }),
    };
    let mut line = json!({ "level": "trace", "at_us": micros(at) });
    if let (Some(line), serde_json::Value::Object(step)) = (line.as_object_mut(), step) {
        line.extend(step);
    }
    line.to_string()
}
