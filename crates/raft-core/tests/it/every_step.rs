//! M2, M4: A change of membership, with a crash after every single message of it. Whoever crashes, and
//! whenever: no configuration stays joint, all members agree on one, and who asks again gets what was
//! wanted.

use std::collections::BTreeSet;

use raft_core::{Input, Membership, MembershipChange, Node, NodeId, Proposal, RoleName, Token};

use crate::cluster::Cluster;

/// Long enough for an election and all that follows.
const A_WHILE: u64 = 1_000_000;

/// Voters and learners.
type Target = (&'static [u64], &'static [u64]);

const OLD: Target = (&[1, 2, 3], &[]);

/// What is wanted instead.
const TARGETS: [Target; 5] =
    [(&[1, 2, 3, 4, 5], &[]), (&[1, 2, 4], &[]), (&[2, 3], &[]), (&[4], &[]), (&[3], &[1, 2])];

fn wanted((voters, learners): Target) -> Membership {
    let learners = learners.iter().copied().map(NodeId).collect();
    Membership { learners, ..Membership::of_voters(voters.iter().copied().map(NodeId)) }
}

/// n1 leads n1, n2 and n3; n4 and n5 wait.
fn begin() -> Cluster {
    let mut cluster = Cluster::default();
    cluster.hush();
    for id in cluster.membership().members() {
        cluster.start(id);
    }
    cluster.advance_to_deadline(NodeId(1));
    cluster.step(NodeId(1), Input::Tick);
    while cluster.deliver_first() {}
    assert_eq!(cluster.nodes[&NodeId(1)].role(), RoleName::Leader);
    cluster.join(NodeId(4));
    cluster.join(NodeId(5));
    cluster
}

fn ask(cluster: &mut Cluster, token: u64, target: Target) {
    let (token, target) = (Token(token), wanted(target));
    let change = MembershipChange { token, target, from: None, force: false };
    let leader = leader(cluster);
    cluster.ask(token);
    cluster.step(leader, Input::ChangeMembership(change));
}

fn leader(cluster: &Cluster) -> NodeId {
    let leads = |node: &&Node| node.role() == RoleName::Leader;
    let leaders = cluster.nodes.values().filter(leads);
    leaders.max_by_key(|node| node.term()).expect("somebody leads").id()
}

/// Everybody in the leader's configuration has the same one, and it is not joint.
fn agreed(cluster: &Cluster) -> Membership {
    let membership = cluster.nodes[&leader(cluster)].membership().clone();
    assert!(!membership.is_joint(), "{membership} is left joint");
    for id in membership.members() {
        let theirs = cluster.nodes[&id].membership();
        assert_eq!(*theirs, membership, "{id} disagrees");
    }
    membership
}

/// Carries out a change with a crash after `steps` messages. Answers whether there were as many.
fn change_with_a_crash(target: Target, victim: NodeId, steps: u64) -> bool {
    let mut cluster = begin();
    ask(&mut cluster, 1, target);
    let enough = (0..steps).all(|_| {
        cluster.check();
        cluster.deliver_first()
    });
    cluster.crash(victim);
    // What it had said and nobody has heard yet is lost with it.
    cluster.wires.retain(|message| message.from != victim);
    cluster.live(A_WHILE);
    cluster.start(victim);
    cluster.live(A_WHILE);
    let between = agreed(&cluster);
    assert!(
        between.voters == wanted(OLD).voters || between.has_roles_of(&wanted(target)),
        "{between} was not asked for"
    );
    if !between.has_roles_of(&wanted(target)) {
        ask(&mut cluster, 2, target);
        cluster.live(A_WHILE);
    }
    let (token, data) = (Token(3), "after".into());
    cluster.ask(token);
    let leader = leader(&cluster);
    cluster.step(leader, Input::Propose(Vec::from([Proposal { token, data }])));
    cluster.live(A_WHILE / 5);
    assert!(agreed(&cluster).has_roles_of(&wanted(target)), "{}", agreed(&cluster));
    assert!(cluster.requests().any(|line| line.starts_with("#3 applied")), "the write is lost");
    enough
}

#[test]
fn a_crash_at_any_step_of_a_change_leaves_one_membership() {
    let mut crashes = BTreeSet::new();
    for target in TARGETS {
        for victim in [1, 2, 4].map(NodeId) {
            let mut steps = 0;
            while change_with_a_crash(target, victim, steps) {
                steps += 1;
                crashes.insert((target, victim, steps));
            }
        }
    }
    assert!(200 < crashes.len(), "only {} crashes", crashes.len());
}
