//! Help pages, as wide terminals and narrow ones show them: what was broken into lines by hand is not
//! broken a second time.

use std::path::Path;
use std::process::Command;

use super::cluster::built;
use super::stage::text;

const PROGRAMS: [&str; 4] = ["raft-server", "raft-client", "chaos-ctl", "raft-sim"];

/// How what stands below the options begins.
const BEGINNINGS: [&str; 4] = ["Example:", "Examples:", "Exit codes:", "Step by step:"];

fn page(program: &Path, command: Option<&str>, width: usize) -> String {
    let mut shown = Command::new(program);
    shown.args(command).arg("--help").env("COLUMNS", width.to_string());
    let output = shown.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

/// The commands that a page lists.
fn commands(page: &str) -> Vec<&str> {
    let listed = page.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // What continues a description stands further right.
    let names = listed.filter(|line| !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

/// Whether this line ends where it need not, amid a sentence that the next one goes on with.
fn is_broken_twice(line: &str, next: &str, width: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let Some(word) = next.split_whitespace().next() else { return false };
    let in_a_column = next.trim_start()[word.len()..].starts_with("  ");
    let plain = word.trim_end_matches([',', '.', ';', ':']);
    let is_prose = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_lowercase());
    let sentence_goes_on = line.ends_with(|end: char| end.is_alphanumeric() || end == ',');
    let fits = line.chars().count() + 1 + word.chars().count() <= width;
    !in_a_column && is_prose && sentence_goes_on && indent(line) == indent(next) && fits
}

#[test]
fn no_line_is_broken_twice() {
    let mut pages = 0;
    for program in PROGRAMS {
        let path = built(program);
        let main = page(&path, None, 100);
        let own = commands(&main).into_iter().map(Some);
        for command in own.chain([None]) {
            for width in [80, 100] {
                let shown = page(&path, command, width);
                let lines: Vec<&str> = shown.lines().collect();
                for pair in lines.windows(2) {
                    let broken = is_broken_twice(pair[0], pair[1], width);
                    let command = command.unwrap_or_default();
                    assert!(!broken, "{program} {command}: {pair:#?} in {width} columns");
                }
                pages += 1;
            }
        }
    }
    assert!(50 < pages, "{pages} pages");
}

/// A table, or a command with what it does, is not wrapped: it is narrow enough from the outset.
#[test]
fn what_is_laid_out_by_hand_fits_into_80_columns() {
    for program in PROGRAMS {
        let path = built(program);
        for command in commands(&page(&path, None, 100)).into_iter().map(Some).chain([None]) {
            let [narrow, wide] = [80, 100].map(|width| page(&path, command, width));
            let below = |page: &str| {
                let own = page.lines().skip_while(|line| !BEGINNINGS.contains(line));
                own.filter(|line| line.starts_with(' ')).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(below(&narrow), below(&wide), "{program} {}", command.unwrap_or_default());
        }
    }
}
