//! The cluster grows, every node it began with is replaced, and it shrinks again, while nodes are
//! killed between the steps and amid them.

use std::collections::BTreeSet;

use super::stage::{Kind, Row, Stage, Whole, Whom};
use super::{change, names};
use crate::NodeId;
use crate::events::monotonic_us;
use crate::exit::{Code, Failure};

/// How many nodes the cluster grows by.
pub(super) const GROWTH: u16 = 2;

/// From the beginning of a change to the kill amid it.
const AMID_MS: (u64, u64) = (0, 150);

pub(super) async fn act(stage: &mut Stage, rounds: u16) -> Result<(), Failure> {
    let first = stage.runner.members().into_iter().map(|id| id.0).max().unwrap_or_default() + 1;
    let mut fresh = (first..).map(NodeId);
    for _ in 0..rounds {
        let founders = stage.runner.members();
        let grown: Vec<NodeId> = fresh.by_ref().take(usize::from(GROWTH)).collect();
        step(stage, &grown, &[]).await?;
        for founder in founders {
            let successor = fresh.next().expect("numbers do not end");
            step(stage, &[successor], &[founder]).await?;
        }
        step(stage, &[], &grown).await?;
    }
    stage.await_silence().await?;
    stage.settle().await
}

/// One change of the membership, with a kill before it and one amid it.
async fn step(stage: &mut Stage, add: &[NodeId], remove: &[NodeId]) -> Result<(), Failure> {
    stage.settle().await?;
    let whom = stage.draw_whom();
    stage.kill(whom, "").await?;
    stage.settle().await?;
    stage.retire_told().await?;
    for id in add {
        stage.runner.join(*id).await?;
    }
    let before: BTreeSet<NodeId> = stage.runner.members().into_iter().collect();
    let mut members = before.clone();
    members.extend(add);
    members.retain(|id| !remove.contains(id));
    let removed: BTreeSet<NodeId> = before.difference(&members).copied().collect();
    carry_out(stage, &members, in_words(add, remove, members.len())).await?;
    stage.await_told(&removed).await
}

fn in_words(add: &[NodeId], remove: &[NodeId], count: usize) -> String {
    let names = |ids: &[NodeId]| names(&ids.iter().copied().collect());
    match (add, remove) {
        (add, []) => format!("grow to {count}: add {}", names(add)),
        ([], remove) => format!("shrink to {count}: remove {}", names(remove)),
        (add, remove) => format!("replace {} by {}", names(remove), names(add)),
    }
}

/// Asks for the change, kills somebody while it is under way, and waits until it is done.
async fn carry_out(
    stage: &mut Stage,
    members: &BTreeSet<NodeId>,
    what: String,
) -> Result<(), Failure> {
    let (_, before) = stage.led().await?;
    let (at_us, begun) = (monotonic_us(), std::time::Instant::now());
    let mut change = change::begin(&stage.runner, members)?;
    let amid = stage.draw_ms(AMID_MS);
    stage.pass(amid).await?;
    let whom = stage.draw_whom();
    let aside = if change.is_done() { ", just changed" } else { ", amid the change" };
    stage
        .kill(
            match whom {
                Whom::Anybody if change.is_done() => Whom::This(before.0),
                whom => whom,
            },
            aside,
        )
        .await?;
    stage.wait(change.ended()).await?;
    let took =
        change.outcome().map_err(|why| Failure::new(Code::TooSlow, format!("{what}: {why}")))?;
    let took = took.duration_since(begun);
    stage.runner.set_members(members, took);
    let (_, after) = stage.led().await?;
    stage.rows.push(Row {
        kind: Kind::Change,
        at_us,
        until_us: at_us + crate::events::micros(took),
        what,
        led: false,
        before,
        after,
        how: String::new(),
        took: Some(took),
        whole: Whole::NotYet,
    });
    Ok(())
}
