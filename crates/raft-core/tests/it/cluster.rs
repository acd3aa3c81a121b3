//! A cluster cranked by hand: nothing moves unless a script says so. Each node has a clock and a
//! disk of its own; messages wait until they are delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use bytes::Bytes;
use raft_core::{
    Apply, ClusterId, Committed, Config, Entry, Event, HardState, Incarnation, Index, Input,
    Instant, LogId, Membership, Message, Node, NodeId, Persist, Restored, RoleName,
    SnapshotCommand, SnapshotMeta, Token,
};

/// The checksum of every piece of a snapshot here, as long as nothing happens to it.
pub(crate) const CHECKSUM: u32 = 99;

/// What one node would find on its disk after a crash, and what its disk has still to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk {
    pub(crate) durable: Restored,
    queue: VecDeque<Persist>,
    /// Writes stay queued until the script says `persist`.
    pub(crate) slow: bool,
    /// Work on snapshot files, if it waits until the script says `serve`.
    files: Option<Vec<SnapshotCommand>>,
    incarnation: u64,
    /// How often the node was started.
    starts: u64,
    /// Bytes of the staging file, and of which snapshot.
    staged: Option<(SnapshotMeta, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) disks: BTreeMap<NodeId, TestDisk>,
    clocks: BTreeMap<NodeId, Instant>,
    pub(crate) wires: VecDeque<Message>,
    pub(crate) cuts: BTreeSet<(NodeId, NodeId)>,
    /// What each node applied, by index: two nodes must never differ.
    applied: BTreeMap<NodeId, Vec<Entry>>,
    /// Whose state machines are too slow to report anything.
    pub(crate) busy: BTreeSet<NodeId>,
    /// Where each node's state stands.
    stands: BTreeMap<NodeId, Index>,
    /// What became of each request; none while it waits.
    requests: BTreeMap<Token, Option<String>>,
    /// The last entry that anybody has applied.
    newest: LogId,
    /// What was applied somewhere when a request was made: a read must see it.
    floors: BTreeMap<Token, Index>,
    /// Only what `live` shows is said.
    quiet: bool,
    pub(crate) settings: Settings,
    /// Nodes that did not belong to the cluster when it began.
    joined: BTreeSet<NodeId>,
    out: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) voters: u64,
    pub(crate) learners: u64,
    pub(crate) trailing: u64,
    pub(crate) trailing_bytes: u64,
    pub(crate) append_entries: usize,
    pub(crate) inflight: usize,
    pub(crate) inflight_bytes: usize,
    pub(crate) uncommitted_bytes: usize,
    pub(crate) chunk: usize,
    pub(crate) snapshot_size: u64,
    pub(crate) apply_bytes: usize,
    pub(crate) apply_lag: usize,
    pub(crate) transfer_lag: usize,
    pub(crate) fast_failover: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            voters: 3,
            learners: 0,
            trailing: 0,
            trailing_bytes: 1 << 20,
            append_entries: 4096,
            inflight: 8,
            inflight_bytes: 1 << 20,
            uncommitted_bytes: 1 << 20,
            chunk: 10,
            snapshot_size: 25,
            apply_bytes: 1 << 20,
            apply_lag: 1 << 20,
            transfer_lag: 1 << 20,
            fast_failover: true,
        }
    }
}

impl Cluster {
    pub(crate) fn membership(&self) -> Membership {
        let all = 1..=self.settings.voters + self.settings.learners;
        let (voters, learners): (BTreeSet<_>, BTreeSet<_>) =
            all.map(NodeId).partition(|id| id.0 <= self.settings.voters);
        Membership { voters, learners, ..Membership::default() }
    }

    /// Starts a node from its disk. A node without one gets an empty disk of incarnation 1.
    pub(crate) fn start(&mut self, id: NodeId) {
        let settings = self.settings.clone();
        let bootstrap = self.membership();
        let disk = self.disks.entry(id).or_default();
        if disk.incarnation == 0 {
            disk.incarnation = 1;
        }
        // Whoever joins later knows nobody, even under a founder's id.
        if bootstrap.contains(id) && !self.joined.contains(&id) {
            disk.durable.bootstrap = bootstrap;
        }
        let incarnation = Incarnation(disk.incarnation);
        disk.starts += 1;
        let config = Config {
            seed: id.0 + 1000 * (disk.starts - 1),
            trailing_entries: settings.trailing,
            trailing_bytes_max: settings.trailing_bytes,
            append_entries_max: settings.append_entries,
            inflight_messages_max: settings.inflight,
            inflight_bytes_max: settings.inflight_bytes,
            uncommitted_bytes_max: settings.uncommitted_bytes,
            snapshot_chunk_bytes: settings.chunk,
            apply_bytes_max: settings.apply_bytes,
            apply_lag_bytes_max: settings.apply_lag,
            transfer_lag_bytes_max: settings.transfer_lag,
            fast_failover: settings.fast_failover,
            ..Config::new(ClusterId(7), id, incarnation)
        };
        let now = *self.clocks.entry(id).or_default();
        let node = match Node::restore(config, disk.durable.clone(), now) {
            Ok(node) => node,
            Err(error) => return self.say(&format!("{id} does not start: {error:?}")),
        };
        let since = node.commit_index();
        self.applied.entry(id).or_default().retain(|entry| entry.id.index <= since);
        self.stands.insert(id, since);
        self.nodes.insert(id, node);
    }

    /// A node that belongs to nobody yet.
    pub(crate) fn join(&mut self, id: NodeId) {
        self.joined.insert(id);
        self.start(id);
    }

    /// Everybody who ever was a member or wanted to be.
    pub(crate) fn everybody(&self) -> BTreeSet<NodeId> {
        self.membership().members().into_iter().chain(self.joined.iter().copied()).collect()
    }

    /// The process dies: what was not durable is gone, and so is what it had not read.
    pub(crate) fn crash(&mut self, id: NodeId) {
        self.nodes.remove(&id);
        if let Some(disk) = self.disks.get_mut(&id) {
            disk.queue.clear();
            disk.files = disk.files.take().map(|_| Vec::new());
        }
        self.wires.retain(|message| message.to != id);
    }

    /// The disk is replaced by an empty one.
    pub(crate) fn wipe(&mut self, id: NodeId) {
        self.crash(id);
        let incarnation = self.disks.get(&id).map_or(1, |disk| disk.incarnation) + 1;
        self.disks.insert(id, TestDisk { incarnation, ..TestDisk::default() });
    }

    pub(crate) fn advance(&mut self, id: NodeId, micros: u64) {
        self.clocks.entry(id).or_default().0 += micros;
    }

    /// The node's clock moves to its next deadline.
    pub(crate) fn advance_to_deadline(&mut self, id: NodeId) {
        let deadline = self.nodes[&id].next_deadline();
        let clock = self.clocks.entry(id).or_default();
        assert_ne!(deadline, Instant(u64::MAX), "{id} has no deadline");
        *clock = deadline.max(*clock);
    }

    pub(crate) fn step(&mut self, id: NodeId, input: Input) {
        let now = self.clocks[&id];
        self.nodes.get_mut(&id).expect("the node runs").step(now, input);
        self.settle(id);
    }

    /// An input whose effects wait for the next turn.
    fn step_only(&mut self, id: NodeId, input: Input) {
        self.nodes.get_mut(&id).expect("the node runs").step(self.clocks[&id], input);
    }

    /// The state machine has caught up.
    pub(crate) fn report_applied(&mut self, id: NodeId) {
        self.busy.remove(&id);
        let index = self.stands[&id];
        self.step(id, Input::Applied { index });
    }

    /// The node gets turns for as long as it wants the next one at once.
    pub(crate) fn take_turns(&mut self, id: NodeId) {
        while self.nodes[&id].next_deadline() <= self.clocks[&id] {
            self.step(id, Input::Tick);
        }
    }

    /// Several inputs in one turn.
    pub(crate) fn step_all(&mut self, id: NodeId, inputs: Vec<Input>) {
        let now = self.clocks[&id];
        for input in inputs {
            self.nodes.get_mut(&id).expect("the node runs").step(now, input);
        }
        self.settle(id);
    }

    /// Does what the node wants done, in the order of the fields.
    fn settle(&mut self, id: NodeId) {
        let effects = self.nodes.get_mut(&id).expect("the node runs").take_effects();
        for event in &effects.events {
            let is_news = !matches!(event, Event::Dropped { .. });
            self.say_if(is_news, &format!("{id} {event}"));
        }
        for message in effects.send {
            self.tell(|| message.to_string());
            self.wires.push_back(message);
        }
        if let Some(persist) = effects.persist {
            self.tell(|| format!("{id} persist {persist}"));
            self.disks.entry(id).or_default().queue.push_back(persist);
        }
        for apply in Self::one_by_one(effects.apply) {
            self.tell(|| format!("{id} {apply}"));
            let index = self.apply(id, apply);
            if !self.busy.contains(&id) {
                self.step_only(id, Input::Applied { index });
            }
        }
        for read in effects.reads {
            let floor = self.floors[&read.token];
            assert!(floor <= read.index, "#{} is stale: {} < {floor}", read.token.0, read.index);
            self.end(read.token, format!("read at {}", read.index));
            self.say_if(true, &format!("{id} read #{} at {}", read.token.0, read.index));
        }
        for token in effects.done {
            self.say_if(true, &format!("{id} has done #{}", token.0));
            self.end(token, "done".to_owned());
        }
        for (token, refusal) in effects.refused {
            let why = refusal.to_string();
            self.say_if(true, &format!("{id} refuses #{}: {why}", token.0));
            self.end(token, why);
        }
        if !self.disks[&id].slow {
            self.persist(id, usize::MAX);
        }
        for command in effects.snapshots {
            match &mut disk_of(&mut self.disks, id).files {
                Some(waiting) => waiting.push(command),
                None => self.serve_snapshot(id, command),
            }
        }
    }

    /// The disk finishes the first `count` writes: then, and only then, the promises leave.
    pub(crate) fn persist(&mut self, id: NodeId, count: usize) {
        let disk = self.disks.get_mut(&id).expect("the node has a disk");
        let jobs: Vec<Persist> = disk.queue.drain(..count.min(disk.queue.len())).collect();
        let Some(seq) = jobs.last().map(|job| job.seq) else { return };
        for job in jobs {
            write(&mut disk_of(&mut self.disks, id).durable, &job);
            for message in job.then_send {
                self.tell(|| message.to_string());
                self.wires.push_back(message);
            }
        }
        self.step(id, Input::Persisted { seq });
    }

    /// Delivers the messages that wait now and match, in order; what they cause waits.
    pub(crate) fn deliver(&mut self, wanted: impl Fn(&Message) -> bool) -> usize {
        let waiting: Vec<Message> = self.wires.drain(..).collect();
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(&wanted);
        self.wires.extend(later);
        let count = now.len();
        for message in now {
            self.arrive(message);
        }
        count
    }

    /// Delivers what has waited longest. Answers whether there was anything.
    pub(crate) fn deliver_first(&mut self) -> bool {
        let first = self.wires.pop_front();
        let is_some = first.is_some();
        if let Some(message) = first {
            self.arrive(message);
        }
        is_some
    }

    fn arrive(&mut self, message: Message) {
        if self.cuts.contains(&(message.from, message.to)) {
            self.tell(|| format!("lost: {message}"));
        } else if self.nodes.contains_key(&message.to) {
            self.step(message.to, Input::Message(message));
        } else {
            self.tell(|| format!("nobody home: {message}"));
        }
    }

    /// Time passes for all nodes alike, in steps from one deadline to the next.
    pub(crate) fn live(&mut self, micros: u64) {
        let mut left = micros;
        let was_quiet = std::mem::replace(&mut self.quiet, true);
        loop {
            while 0 < self.deliver(|_| true) {
                self.check();
            }
            let until = |(id, node): (&NodeId, &Node)| {
                node.next_deadline().0.saturating_sub(self.clocks[id].0)
            };
            let next = self.nodes.iter().map(until).min().unwrap_or(left).max(1);
            let elapsed = next.min(left);
            for clock in self.clocks.values_mut() {
                clock.0 += elapsed;
            }
            left -= elapsed;
            if left == 0 {
                break;
            }
            let due = |(id, node): (&NodeId, &Node)| {
                (node.next_deadline() <= self.clocks[id]).then_some(*id)
            };
            let due: Vec<NodeId> = self.nodes.iter().filter_map(due).collect();
            for id in due {
                self.step(id, Input::Tick);
            }
        }
        self.quiet = was_quiet;
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.say_if(false, line);
    }

    /// Says what takes time to put into words, unless nobody listens.
    fn tell(&mut self, line: impl FnOnce() -> String) {
        if !self.quiet {
            self.say(&line());
        }
    }

    /// Nobody reads the script: only news is kept.
    pub(crate) fn hush(&mut self) {
        self.quiet = true;
    }

    /// Says it, even while quiet if it is news.
    fn say_if(&mut self, is_news: bool, line: &str) {
        if is_news || !self.quiet {
            writeln!(self.out, "{line}").expect("a string takes everything");
        }
    }

    /// A request is made.
    pub(crate) fn ask(&mut self, token: Token) {
        self.requests.insert(token, None);
        self.floors.insert(token, self.newest.index);
    }

    /// A request comes to its end: to one, and no other.
    fn end(&mut self, token: Token, outcome: String) {
        let request = self.requests.get_mut(&token).expect("somebody asked");
        assert!(request.is_none(), "#{} ended twice: {request:?}, {outcome}", token.0);
        *request = Some(outcome);
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = String> {
        self.requests.iter().map(|(token, outcome)| {
            format!("#{} {}", token.0, outcome.as_deref().unwrap_or("waits"))
        })
    }

    pub(crate) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// A snapshot of what the node applied.
    pub(crate) fn snapshot(&mut self, id: NodeId) {
        let node = &self.nodes[&id];
        let last = node.id_at(node.commit_index()).expect("held");
        let membership = node.membership_at(last.index).clone();
        let size = self.settings.snapshot_size;
        let meta = SnapshotMeta { last, membership: membership.into(), size, checksum: 0 };
        self.step(id, Input::SnapshotBuilt(meta));
    }

    pub(crate) fn slow_files(&mut self, id: NodeId) {
        disk_of(&mut self.disks, id).files.get_or_insert_default();
    }

    /// The work on snapshot files that waits is done.
    pub(crate) fn serve(&mut self, id: NodeId) {
        let waiting = disk_of(&mut self.disks, id).files.as_mut().map(std::mem::take);
        for command in waiting.unwrap_or_default() {
            self.serve_snapshot(id, command);
        }
    }

    fn serve_snapshot(&mut self, id: NodeId, command: SnapshotCommand) {
        let input = match command {
            SnapshotCommand::Read { to, meta, offset, len } => {
                let end = meta.size.min(offset + len as u64);
                let data = Bytes::from(vec![b'x'; usize::try_from(end - offset).expect("small")]);
                Input::SnapshotRead { to, meta, offset, data, checksum: CHECKSUM }
            }
            SnapshotCommand::Stage { meta, offset, data, checksum } => {
                let staged = &mut disk_of(&mut self.disks, id).staged;
                let end = match staged {
                    Some((held, end)) if *held == meta => end,
                    _ => &mut staged.insert((meta.clone(), 0)).1,
                };
                if *end == offset && (checksum == CHECKSUM || data.is_empty()) {
                    *end += data.len() as u64;
                }
                let next_offset = *end;
                Input::SnapshotStaged { complete: next_offset == meta.size, meta, next_offset }
            }
        };
        self.step(id, input);
    }

    /// What is applied, entry by entry.
    fn one_by_one(apply: Vec<Apply>) -> Vec<Apply> {
        let mut single = Vec::new();
        for apply in apply {
            let Apply::Entries(committed) = &apply else {
                single.push(apply);
                continue;
            };
            for (entry, token) in committed.iter() {
                let tokens = token.map(|token| (entry.id.index, token)).into_iter().collect();
                let entries = vec![entry.clone()].into();
                single.push(Apply::Entries(Committed { entries, tokens }));
            }
        }
        single
    }

    /// State-machine safety (§5.4.3): no two nodes apply different entries at one index. Nothing is
    /// applied twice or left out. Answers where the state stands.
    fn apply(&mut self, id: NodeId, apply: Apply) -> Index {
        let stands = self.stands.get_mut(&id).expect("the node was started");
        match apply {
            Apply::Entries(committed) => {
                let (entry, token) = committed.iter().next().expect("they come one by one");
                let entry = entry.clone();
                assert_eq!(entry.id.index, stands.next(), "{id} applies {}", entry.id);
                *stands = entry.id.index;
                if let Some(token) = token {
                    if self.quiet {
                        self.say_if(true, &format!("{id} answers #{}", token.0));
                    }
                    self.end(token, format!("applied at {}", entry.id));
                }
                for (other, applied) in &self.applied {
                    if let Some(theirs) = applied.iter().find(|it| it.id.index == entry.id.index) {
                        assert_eq!(*theirs, entry, "{id} and {other} applied different entries");
                    }
                }
                let index = entry.id.index;
                self.newest = self.newest.max(entry.id);
                self.applied.entry(id).or_default().push(entry);
                index
            }
            Apply::Install(meta) => {
                assert!(*stands < meta.last.index, "{id} goes back to {}", meta.last);
                *stands = meta.last.index;
                meta.last.index
            }
        }
    }

    /// How far the node's state machine is.
    pub(crate) fn stands(&self, id: NodeId) -> Index {
        self.stands[&id]
    }

    pub(crate) fn slow_disk(&mut self, id: NodeId, slow: bool) {
        disk_of(&mut self.disks, id).slow = slow;
    }

    /// What any client was told is applied is what `id` has at that place, as far as it still holds it.
    pub(crate) fn check_acknowledged(&self, id: NodeId) {
        for (token, outcome) in &self.requests {
            let Some(place) = outcome.as_deref().and_then(|it| it.strip_prefix("applied at "))
            else {
                continue;
            };
            let (index, _) = place.split_once('@').expect("index@term");
            let index = Index(index.parse().expect("a number"));
            assert!(index <= self.nodes[&id].commit_index(), "#{} is lost", token.0);
            let held = self.nodes[&id].id_at(index).map(|it| it.to_string());
            assert!(held.is_none_or(|it| it == place), "#{} at {place} is overwritten", token.0);
        }
    }

    /// Election safety (§5.2) and log matching (§5.3), over everything that runs.
    pub(crate) fn check(&self) {
        for (id, node) in &self.nodes {
            for (other, peer) in self.nodes.range(NodeId(id.0 + 1)..) {
                let both_lead = node.role() == RoleName::Leader && peer.role() == RoleName::Leader;
                assert!(!both_lead || node.term() != peer.term(), "{id} and {other} lead one term");
                check_logs(node, peer);
            }
        }
    }

    pub(crate) fn status(&self, id: NodeId) -> String {
        let Some(node) = self.nodes.get(&id) else { return format!("{id} is down") };
        let mut line = format!(
            "{id} {:?} term={} last={} durable={} commit={}",
            node.role(),
            node.term(),
            node.last(),
            node.durable_index(),
            node.commit_index()
        );
        if let Some(leader) = node.leader() {
            write!(line, " leader={leader}").expect("a string takes everything");
        }
        for peer in node.peers() {
            write!(line, " {}:{}:{}→{}", peer.id, peer.state, peer.matched, peer.next)
                .expect("a string takes everything");
        }
        line
    }

    /// Writes a log onto the disk of a node that has not started yet.
    pub(crate) fn prepare(
        &mut self,
        id: NodeId,
        hard_state: HardState,
        (base, covers): (LogId, LogId),
        log: &[LogId],
    ) {
        let membership = self.membership();
        let disk = self.disks.entry(id).or_default();
        disk.durable.hard_state = hard_state;
        disk.durable.base = base;
        disk.durable.snapshot = (covers != LogId::ZERO).then_some(SnapshotMeta {
            last: covers,
            membership: membership.into(),
            size: self.settings.snapshot_size,
            checksum: 0,
        });
        let payload = |id: &LogId| Bytes::from(format!("t{}", id.term));
        disk.durable.entries = log
            .iter()
            .map(|id| Entry { id: *id, payload: raft_core::Payload::Data(payload(id)) })
            .collect();
    }
}

fn disk_of(disks: &mut BTreeMap<NodeId, TestDisk>, id: NodeId) -> &mut TestDisk {
    disks.get_mut(&id).expect("the node has a disk")
}

/// Logs that agree at one place agree before it.
fn check_logs(node: &Node, peer: &Node) {
    let mut agree = false;
    for index in (1..=node.last().index.0.min(peer.last().index.0)).rev().map(Index) {
        let (Some(ours), Some(theirs)) = (node.entry(index), peer.entry(index)) else { return };
        agree |= ours.id == theirs.id;
        assert!(!agree || ours == theirs, "{} and {} differ at {index}", node.id(), peer.id());
    }
}

/// What a log file holds after this write.
fn write(durable: &mut Restored, job: &Persist) {
    if let Some(meta) = &job.install {
        if durable.entries.iter().any(|entry| entry.id == meta.last) {
            durable.entries.retain(|entry| meta.last.index < entry.id.index);
        } else {
            durable.entries.clear();
        }
        durable.base = meta.last;
        durable.snapshot = Some(meta.clone());
    }
    if let Some(compact) = &job.compact {
        let gone = durable.entries.iter().rfind(|entry| entry.id.index < compact.first_kept);
        durable.base = gone.map_or(durable.base, |entry| entry.id);
        durable.entries.retain(|entry| compact.first_kept <= entry.id.index);
        durable.snapshot = Some(compact.snapshot.clone());
    }
    if let Some(from) = job.truncate_from {
        durable.entries.retain(|entry| entry.id.index < from);
    }
    if let Some(hard_state) = &job.hard_state {
        durable.hard_state = hard_state.clone();
    }
    durable.entries.extend(job.entries.iter().cloned());
}
