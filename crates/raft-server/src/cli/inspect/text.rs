//! A data directory, for people.

use std::fmt::{self, Display, Write as _};
use std::path::Path;

use raft_core::{Membership, NodeId, SnapshotMeta};
use raft_replica::disk::DirUser;
use raft_replica::{Identity, LogSurvey, SegmentSurvey, SnapshotSurvey, Survey};

use super::Report;

/// Goes before what a log says that breaks off.
const AS_OF_DAMAGE: &str = "unknown; as of the damage: ";

pub(super) fn show(report: &Report) -> String {
    let mut out = String::new();
    write(&mut out, report).expect("a string takes whatever is written to it");
    out
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let Report { data_dir, user, survey } = report;
    let dir = data_dir.display();
    if let Some(DirUser { pid }) = user {
        let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
        writeln!(out, "{dir} is in use by {who}: what follows may be torn\n")?;
    }
    match &survey.identity {
        Some(identity) => write_identity(out, data_dir, identity)?,
        None => writeln!(out, "{dir}: whose it is cannot be read")?,
    }
    if survey.log.broken {
        writeln!(
            out,
            "\nDAMAGED: the log cannot be read to its end. What is said of term, vote, members and log is\n\
             as of the damage; what came after is unknown, and may have changed all of it.\n"
        )?;
    }
    write_promises(out, survey)?;
    write_log(out, &survey.log)?;
    write_snapshots(out, survey)?;
    for path in survey.leftovers.iter().chain(&survey.log.spares) {
        writeln!(out, "unfinished  {} (goes at the next start)", below(data_dir, path))?;
    }
    write_verdict(out, survey)
}

fn write_identity(out: &mut String, dir: &Path, identity: &Identity) -> fmt::Result {
    let Identity { cluster_name, cluster, node, incarnation, bootstrap: _ } = identity;
    writeln!(
        out,
        "{}: {node} of cluster `{cluster_name}` (id {cluster}), incarnation {incarnation}",
        dir.display()
    )
}

fn write_promises(out: &mut String, survey: &Survey) -> fmt::Result {
    let hard_state = &survey.log.hard_state;
    let vote =
        hard_state.vote.map_or_else(|| "not voted".to_owned(), |vote| format!("voted for {vote}"));
    let stale = if survey.log.broken { AS_OF_DAMAGE } else { "" };
    writeln!(out, "hard state  {stale}term {}, {vote}", hard_state.term)?;
    for (node, incarnation) in super::known(survey) {
        writeln!(out, "            knows {node} as incarnation {incarnation}")?;
    }
    match survey.membership() {
        None => writeln!(out, "members     unknown"),
        Some(members) if members.is_empty() => {
            writeln!(out, "members     {stale}none: the node waits to be added to a cluster")
        }
        Some(members) => writeln!(out, "members     {stale}{}", Members(members)),
    }
}

fn write_log(out: &mut String, log: &LogSurvey) -> fmt::Result {
    let stale = if log.broken { AS_OF_DAMAGE } else { "" };
    match (log.entries.first(), log.entries.last()) {
        (Some(first), Some(last)) => writeln!(
            out,
            "log         {stale}{} entries, {} to {}; {} frames in {}",
            log.entries.len(),
            first.id,
            last.id,
            log.frames,
            count(log.segments.len(), "segment")
        )?,
        _ => writeln!(
            out,
            "log         {stale}no entries after {}; {} frames in {}",
            log.base,
            log.frames,
            count(log.segments.len(), "segment")
        )?,
    }
    for SegmentSurvey { path, number: _, bytes, used, entries } in &log.segments {
        let entries = entries.map_or_else(
            || "no entries".to_owned(),
            |(first, last)| format!("entries {first} to {last}"),
        );
        let read = if log.broken { "read" } else { "used" };
        writeln!(out, "  {}  {used} of {bytes} bytes {read}, {entries}", name(path))?;
    }
    for path in &log.unread {
        writeln!(out, "  {}  unknown: it is behind the damage", name(path))?;
    }
    if let Some(cut) = &log.cut {
        let what = if cut.torn {
            "a batch that was torn when the process ended"
        } else {
            "leftovers of an earlier use of the file"
        };
        writeln!(
            out,
            "  {} at byte {}: {what}; cut at the next start",
            name(&cut.path),
            cut.offset
        )?;
    }
    Ok(())
}

fn write_snapshots(out: &mut String, survey: &Survey) -> fmt::Result {
    if survey.snapshots.is_empty() {
        writeln!(out, "snapshots   none")?;
    }
    for SnapshotSurvey { path, meta, bytes, named, state_hash } in &survey.snapshots {
        let hash = state_hash
            .map_or_else(|| "not whole".to_owned(), |hash| format!("state hash {hash:016x}"));
        let named = match named {
            Some(true) => "",
            Some(false) => "; the log does not need it",
            None => "; whether the log needs it is unknown",
        };
        let SnapshotMeta { last, membership, size: _, checksum: _ } = meta;
        writeln!(out, "snapshot    {}", name(path))?;
        writeln!(
            out,
            "            as of {last}, {bytes} bytes, {hash}, members {}{named}",
            Members(membership)
        )?;
    }
    if let Some((meta, there)) = &survey.arriving {
        let (last, size) = (meta.last, meta.size);
        writeln!(out, "arriving    a snapshot as of {last}: {there} of {size} bytes are there")?;
    }
    Ok(())
}

fn write_verdict(out: &mut String, survey: &Survey) -> fmt::Result {
    if survey.problems.is_empty() && survey.flaws.is_empty() {
        return writeln!(out, "\nwhole: a node can start from it");
    }
    writeln!(out)?;
    for problem in &survey.problems {
        writeln!(out, "error: {problem}")?;
        if let Some(hint) = problem.hint() {
            writeln!(out, "hint: {hint}")?;
        }
    }
    for flaw in &survey.flaws {
        writeln!(out, "warning: {flaw}")?;
    }
    if survey.problems.is_empty() {
        return writeln!(out, "a node can start from it: it does not need what is wrong");
    }
    match survey.safe_up_to() {
        Some(last) => writeln!(
            out,
            "safe: what came of everything up to entry {last}, which was committed; a whole snapshot \
             holds it"
        ),
        None => writeln!(out, "safe: nothing for certain, for there is no whole snapshot"),
    }
}

/// The members, by role.
struct Members<'a>(&'a Membership);

impl Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Membership { voters, outgoing, learners, seats: _ } = self.0;
        write!(f, "{}", List(voters.iter()))?;
        if !outgoing.is_empty() {
            write!(f, ", leaving {}", List(outgoing.iter()))?;
        }
        if !learners.is_empty() {
            write!(f, ", learning {}", List(learners.iter()))?;
        }
        Ok(())
    }
}

struct List<I>(I);

impl<'a, I: Iterator<Item = &'a NodeId> + Clone> Display for List<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, id) in self.0.clone().enumerate() {
            let comma = if position == 0 { "" } else { " " };
            write!(f, "{comma}{id}")?;
        }
        Ok(())
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn below(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).display().to_string()
}
