//! The vocabulary of the scripts.

use std::collections::BTreeMap;
use std::error::Error;

use bytes::Bytes;
use raft_core::{
    Append, AppendReply, Body, ClusterId, Entry, HardState, Heartbeat, HeartbeatReply, Incarnation,
    Index, Input, LogId, Membership, MembershipChange, Message, NodeId, Payload, Proposal, ReadId,
    RoleName, SeatId, SnapshotChunk, SnapshotMeta, Term, Token, VoteReply, VoteRequest,
};

use crate::cluster::{CHECKSUM, Cluster, Settings};
use crate::verb::Verb;

#[derive(Default)]
pub(crate) struct Script {
    cluster: Cluster,
    requests: u64,
}

impl goldenscript::Runner for Script {
    type Command = Verb;

    fn run(&mut self, verb: &Verb, _: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
        match verb {
            Verb::Cluster { .. } | Verb::Node { .. } => self.set_up(verb)?,
            Verb::Inject { .. } => self.inject(verb)?,
            Verb::Members { .. }
            | Verb::Status
            | Verb::Disk { .. }
            | Verb::Log { .. }
            | Verb::Wires
            | Verb::Succession { .. }
            | Verb::Requests => {
                self.look(verb);
            }
            _ => self.act(verb),
        }
        self.cluster.check();
        Ok(self.cluster.take_output())
    }
}

impl Script {
    fn set_up(&mut self, verb: &Verb) -> Result<(), Box<dyn Error>> {
        match verb {
            Verb::Cluster {
                voters,
                learners,
                trailing,
                trailing_bytes,
                batch,
                inflight,
                inflight_bytes,
                quota,
                apply,
                lag,
                transfer_lag,
                failover,
                stopped,
            } => {
                let usual = Settings::default();
                self.cluster.settings = Settings {
                    voters: *voters,
                    learners: learners.unwrap_or(0),
                    trailing: trailing.unwrap_or(0),
                    trailing_bytes: trailing_bytes.unwrap_or(usual.trailing_bytes),
                    append_entries: batch.unwrap_or(usual.append_entries),
                    inflight: inflight.unwrap_or(usual.inflight),
                    inflight_bytes: inflight_bytes.unwrap_or(usual.inflight_bytes),
                    uncommitted_bytes: quota.unwrap_or(usual.uncommitted_bytes),
                    apply_bytes: apply.unwrap_or(usual.apply_bytes),
                    apply_lag: lag.unwrap_or(usual.apply_lag),
                    transfer_lag: transfer_lag.unwrap_or(usual.transfer_lag),
                    fast_failover: failover.unwrap_or(usual.fast_failover),
                    ..usual
                };
                if !stopped.unwrap_or(false) {
                    for id in self.cluster.membership().members() {
                        self.cluster.start(id);
                    }
                }
            }
            Verb::Node { id, term, vote, log, base, covers } => {
                let base = base.as_deref().map_or(Ok(LogId::ZERO), parse_log_id)?;
                let covers = covers.as_deref().map_or(Ok(base), parse_log_id)?;
                let log = parse_log(base, log.as_deref())?;
                let hard_state =
                    HardState { term: Term(*term), vote: vote.map(NodeId), ..HardState::default() };
                self.cluster.prepare(NodeId(*id), hard_state, (base, covers), &log);
                self.cluster.start(NodeId(*id));
            }
            _ => unreachable!("dispatched above"),
        }
        Ok(())
    }

    fn act(&mut self, verb: &Verb) {
        let cluster = &mut self.cluster;
        match verb {
            Verb::Timeout { id } => {
                cluster.advance_to_deadline(NodeId(*id));
                cluster.step(NodeId(*id), Input::Tick);
            }
            Verb::Pause { id, ms } => cluster.advance(NodeId(*id), ms * 1000),
            Verb::Tick { id } => cluster.step(NodeId(*id), Input::Tick),
            Verb::Live { ms } => cluster.live(ms * 1000),
            Verb::Turns { id } => cluster.take_turns(NodeId(*id)),
            Verb::SlowApply { id } => {
                cluster.busy.insert(NodeId(*id));
            }
            Verb::FastApply { id } => cluster.report_applied(NodeId(*id)),
            Verb::Propose { id, commands } => {
                let mut proposals = Vec::new();
                for command in commands {
                    let (token, data) = (self.request(), Bytes::from(command.clone()));
                    proposals.push(Proposal { token, data });
                }
                self.cluster.step(NodeId(*id), Input::Propose(proposals));
            }
            Verb::Read { id, count } => {
                let mut inputs = Vec::new();
                for _ in 0..count.unwrap_or(1) {
                    inputs.push(Input::Read(self.request()));
                }
                self.cluster.step_all(NodeId(*id), inputs);
            }
            Verb::Change { .. } => self.change(verb),
            Verb::Transfer { id, to } => {
                let (token, to) = (self.request(), to.map(NodeId));
                self.cluster.step(NodeId(*id), Input::Transfer { token, to });
            }
            Verb::PeerDown { id, peer } => {
                cluster.step(NodeId(*id), Input::PeerDown { peer: NodeId(*peer) });
            }
            Verb::Join { id } => cluster.join(NodeId(*id)),
            Verb::Elect { id } => self.elect(NodeId(*id)),
            Verb::SlowDisk { id } => self.slow(*id, true),
            Verb::FastDisk { id } => {
                self.slow(*id, false);
                self.cluster.persist(NodeId(*id), usize::MAX);
            }
            Verb::Persist { id, count } => {
                cluster.persist(NodeId(*id), count.unwrap_or(usize::MAX));
            }
            Verb::Persisted { id, seq } => {
                cluster.step(NodeId(*id), Input::Persisted { seq: *seq });
            }
            Verb::SlowFiles { id } => cluster.slow_files(NodeId(*id)),
            Verb::Serve { id } => cluster.serve(NodeId(*id)),
            Verb::FailDisk { id } => cluster.step(NodeId(*id), Input::PersistFailed),
            Verb::Crash { id } => cluster.crash(NodeId(*id)),
            Verb::Start { id } => cluster.start(NodeId(*id)),
            Verb::Wipe { id } => cluster.wipe(NodeId(*id)),
            Verb::Snapshot { id } => cluster.snapshot(NodeId(*id)),
            _ => self.move_messages(verb),
        }
    }

    fn move_messages(&mut self, verb: &Verb) {
        let cluster = &mut self.cluster;
        let matches = |from: &Option<u64>, to: &Option<u64>| {
            let (from, to) = (from.map(NodeId), to.map(NodeId));
            move |message: &Message| {
                from.is_none_or(|from| message.from == from) && to.is_none_or(|to| message.to == to)
            }
        };
        match verb {
            Verb::Deliver { from, to } => {
                cluster.deliver(matches(from, to));
            }
            Verb::Stabilize => while 0 < cluster.deliver(|_| true) {},
            Verb::Drop { from, to } => {
                let matches = matches(from, to);
                cluster.wires.retain(|message| !matches(message));
            }
            Verb::Duplicate => {
                let again: Vec<_> = cluster.wires.iter().cloned().collect();
                cluster.wires.extend(again);
            }
            Verb::Reverse => cluster.wires.make_contiguous().reverse(),
            Verb::Cut { from, to } => {
                cluster.cuts.insert((NodeId(*from), NodeId(*to)));
            }
            Verb::Isolate { id } => {
                let id = NodeId(*id);
                for other in cluster.everybody() {
                    cluster.cuts.extend([(id, other), (other, id)]);
                }
            }
            Verb::Heal => cluster.cuts.clear(),
            _ => unreachable!("every verb is dispatched"),
        }
    }

    fn change(&mut self, verb: &Verb) {
        let Verb::Change { id, add, learner, remove, force, from } = verb else {
            unreachable!("dispatched above")
        };
        let ids = |text: &Option<String>| -> Vec<NodeId> {
            let ids = text.as_deref().unwrap_or_default().split(',').filter(|id| !id.is_empty());
            ids.map(|id| NodeId(id.parse().expect("an id"))).collect()
        };
        let mut target = self.cluster.nodes[&NodeId(*id)].membership().clone();
        target.outgoing.clear();
        for id in ids(add) {
            target.learners.remove(&id);
            target.voters.insert(id);
        }
        for id in ids(learner) {
            target.voters.remove(&id);
            target.learners.insert(id);
        }
        for id in ids(remove) {
            target.voters.remove(&id);
            target.learners.remove(&id);
        }
        let change = MembershipChange {
            token: self.request(),
            target,
            from: from.as_ref().map(|_| Membership::of_voters(ids(from))),
            force: force.unwrap_or(false),
        };
        self.cluster.step(NodeId(*id), Input::ChangeMembership(change));
    }

    /// Names a new request.
    fn request(&mut self) -> Token {
        self.requests += 1;
        let token = Token(self.requests);
        self.cluster.ask(token);
        token
    }

    fn slow(&mut self, id: u64, slow: bool) {
        self.cluster.disks.get_mut(&NodeId(id)).expect("the node has a disk").slow = slow;
    }

    fn elect(&mut self, id: NodeId) {
        self.cluster.advance_to_deadline(id);
        // The others' leader is silent for as long.
        for other in self.cluster.everybody() {
            if other != id {
                self.cluster.advance(other, 300_000);
            }
        }
        self.cluster.step(id, Input::Tick);
        while 0 < self.cluster.deliver(|_| true) {}
        let log = self.cluster.take_output();
        let leads = self.cluster.nodes[&id].role() == RoleName::Leader;
        let term = self.cluster.nodes[&id].term();
        if leads {
            self.cluster.say(&format!("{id} leads term {term}"));
        } else {
            self.cluster.say(&log);
            self.cluster.say(&format!("{id} was not elected"));
        }
    }

    fn look(&mut self, verb: &Verb) {
        let cluster = &mut self.cluster;
        match verb {
            Verb::Status => {
                for id in cluster.everybody() {
                    let line = cluster.status(id);
                    cluster.say(&line);
                }
            }
            Verb::Disk { id } => {
                let durable = cluster.disks[&NodeId(*id)].durable.clone();
                let vote = durable.hard_state.vote.map_or("nobody".to_owned(), |id| id.to_string());
                let log = crate::show::entries(&durable.entries);
                let term = durable.hard_state.term;
                cluster.say(&format!("n{id} has term={term} vote={vote} [{log}]"));
            }
            Verb::Log { id } => {
                let node = &cluster.nodes[&NodeId(*id)];
                let held = node.first_index().0..=node.last().index.0;
                let log: Vec<Entry> =
                    held.filter_map(|index| node.entry(Index(index))).cloned().collect();
                let line = format!("n{id} [{}]", crate::show::entries(&log));
                cluster.say(&line);
            }
            Verb::Members { id } => {
                let members = cluster.nodes[&NodeId(*id)].membership();
                let nobody = members.is_empty().then(|| "nobody".to_owned());
                let line = format!("n{id} counts {}", nobody.unwrap_or(members.to_string()));
                cluster.say(&line);
            }
            Verb::Succession { id } => {
                let succession = cluster.nodes[&NodeId(*id)].succession();
                cluster.say(&format!("n{id} would leave behind {succession:?}"));
            }
            Verb::Wires => {
                let lines: Vec<String> = cluster.wires.iter().map(ToString::to_string).collect();
                for line in lines {
                    cluster.say(&line);
                }
            }
            Verb::Requests => {
                let lines: Vec<String> = cluster.requests().collect();
                for line in lines {
                    cluster.say(&line);
                }
            }
            _ => unreachable!("dispatched above"),
        }
    }

    fn inject(&mut self, verb: &Verb) -> Result<(), Box<dyn Error>> {
        let Verb::Inject {
            from,
            to,
            kind,
            term,
            at,
            log,
            number,
            met,
            cluster,
            incarnation,
            named,
        } = verb
        else {
            unreachable!("dispatched above")
        };
        let at = at.as_deref().map_or(Ok(LogId::ZERO), parse_log_id)?;
        let mut body = message(kind, at, parse_log(at, log.as_deref())?, number.unwrap_or(0))?;
        if let Some(met) = met {
            let (id, incarnation) = met.split_once(':').ok_or("want node:incarnation")?;
            let seat = SeatId { node: NodeId(id.parse()?), since: LogId::ZERO };
            let note = (seat, Incarnation(incarnation.parse()?));
            match &mut body {
                Body::Append(Append { met, .. }) | Body::Heartbeat(Heartbeat { met, .. }) => {
                    met.extend([note]);
                }
                Body::SnapshotChunk(chunk) => chunk.met.extend([note]),
                _ => return Err("only a leader's messages tell whom it met".into()),
            }
        }
        let message = Message {
            cluster: ClusterId(cluster.unwrap_or(7)),
            from: NodeId(*from),
            incarnation: Incarnation(incarnation.unwrap_or(1)),
            to: NodeId(named.unwrap_or(*to)),
            term: Term(*term),
            body,
        };
        self.cluster.step(NodeId(*to), Input::Message(message));
        Ok(())
    }
}

fn message(
    kind: &str,
    at: LogId,
    entries: Vec<LogId>,
    number: u64,
) -> Result<Body, Box<dyn Error>> {
    let entries: Vec<Entry> = entries
        .into_iter()
        .map(|id| Entry { id, payload: Payload::Data(format!("t{}", id.term).into()) })
        .collect();
    let (commit, round) = (Index(number), number);
    Ok(match kind {
        "prevote" => Body::PreVote(VoteRequest {
            last: at,
            since: LogId::ZERO,
            yours: LogId::ZERO,
            handed_over: false,
        }),
        "prevote-granted" => Body::PreVoteReply(VoteReply { granted: true, asked: Term(number) }),
        "prevote-refused" => Body::PreVoteReply(VoteReply { granted: false, asked: Term(number) }),
        "vote" => Body::Vote(VoteRequest {
            last: at,
            since: LogId::ZERO,
            yours: LogId::ZERO,
            handed_over: false,
        }),
        "vote-granted" => Body::VoteReply(VoteReply { granted: true, asked: Term(number) }),
        "append" => {
            Body::Append(Append { prev: at, entries: entries.into(), commit, met: BTreeMap::new() })
        }
        "matched" => Body::AppendReply(AppendReply::Matched { index: Index(number) }),
        "conflict" => Body::AppendReply(AppendReply::Conflict {
            rejected: at,
            hint: LogId { index: Index(number), ..at },
        }),
        "heartbeat" => Body::Heartbeat(Heartbeat { round: 1, commit, met: BTreeMap::new() }),
        "heartbeat-reply" => {
            let (received, matched) = (at.index, at.index);
            Body::HeartbeatReply(HeartbeatReply {
                round,
                received,
                matched,
                slow: false,
                founder: true,
            })
        }
        "chunk" | "damaged-chunk" => {
            let membership = Membership::of_voters([1, 2, 3].map(NodeId));
            let meta =
                SnapshotMeta { last: at, membership: membership.into(), size: 25, checksum: 0 };
            Body::SnapshotChunk(Box::new(SnapshotChunk {
                meta,
                offset: number,
                data: Bytes::from_static(b"xxxxx"),
                checksum: if kind == "chunk" { CHECKSUM } else { 0 },
                met: BTreeMap::new(),
            }))
        }
        "timeout-now" => Body::TimeoutNow,
        "read-index" => Body::ReadIndex(ReadId { start: 0, number }),
        "read-index-reply" => {
            Body::ReadIndexReply { id: ReadId { start: 0, number }, index: at.index }
        }
        "removed" => Body::Removed { as_of: at },
        "stranger" => Body::Stranger { known: Incarnation(number) },
        other => return Err(format!("no such message: {other}").into()),
    })
}

fn parse_log_id(text: &str) -> Result<LogId, Box<dyn Error>> {
    let (index, term) = text.split_once('@').ok_or("want index@term")?;
    Ok(LogId { term: Term(term.parse()?), index: Index(index.parse()?) })
}

/// Terms, as `1,1,2`, of the entries after `prev`.
fn parse_log(prev: LogId, text: Option<&str>) -> Result<Vec<LogId>, Box<dyn Error>> {
    let mut log = Vec::new();
    let mut index = prev.index;
    for term in text.unwrap_or_default().split(',').filter(|term| !term.is_empty()) {
        index = index.next();
        log.push(LogId { term: Term(term.parse()?), index });
    }
    Ok(log)
}
