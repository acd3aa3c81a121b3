//! The protocol as stories: every file in `tests/scripts` is a script, run by `script.rs` against a
//! cluster that is cranked by hand, `cluster.rs`. To accept new output, run with
//! `UPDATE_GOLDENFILES=1`, then read the difference: commit it only if every line is explained.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod every_step;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod lockstep;
#[cfg(test)]
mod onslaught;
#[cfg(test)]
mod random_walk;
#[cfg(test)]
mod record;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod script;
#[cfg(test)]
mod show;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod verb;

use std::path::Path;

use test_each_file::test_each_path;

test_each_path! { in "crates/raft-core/tests/scripts" as scripts => run }

fn run(path: &Path) {
    goldenscript::run(&mut script::Script::default(), path)
        .expect("the script tells another story");
}
