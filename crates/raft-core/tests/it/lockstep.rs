//! E10: Five nodes start at the same moment, as after a power cut. Fresh randomness for each attempt ends
//! every split vote: somebody leads soon, whatever the seeds.

use std::collections::BTreeMap;

use raft_core::{
    ClusterId, Config, Incarnation, Input, Instant, Membership, Message, Node, NodeId, Restored,
    RoleName,
};

const SEEDS: u64 = 10_000;
const NODES: u64 = 5;
/// What a message takes at most, in microseconds: so long that votes do split.
const DELAY_MAX: u64 = 40_000;
const BOUND: Instant = Instant(2_000_000);

/// Messages by their arrival. Each takes its own time, so they overtake each other.
struct Wires {
    waiting: BTreeMap<(Instant, u64), Message>,
    sent: u64,
    random: u64,
}

impl Wires {
    fn send(&mut self, now: Instant, message: Message) {
        // Knuth's linear congruence; its high bits are good enough for a delay.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let delay = 1 + (self.random >> 33) % DELAY_MAX;
        self.sent += 1;
        self.waiting.insert((Instant(now.0 + delay), self.sent), message);
    }

    /// Does what the node wants done. Its disk takes no time.
    fn settle(&mut self, node: &mut Node, now: Instant) {
        loop {
            let effects = node.take_effects();
            for message in effects.send {
                self.send(now, message);
            }
            let Some(persist) = effects.persist else { return };
            for message in persist.then_send {
                self.send(now, message);
            }
            node.step(now, Input::Persisted { seq: persist.seq });
        }
    }
}

fn start(seed: u64, id: NodeId) -> Node {
    let config =
        Config { seed: seed * 1000 + id.0, ..Config::new(ClusterId(7), id, Incarnation(1)) };
    let bootstrap = Membership::of_voters((1..=NODES).map(NodeId));
    let restored = Restored { bootstrap, ..Restored::default() };
    Node::restore(config, restored, Instant(0)).expect("an empty disk is sound")
}

/// In which term somebody leads: in the second, if the votes of the first were split.
fn elect(seed: u64) -> u64 {
    let mut nodes: BTreeMap<NodeId, Node> =
        (1..=NODES).map(NodeId).map(|id| (id, start(seed, id))).collect();
    let mut wires = Wires { waiting: BTreeMap::new(), sent: 0, random: seed };
    loop {
        let deadline = nodes.values().map(Node::next_deadline).min().expect("there are nodes");
        let arrival = wires.waiting.first_key_value().map(|((arrival, _), _)| *arrival);
        let now = arrival.map_or(deadline, |arrival| arrival.min(deadline));
        assert!(now <= BOUND, "seed {seed}: nobody leads at {now:?}");
        if arrival == Some(now)
            && let Some((_, message)) = wires.waiting.pop_first()
        {
            let node = nodes.get_mut(&message.to).expect("a member");
            node.step(now, Input::Message(message));
            wires.settle(node, now);
        } else {
            for node in nodes.values_mut().filter(|node| node.next_deadline() <= now) {
                node.step(now, Input::Tick);
                wires.settle(node, now);
            }
        }
        if let Some(leader) = nodes.values().find(|node| node.role() == RoleName::Leader) {
            return leader.term().0;
        }
    }
}

#[test]
fn who_starts_in_lockstep_is_led_soon() {
    let terms: Vec<u64> = (0..SEEDS).map(elect).collect();
    let split = terms.iter().filter(|&&term| 1 < term).count();
    assert!(0 < split, "no vote was ever split: that shows nothing");
}
