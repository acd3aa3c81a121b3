//! What a leader takes for durable at a peer is durable there, and does not become less as long as the
//! leader is in office and the peer keeps its place (§5.3).

use std::collections::BTreeMap;

use raft_core::{Index, NodeId, RoleName, SeatId, Term};

use super::{Invariant, Ledger, View};
use crate::agenda::Life;

#[derive(Default)]
pub(super) struct DurableMatch {
    /// Of each leader: which process, in which term, and what it takes the peers to hold.
    led: BTreeMap<NodeId, Office>,
}

#[derive(Default)]
struct Office {
    life: Life,
    term: Term,
    matched: BTreeMap<(NodeId, Option<SeatId>), Index>,
}

impl Invariant for DurableMatch {
    fn name(&self) -> &'static str {
        "a match is durable and stays"
    }

    fn on_turn(&mut self, ledger: &Ledger, view: &View<'_>) -> Result<(), String> {
        let (id, node) = (view.id, view.node());
        if node.role() != RoleName::Leader {
            self.led.remove(&id);
            return Ok(());
        }
        let office = self.led.entry(id).or_default();
        if (office.life, office.term) != (view.life, node.term()) {
            *office = Office { life: view.life, term: node.term(), matched: BTreeMap::new() };
        }
        let members = node.membership();
        let mut matched = BTreeMap::new();
        for peer in node.peers() {
            let place = (peer.id, members.seat_id(peer.id));
            let before = office.matched.get(&place).copied().unwrap_or_default();
            matched.insert(place, peer.matched);
            if peer.matched < before {
                let (peer, now) = (peer.id, peer.matched);
                return Err(format!("{id} took {peer} to hold {before}, and now only {now}"));
            }
            let Some(entry) = node.id_at(peer.matched).filter(|_| before < peer.matched) else {
                continue;
            };
            // In a later term it may have been told to cut what it held in this one.
            let held = ledger.attests(members, peer.id, entry)
                || ledger.disks.get(&peer.id).is_some_and(|disk| node.term() < disk.term);
            if !held {
                return Err(format!("{id} takes {} to hold {entry}, which it does not", peer.id));
            }
        }
        office.matched = matched;
        Ok(())
    }
}
