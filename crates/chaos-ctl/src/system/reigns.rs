//! Who led in which term, as the members of etcd have written into their logs.
//!
//! What a member answers when it is asked is not enough: it tells the term of the last entry that it has
//! applied, and a new leader has none of its own yet. But it logs every election it wins, with the term.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};

use raft_api::cluster::ClusterConfig;

use super::log_of;
use crate::NodeId;

/// The leaders of each term.
pub(crate) type Reigns = BTreeMap<u64, BTreeSet<NodeId>>;

/// Reads the logs of all nodes.
pub(crate) fn read(config: &ClusterConfig) -> Result<Reigns, String> {
    let mut reigns = Reigns::new();
    for node in &config.nodes {
        let log = log_of(config, node.id);
        let aside = log.with_extension("log.1");
        // A log that has become long is put aside.
        for log in [aside.is_file().then_some(&aside), Some(&log)].into_iter().flatten() {
            let failed = |error: std::io::Error| format!("{}: {error}", log.display());
            let file = std::fs::File::open(log).map_err(failed)?;
            let mut lines = BufReader::new(file).split(b'\n');
            while let Some(line) = lines.next().transpose().map_err(failed)? {
                if let Some(term) = won(&String::from_utf8_lossy(&line)) {
                    reigns.entry(term).or_default().insert(node.id);
                }
            }
        }
    }
    Ok(reigns)
}

/// The term of an election that this line says was won.
fn won(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(" became leader at term ")?;
    let digits = rest.find(|symbol: char| !symbol.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elections_won_are_found_in_either_kind_of_log() {
        let zap = r#"{"level":"info","msg":"8e9e05c52164694d became leader at term 12"}"#;
        let plain = "2026-11-23 12:00:00 I | raft: 8e9e05c52164694d became leader at term 3";
        let follower = "raft: 8e9e05c52164694d became follower at term 4";
        assert_eq!([zap, plain, follower].map(won), [Some(12), Some(3), None]);
    }
}
