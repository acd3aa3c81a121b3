//! `shell`: commands line by line, over one client.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Editor, Helper};
use tokio::signal::unix::{SignalKind, signal};

use super::format;
use super::{Command, Context, Done, Failure, emit, finish};

/// Lines of the history that are kept.
const HISTORY_MAX: usize = 1000;

const INTERRUPTED: u8 = 130;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Lines are split as shells split them: quotes keep spaces, # begins a comment. \
    `exit` or Ctrl-D ends it; Ctrl-C ends a command that is under way. From a file or pipe, the exit \
    code is that of the last command."
)]
pub(crate) struct ShellCommand {
    /// Where the lines are kept [default: raft-client/history in `$XDG_STATE_HOME` or
    /// ~/.local/state].
    #[arg(long, value_name = "FILE", env = "RAFT_HISTORY", hide_env_values = true)]
    history: Option<PathBuf>,
}

/// A line of the shell.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

type LineEditor = Editor<Words, FileHistory>;

impl ShellCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let is_interactive = io::stdin().is_terminal();
        let history = if is_interactive { self.history.or_else(usual_history) } else { None };
        let mut editor = editor(history.as_deref())?;
        let mut code = 0;
        loop {
            let (back, line) = read(editor).await?;
            editor = back;
            match line {
                Ok(line) => match words(&line) {
                    Ok(words) if words.is_empty() => (),
                    Ok(words) if matches!(&*words[0], "exit" | "quit") => break,
                    Ok(words) => {
                        // A line that cannot be remembered is carried out all the same.
                        drop(editor.add_history_entry(&*line));
                        code = carry_out(&words, context).await?;
                    }
                    Err(why) => {
                        code = finish(Err(Failure::usage(why, None)), context.format);
                    }
                },
                Err(ReadlineError::Interrupted) => (),
                Err(ReadlineError::Eof) => break,
                Err(error) => {
                    return Err(Failure::internal(format!("could not read a line: {error}")));
                }
            }
        }
        if let Some(path) = history {
            keep(&mut editor, &path);
        }
        Ok(Done { code: if is_interactive { 0 } else { code }, ..Done::default() })
    }
}

fn editor(history: Option<&Path>) -> Result<LineEditor, Failure> {
    let failed = |error: ReadlineError| Failure::internal(format!("no line editor: {error}"));
    let config = Config::builder().max_history_size(HISTORY_MAX).map_err(failed)?;
    let mut editor = Editor::with_config(config.auto_add_history(false).build()).map_err(failed)?;
    editor.set_helper(Some(Words(names())));
    if let Some(path) = history {
        // There is none yet, or it cannot be read: one begins anew.
        drop(editor.load_history(path));
    }
    Ok(editor)
}

fn keep(editor: &mut LineEditor, path: &Path) {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let made = dir.map_or(Ok(()), std::fs::create_dir_all);
    let kept = made.map_err(ReadlineError::from).and_then(|()| editor.save_history(path));
    if let Err(error) = kept {
        super::complain(&format!("note: the history is not kept at {}: {error}", path.display()));
    }
}

/// Reads a line beside the runtime, which keeps the connections alive meanwhile.
async fn read(
    mut editor: LineEditor,
) -> Result<(LineEditor, Result<String, ReadlineError>), Failure> {
    let reading = tokio::task::spawn_blocking(move || {
        let line = editor.readline("raft> ");
        (editor, line)
    });
    reading.await.map_err(|error| Failure::internal(format!("the line editor ended: {error}")))
}

/// Does what a line says. Tells the exit code it would have had.
async fn carry_out(words: &[String], context: &Context) -> Result<u8, Failure> {
    let mut line = format::with_output(Line::command());
    let parsed = line.try_get_matches_from_mut(words).and_then(|matches| {
        let line = Line::from_arg_matches(&matches)?;
        Ok((line.command, format::chosen(&matches, context.format)))
    });
    let (command, chosen) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() => {
            return Ok(finish(Err(Failure::misuse(&error)), context.format));
        }
        Err(help) => {
            emit(help.to_string().as_bytes())?;
            return Ok(0);
        }
    };
    let format = match chosen {
        Ok(_) if matches!(command, Command::Shell(_)) => {
            let failure = Failure::usage("this is a shell already".to_owned(), None);
            return Ok(finish(Err(failure), context.format));
        }
        Ok(format) => format,
        Err(failure) => return Ok(finish(Err(failure), context.format)),
    };
    let context = Context {
        target: context.target.clone(),
        client: context.client.clone(),
        timeout: context.timeout,
        format,
        is_shell: true,
    };
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::internal(format!("no signals: {error}")))?;
    // A bench ends by itself when it is told to, with its report.
    let has_own_way = matches!(command, Command::Bench(_));
    let writes = command.writes();
    let running = Box::pin(command.run(&context));
    if has_own_way {
        return Ok(finish(running.await, format));
    }
    tokio::select! {
        outcome = running => Ok(finish(outcome, format)),
        _ = interrupts.recv() => {
            let doubt = if writes { ": it may or may not be done" } else { "" };
            let note = Some(format!("interrupted{doubt}"));
            Ok(finish(Ok(Done { note, code: INTERRUPTED, ..Done::default() }), format))
        }
    }
}

/// Where the history is kept unless somebody says otherwise.
fn usual_history() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let state = set("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?;
    Some(state.join("raft-client/history"))
}

/// The words of a line, as a shell would split it: quotes keep what is between them, a backslash the
/// next character, except between single quotes.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut symbols = line.chars();
    while let Some(symbol) = symbols.next() {
        match (quote, symbol) {
            (Some(open), _) if open == symbol => quote = None,
            (None, '\'' | '"') => {
                quote = Some(symbol);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = symbols.next().ok_or("nothing follows the backslash")?;
                word.get_or_insert_default().push(next);
            }
            (None, '#') if word.is_none() => break,
            (None, _) if symbol.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(symbol),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("the quote {open} is not closed")),
        None => Ok(words),
    }
}

/// The names of all commands.
fn names() -> Vec<String> {
    let mut names: Vec<String> =
        Line::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.extend(["help", "exit"].map(str::to_owned));
    names
}

/// Completes the first word of a line.
struct Words(Vec<String>);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = &line[..position];
        let fitting = self.0.iter().filter(|name| name.starts_with(begun));
        Ok((0, fitting.map(|name| format!("{name} ")).collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_by_a_shell() {
        let table: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("  # a comment", &[]),
            ("put k v # and more", &["put", "k", "v"]),
            ("put 'a b' \"c 'd'\"", &["put", "a b", "c 'd'"]),
            ("put k ''", &["put", "k", ""]),
            (r#"put a\ b "\"" '\'"#, &["put", "a b", "\"", "\\"]),
            ("put a#b 'x'y", &["put", "a#b", "xy"]),
        ];
        for (line, expected) in table {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        for line in ["put 'k", "put \"k", "put k\\"] {
            assert!(words(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_first_word_is_completed() {
        let history = FileHistory::new();
        let context = rustyline::Context::new(&history);
        let complete = |line: &str| Words(names()).complete(line, line.len(), &context).unwrap().1;
        assert_eq!(complete("get-l"), ["get-leader "]);
        assert!(complete("put k").is_empty());
    }
}
