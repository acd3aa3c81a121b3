//! The forms in which commands answer, and who answers in which.

use bytes::Bytes;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Arg, ArgMatches, Command, ValueEnum};
use serde_json::{Map, Value, json};

use super::Failure;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// Columns with a header.
    Table,
    /// One object, or one on each line where there is no end; times in whole microseconds.
    Json,
    /// The content alone.
    Raw,
}

/// Whoever is not named here has forms of its own, or none.
const FORMS: &[(&str, &[Format])] = &[
    ("get-leader", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
    ("get-config", &[Format::Text, Format::Table, Format::Json]),
    ("set-config", &[Format::Text, Format::Json]),
    ("transfer-leader", &[Format::Text, Format::Json]),
    ("propose", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
    ("put", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
    ("get", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
    ("del", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
    ("cas", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
    ("range", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
    ("status", &[Format::Text, Format::Table, Format::Json]),
    ("health", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
    ("hash", &[Format::Text, Format::Table, Format::Json]),
    ("bench", &[Format::Text, Format::Json]),
    ("bench compare", &[Format::Text, Format::Json]),
    ("member list", &[Format::Text, Format::Table, Format::Json]),
    ("member add", &[Format::Text, Format::Json]),
    ("member remove", &[Format::Text, Format::Json]),
    ("member promote", &[Format::Text, Format::Json]),
    ("member demote", &[Format::Text, Format::Json]),
    ("config get", &[Format::Text, Format::Table, Format::Json]),
    ("config set", &[Format::Text, Format::Json]),
    ("shell", &[Format::Text, Format::Table, Format::Json, Format::Raw]),
];

const ID: &str = "output";

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Table => "table",
            Self::Json => "json",
            Self::Raw => "raw",
        }
    }
}

/// What was said about the form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// On the command line.
    Said(Format),
    /// In the environment: as far as the command has it.
    Preferred(Format),
    Nothing,
}

fn forms(path: &str) -> Option<&'static [Format]> {
    FORMS.iter().find(|(name, _)| *name == path).map(|(_, forms)| *forms)
}

/// The command with `--output` for those who answer in several forms. It is no global argument: each
/// has forms of its own.
pub(crate) fn with_output(command: Command) -> Command {
    with_output_at(command, "")
}

fn with_output_at(command: Command, path: &str) -> Command {
    let command = match forms(path) {
        // Its -w is another option.
        Some(forms) if path == "bench" => command.arg(output(forms)),
        Some(forms) => command.arg(output(forms).short_alias('w')),
        None => command,
    };
    command.mut_subcommands(|sub| {
        let below = format!("{path} {}", sub.get_name()).trim_start().to_owned();
        with_output_at(sub, &below)
    })
}

fn output(forms: &'static [Format]) -> Arg {
    let values = forms.iter().map(|form| form.to_possible_value().expect("none is hidden"));
    let parser = PossibleValuesParser::new(values.collect::<Vec<_>>());
    Arg::new(ID)
        .short('o')
        .long("output")
        .alias("write-out")
        .value_name("FORM")
        .help("How to answer [default: text]")
        .value_parser(parser.map(|name| {
            let known = Format::from_str(&name, false);
            known.expect("it is one of the possible values")
        }))
}

/// The wish as it holds for the command that was given: said after it, or else before it.
pub(crate) fn wish(matches: &ArgMatches) -> Wish {
    // The lines of a shell have it after the command only.
    let mut wish = match matches.try_get_one::<Format>(ID).ok().flatten() {
        None => Wish::Nothing,
        Some(form) if matches.value_source(ID) == Some(clap::parser::ValueSource::EnvVariable) => {
            Wish::Preferred(*form)
        }
        Some(form) => Wish::Said(*form),
    };
    let mut level = matches;
    while let Some((_, below)) = level.subcommand() {
        // Not every command has it.
        if let Ok(Some(form)) = below.try_get_one::<Format>(ID) {
            wish = Wish::Said(*form);
        }
        level = below;
    }
    wish
}

/// The form in which the command of these matches is to answer.
pub(crate) fn chosen(matches: &ArgMatches, otherwise: Format) -> Result<Format, Failure> {
    let mut path = String::new();
    let mut level = matches;
    while let Some((name, below)) = level.subcommand() {
        if !path.is_empty() {
            path.push(' ');
        }
        path.push_str(name);
        level = below;
    }
    let has = |form: Format| form == Format::Text || forms(&path).unwrap_or(&[]).contains(&form);
    match wish(matches) {
        Wish::Said(form) | Wish::Preferred(form) if has(form) => Ok(form),
        Wish::Said(form) => {
            let hint = match forms(&path) {
                Some(forms) => {
                    let names: Vec<_> = forms.iter().map(|form| form.name()).collect();
                    format!("it has these: {}", names.join(", "))
                }
                None => format!("`raft-client {path} --help` shows what it has"),
            };
            let message = format!("`{path}` does not answer as {}", form.name());
            Err(Failure::usage(message, Some(&hint)))
        }
        Wish::Nothing if has(otherwise) => Ok(otherwise),
        Wish::Preferred(_) | Wish::Nothing => Ok(Format::Text),
    }
}

/// Whether these words ask for JSON, whatever else is wrong with them.
pub(crate) fn words_ask_for_json(words: &[std::ffi::OsString]) -> bool {
    let mut before = None;
    let mut asked = None;
    for word in words.iter().map(|word| word.to_string_lossy()) {
        let beside = ["--output=", "--write-out=", "-o=", "-w=", "-o", "-w"]
            .iter()
            .find_map(|option| word.strip_prefix(option));
        match (before.as_deref(), beside) {
            (Some("-o" | "-w" | "--output" | "--write-out"), _) => asked = Some(word == "json"),
            (_, Some(value)) if !value.is_empty() => asked = Some(value == "json"),
            _ => (),
        }
        before = Some(word);
    }
    asked.unwrap_or_else(|| std::env::var_os("RAFT_OUTPUT").is_some_and(|value| value == "json"))
}

/// Bytes as JSON has them: text where they are text, else `{"b64": …}`.
pub(crate) fn bytes_json(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    match str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "b64": base64::engine::general_purpose::STANDARD.encode(bytes) }),
    }
}

/// An object on a line.
pub(crate) fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

/// An object that says what it is, with these fields and those of what was written or read.
pub(crate) fn object(schema: &str, fields: Value, more: Value) -> Value {
    let mut object = Map::new();
    object.insert("schema".to_owned(), Value::from(schema));
    for part in [fields, more] {
        if let Value::Object(part) = part {
            object.extend(part);
        }
    }
    Value::Object(object)
}

/// Where and by whom it was done.
pub(crate) fn receipt_json(receipt: &raft_client::Receipt) -> Value {
    let raft_client::Receipt { term, index, node, leader, duplicate, attempts, .. } = receipt;
    json!({
        "index": index,
        "term": term,
        "node": node,
        "leader": leader,
        "attempts": attempts,
        "duplicate": duplicate,
    })
}

/// A write that is done, in these forms. `text` is what people are told.
pub(crate) fn written(
    format: Format,
    what: &str,
    receipt: &raft_client::Receipt,
    text: String,
    fields: Value,
) -> Vec<u8> {
    match format {
        Format::Text => text.into(),
        Format::Raw => format!("{}\n", receipt.index).into(),
        Format::Json => line(&object(&format!("raft-{what}/1"), fields, receipt_json(receipt))),
        Format::Table => {
            let row = [
                receipt.index.to_string(),
                receipt.term.to_string(),
                format!("n{}", receipt.leader),
                receipt.attempts.to_string(),
            ];
            super::table::lines(["INDEX", "TERM", "LEADER", "ATTEMPTS"], [row]).into()
        }
    }
}

/// A key or value in a cell.
pub(crate) fn cell(bytes: &Bytes) -> String {
    super::printable(bytes)
}
