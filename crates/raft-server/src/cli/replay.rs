//! `raft-server replay`: what a recording tells.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use raft_core::record::{Moment, Player, ReplayError, Summary};
use raft_core::{Effects, Instant, Node};

use super::Failure;

/// Replay what was recorded with --record, and compare it with what happened.
///
/// The node is made anew from what its disk held, and stepped through its inputs. It must want the
/// same done, byte for byte, and come to the same state. Nothing is sent, and no file but the recording is touched.
///
/// Exit code: 0 the same all the way, 1 it differs or cannot be replayed, 2 there is no such file.
#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// The recording
    file: PathBuf,

    /// Print each input, what the node made of it, and how it was then
    #[arg(long)]
    trace: bool,
}

/// Read at a time.
const PIECE: usize = 1 << 20;

impl Replay {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let unreadable = |error: io::Error| Failure {
            error: format!("cannot read {}: {error}", self.file.display()),
            hint: None,
        };
        let mut file = File::open(&self.file).map_err(unreadable)?;
        let mut trace = Trace::new(self.trace);
        let mut player = Player::new();
        let mut piece = vec![0; PIECE];
        let replayed = loop {
            let len = file.read(&mut piece).map_err(unreadable)?;
            let Some(read) = piece.get(..len).filter(|read| !read.is_empty()) else {
                break player.finish();
            };
            if let Err(error) = player.feed(read, &mut |moment| trace.see(&moment)) {
                break Err(error);
            }
        };
        trace.flush();
        let mut out = io::stdout();
        // With stdout gone there is nobody left to tell; the exit code tells it as well.
        let (code, told) = match replayed {
            Ok(summary) => (ExitCode::SUCCESS, tell(&mut out, &summary)),
            Err(error) => {
                tell_error(&self.file, &error);
                return Ok(ExitCode::FAILURE);
            }
        };
        drop(told);
        Ok(code)
    }
}

fn tell(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let Summary { steps, turns, ended, torn_bytes, version, node } = summary;
    writeln!(out, "{steps} steps and {turns} turns replayed, state and effects identical")?;
    if *ended {
        writeln!(out, "the recording is whole: the node ended as asked")?;
    } else {
        writeln!(
            out,
            "the recording was not ended, as after a crash or while the node runs \
             ({torn_bytes} bytes of an unfinished frame left out)"
        )?;
    }
    if version != env!("CARGO_PKG_VERSION") {
        writeln!(out, "it was recorded by version {version}")?;
    }
    writeln!(out, "{}", outline(node))
}

fn tell_error(file: &Path, error: &ReplayError) {
    super::say("error", format_args!("{}: {error}", file.display()));
    let hint = if let ReplayError::Different { .. } = error {
        "either the recording was changed, or this is not the code that made it, or the code depends on \
         more than its inputs"
    } else {
        "it must be a file that `raft-server --record` wrote, unchanged since"
    };
    super::say("hint", hint);
}

/// Prints what a replay comes past.
struct Trace {
    out: Option<BufWriter<io::Stdout>>,
    /// How the node was last said to be.
    outline: String,
    start: Instant,
}

impl Trace {
    fn new(wanted: bool) -> Self {
        let out = wanted.then(|| BufWriter::new(io::stdout()));
        Self { out, outline: String::new(), start: Instant::default() }
    }

    /// Prints a moment. Before a step that could panic, everything is really out.
    fn see(&mut self, moment: &Moment<'_>) {
        let Some(out) = &mut self.out else { return };
        if print(out, (&mut self.outline, &mut self.start), moment).is_err() {
            self.out = None; // Nobody reads it any more.
        }
    }

    fn flush(&mut self) {
        if let Some(out) = &mut self.out
            && out.flush().is_err()
        {
            self.out = None;
        }
    }
}

fn print(
    out: &mut impl Write,
    (known, start): (&mut String, &mut Instant),
    moment: &Moment<'_>,
) -> io::Result<()> {
    match moment {
        Moment::Start { node, version, now } => {
            *start = *now;
            *known = outline(node);
            writeln!(out, "recorded by version {version}: {known}")
        }
        Moment::Step { number, now, input, .. } => {
            let seconds = now.since(*start).as_secs_f64();
            writeln!(out, "{number:>7} {seconds:>12.6}s  {input}")?;
            out.flush()
        }
        Moment::Turn { node, effects } => {
            print_effects(out, effects)?;
            let outline = outline(node);
            if *known != outline {
                writeln!(out, "        = {outline}")?;
                *known = outline;
            }
            Ok(())
        }
    }
}

fn print_effects(out: &mut impl Write, effects: &Effects) -> io::Result<()> {
    let Effects { send, persist, apply, reads, done, refused, snapshots, events } = effects;
    for event in events {
        writeln!(out, "        ! {event}")?;
    }
    for message in send {
        writeln!(out, "        > {message}")?;
    }
    if let Some(persist) = persist {
        writeln!(out, "        > persist {persist}")?;
        for message in &persist.then_send {
            writeln!(out, "        >   then {message}")?;
        }
    }
    for apply in apply {
        writeln!(out, "        > {apply}")?;
    }
    for read in reads {
        writeln!(out, "        > serve read #{} at {}", read.token.0, read.index)?;
    }
    for token in done {
        writeln!(out, "        > #{} is done", token.0)?;
    }
    for (token, refusal) in refused {
        writeln!(out, "        > refuse #{}: {refusal}", token.0)?;
    }
    for command in snapshots {
        writeln!(out, "        > {command}")?;
    }
    Ok(())
}

/// How a node is, in a line.
fn outline(node: &Node) -> String {
    let leader = node.leader().map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    format!(
        "{} is {:?} in term {}, led by {leader}, log {}..{}, durable {}, committed {}, members {}",
        node.id(),
        node.role(),
        node.term(),
        node.first_index(),
        node.last(),
        node.durable_index(),
        node.commit_index(),
        node.membership()
    )
}
