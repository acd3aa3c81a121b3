//! `completions` and `man`: what the program says of itself to other programs.

use std::path::PathBuf;

use clap_complete::Shell;

use super::{Done, Failure, program};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raft-client completions bash > /etc/bash_completion.d/raft-client
  raft-client completions fish > ~/.config/fish/completions/raft-client.fish")]
pub(crate) struct Completions {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    #[expect(clippy::unnecessary_wraps, reason = "it ends as all commands do")]
    pub(crate) fn run(&self) -> Result<Done, Failure> {
        let mut data = Vec::new();
        clap_complete::generate(self.shell, &mut program(), "raft-client", &mut data);
        Ok(Done::with(data))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManPages {
    /// Write a page for every command into this directory, which is made if it is not there,
    /// instead of the main one to standard output.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManPages {
    pub(crate) fn run(&self) -> Result<Done, Failure> {
        let Some(dir) = &self.dir else {
            let mut data = Vec::new();
            let page = clap_mangen::Man::new(program()).render(&mut data);
            page.map_err(|error| Failure::internal(format!("could not make the page: {error}")))?;
            return Ok(Done::with(data));
        };
        let written = std::fs::create_dir_all(dir);
        written.and_then(|()| clap_mangen::generate_to(program(), dir)).map_err(|error| {
            let message = format!("could not write the pages to {}: {error}", dir.display());
            Failure::usage(message, Some("name a directory in which you may write"))
        })?;
        Ok(Done::default())
    }
}
