//! The program against scripted nodes, in stories: what was typed, what it printed on either stream, how
//! it ended. Accepted with `UPDATE_GOLDENFILES=1`.
//!
//! ```text
//! cluster 3                      nodes n1 to n3; n1 leads
//! endpoints n1 down hung wrong   what --endpoints says from here on
//! > raft-client get k            the program, with shell-like quotes
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use raft_api::pb;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use crate::fake::{Act, Fakes, mute, nobody, other_service};

/// Whoever takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn run(path: &Path) {
    goldenscript::run(&mut Script::new(), path).unwrap();
}

struct Script {
    fakes: Option<Fakes>,
    /// Addresses by the names that scripts have for them.
    names: BTreeMap<String, String>,
    endpoints: Vec<String>,
    variables: BTreeMap<String, String>,
    stdin: Vec<u8>,
    home: TempDir,
    _hung: TcpListener,
    _down: TcpSocket,
    _wrong: Runtime,
    _other: Runtime,
}

impl goldenscript::Runner for Script {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        _: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        if let Some(line) = command.name.strip_prefix("raft-client") {
            return self.program(&words(line));
        }
        let mut arguments = command.consume_args();
        let mut positions: Vec<String> = Vec::new();
        while let Some(position) = arguments.next_pos() {
            positions.push(position.to_owned());
        }
        arguments.reject_next()?;
        let first = positions.first().cloned().unwrap_or_default();
        let id = || first.trim_start_matches('n').parse::<u64>();
        match &*command.name {
            "cluster" => self.start(first.parse()?),
            "endpoints" => self.endpoints = positions,
            "kill" => self.fakes().kill(id()?),
            "elect" => self.fakes().elect(id()?),
            "applied" => self.fakes().world().applied = first.parse()?,
            "unheard" => drop(self.fakes().world().unheard_ms.insert(id()?, 12_345)),
            "differs" => drop(self.fakes().world().hashes.insert(id()?, 0xbad)),
            "refuse" => {
                let refusal = pb::Refusal::from_str_name(&positions[1]).ok_or("no such refusal")?;
                self.fakes().script(id()?, [Act::Refuse(refusal)]);
            }
            "mute" => self.fakes().script(id()?, [Act::ApplyAndHang; 20]),
            "set" => drop(self.variables.insert(first, positions[1].clone())),
            "unset" => drop(self.variables.remove(&first)),
            "stdin" => self.stdin = first.into_bytes(),
            "file" => std::fs::write(self.home.path().join(&first), positions[1].as_bytes())?,
            other => return Err(format!("what is `{other}`?").into()),
        }
        Ok(String::new())
    }
}

impl Script {
    fn new() -> Self {
        let ((hung, hung_at), (down, down_at)) = (mute(), nobody());
        let ((wrong, wrong_at), (other, other_at)) = (babbler(), other_service());
        let at = [("hung", hung_at), ("down", down_at), ("wrong", wrong_at), ("other", other_at)];
        Self {
            fakes: None,
            names: at.into_iter().map(|(name, addr)| (name.to_owned(), addr)).collect(),
            endpoints: Vec::new(),
            variables: BTreeMap::new(),
            stdin: Vec::new(),
            home: tempfile::tempdir().unwrap(),
            _hung: hung,
            _down: down,
            _wrong: wrong,
            _other: other,
        }
    }

    fn fakes(&mut self) -> &mut Fakes {
        self.fakes.as_mut().expect("`cluster` comes first")
    }

    fn start(&mut self, count: u64) {
        let fakes = Fakes::start(count);
        for id in 1..=count {
            self.names.insert(format!("n{id}"), fakes.addr(id));
        }
        self.endpoints = vec!["n1".to_owned()];
        self.fakes = Some(fakes);
    }

    fn program(&mut self, words: &[String]) -> Result<String, Box<dyn Error>> {
        let mut command = Command::cargo_bin("raft-client")?;
        command.current_dir(self.home.path()).timeout(PATIENCE).write_stdin(self.stdin.clone());
        for name in ["CONFIG", "ENDPOINTS", "TIMEOUT", "OUTPUT", "TRACE", "LOG"] {
            command.env_remove(format!("RAFT_{name}"));
        }
        command.env("COLUMNS", "100").env("HOME", self.home.path());
        let endpoints: Vec<&str> = self.endpoints.iter().map(|name| &*self.names[name]).collect();
        if !endpoints.is_empty() {
            command.env("RAFT_ENDPOINTS", endpoints.join(","));
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, self.addressed(value))));
        let output = command.args(words.iter().map(|word| self.addressed(word))).output()?;
        let code = output.status.code().ok_or("it took too long")?;
        let mut shown = format!("exit {code}\n");
        for (stream, bytes) in [("out", output.stdout), ("err", output.stderr)] {
            let text = self.scrubbed(&String::from_utf8(bytes)?);
            for line in text.split_inclusive('\n') {
                let end = if line.ends_with('\n') { "" } else { "%" };
                writeln!(shown, "{}{end}", format!("{stream} | {}", line.trim_end()).trim_end())?;
            }
        }
        Ok(shown)
    }

    /// `<n1>` stands for its address.
    fn addressed(&self, word: &str) -> String {
        let mut word = word.to_owned();
        for (name, addr) in &self.names {
            word = word.replace(&format!("<{name}>"), addr);
        }
        word
    }

    /// Without what is another thing each time.
    fn scrubbed(&self, text: &str) -> String {
        let mut text = text.replace(&*self.home.path().to_string_lossy(), "HOME");
        for (name, addr) in &self.names {
            // As wide as the port was, so that tables stay as they are.
            text = text.replace(addr, &format!("127.0.0.1:{name:0>5}"));
        }
        let has_times = text.lines().any(|line| line.contains(" ms"));
        let mut scrubbed = String::new();
        for line in text.split_inclusive('\n') {
            match serde_json::from_str::<Value>(line) {
                Ok(mut value @ Value::Object(_)) => {
                    blank(&mut value);
                    writeln!(scrubbed, "{value:#}").unwrap();
                }
                _ => scrubbed.push_str(&without_times(line, has_times)),
            }
        }
        scrubbed
    }
}

/// A line with times and their widths taken out, and what nodes said in the order of their names.
fn without_times(line: &str, has_times: bool) -> String {
    let mut before = "";
    let words = line.split(' ').map(|word| {
        let (open, word) = word.split_at(word.len() - word.trim_start_matches('(').len());
        let (number, unit) = word.split_at(word.trim_end_matches(char::is_alphabetic).len());
        let is_number = number.parse::<f64>().is_ok();
        let took = matches!(before, "in" | "within" | "after") && unit == "s";
        before = word;
        if is_number && (number.contains('.') || took) {
            format!("{open}#{unit}")
        } else {
            format!("{open}{word}")
        }
    });
    let mut words: Vec<String> = words.collect();
    if has_times {
        words.retain(|word| !word.is_empty());
    }
    let line = words.join(" ");
    let Some((before, rest)) = line.split_once(" (127.0.0.1:") else { return line };
    let Some((said, after)) = rest.rsplit_once(')') else { return line };
    let mut said: Vec<&str> = said.split("; 127.0.0.1:").collect();
    said.sort_unstable();
    format!("{before} (127.0.0.1:{}){after}", said.join("; 127.0.0.1:"))
}

fn blank(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let is_volatile =
                    name.ends_with("_us") || matches!(&**name, "at" | "version" | "pid");
                if is_volatile && !field.is_null() {
                    *field = Value::from("#");
                } else if matches!(&**name, "message" | "detail")
                    && let Value::String(text) = field
                {
                    *text = without_times(text, false);
                } else {
                    blank(field);
                }
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(blank);
            items.sort_by_key(|item| item.get("addr").map(Value::to_string));
        }
        _ => (),
    }
}

/// Words as a shell has them: single and double quotes, and no more.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for symbol in line.chars() {
        match (quote, symbol) {
            (Some(open), _) if open == symbol => quote = None,
            (None, '\'' | '"') => {
                quote = Some(symbol);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(symbol),
        }
    }
    words.extend(word);
    words
}

/// Somebody who talks, and nothing that a client could understand.
fn babbler() -> (Runtime, String) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut streams = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.writable().await.unwrap();
            stream.try_write(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
            streams.push(stream);
        }
    });
    (runtime, addr)
}
