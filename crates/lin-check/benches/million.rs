//! Judges a million operations: what `docs/verdict.md` states comes from here.
//!
//! ```text
//! cargo bench -p lin-check
//! ```
//!
//! 64 clients, 1000 keys, half of the operations reads, one in a hundred without an answer, of which every
//! other took effect. Each part runs alone in a process of its own, so that its peak of memory is its own:
//! the parent starts itself again with the name of the part.
#![expect(clippy::print_stdout, reason = "prints its figures")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lin_check::{
    Budget, Certificate, History, Input, Method, Operation, Outcome, Output, Process, Verdict,
    check, judge,
};

const OPERATIONS: u64 = 1_000_000;
const CLIENTS: u64 = 64;
const KEYS: u64 = 1_000;
const RUNS: usize = 5;

fn main() {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("--part"), Some(part)) => run(&part, Path::new(&args.next().expect("a folder"))),
        _ => parent(),
    }
}

/// Runs each part some times.
fn parent() {
    let dir = std::env::temp_dir().join(format!("lin-check-million-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder can be made");
    for part in ["write", "read", "judge", "tampered", "search"] {
        for _ in 0..RUNS {
            let this = std::env::current_exe().expect("this program has a path");
            let status = Command::new(this).args(["--part", part]).arg(&dir).status();
            assert!(status.expect("this program can be started").success(), "{part}");
        }
    }
    println!("history.jsonl: {} MB", size_mb(&history_file(&dir)));
    std::fs::remove_dir_all(&dir).expect("what was made can be removed");
}

fn run(part: &str, dir: &Path) {
    let path = history_file(dir);
    let took = match part {
        "write" => {
            let history = generate();
            timed(|| history.save(&path).expect("the folder can be written"))
        }
        "read" => timed(|| black_box(load(&path))),
        "judge" => {
            let history = load(&path);
            timed(|| {
                let judgement = judge(&history, Budget::default());
                assert_eq!(judgement.method, Method::Certificate, "{judgement}");
                let certificate: Certificate = judgement.certificate.expect("it passes");
                certificate.save(dir.join("certificate.json")).expect("the folder can be written");
            })
        }
        "tampered" => {
            let history = tampered(&load(&path));
            timed(|| {
                let judgement = judge(&history, Budget::default());
                assert!(matches!(judgement.verdict, Verdict::Violation(_)), "{judgement}");
            })
        }
        "search" => {
            let history = load(&path);
            timed(|| assert!(check(&history, Budget::default()).is_pass()))
        }
        other => panic!("no part is called {other}"),
    };
    println!("{part:>8}: {:5.2} s, peak {:4} MiB", took.as_secs_f64(), peak_mib());
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn history_file(dir: &Path) -> PathBuf {
    dir.join("history.jsonl")
}

fn load(path: &Path) -> History {
    History::load(path).expect("what was written can be read")
}

fn size_mb(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len() / 1_000_000)
}

/// The most memory this process ever had, file pages of its own not counted.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib / 1024)
}

/// Random numbers: `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % bound
    }
}

/// A run: each operation takes effect at its instant, one after the other, somewhere in its interval.
fn generate() -> History {
    let mut random = Random(1);
    let mut held: Vec<Option<String>> = vec![None; usize::try_from(KEYS).expect("it is small")];
    let mut processes: Vec<u64> = (0..CLIENTS).collect();
    let mut history = History::new();
    for number in 0..OPERATIONS {
        let key = random.below(KEYS);
        let client = usize::try_from(number % CLIENTS).expect("it is small");
        let unanswered = random.below(100) == 0;
        let state = &mut held[usize::try_from(key).expect("it is small")];
        let (input, output, after) = step(&mut random, number, state.as_deref());
        if !unanswered || random.below(2) == 0 {
            *state = after;
        }
        let instant_ns = (number + CLIENTS) * 10_000;
        let most_ns = CLIENTS * 10_000 / 2;
        let operation = Operation {
            process: Process(processes[client]),
            key: format!("bench/{key:04}"),
            input,
            called_ns: instant_ns - random.below(most_ns),
            returned_ns: Some(instant_ns + random.below(most_ns)),
            outcome: if unanswered { Outcome::Unknown } else { Outcome::Ok(output) },
            index: (!unanswered).then_some(number + 1),
            node: None,
            term: (!unanswered).then_some(1),
        };
        if unanswered {
            processes[client] += CLIENTS;
        }
        history.push(operation).expect("it makes sense");
    }
    history
}

fn step(random: &mut Random, number: u64, held: Option<&str>) -> (Input, Output, Option<String>) {
    let held = held.map(String::from);
    let fresh = format!("{}:{number}", number % CLIENTS);
    match random.below(10) {
        0..5 => (Input::Get, Output::Value(held.clone()), held),
        5..8 => (Input::put(fresh.as_str()), Output::Done, Some(fresh)),
        8 => (Input::Delete, Output::Deleted { existed: held.is_some() }, None),
        _ => {
            let value = Some(fresh);
            (Input::Cas { expected: held, value: value.clone() }, Output::Swapped, value)
        }
    }
}

/// The same run with one read in the middle that shows what an earlier one of its key showed.
fn tampered(history: &History) -> History {
    let operations = history.operations();
    let mut copy = History::new();
    let reads = |operation: &Operation| {
        operation.input == Input::Get && matches!(operation.outcome, Outcome::Ok(_))
    };
    let middle = operations.len() / 2;
    let late = (middle..operations.len())
        .find(|position| reads(&operations[*position]))
        .expect("there are reads");
    let early = operations[..middle - operations.len() / 100]
        .iter()
        .rfind(|operation| reads(operation) && operation.key == operations[late].key)
        .expect("it was read before");
    for (position, operation) in operations.iter().enumerate() {
        let mut operation = operation.clone();
        if position == late {
            operation.outcome = early.outcome.clone();
        }
        copy.push(operation).expect("it makes sense");
    }
    copy
}
