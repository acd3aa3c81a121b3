//! Troubles of links and disks that a person ordered, and their end.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use chaos_net::partition::{self, Place};
use chaos_net::{Counters, Cut, Link, Net, Shape};
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::orders::{Lines, spaced};
use super::{Phase, Runner, role_in};
use crate::NodeId;
use crate::control::{DiskTrouble, Effect, Order, Scope, Way};
use crate::dashboard::Feed;
use crate::events::{Event, Shown, grouped, micros};
use crate::exit::Failure;
use crate::lab::{HANG_MAX, Ledger, Parts, growth, merge, telling};
use crate::plan::Target;

/// What is ordered in a scenario is numbered from here, above its own faults.
const BESIDE: u32 = 1000;
/// So long it is looked whether a trouble bites, before the answer.
const BITE: Duration = Duration::from_millis(300);
/// How long a disk may take to see what it is told.
const HEARD_MAX: Duration = Duration::from_secs(2);
/// A node whose disk failed is started again after this, unless the order says when.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// What is in place by order.
#[derive(Debug, Default)]
pub(super) struct Hand {
    /// Proxies and disks, as far as the cluster was started with them.
    parts: Parts,
    /// What a scenario wants of links.
    scheduled: BTreeMap<Link, Shape>,
    /// Targets drawn so far.
    pub(super) drawn: u32,
    /// Nodes that were ended by order and have not been seen up since.
    pub(super) held: BTreeSet<NodeId>,
    /// Nodes that stand still, and until when.
    pub(super) pauses: Vec<(Option<Instant>, BTreeSet<NodeId>)>,
    troubles: Vec<Trouble>,
    numbers: u32,
}

/// One order's effect on links or disks.
#[derive(Debug)]
struct Trouble {
    number: u32,
    kind: &'static str,
    what: String,
    begun: Instant,
    ends: Option<Instant>,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Links { shapes: BTreeMap<Link, Shape>, before: BTreeMap<Link, Counters> },
    Disks { trouble: DiskTrouble, before: BTreeMap<NodeId, Ledger> },
}

impl Hand {
    /// Nothing ordered is in place.
    pub(super) fn is_idle(&self) -> bool {
        self.troubles.is_empty() && self.pauses.is_empty()
    }

    /// When the next of it ends.
    pub(super) fn due(&self) -> Option<Instant> {
        let troubles = self.troubles.iter().filter_map(|trouble| trouble.ends);
        troubles.chain(self.pauses.iter().filter_map(|(ends, _)| *ends)).min()
    }

    fn net(&self) -> &Net {
        self.parts.net.as_ref().expect("orders about links are refused without proxies")
    }

    fn ledger(&self, id: NodeId) -> Ledger {
        self.parts.disks.as_ref().and_then(|disks| disks.ledger(id)).unwrap_or_default()
    }

    /// What shows that a trouble bit.
    fn evidence(&self, work: &Work) -> String {
        let counts: Vec<(&str, u64)> = match work {
            Work::Links { before, .. } => before
                .iter()
                .filter_map(|(link, before)| {
                    let now = self.net().counters(*link)?;
                    Some(growth(&before.rows(), &now.rows()))
                })
                .flatten()
                .filter_map(|(what, more)| Some((telling(what)?, more)))
                .collect(),
            Work::Disks { trouble, before } => {
                let more =
                    before.iter().map(|(id, before)| bitten(trouble, before, &self.ledger(*id)));
                more.collect()
            }
        };
        let mut found: BTreeMap<&str, u64> = BTreeMap::new();
        for (what, more) in counts {
            *found.entry(what).or_default() += more;
        }
        let found = found.into_iter().filter(|(_, count)| 0 < *count);
        let words = found.map(|(what, count)| format!("{what} {}", grouped(count)));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Makes every link what all orders and the scenario together want of it.
    async fn apply_links(&self) -> Result<(), Failure> {
        let mut wanted = self.scheduled.clone();
        for trouble in &self.troubles {
            let Work::Links { shapes, .. } = &trouble.work else { continue };
            for (link, shape) in shapes {
                let merged = wanted.entry(*link).or_default();
                *merged = merge(*merged, *shape);
            }
        }
        let is = |link| self.net().status(link).map(|status| status.shape);
        let links = self.net().names().into_iter();
        let shapes: Vec<(Link, Shape)> = links
            .map(|link| (link, wanted.get(&link).copied().unwrap_or_default()))
            .filter(|(link, shape)| is(*link) != Some(*shape))
            .collect();
        let applied = self.net().shape_each(&shapes).await;
        Ok(applied.map_err(anyhow::Error::from)?)
    }
}

impl Runner {
    /// The proxies and disks that the nodes were started with.
    pub(crate) fn put_in_place(&mut self, parts: Parts) {
        self.hand.parts = parts;
    }

    /// What a person may trouble beside a scenario: its links, if they run through proxies. Its disks
    /// are its own.
    pub(crate) fn share_links(&mut self, parts: &Parts) {
        self.hand.parts = Parts { net: parts.net.clone(), ..Parts::default() };
        self.hand.numbers = BESIDE;
    }

    /// Makes every link what a scenario wants of it now, and what was ordered besides.
    pub(crate) async fn want_of_links(
        &mut self,
        wanted: BTreeMap<Link, Shape>,
    ) -> Result<(), Failure> {
        self.hand.scheduled = wanted;
        self.hand.apply_links().await
    }

    /// Refuses what needs a part of the laboratory that is not in place.
    pub(super) fn expect_parts(&self, order: &Order) -> Result<(), Failure> {
        let parts = &self.hand.parts;
        let missing = match order {
            Order::Partition { .. } | Order::Link { .. } => {
                parts.net.is_none().then_some("proxies on its links")
            }
            Order::PowerLoss { .. } | Order::Disk { .. } => {
                parts.disks.is_none().then_some("laboratory disks that take orders")
            }
            _ => None,
        };
        let Some(missing) = missing else { return Ok(()) };
        let hint = if self.feed.as_ref().is_some_and(Feed::is_of_scenario) {
            "a scenario has proxies if it has faults of links, and its disks are its own"
        } else {
            "start it with `chaos-ctl up --lab`"
        };
        Err(Failure::usage(format!("this cluster has no {missing}")).hint(hint))
    }

    fn numbers(&self) -> BTreeSet<u64> {
        self.members().into_iter().map(|id| id.0).collect()
    }

    pub(super) async fn partition(
        &mut self,
        cut: &str,
        one_way: Option<Way>,
        refuse: bool,
        lasts: Option<Duration>,
    ) -> Lines {
        let nodes = self.numbers();
        let whole = |what: &str| match one_way {
            Some(_) => Err(Failure::usage(format!("--one-way is about one node, not {what}"))),
            None => Ok(()),
        };
        let lot = rand::random();
        let (links, words) = if cut.contains('/') {
            whole("groups")?;
            let plain = cut.replace('n', "");
            let groups = partition::groups(&plain, &nodes)
                .map_err(|error| Failure::usage(format!("`{cut}`: {error}")))?;
            (partition::between(&nodes, &groups), grouped_names(&groups))
        } else if cut == "halves" {
            whole("halves")?;
            let groups = partition::halves(&nodes, Place::Anywhere, lot);
            (partition::between(&nodes, &groups), grouped_names(&groups))
        } else if cut == "ring" {
            whole("a ring")?;
            let what = "every node hears a majority, each another one".to_owned();
            (partition::ring(&nodes, lot), what)
        } else {
            self.one_cut_off(cut, one_way).await?
        };
        if links.is_empty() {
            return Err(Failure::usage(format!("`{cut}` cuts no link of {} nodes", nodes.len())));
        }
        let shape = if refuse { Shape::refuse() } else { Shape::hang() };
        let how = if refuse { ", connections refused" } else { "" };
        let shapes: BTreeMap<Link, Shape> = links.into_iter().map(|link| (link, shape)).collect();
        let what = format!("{words}{how}");
        self.begin_links(("partition", what), shapes, lasts).await
    }

    async fn one_cut_off(
        &mut self,
        cut: &str,
        one_way: Option<Way>,
    ) -> Result<(BTreeSet<Link>, String), Failure> {
        let forms = "write groups as in 1,2/3,4,5, or leader, follower, n1, ring or halves";
        let target: Target = cut.parse().map_err(|_other: String| {
            Failure::usage(format!("`{cut}` is no partition: {forms}"))
        })?;
        let (_, chosen) = self.meant(&target, Self::has_process).await?;
        let (1, Some(id)) = (chosen.len(), chosen.first()) else {
            return Err(Failure::usage(format!("`{cut}` is not one node: {forms}")));
        };
        let nodes = self.numbers();
        Ok(match one_way {
            None => (partition::isolate(&nodes, id.0), format!("{id} cut off from all others")),
            Some(Way::In) => (partition::deaf(&nodes, id.0), format!("{id} hears nobody")),
            Some(Way::Out) => (partition::mute(&nodes, id.0), format!("{id} is not heard")),
        })
    }

    pub(super) async fn trouble_links(
        &mut self,
        links: &str,
        effect: &Effect,
        lasts: Option<Duration>,
    ) -> Lines {
        let shape = shape_of(effect)?;
        let links = match links {
            "leader" | "follower" | "any" => {
                let target = links.parse().map_err(Failure::usage)?;
                let (_, chosen) = self.meant(&target, Self::has_process).await?;
                let nodes = self.numbers();
                chosen.iter().flat_map(|id| partition::isolate(&nodes, id.0)).collect()
            }
            named => links_in(named, &self.numbers()).map_err(Failure::usage)?,
        };
        let names: Vec<String> =
            links.iter().map(|link| format!("{}>{}", link.from, link.to)).collect();
        let what = format!("{} {}", names.join(" "), in_words(effect));
        let shapes = links.into_iter().map(|link| (link, shape)).collect();
        self.begin_links(("link", what), shapes, lasts).await
    }

    async fn begin_links(
        &mut self,
        (kind, what): (&'static str, String),
        shapes: BTreeMap<Link, Shape>,
        lasts: Option<Duration>,
    ) -> Lines {
        let net = self.hand.net();
        let before = shapes.keys().filter_map(|link| Some((*link, net.counters(*link)?))).collect();
        let count = shapes.len();
        let number = self.begin((kind, what), Work::Links { shapes, before }, lasts);
        self.hand.apply_links().await?;
        sleep(BITE.min(lasts.unwrap_or(BITE))).await;
        let mut lines = self.told(number);
        lines.insert(
            1.min(lines.len()),
            format!("{count} link{}", if count == 1 { "" } else { "s" }),
        );
        Ok(lines)
    }

    fn begin(
        &mut self,
        (kind, what): (&'static str, String),
        work: Work,
        lasts: Option<Duration>,
    ) -> u32 {
        self.hand.numbers += 1;
        let number = self.hand.numbers;
        let until = match lasts {
            Some(time) => format!("for {}", Shown(micros(time))),
            None => "until `chaos-ctl heal`".to_owned(),
        };
        let event = Event::Fault { number, fault: kind, what: format!("{what}   {until}") };
        self.journal.record(&event);
        let begun = Instant::now();
        let ends = lasts.and_then(|time| begun.checked_add(time));
        let what = format!("{what}   {until}");
        self.hand.troubles.push(Trouble { number, kind, what, begun, ends, work });
        number
    }

    /// A trouble, and what shows so far that it bites.
    fn told(&self, number: u32) -> Vec<String> {
        let Some(trouble) = self.hand.troubles.iter().find(|it| it.number == number) else {
            return Vec::new();
        };
        let (kind, what) = (trouble.kind, &trouble.what);
        let mut lines = vec![format!("{kind} {number}  {what}")];
        let evidence = self.hand.evidence(&trouble.work);
        let after = Shown(micros(trouble.begun.elapsed()));
        lines.push(match evidence.as_str() {
            "" => format!("nothing shows that it bites after {after}"),
            evidence => format!("after {after}: {evidence}"),
        });
        lines
    }

    pub(super) async fn cut_power(&mut self, target: &Target, restart: Option<Duration>) -> Lines {
        let (view, chosen) = self.meant(target, Self::has_process).await?;
        let running: Vec<NodeId> =
            chosen.iter().copied().filter(|id| self.has_process(*id)).collect();
        if running.is_empty() {
            let who = spaced(chosen.iter().copied());
            return Err(Failure::usage(format!("{who}: down already")));
        }
        let nodes = running.iter().copied().collect();
        self.hang_syncs(&nodes, true)?;
        let deadline = Instant::now() + HANG_MAX;
        while self.hand.parts.disks.as_ref().is_some_and(|it| !it.hold_back(&nodes))
            && Instant::now() < deadline
        {
            sleep(Duration::from_millis(2)).await;
        }
        let mut lines = self.end_all(&running, Signal::SIGKILL, restart, &view).await?;
        self.hang_syncs(&nodes, false)?;
        for &id in &running {
            let Ledger { unsynced_bytes, unsynced_names, .. } = self.hand.ledger(id);
            let text = format!(
                "{id} lost what was not synced: {} bytes, {unsynced_names} names",
                grouped(unsynced_bytes)
            );
            self.journal.record(&Event::Note { text: text.clone() });
            lines.push(text);
        }
        Ok(lines)
    }

    fn hang_syncs(&mut self, nodes: &BTreeSet<NodeId>, hang: bool) -> Result<(), Failure> {
        self.hand.parts.disks.as_mut().map_or(Ok(()), |disks| disks.hang(nodes, hang))
    }

    pub(super) async fn trouble_disks(
        &mut self,
        target: &Target,
        trouble: &DiskTrouble,
        lasts: Option<Duration>,
    ) -> Lines {
        let (view, chosen) = self.meant(target, Self::has_process).await?;
        let running: Vec<NodeId> =
            chosen.iter().copied().filter(|id| self.has_process(*id)).collect();
        if running.is_empty() {
            let who = spaced(chosen.iter().copied());
            return Err(Failure::usage(format!("{who}: down, and so is the disk")));
        }
        let before: BTreeMap<NodeId, Ledger> =
            running.iter().map(|id| (*id, self.hand.ledger(*id))).collect();
        let named: Vec<String> =
            running.iter().map(|id| format!("{id} {}", role_in(&view, *id))).collect();
        let who = named.join(", ");
        let (kind, what, ends) = match trouble {
            DiskTrouble::SlowFsync(more) => {
                ("slow_disk", format!("each sync of {who} takes {more} longer"), lasts)
            }
            DiskTrouble::Full => ("disk_full", format!("the disk of {who} is full"), lasts),
            DiskTrouble::IoError => {
                // The node ends itself and is started again; no sync fails a second time.
                let back = lasts.unwrap_or(AFTER_ERROR);
                for &id in &running {
                    self.excuse(id, Some(back));
                }
                ("disk_error", format!("the next sync of {who} fails"), Some(back.max(BITE)))
            }
        };
        let orders = self.order_disks(&running, trouble, true)?;
        let work = Work::Disks { trouble: trouble.clone(), before };
        let number = self.begin((kind, what), work, ends);
        let deadline = Instant::now() + HEARD_MAX;
        let heard = |own: &Self| {
            orders.iter().filter(|(id, order)| *order <= own.hand.ledger(*id).generation).count()
        };
        while heard(self) < orders.len() && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        let in_force = heard(self);
        sleep(BITE.min(lasts.unwrap_or(BITE))).await;
        let mut lines = self.told(number);
        lines.insert(1.min(lines.len()), format!("in force on {in_force} of {}", orders.len()));
        Ok(lines)
    }

    /// Tells disks what to do, and returns the numbers of these orders.
    fn order_disks(
        &mut self,
        nodes: &[NodeId],
        trouble: &DiskTrouble,
        begins: bool,
    ) -> Result<Vec<(NodeId, u64)>, Failure> {
        let disks = self.hand.parts.disks.as_mut();
        let disks = disks.expect("orders about disks are refused without them");
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let order = |id: &NodeId| {
            let number = disks.order(*id, |control| match trouble {
                DiskTrouble::SlowFsync(more) => {
                    control.slow_sync_ms = begins.then(|| [ms(more.min()), ms(more.max())]);
                }
                DiskTrouble::Full => control.full = begins,
                DiskTrouble::IoError => control.sync_error = begins,
            })?;
            Ok((*id, number))
        };
        nodes.iter().map(order).collect()
    }

    /// Ends what was ordered for a time that is over.
    pub(super) async fn end_what_is_due(&mut self, now: Instant) -> Result<(), Failure> {
        while self.hand.due().is_some_and(|due| due <= now) {
            let over = |ends: Option<Instant>| ends.is_some_and(|ends| ends <= now);
            let paused = self.hand.pauses.iter().find(|(ends, _)| over(*ends));
            if let Some((_, nodes)) = paused.cloned() {
                self.resume_these(&nodes);
            }
            let place = self.hand.troubles.iter().position(|trouble| over(trouble.ends));
            if let Some(place) = place {
                let trouble = self.hand.troubles.remove(place);
                self.end_trouble(trouble).await?;
            }
        }
        Ok(())
    }

    async fn end_trouble(&mut self, trouble: Trouble) -> Result<String, Failure> {
        let Trouble { number, kind, begun, work, .. } = trouble;
        let evidence = self.hand.evidence(&work);
        match &work {
            Work::Links { .. } => self.hand.apply_links().await?,
            Work::Disks { trouble, before } => {
                let nodes: Vec<NodeId> = before.keys().copied().collect();
                self.order_disks(&nodes, trouble, false)?;
                let unhurt = nodes.into_iter().filter(|_| *trouble == DiskTrouble::IoError);
                let unhurt: Vec<NodeId> = unhurt.filter(|id| self.has_process(*id)).collect();
                for id in unhurt {
                    self.excuse(id, None);
                }
            }
        }
        for id in self.members() {
            self.doubt(id);
        }
        let outcome = if evidence.is_empty() { "indeterminate" } else { "installed" };
        let evidence =
            if evidence.is_empty() { "nothing shows that it bit".to_owned() } else { evidence };
        let line =
            format!("{kind} {number}  over after {}: {evidence}", Shown(micros(begun.elapsed())));
        self.journal.record(&Event::Over { number, fault: kind, outcome, evidence });
        Ok(line)
    }

    /// Undoes what was ordered.
    pub(crate) async fn heal_by_order(&mut self, what: Scope) -> Lines {
        let mut lines = Vec::new();
        let of_links = |trouble: &Trouble| matches!(trouble.work, Work::Links { .. });
        while let Some(place) =
            self.hand.troubles.iter().position(|it| what != Scope::Links || of_links(it))
        {
            let trouble = self.hand.troubles.remove(place);
            lines.push(self.end_trouble(trouble).await?);
        }
        if what != Scope::Links {
            let paused = std::mem::take(&mut self.hand.pauses);
            let paused = paused.into_iter().flat_map(|(_, nodes)| nodes).collect();
            lines.extend(self.resume_these(&paused));
        }
        if what == Scope::All {
            for id in self.members() {
                if matches!(self.nodes[&id].phase, Phase::Down { .. }) {
                    lines.push(self.start_now(id).await?);
                }
            }
        }
        if lines.is_empty() {
            lines.push("nothing to heal".to_owned());
        }
        Ok(lines)
    }

    /// Undoes all that was ordered, as a run does before it is judged. Nodes that were ended by order
    /// are started again if they are wanted.
    pub(crate) async fn heal_before_the_end(&mut self, start: bool) -> Result<(), Failure> {
        if !self.hand.is_idle() {
            self.heal_by_order(Scope::Faults).await?;
        }
        let held = std::mem::take(&mut self.hand.held);
        for id in held.into_iter().filter(|_| start) {
            if matches!(self.nodes.get(&id).map(|node| &node.phase), Some(Phase::Down { .. })) {
                self.start_now(id).await?;
            }
        }
        Ok(())
    }

    /// Ends the proxies, when the nodes are gone.
    pub(crate) async fn end_proxies(&self) {
        if let Some(net) = &self.hand.parts.net {
            net.shutdown().await;
        }
    }
}

/// What a disk counted of a trouble since it began.
fn bitten(trouble: &DiskTrouble, before: &Ledger, now: &Ledger) -> (&'static str, u64) {
    let (what, then, now) = match trouble {
        DiskTrouble::SlowFsync(_) => ("syncs slowed", before.syncs_slowed, now.syncs_slowed),
        DiskTrouble::Full => ("writes refused", before.refused_full, now.refused_full),
        DiskTrouble::IoError => ("syncs failed", before.syncs_failed, now.syncs_failed),
    };
    // A process that has ended since counts from 0.
    (what, if then <= now { now - then } else { now })
}

fn grouped_names(groups: &[BTreeSet<u64>]) -> String {
    let words = groups.iter().map(|group| spaced(group.iter().copied().map(NodeId)));
    words.collect::<Vec<_>>().join(" | ")
}

fn shape_of(effect: &Effect) -> Result<Shape, Failure> {
    if effect == &Effect::default() {
        return Err(Failure::usage(
            "say what the link shall do: --delay, --loss, --rate, --hang or --reset",
        ));
    }
    if effect.jitter.is_some() && effect.delay.is_none() {
        return Err(Failure::usage("--jitter goes with --delay"));
    }
    if effect.rate.is_some_and(|rate| rate.0 < 1024) {
        let what = "a rate below 1KiB lets nothing through; --hang cuts the link";
        return Err(Failure::usage(what));
    }
    Ok(Shape {
        cut: if effect.hang { Cut::Hang } else { Cut::None },
        delay: effect.delay.map_or(Duration::ZERO, |delay| delay.0),
        jitter: effect.jitter.map_or(Duration::ZERO, |jitter| jitter.0),
        loss: effect.loss.map_or(0.0, |loss| loss.0 / 100.0),
        rate: effect.rate.and_then(|rate| NonZeroU64::new(rate.0)),
        resets_per_second: effect.reset.map_or(0.0, |reset| reset.0 / 100.0),
        ..Shape::default()
    })
}

fn in_words(effect: &Effect) -> String {
    let parts = [
        effect.hang.then(|| "cut".to_owned()),
        effect.delay.map(|delay| match effect.jitter {
            Some(jitter) => format!("late by {delay} and up to {jitter} more"),
            None => format!("late by {delay}"),
        }),
        effect.loss.map(|loss| format!("losing {loss}")),
        effect.rate.map(|rate| format!("{rate}/s narrow")),
        effect.reset.map(|reset| format!("reset with a chance of {reset} each second")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Links by name: `1>2` or `1:2` one way, `1-2` both ways, `all`.
fn links_in(text: &str, nodes: &BTreeSet<u64>) -> Result<BTreeSet<Link>, String> {
    if text == "all" {
        return Ok(partition::all(nodes));
    }
    let wrong = || {
        format!(
            "`{text}` names no link: write '1>2' (in quotes, or the shell takes the > away), 1:2, \
             1-2 for both ways, leader or all"
        )
    };
    let node = |name: &str| {
        let digits = name.trim();
        let digits = digits.strip_prefix('n').unwrap_or(digits);
        digits.parse::<u64>().map_err(|_no_number| wrong())
    };
    let (from, to) = text.split_once(['>', ':', '-']).ok_or_else(wrong)?;
    let (from, to) = (node(from)?, node(to)?);
    if let Some(stranger) = [from, to].into_iter().find(|id| !nodes.contains(id)) {
        return Err(format!("there is no node n{stranger}"));
    }
    if from == to {
        return Err(format!("n{from} has no link to itself"));
    }
    let both = text.contains('-').then(|| Link::new(to, from));
    Ok([Link::new(from, to)].into_iter().chain(both).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_named_and_what_is_no_name_is_told() {
        let nodes: BTreeSet<u64> = (1..=3).collect();
        let link = |from, to| Link::new(from, to);
        assert_eq!(links_in("1>2", &nodes), Ok([link(1, 2)].into()));
        assert_eq!(links_in("n1:n2", &nodes), Ok([link(1, 2)].into()));
        assert_eq!(links_in("2-3", &nodes), Ok([link(2, 3), link(3, 2)].into()));
        assert_eq!(links_in("all", &nodes).unwrap().len(), 6);
        // What the shell leaves of an unquoted 1>2.
        let lost = links_in("1", &nodes).unwrap_err();
        assert!(lost.contains("in quotes"), "{lost}");
        assert_eq!(links_in("1>4", &nodes).unwrap_err(), "there is no node n4");
        assert_eq!(links_in("1>1", &nodes).unwrap_err(), "n1 has no link to itself");
        assert!(links_in("one>two", &nodes).is_err());
    }

    #[test]
    fn a_link_is_told_what_to_do() {
        let effect = Effect { jitter: Some("3ms".parse().unwrap()), ..Effect::default() };
        assert!(shape_of(&Effect::default()).unwrap_err().error.to_string().contains("--delay"));
        assert!(shape_of(&effect).unwrap_err().error.to_string().contains("goes with --delay"));
        let narrow = Effect { rate: Some("100B".parse().unwrap()), ..Effect::default() };
        assert!(shape_of(&narrow).unwrap_err().error.to_string().contains("below 1KiB"));
    }
}
