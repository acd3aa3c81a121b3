//! What the program says of itself: help, completions, manual pages, exit codes.

use std::process::Output;

use assert_cmd::Command;

fn run(arguments: &[&str]) -> Output {
    Command::cargo_bin("raft-client").unwrap().args(arguments).output().unwrap()
}

fn out(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands of the main help page.
fn commands() -> Vec<String> {
    let page = out(&["--help"]);
    let listed = page.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = out(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
        assert!(script.contains("--endpoints") || script.contains("endpoints"), "{shell}");
    }
}

/// What bash makes of its script, if there is a bash: it is read without a complaint, and completes.
#[test]
fn bash_completes_a_command() {
    let script = out(&["completions", "bash"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let test = format!(
        "source {} && COMP_WORDS=(raft-client get-l) COMP_CWORD=1 && \
         f=$(complete -p raft-client) && f=${{f##*-F }} && ${{f%% *}} raft-client get-l raft-client && echo \"${{COMPREPLY[@]}}\"",
        file.path().display()
    );
    let output = std::process::Command::new("bash").args(["-c", &test]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), "get-leader", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("share/man1");
    out(&["man", pages.to_str().unwrap()]);
    for command in commands() {
        let page = pages.join(format!("raft-client-{command}.1"));
        let page = std::fs::read_to_string(&page).unwrap_or_else(|why| panic!("{page:?}: {why}"));
        assert!(page.contains(".SH NAME"), "{command}");
    }
    assert!(out(&["man"]).contains("RAFT_TIMEOUT"));
    std::fs::write(dir.path().join("file"), "").unwrap();
    let nowhere = dir.path().join("file/pages");
    assert_eq!(run(&["man", nowhere.to_str().unwrap()]).status.code(), Some(2));
}

/// The exit codes that the help names are those of the page on the client, and those that a program may
/// end with.
#[test]
fn the_exit_codes_are_told_alike() {
    let help = out(&["--help"]);
    let told = help.split_once("Exit codes:\n").expect("they end the page").1;
    let is_code = |word: &&str| word.parse::<u8>().is_ok();
    let mut helped: Vec<&str> = told.split_whitespace().filter(is_code).collect();
    helped.sort_unstable();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/client.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let mut paged: Vec<&str> = rows.filter(is_code).collect();
    paged.sort_unstable();
    assert_eq!(helped, paged);
}
