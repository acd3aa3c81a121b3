//! raft-rs, in its own process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::work::Cell;

/// How a batch goes in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// One command after the other, by `RawNode::propose`.
    Propose,
    /// In one message made by hand.
    Step,
}

/// The program in `benches/raft-rs`. It works only while it is asked to, and ends with its input.
pub(crate) struct Peer {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Builds the program, as its users would: optimised, with cargo's defaults.
    pub(crate) fn start() -> Result<Self, String> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/raft-rs/Cargo.toml");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("raft-rs");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
            .arg(&manifest)
            .arg("--target-dir")
            .arg(&target)
            .status()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        if !built.success() {
            return Err(format!(
                "cannot build {}: {built}\nhint: `cargo bench -p raft-core -- ours 64 10 300000` \
                 measures this crate alone",
                manifest.display(),
            ));
        }
        let program = target.join("release/raft-rs-cost");
        let mut process = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let questions = process.stdin.take();
        Ok(Self { process, questions, answers })
    }

    /// Lets it do the work of a cell. Answers nanoseconds per command.
    pub(crate) fn run(&mut self, way: Way, cell: Cell) -> Result<f64, String> {
        let failed = |error: String| format!("raft-rs gave up on {cell:?}: {error}");
        let Cell { payload, batch, entries } = cell;
        let questions = self.questions.as_mut().expect("open until the end");
        let way = match way {
            Way::Propose => "propose",
            Way::Step => "step",
        };
        writeln!(questions, "{way} {payload} {batch} {entries}")
            .map_err(|error| failed(error.to_string()))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(|error| failed(error.to_string()))?;
        answer.trim().parse().map_err(|error| failed(format!("{answer:?}: {error}")))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.questions.take());
        self.process.wait().expect("it is our child, and nobody else waits for it");
    }
}
