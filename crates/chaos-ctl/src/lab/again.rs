//! A run's claims looked at again, from the files that it left. What needs the nodes themselves cannot be.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::claims::{self, Claim, Held};
use super::logs::Kept as KeptLogs;
use crate::exit::Code;
use crate::load::BenchResult;

/// What the files of one of our own clusters still show. Others keep what was said then. `logs`: of a
/// cluster that was made up for the run, whose data is there beside.
pub(crate) fn look_again(dir: &Path, logs: Option<&KeptLogs>) -> Vec<Claim> {
    let mut claims = match lists(dir) {
        Ok(lists) => {
            let verify = lists.verify.as_ref();
            vec![claims::lost_of(verify), claims::twice_of(verify, lists.retries)]
        }
        Err(why) => {
            let open =
                |claim: Claim| Claim { verdict: Held::Unknown, evidence: why.clone(), ..claim };
            vec![open(claims::lost_of(None)), open(claims::twice_of(None, 0))]
        }
    };
    claims.extend(logs.map(|kept| claims::logs_agree_of(&kept.read_again(dir))));
    claims.push(claims::one_leader(dir));
    claims.push(match crashes(dir) {
        Ok(crashes) => claims::no_crash_of(crashes),
        Err(why) => Claim { verdict: Held::Unknown, evidence: why, ..claims::no_crash_of(0) },
    });
    claims
}

/// What the clients of lists reported.
fn lists(dir: &Path) -> Result<BenchResult, String> {
    let path = dir.join("load/lists.json");
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| told(&error))?;
    serde_json::from_str(&text).map_err(|error| told(&error))
}

/// A line of `events.jsonl`, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    kind: String,
}

/// How often a node ended without having been told to. Earlier runs in the same directory are in the file,
/// too. One that does not begin and end as a run does tells nothing.
fn crashes(dir: &Path) -> Result<u64, String> {
    let path = dir.join("events.jsonl");
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(&path).map_err(|error| told(&error))?;
    let (mut begun, mut ended, mut crashes) = (false, false, 0);
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| told(&error))?;
        let line: Line = serde_json::from_str(&line).map_err(|error| told(&error))?;
        match line.kind.as_str() {
            "begin" => (begun, ended, crashes) = (true, false, 0),
            "stopped" => ended = true,
            "crash" => crashes += 1,
            _ => (),
        }
    }
    if begun && ended { Ok(crashes) } else { Err(told(&"the beginning or the end is missing")) }
}

impl Claim {
    /// What the program exits with for this claim.
    pub(crate) fn exit(&self) -> Code {
        match self.verdict {
            Held::Fail => self.code,
            Held::Unknown => Code::Inconclusive,
            Held::Pass | Held::NotExercised => Code::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn files(lists: &str, states: &str, events: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("load")).unwrap();
        fs::write(dir.path().join("load/lists.json"), lists).unwrap();
        fs::write(dir.path().join("states.jsonl"), states).unwrap();
        fs::write(dir.path().join("events.jsonl"), events).unwrap();
        dir
    }

    fn verdicts(dir: &Path) -> Vec<(Held, Code)> {
        look_again(dir, None).iter().map(|claim| (claim.verdict, claim.exit())).collect()
    }

    fn lists(lost: u64, twice: u64) -> String {
        format!(
            "{{\"ok\":500,\"failed\":0,\"unknown\":0,\"retries\":3,\"elapsed_us\":1,\"ops_per_s\":1.0,\
             \"longest_gap_us\":0,\"latency_us\":{{\"p50\":1,\"p99\":2}},\"verify\":{{\"checked\":500,\
             \"lost\":{lost},\"applied_twice\":{twice},\"unexpected\":0,\"findings\":[]}}}}"
        )
    }

    const STATES: &str = "{\"node\":1,\"role\":\"leader\",\"term\":1}\n";
    const EVENTS: &str = "{\"kind\":\"begin\"}\n{\"kind\":\"stopped\"}\n";

    #[test]
    fn what_the_files_show_is_found_again() {
        let fine = files(&lists(0, 0), STATES, EVENTS);
        assert_eq!(verdicts(fine.path()), [(Held::Pass, Code::Done); 4]);
        let two = format!("{STATES}{}", STATES.replace("\"node\":1", "\"node\":2"));
        let crash = EVENTS.replace("begin\"}", "begin\"}\n{\"kind\":\"crash\"}");
        let earlier = files(&lists(0, 0), STATES, &format!("{crash}{EVENTS}"));
        assert_eq!(verdicts(earlier.path())[3], (Held::Pass, Code::Done));
        let damaged = files(&lists(7, 1), &two, &crash);
        let unsafe_ones = [(Held::Fail, Code::Unsafe); 3];
        assert_eq!(verdicts(damaged.path())[..3], unsafe_ones);
        assert_eq!(verdicts(damaged.path())[3], (Held::Fail, Code::Crashed));
    }

    /// A file that is missing or cut is no pass.
    #[test]
    fn what_is_missing_shows_nothing() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(verdicts(empty.path()), [(Held::Unknown, Code::Inconclusive); 4]);
        let (events, _) = EVENTS.split_once('\n').unwrap();
        let cut = files("{\"ok\":", "", events);
        assert_eq!(verdicts(cut.path()), [(Held::Unknown, Code::Inconclusive); 4]);
    }
}
