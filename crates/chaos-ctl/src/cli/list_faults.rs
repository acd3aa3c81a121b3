//! `chaos-ctl list-faults`: what can be done to a cluster, and whether it can be done here.

use clap::Args;
use serde::Serialize;

use super::status::Form;
use crate::exit::{Code, Failure};
use crate::lab::faketime;
use crate::output::Output;
use crate::plan::NodeFault;

/// Say which faults there are, what makes each, and whether it is possible here
#[derive(Debug, Args)]
pub(super) struct ListFaults {
    /// How to show it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    kind: &'static str,
    what: &'static str,
    needs: NodeFault,
    order: &'static str,
}

const fn known(
    kind: &'static str,
    what: &'static str,
    needs: NodeFault,
    order: &'static str,
) -> Known {
    Known { kind, what, needs, order }
}

/// Kind in scenarios, what it is, what it needs, and the command that orders it by hand.
const FAULTS: [Known; 16] = [
    known("kill", "SIGKILL, and a new start after a while", NodeFault::None, "kill"),
    known("power_loss", "SIGKILL, and what was not synced is gone", NodeFault::Disk, "power-loss"),
    known("restart", "SIGTERM, and a new start at once", NodeFault::None, "restart"),
    known("pause", "SIGSTOP, and SIGCONT after a while", NodeFault::None, "pause"),
    known("partition", "some nodes cannot reach some others", NodeFault::Net, "partition"),
    known("link", "links are slow, lossy, narrow or break", NodeFault::Net, "link"),
    known("swizzle", "links are cut and heal one by one", NodeFault::Net, ""),
    known("slow_disk", "every sync takes longer", NodeFault::Disk, "disk --slow-fsync"),
    known("disk_error", "the next sync fails", NodeFault::Disk, "disk --io-error"),
    known("disk_full", "no write finds room", NodeFault::Disk, "disk --full"),
    known("bit_flip", "a bit of a stopped node's files is flipped", NodeFault::None, ""),
    known("clock", "the wall clock jumps or drifts", NodeFault::Clock, ""),
    known("fds", "the node may open no more files", NodeFault::None, ""),
    known("block_log", "nobody reads the node's log", NodeFault::Log, ""),
    known("transfer", "the leader hands over to another node", NodeFault::None, ""),
    known("membership", "a member is replaced, or the cluster grows", NodeFault::None, ""),
];

#[derive(Debug, Serialize)]
struct Row {
    fault: &'static str,
    what: &'static str,
    possible: bool,
    /// What makes it, or why it cannot be had.
    how: String,
    /// The command, on a cluster that runs.
    order: &'static str,
}

impl ListFaults {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        let rows: Vec<Row> = FAULTS.iter().map(|fault| row(*fault)).collect();
        let mut output = Output::stdout();
        if self.output == Form::Json {
            let text = serde_json::to_string_pretty(&rows).map_err(anyhow::Error::from)?;
            output.line(&text);
            return Ok(Code::Done);
        }
        output.line(&format!("{:<11} {:<5} {:<43} {:<17} how", "fault", "here", "what", "by hand"));
        for row in rows {
            let (here, by_hand) = (if row.possible { "yes" } else { "no" }, row.order);
            let line =
                format!("{:<11} {here:<5} {:<43} {by_hand:<17} {}", row.fault, row.what, row.how);
            output.line(line.trim_end());
        }
        Ok(Code::Done)
    }
}

fn row(fault: Known) -> Row {
    let Known { kind, what, needs, order } = fault;
    let (possible, how) = match needs {
        NodeFault::None => (true, "signals, calls and files"),
        NodeFault::Net => (true, "proxies on all links, in user space (`run`, or `up --lab`)"),
        NodeFault::Disk => (true, "the server's laboratory disk (`run`, or `up --lab`)"),
        NodeFault::Log => (true, "logs through a pipe of the runner's (`run`)"),
        NodeFault::Clock if faketime().is_some() => (true, "libfaketime (`run`)"),
        NodeFault::Clock => {
            (false, "libfaketime is not installed (Debian: apt-get install libfaketime)")
        }
    };
    Row { fault: kind, what, possible, how: how.to_owned(), order }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, Step};

    /// As a scenario would name it, as short as it may.
    fn example(kind: &str) -> Fault {
        let with = match kind {
            "kill" | "power_loss" | "restart" | "bit_flip" | "transfer" => "{}",
            "pause" | "partition" | "swizzle" | "disk_error" | "disk_full" | "fds"
            | "block_log" => "{for: 1s}",
            "link" => "{delay: 1ms, for: 1s}",
            "slow_disk" => "{sync: 1ms, for: 1s}",
            "clock" => "{jump_s: 1, for: 1s}",
            "membership" => "{change: grow}",
            other => panic!("{other} is new: give an example"),
        };
        let step: Step = serde_yaml::from_str(&format!("{kind}: {with}")).unwrap();
        step.fault
    }

    #[test]
    fn every_fault_is_listed_with_what_it_needs() {
        for known in FAULTS {
            let fault = example(known.kind);
            assert_eq!((fault.kind(), fault.needs()), (known.kind, known.needs));
        }
        // A step of a kind that is not listed is none: the error names all there are.
        let error = serde_yaml::from_str::<Step>("nothing: {}").unwrap_err().to_string();
        let named = error.split('`').skip(3).step_by(2);
        let named: Vec<&str> =
            named.filter(|name| !["weight", "at", "until"].contains(name)).collect();
        assert_eq!(named, FAULTS.map(|known| known.kind));
        // And so does the schema.
        let schema = include_str!("../../../../docs/scenario.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        for kind in named {
            let steps = "/properties/schedule/items/properties/";
            assert!(schema.pointer(&format!("{steps}{kind}")).is_some(), "{kind}");
        }
    }
}
