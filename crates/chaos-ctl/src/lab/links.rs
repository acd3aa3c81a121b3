//! Faults of the links between nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use chaos_net::partition::{self, Place};
use chaos_net::{Counters, Cut, Link, Net, Shape, Side, Stall};

use super::acts::{growth, named};
use super::engine::Engine;
use super::heal::{LinksWork, Work, lasts};
use crate::NodeId;
use crate::events::{Shown, micros};
use crate::exit::Failure;
use crate::plan::{self, Draw, Fault, Links, LinksOf, Mode};
use crate::watch::View;

impl Engine {
    fn net(&self) -> &Net {
        self.parts.net.as_ref().expect("faults of links come only with proxies")
    }

    fn member_numbers(&self) -> BTreeSet<u64> {
        self.runner.members().into_iter().map(|id| id.0).collect()
    }

    pub(super) async fn begin_links(
        &mut self,
        record: usize,
        draw: &Draw,
        view: &View,
    ) -> Result<Work, Failure> {
        let time = Shown(micros(lasts(&draw.fault)));
        let nodes = self.member_numbers();
        let victims = self.records[record].nodes.clone();
        let (shapes, steps, what) = match &draw.fault {
            Fault::Partition(partition) => {
                let cut =
                    if partition.mode == Mode::Hang { Shape::hang() } else { Shape::refuse() };
                let (links, words) = self.cut_links(draw);
                let how = if partition.mode == Mode::Hang { "" } else { ", connections refused" };
                let shapes = links.into_iter().map(|link| (link, cut)).collect();
                (shapes, VecDeque::new(), format!("{words} for {time}{how}"))
            }
            Fault::Swizzle(_) => {
                let steps = swizzle(&nodes, draw.lot, lasts(&draw.fault));
                (BTreeMap::new(), steps, format!("cut and heal links one by one within {time}"))
            }
            Fault::Link(links) => {
                let shape = shape_of(links);
                let chosen = chosen_links(links, &nodes, &victims, draw.lot);
                let whose = match links.links {
                    LinksOf::All => "all links".to_owned(),
                    LinksOf::Target => format!("links of {}", named(&victims, view)),
                    LinksOf::Pair => chosen.iter().next().map_or_else(String::new, |link| {
                        format!("links between n{} and n{}", link.from, link.to)
                    }),
                };
                let what = format!("{whose} {} for {time}", in_words(links));
                let shapes = chosen.into_iter().map(|link| (link, shape)).collect();
                (shapes, VecDeque::new(), what)
            }
            _ => (BTreeMap::new(), VecDeque::new(), String::new()),
        };
        self.records[record].what = what;
        self.announce(record);
        let touched: BTreeSet<Link> =
            shapes.keys().copied().chain(steps.iter().map(|(_, link, _)| *link)).collect();
        let before =
            touched.into_iter().filter_map(|link| Some((link, self.net().counters(link)?)));
        let before: BTreeMap<Link, Counters> = before.collect();
        let own = LinksWork { shapes, steps, before };
        self.apply_links(Some(&own)).await?;
        Ok(Work::Links(own))
    }

    /// The links that a partition cuts, and what it is in words.
    fn cut_links(&self, draw: &Draw) -> (BTreeSet<Link>, String) {
        let nodes = self.member_numbers();
        let Fault::Partition(partition) = &draw.fault else { return Default::default() };
        let victim = match partition.target.pick(0) {
            plan::Target::Nodes(named) => named.first().map(|id| id.0),
            _ => None,
        };
        let victim = victim.or_else(|| nodes.first().copied()).unwrap_or_default();
        match partition.shape.first() {
            Some(plan::Shape::Isolate) | None => {
                (partition::isolate(&nodes, victim), format!("n{victim} cut off from all others"))
            }
            Some(plan::Shape::OneWayIn) => {
                (partition::deaf(&nodes, victim), format!("n{victim} hears nobody"))
            }
            Some(plan::Shape::OneWayOut) => {
                (partition::mute(&nodes, victim), format!("n{victim} is not heard"))
            }
            Some(plan::Shape::Halves) => {
                let groups = partition::halves(&nodes, Place::Anywhere, draw.lot);
                let words = groups.iter().map(|group| {
                    group.iter().map(|id| format!("n{id}")).collect::<Vec<_>>().join(" ")
                });
                let words = words.collect::<Vec<_>>().join(" | ");
                (partition::between(&nodes, &groups), words)
            }
            Some(plan::Shape::Ring) => (
                partition::ring(&nodes, draw.lot),
                "every node sees a majority, each another one".to_owned(),
            ),
            Some(plan::Shape::Bridge) => (
                partition::bridge(&nodes, victim, draw.lot),
                format!("two halves that only n{victim} joins"),
            ),
        }
    }

    /// Members that cannot be part of a majority during a partition.
    pub(super) fn cut_off(&self, record: usize, draw: &Draw) -> BTreeSet<NodeId> {
        let Fault::Partition(partition) = &draw.fault else { return BTreeSet::new() };
        match partition.shape.first() {
            Some(plan::Shape::Halves) => {
                let [few, _] = partition::halves(&self.member_numbers(), Place::Anywhere, draw.lot);
                few.into_iter().map(NodeId).collect()
            }
            // Whoever it is that cannot take part, it may be as many as can be missed.
            Some(plan::Shape::Ring | plan::Shape::Bridge) => {
                let members = self.runner.members();
                let count = crate::schedule::down_max(members.len());
                members.into_iter().take(count).collect()
            }
            _ => self.records[record].nodes.clone(),
        }
    }

    /// Makes every link what all faults together want of it, and what was ordered by hand besides.
    pub(super) async fn apply_links(&mut self, new: Option<&LinksWork>) -> Result<(), Failure> {
        let mut wanted: BTreeMap<Link, Shape> = BTreeMap::new();
        let works = self.active.iter().filter_map(|active| match &active.work {
            Work::Links(links) => Some(links),
            _ => None,
        });
        for work in works.chain(new) {
            for (link, shape) in &work.shapes {
                let merged = wanted.entry(*link).or_default();
                *merged = merge(*merged, *shape);
            }
        }
        self.runner.want_of_links(wanted).await
    }

    /// Links that are cut or healed one after the other.
    pub(super) async fn take_steps(&mut self, now: Instant) -> Result<(), Failure> {
        let mut changed = false;
        for active in &mut self.active {
            let Work::Links(links) = &mut active.work else { continue };
            while let Some((_, link, shape)) = links.steps.pop_front_if(|(due, ..)| *due <= now) {
                links.shapes.insert(link, shape);
                changed = true;
            }
        }
        if changed { self.apply_links(None).await } else { Ok(()) }
    }

    pub(super) async fn end_links(
        &mut self,
        record: usize,
        work: LinksWork,
    ) -> Result<(), Failure> {
        let mut after = Vec::new();
        for (link, before) in &work.before {
            let Some(now) = self.net().counters(*link) else { continue };
            after.extend(growth(&before.rows(), &now.rows()));
        }
        for (what, more) in after {
            if let Some(words) = telling(what) {
                self.records[record].count(words, more);
            }
        }
        // What this fault wanted does not count any more.
        self.apply_links(None).await
    }
}

/// Counters that show that a fault bit, in words.
pub(crate) fn telling(counter: &str) -> Option<&'static str> {
    Some(match counter {
        "bytes_held_total" => "bytes held back",
        "bytes_discarded" => "bytes lost",
        "connections_hung" => "connections not answered",
        "refusals_seen" => "connections refused",
        "resets_by_cut" | "resets_by_chance" | "resets_by_loss" => "connections reset",
        "chunks_delayed" => "pieces delayed",
        "chunks_lost" => "pieces lost and sent again",
        "chunks_limited" => "pieces that waited for the rate",
        "chunks_stalled" => "pieces that waited for a stall",
        _ => return None,
    })
}

/// What both together want.
pub(crate) fn merge(one: Shape, other: Shape) -> Shape {
    let cut = match (one.cut, other.cut) {
        (Cut::Refuse, _) | (_, Cut::Refuse) => Cut::Refuse,
        (Cut::Hang, _) | (_, Cut::Hang) => Cut::Hang,
        (Cut::None, Cut::None) => Cut::None,
    };
    Shape {
        cut,
        side: Side::Both,
        delay: one.delay + other.delay,
        jitter: one.jitter + other.jitter,
        loss: one.loss.max(other.loss),
        rate: match (one.rate, other.rate) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
        resets_per_second: one.resets_per_second + other.resets_per_second,
        stall: one.stall.or(other.stall),
    }
}

fn shape_of(links: &Links) -> Shape {
    let delay = links.delay.unwrap_or_default();
    Shape {
        delay: delay.min(),
        jitter: delay.width(),
        loss: links.loss.map_or(0.0, |loss| loss.0 / 100.0),
        rate: links.rate.and_then(|rate| NonZeroU64::new(rate.0)),
        resets_per_second: links.reset.map_or(0.0, |reset| reset.0 / 100.0),
        stall: links.stall.map(|stall| Stall { length: stall.max(), per_second: 2.0 }),
        ..Shape::default()
    }
}

fn in_words(links: &Links) -> String {
    let parts = [
        links.delay.map(|delay| format!("late by {delay}")),
        links.loss.map(|loss| format!("losing {loss}")),
        links.rate.map(|rate| format!("{rate}/s narrow")),
        links.reset.map(|reset| format!("reset {reset} each second")),
        links.stall.map(|stall| format!("stalling {stall} at a time")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn chosen_links(
    links: &Links,
    nodes: &BTreeSet<u64>,
    victims: &BTreeSet<NodeId>,
    lot: u64,
) -> BTreeSet<Link> {
    let of = |link: &Link| victims.iter().any(|id| id.0 == link.from || id.0 == link.to);
    let all = partition::all(nodes);
    match links.links {
        LinksOf::All => all,
        LinksOf::Target => all.into_iter().filter(of).collect(),
        LinksOf::Pair => {
            let mine: Vec<Link> = all.into_iter().filter(of).collect();
            let count = u64::try_from(mine.len()).unwrap_or(1).max(1);
            let place = usize::try_from(lot % count).unwrap_or_default();
            let pair = mine.get(place).map(|link| [*link, Link::new(link.to, link.from)]);
            pair.into_iter().flatten().collect()
        }
    }
}

/// Cuts the links of some nodes one by one in the first half of the time, and heals them in another
/// order in the second.
fn swizzle(nodes: &BTreeSet<u64>, lot: u64, time: Duration) -> VecDeque<(Instant, Link, Shape)> {
    // Of one node at most: a majority keeps its links.
    let count = u64::try_from(nodes.len()).unwrap_or(1).max(1);
    let place = usize::try_from(lot % count).unwrap_or_default();
    let Some(victim) = nodes.iter().nth(place) else { return VecDeque::new() };
    let order = partition::swizzle(&partition::isolate(nodes, *victim), lot);
    let (begun, half) = (Instant::now(), time / 2);
    let spread = |links: Vec<Link>, from: Duration, shape: Shape| {
        let count = u32::try_from(links.len()).unwrap_or(1).max(1);
        let step = half / count;
        links
            .into_iter()
            .zip(0_u32..)
            .map(move |(link, nth)| (begun + from + step * nth, link, shape))
    };
    let cuts = spread(order.cut, Duration::ZERO, Shape::hang());
    cuts.chain(spread(order.heal, half, Shape::clear())).collect()
}
