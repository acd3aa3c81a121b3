//! `chaos-ctl logs`: what the nodes say, one or all.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::which::{Offset, Which};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::Output;

/// Show what the nodes have logged
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The cluster's file, found as in the other commands
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    offset: Offset,
    /// A node, as 1 or n1, or `runner`; without it all nodes
    node: Option<String>,
    /// How many lines of each
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: usize,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
}

/// A log and how far it has been shown.
#[derive(Debug)]
struct Source {
    name: String,
    path: PathBuf,
    shown: u64,
}

impl Logs {
    pub(super) async fn run(self) -> Result<Code, Failure> {
        let mut sources = self.sources()?;
        let mut output = Output::stdout();
        let prefixed = 1 < sources.len();
        for source in &mut sources {
            let lines = source.fresh_lines().unwrap_or_default();
            for line in lines.iter().skip(lines.len().saturating_sub(self.lines)) {
                source.show(line, prefixed, &mut output);
            }
        }
        while self.follow && !output.is_broken() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            for source in &mut sources {
                for line in source.fresh_lines().unwrap_or_default() {
                    source.show(&line, prefixed, &mut output);
                }
            }
        }
        Ok(Code::Done)
    }

    fn sources(&self) -> Result<Vec<Source>, Failure> {
        let config = Which { config: self.config.clone(), offset: self.offset }.load()?;
        let source = |name: String, path| Source { name, path, shown: 0 };
        let wanted = self.node.as_deref();
        if wanted == Some("runner") {
            return Ok(vec![source("runner".to_owned(), Home::of(&config).runner_log())]);
        }
        let wanted = wanted.map(|name| name.trim_start_matches('n').to_owned());
        let nodes = config.nodes.iter().map(|node| node.id);
        let nodes = nodes.filter(|id| wanted.as_ref().is_none_or(|name| *name == id.0.to_string()));
        let logs = &config.runner.logs_dir;
        let path = |name: &str| logs.join(format!("{name}.log"));
        let sources: Vec<_> =
            nodes.map(|id| source(id.to_string(), path(&id.to_string()))).collect();
        match (sources.is_empty(), sources.iter().any(|source| source.path.exists())) {
            (true, _) => {
                let name = self.node.as_deref().unwrap_or_default();
                Err(Failure::usage(format!("cluster {} has no node {name}", config.name)))
            }
            (false, false) => {
                Err(Failure::usage(format!("there are no logs in {}", logs.display())))
            }
            (false, true) => Ok(sources),
        }
    }
}

impl Source {
    /// The lines that have come since the last call. A line that is still being written waits.
    fn fresh_lines(&mut self) -> io::Result<Vec<String>> {
        const BYTES_MAX: u64 = 4 << 20;
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        // A shorter file is another one: it was put aside and begun anew.
        let start = if end < self.shown { 0 } else { self.shown };
        let start = start.max(end.saturating_sub(BYTES_MAX));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(end - start).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        bytes.truncate(whole);
        self.shown = start + u64::try_from(whole).expect("a file's length fits");
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }

    fn show(&self, line: &str, prefixed: bool, output: &mut Output) {
        if prefixed {
            output.line(&format!("{} | {line}", self.name));
        } else {
            output.line(line);
        }
    }
}
