//! A recorded run is replayed to the same state and effects; what was changed afterwards is noticed;
//! what a crash leaves of a recording can be used.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use proptest::prelude::*;
use raft_core::record::{Difference, Moment, Player, Recorded, Recorder, ReplayError, replay};
use raft_core::{
    Apply, ClusterId, Config, Effects, Incarnation, Input, Instant, Membership, Message, Node,
    NodeId, Proposal, Restored, RoleName, SnapshotMeta, Token,
};

type Tape = Rc<RefCell<Vec<u8>>>;

/// Three nodes under a schedule that the numbers decide, all of them recorded.
struct Run {
    nodes: BTreeMap<NodeId, Recorded<Tape>>,
    tapes: Vec<Tape>,
    mail: Vec<Message>,
    now: Instant,
}

fn parts(id: u64) -> (Config, Restored) {
    let config =
        Config { trailing_entries: 3, ..Config::new(ClusterId(1), NodeId(id), Incarnation(id)) };
    let bootstrap = Membership::of_voters([1, 2, 3].map(NodeId));
    (config, Restored { bootstrap, ..Restored::default() })
}

impl Run {
    fn new() -> Self {
        let tapes: Vec<Tape> = (0..3).map(|_| Tape::default()).collect();
        let node = |(id, tape): (u64, &Tape)| {
            let (config, restored) = parts(id);
            let tape = Some(Rc::clone(tape));
            let node = Recorded::restore(config, restored, Instant(5), tape).expect("it is empty");
            (NodeId(id), node)
        };
        let nodes = (1..=3).zip(&tapes).map(node).collect();
        Self { nodes, tapes, mail: Vec::new(), now: Instant(5) }
    }

    /// One thing happens, and whoever it happened to has a turn.
    fn happen(&mut self, what: u32) {
        let id = NodeId(u64::from(what % 3) + 1);
        self.now = Instant(self.now.0 + u64::from(what >> 24) * 100);
        let token = Token(u64::from(what));
        let input = match what >> 2 & 31 {
            0 => {
                let at = self.nodes[&id].next_deadline();
                self.now = self.now.max(at.min(Instant(self.now.0 + 1_000_000)));
                Input::Tick
            }
            1..4 => {
                let data = Bytes::from(vec![7; what as usize & 255]);
                Input::Propose(vec![Proposal { token, data }])
            }
            4 => Input::Read(token),
            5 => Input::PeerDown { peer: NodeId(u64::from(what >> 8 & 3)) },
            6 => Input::Transfer { token, to: None },
            7 => {
                let node = &self.nodes[&id];
                let last = node.id_at(node.commit_index()).unwrap_or_default();
                let membership = node.membership_at(last.index).clone();
                Input::SnapshotBuilt(SnapshotMeta {
                    last,
                    membership: membership.into(),
                    size: 0,
                    checksum: 0,
                })
            }
            _ if self.mail.is_empty() => Input::Tick,
            _ => {
                let place = (what >> 8) as usize % self.mail.len();
                let message = self.mail.swap_remove(place);
                self.turn(message.to, Input::Message(message.clone()));
                return;
            }
        };
        self.turn(id, input);
    }

    fn turn(&mut self, id: NodeId, input: Input) {
        let node = self.nodes.get_mut(&id).expect("one of three");
        node.step(self.now, input);
        let Effects { send, persist, apply, .. } = node.take_effects();
        self.mail.extend(send);
        if let Some(persist) = persist {
            node.step(self.now, Input::Persisted { seq: persist.seq });
            self.mail.extend(persist.then_send);
        }
        for apply in apply {
            let index = match apply {
                Apply::Entries(committed) => committed.entries.last().expect("some").id.index,
                Apply::Install(meta) => meta.last.index,
            };
            node.step(self.now, Input::Applied { index });
        }
    }

    /// Everybody's recording, and the state in which it left the node.
    fn end(self) -> Vec<(Vec<u8>, String)> {
        let states: Vec<String> = self.nodes.values().map(|node| format!("{node:?}")).collect();
        drop(self.nodes);
        self.tapes.iter().map(|tape| tape.take()).zip(states).collect()
    }
}

/// A run in which n1 is elected and commits a few entries; n1's recording.
fn plain_run() -> (Vec<u8>, String) {
    let mut run = Run::new();
    run.now = run.nodes[&NodeId(1)].next_deadline();
    run.turn(NodeId(1), Input::Tick);
    for round in 0..8_u64 {
        while let Some(message) = run.mail.pop() {
            run.turn(message.to, Input::Message(message));
        }
        let proposal = Proposal { token: Token(round), data: Bytes::from_static(b"abc") };
        run.turn(NodeId(1), Input::Propose(vec![proposal]));
    }
    assert_eq!(run.nodes[&NodeId(1)].role(), RoleName::Leader, "n1 is elected");
    run.end().remove(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any run, replayed, ends in the same state, and every turn on the way had the same effects.
    #[test]
    fn a_replay_is_the_same_run(schedule in proptest::collection::vec(any::<u32>(), 0..600)) {
        let mut run = Run::new();
        for what in schedule {
            run.happen(what);
        }
        for (tape, state) in run.end() {
            let summary = replay(&tape, |_| ()).expect("it is the same run");
            prop_assert!(summary.ended);
            prop_assert_eq!(summary.torn_bytes, 0);
            prop_assert_eq!(format!("{:?}", summary.node), state);
        }
    }

    /// No byte can be changed without being noticed.
    #[test]
    fn a_changed_byte_is_noticed(at in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        let (mut tape, _) = plain_run();
        let at = at.index(tape.len());
        tape[at] ^= flip;
        match replay(&tape, |_| ()) {
            Ok(summary) => prop_assert!(!summary.ended || summary.torn_bytes != 0),
            Err(ReplayError::Damaged { offset, .. }) => prop_assert!(offset <= at as u64),
            Err(ReplayError::Empty) => (),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    /// Strangers' bytes are no recording, and no danger.
    #[test]
    fn garbage_is_no_recording(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(replay(&bytes, |_| ()).is_err());
    }
}

/// Wherever a crash cuts it off, the rest is replayed; whatever pieces it comes in.
#[test]
fn a_torn_recording_is_replayed_as_far_as_it_goes() {
    let (tape, _) = plain_run();
    let whole = replay(&tape, |_| ()).expect("it is the same run");
    let mut before = 0;
    for end in 0..tape.len() {
        let mut player = Player::new();
        for piece in tape[..end].chunks(11) {
            player.feed(piece, &mut |_| ()).expect("what is there is the same");
        }
        let Ok(summary) = player.finish() else {
            assert_eq!(before, 0, "nothing comes of it only while the beginning is not whole");
            continue;
        };
        assert!(!summary.ended, "it was cut off at {end}");
        assert!(before <= summary.steps && summary.steps <= whole.steps, "{end}");
        before = summary.steps;
    }
    assert_eq!(before, whole.steps, "only the end was missing last");
    let mut padded = tape;
    padded.truncate(padded.len() - 7);
    padded.extend_from_slice(&[0; 4096]);
    let summary = replay(&padded, |_| ()).expect("space that was never written is no damage");
    assert_eq!(summary.steps, whole.steps);
    assert!(4096 <= summary.torn_bytes);
}

/// The recording says one thing went in, and what came out says another: that is told, with the step.
#[test]
fn a_changed_input_is_noticed() {
    let tape = Tape::default();
    let (config, restored) = parts(1);
    let mut node = Node::restore(config.clone(), restored.clone(), Instant(0)).expect("empty");
    let mut recorder = Recorder::start(Rc::clone(&tape), &config, &restored, Instant(0));
    for round in 0..3 {
        let now = Instant(round * 1_000_000);
        // The third time something else is written down than happened.
        let written = if round == 2 { Input::PersistFailed } else { Input::Tick };
        recorder.step(now, &written);
        node.step(now, Input::Tick);
        let effects = node.take_effects();
        recorder.turn(&node, &effects);
    }
    let mut seen = 0;
    let error =
        replay(&tape.take(), |moment| seen += u32::from(matches!(moment, Moment::Turn { .. })))
            .expect_err("it differs");
    let expected = ReplayError::Different {
        what: Difference::Effects,
        step: 3,
        turns: 2,
        now: Instant(2_000_000),
    };
    assert_eq!(error, expected);
    assert_eq!(seen, 3, "the turn that differs is shown before it is judged");
    assert_eq!(
        error.to_string(),
        "effects differ at step 3 (2000000 µs), after 2 turns that were the same"
    );
}

/// A state that differs without a sign in the effects is noticed by its outline.
#[test]
fn a_changed_state_is_noticed() {
    let tape = Tape::default();
    let (config, restored) = parts(1);
    let mut node = Node::restore(config.clone(), restored.clone(), Instant(0)).expect("empty");
    let mut recorder = Recorder::start(Rc::clone(&tape), &config, &restored, Instant(0));
    let effects = node.take_effects();
    node.step(Instant(0), Input::Persisted { seq: 1 });
    recorder.turn(&node, &effects);
    recorder.end(&node);
    let other = Config { seed: config.seed + 1, ..config };
    let mut other_tape = Tape::default().take();
    let sink = RefCell::new(Vec::new());
    drop(Recorder::start(&sink, &other, &restored, Instant(0)));
    other_tape.append(&mut sink.take());
    let rest = tape.take().split_off(other_tape.len());
    other_tape.extend(rest);
    let error = replay(&other_tape, |_| ()).expect_err("it differs");
    assert!(matches!(error, ReplayError::Different { what: Difference::State, .. }), "{error}");
}

#[test]
fn nothing_is_no_recording() {
    assert_eq!(replay(&[], |_| ()).err(), Some(ReplayError::Empty));
}
