//! Plans as text: a line for the version, one for each setting of the scenario, one for each thing
//! that is done. What follows a `#` is for people.

use std::fmt;
use std::str::FromStr;

use super::{Plan, Planned, Recovery};
use crate::scenario::Scenario;
use crate::word::{Salt, Span, Word};

/// The first line. A plan of another version means something else.
const VERSION: &str = "raft-sim plan 1";

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{VERSION}")?;
        for (name, value) in self.scenario.settings() {
            writeln!(f, "{name} {value}")?;
        }
        match self.recovery {
            Recovery::All => writeln!(f, "recover all")?,
            Recovery::Majority { salt, down } => {
                writeln!(f, "recover majority {} {}", salt.show(), down.show())?;
            }
        }
        for Planned { at, act } in &self.acts {
            writeln!(f, "at {} {act}", at.show())?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let mut lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
        match lines.next() {
            Some((_, VERSION)) => (),
            _ => return Err(format!("a plan begins with `{VERSION}`")),
        }
        let (mut settings, mut acts, mut recovery) = (Vec::new(), Vec::new(), None);
        for (number, line) in lines {
            let on_line = |fault| format!("line {number}: {fault}");
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            match name {
                "at" => acts.push(planned(rest).map_err(on_line)?),
                "recover" if recovery.is_some() => {
                    return Err(on_line("it is said twice how to recover".to_owned()));
                }
                "recover" => recovery = Some(read_recovery(rest).map_err(on_line)?),
                name => settings.push((number, name, rest)),
            }
        }
        let scenario = Scenario::with_settings(settings)?;
        if !acts.is_sorted_by_key(|planned| planned.at) {
            return Err("what is done is not in the order of its times".to_owned());
        }
        let recovery = recovery.ok_or("`recover` is missing")?;
        Ok(Self { scenario, acts, recovery })
    }
}

fn planned(text: &str) -> Result<Planned, String> {
    let (at, act) = text.split_once(' ').ok_or("a time and something to do are wanted")?;
    Ok(Planned { at: Span::read(at)?, act: act.parse()? })
}

fn read_recovery(text: &str) -> Result<Recovery, String> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["all"] => Ok(Recovery::All),
        ["majority", salt, down] => {
            Ok(Recovery::Majority { salt: Salt::read(salt)?, down: bool::read(down)? })
        }
        _ => Err("wanted: `recover all` or `recover majority SALT DOWN`".to_owned()),
    }
}
