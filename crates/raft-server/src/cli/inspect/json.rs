//! A data directory, for programs. Ids that may not fit into a double are strings.

use std::collections::BTreeSet;

use raft_core::{LogId, Membership, NodeId, SnapshotMeta};
use raft_replica::{SegmentSurvey, SnapshotSurvey, StorageError, Survey};
use serde_json::{Value, json};

use super::Report;

pub(super) fn show(report: &Report) -> Value {
    let Report { data_dir, user, survey } = report;
    json!({
        "data_dir": data_dir,
        "in_use": user.is_some(),
        "used_by": user.and_then(|user| user.pid),
        "whole": survey.problems.is_empty() && survey.flaws.is_empty(),
        "can_start": survey.problems.is_empty(),
        "identity": survey.identity.as_ref().map(|identity| json!({
            "cluster_name": identity.cluster_name,
            "cluster": identity.cluster.to_string(),
            "node": identity.node.0,
            "incarnation": identity.incarnation.to_string(),
        })),
        "hard_state": hard_state(survey),
        "members": survey.membership().map(members),
        "members_as_of_damage": survey.log.broken,
        "safe_up_to": survey.safe_up_to().map(id),
        "log": log(survey),
        "snapshots": survey.snapshots.iter().map(snapshot).collect::<Vec<_>>(),
        "arriving": survey.arriving.as_ref().map(|(meta, there)| json!({
            "last": id(meta.last), "bytes": meta.size, "bytes_there": there,
        })),
        "unfinished": survey.leftovers.iter().chain(&survey.log.spares).collect::<Vec<_>>(),
        "problems": survey.problems.iter().map(problem).collect::<Vec<_>>(),
        "flaws": survey.flaws.iter().map(problem).collect::<Vec<_>>(),
    })
}

pub(super) fn hard_state(survey: &Survey) -> Value {
    let hard_state = &survey.log.hard_state;
    let as_of_damage = survey.log.broken;
    let known = super::known(survey)
        .into_iter()
        .map(|(node, incarnation)| json!({"node": node.0, "incarnation": incarnation.to_string()}));
    json!({
        "term": hard_state.term.0,
        "vote": hard_state.vote.map(|vote| vote.0),
        "known": known.collect::<Vec<_>>(),
        "as_of_damage": as_of_damage,
    })
}

fn log(survey: &Survey) -> Value {
    let log = &survey.log;
    json!({
        "base": id(log.base),
        "first": log.entries.first().map(|entry| id(entry.id)),
        "last": id(log.last()),
        "entries": log.entries.len(),
        "frames": log.frames,
        "snapshot": log.snapshot.as_ref().map(|meta| id(meta.last)),
        "torn": log.cut.as_ref().filter(|cut| cut.torn).map(|cut| json!({
            "file": cut.path, "offset": cut.offset,
        })),
        "as_of_damage": log.broken,
        "unread": log.unread,
        "segments": log.segments.iter().map(segment).collect::<Vec<_>>(),
    })
}

fn segment(segment: &SegmentSurvey) -> Value {
    let SegmentSurvey { path, number, bytes, used, entries } = segment;
    json!({
        "file": path,
        "number": number,
        "bytes": bytes,
        "used": used,
        "first": entries.map(|(first, _)| id(first)),
        "last": entries.map(|(_, last)| id(last)),
    })
}

fn snapshot(snapshot: &SnapshotSurvey) -> Value {
    let SnapshotSurvey { path, meta, bytes, named, state_hash } = snapshot;
    let SnapshotMeta { last, membership, size, checksum: _ } = meta;
    json!({
        "file": path,
        "last": id(*last),
        "bytes": bytes,
        "payload_bytes": size,
        "named_by_log": named,
        "state_hash": state_hash.map(|hash| format!("{hash:016x}")),
        "members": members(membership),
    })
}

pub(super) fn problem(error: &StorageError) -> Value {
    let (kind, file, offset, safe) = match error {
        StorageError::Damaged(damage) => {
            ("damaged", Some(&damage.path), damage.offset, damage.last_good)
        }
        StorageError::Version { path, offset, .. } => ("version", Some(path), Some(*offset), None),
        StorageError::Foreign { path, .. } => ("foreign", Some(path), None, None),
        StorageError::NotOurs { dir, .. } => ("not_ours", Some(dir), None, None),
        StorageError::Disk(error) => ("disk", Some(&error.path), None, None),
    };
    json!({
        "kind": kind,
        "file": file,
        "offset": offset,
        "whole_up_to": safe.map(id),
        "error": error.to_string(),
        "hint": error.hint(),
    })
}

pub(super) fn members(membership: &Membership) -> Value {
    let ids = |ids: &BTreeSet<NodeId>| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    json!({
        "voters": ids(&membership.voters),
        "outgoing": ids(&membership.outgoing),
        "learners": ids(&membership.learners),
    })
}

pub(super) fn id(id: LogId) -> Value {
    json!({"index": id.index.0, "term": id.term.0})
}
