//! What a change of the members does, and what came of it.

use std::time::Duration;

use raft_client::{Changed, Configuration, Difference, Member, MemberRole, MembershipChange};
use serde_json::json;

use super::super::Done;
use super::super::format::{Format, line};
use super::super::get_config::member_table;

/// A line for each member: `+` new, `-` gone, `~` otherwise than before.
pub(super) fn describe(differences: &[Difference]) -> String {
    let line = |difference: &Difference| match difference {
        Difference::Same(member) => row(' ', member, &member.role.to_string(), &member.peer),
        Difference::Added(member) => row('+', member, &member.role.to_string(), &member.peer),
        Difference::Removed(member) => row('-', member, &member.role.to_string(), &member.peer),
        Difference::Altered { before, after } => {
            let role = arrow(&before.role.to_string(), &after.role.to_string());
            let [old, new] = [before, after].map(Member::addresses);
            let moved = old.iter().zip(&new).filter(|(old, new)| old != new);
            let moved: Vec<String> = moved.map(|(old, new)| arrow(old, new)).collect();
            let at = if moved.is_empty() { after.peer.clone() } else { moved.join(", ") };
            row('~', after, &role, &at)
        }
    };
    differences.iter().map(line).collect()
}

/// What to know before the others look for a voter elsewhere: no safeguard tries that first.
pub(super) fn moves(differences: &[Difference]) -> Option<String> {
    let moved = differences.iter().filter_map(|difference| match difference {
        Difference::Altered { before, after }
            if before.role == MemberRole::Voter && before.peer != after.peer =>
        {
            Some(format!("n{}", after.id))
        }
        _ => None,
    });
    let moved: Vec<String> = moved.collect();
    let (first, rest) = moved.split_first()?;
    let all = moved.join(", ");
    let one_by_one = match rest {
        [] => String::new(),
        _ => format!(": move one voter at a time, beginning with {first}"),
    };
    Some(format!(
        "warning: nothing tries the new peer address of {all} before it holds. If it is wrong, {all} is \
         cut off, `raft-client status` shows it, and the same command with the right address mends it \
         for as long as a majority is reached{one_by_one}"
    ))
}

fn row(sign: char, member: &Member, role: &str, addr: &str) -> String {
    let id = format!("n{}", member.id);
    format!("{}\n", format!("{sign} {id:<4} {role:<16}  {addr}").trim_end())
}

fn arrow(before: &str, after: &str) -> String {
    if before == after { before.to_owned() } else { format!("{before} -> {after}") }
}

pub(super) struct Report<'a> {
    pub(super) change: &'a MembershipChange,
    pub(super) configuration: &'a Configuration,
    /// Nothing for a dry run.
    pub(super) done: Option<&'a Changed>,
    /// What all members have applied, if that was waited for.
    pub(super) applied: Option<u64>,
}

impl Report<'_> {
    pub(super) fn shown(&self, format: Format) -> Done {
        match format {
            Format::Json => Done::with(line(&self.json())),
            Format::Text | Format::Table | Format::Raw => Done::with(self.text()),
        }
    }

    fn text(&self) -> String {
        let nothing = self.change.is_nothing();
        let mut text = match self.done {
            _ if nothing => "nothing to do\n".to_owned(),
            None => return "dry run: nothing was changed\n".to_owned(),
            Some(done) => {
                let table = member_table(&self.configuration.members, self.configuration.leader);
                let took = done.took.as_secs_f64();
                let Configuration { leader, term, .. } = self.configuration;
                let is_led = self.configuration.member(*leader).is_some();
                let led = if is_led { "" } else { "   no leader yet" };
                // A change that took a millisecond did not take 0.00 s.
                let took = match took {
                    ..0.1 => format!("{:.3}", took.max(0.001)),
                    _ => format!("{took:.2}"),
                };
                format!("\n{table}\nchanged in {took} s   term {term}{led}\n")
            }
        };
        if let Some(index) = self.applied {
            let everybody = "all voters and newcomers have applied everything up to index";
            text = format!("{text}{everybody} {index}\n");
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let difference = |difference: &Difference| {
            let (change, before, after) = match difference {
                Difference::Same(member) => ("same", Some(member), Some(member)),
                Difference::Added(member) => ("added", None, Some(member)),
                Difference::Removed(member) => ("removed", Some(member), None),
                Difference::Altered { before, after } => ("altered", Some(before), Some(after)),
            };
            let (before, after) = (before.map(member_json), after.map(member_json));
            json!({ "change": change, "before": before, "after": after })
        };
        let differences: Vec<_> = self.change.differences().iter().map(difference).collect();
        let Configuration { cluster, members, leader, term, .. } = self.configuration;
        let members: Vec<_> = members.iter().map(member_json).collect();
        let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        json!({
            "schema": "raft-set-config/1",
            "dry_run": self.done.is_none(),
            "changed": self.done.is_some() && !self.change.is_nothing(),
            "differences": differences,
            "cluster": cluster,
            "members": members,
            "leader": leader,
            "term": term,
            "elapsed_us": self.done.map(|done| micros(done.took)),
            "applied_everywhere": self.applied,
        })
    }
}

pub(in super::super) fn member_json(member: &Member) -> serde_json::Value {
    let Member { id, role, peer, client, http } = member;
    json!({ "id": id, "role": role.to_string(), "peer": peer, "client": client, "http": http })
}
