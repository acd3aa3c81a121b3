//! Every request ends in exactly one outcome, unless its process ends first.

use std::collections::BTreeMap;

use raft_core::{NodeId, Token};

use crate::agenda::Life;

/// Requests without an outcome, and with whom they are.
#[derive(Default)]
pub struct Pending(BTreeMap<Token, (NodeId, Life)>);

impl Pending {
    /// A process has got a request.
    pub fn asked(&mut self, token: Token, id: NodeId, life: Life) {
        self.0.insert(token, (id, life));
    }

    /// A process says what came of a request.
    pub fn answered(&mut self, token: Token, id: NodeId) -> Result<(), String> {
        match self.0.remove(&token) {
            Some((asked, _)) if asked == id => Ok(()),
            Some((asked, _)) => Err(format!("{id} answers {token:?}, which {asked} was asked")),
            None => Err(format!("{id} answers {token:?} again")),
        }
    }

    /// A process has ended, and what it was asked has no outcome.
    pub fn ended(&mut self, id: NodeId) {
        self.0.retain(|_, (asked, _)| *asked != id);
    }

    /// Whether this one waits.
    pub fn contains(&self, token: Token) -> bool {
        self.0.contains_key(&token)
    }

    /// Who has not answered yet.
    pub fn waiting(&self) -> impl Iterator<Item = (Token, NodeId)> {
        self.0.iter().map(|(&token, &(id, _))| (token, id))
    }
}
