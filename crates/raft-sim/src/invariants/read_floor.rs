//! A read sees what was committed anywhere before it began (§8): a leader of the past serves none.

use std::collections::BTreeMap;

use raft_core::{Index, Token};
use raft_replica::{Answer, Outcome};

use super::{Invariant, Ledger};

#[derive(Default)]
pub(super) struct ReadFloor {
    /// What was committed when each read reached its node.
    floors: BTreeMap<Token, Index>,
}

impl Invariant for ReadFloor {
    fn name(&self) -> &'static str {
        "reads see what was committed before"
    }

    fn on_read(&mut self, ledger: &Ledger, token: Token) {
        self.floors.insert(token, ledger.commit());
    }

    fn on_answer(&mut self, _: &Ledger, answer: &Answer) -> Result<(), String> {
        let Some(floor) = self.floors.remove(&answer.token) else { return Ok(()) };
        match &answer.outcome {
            Outcome::Read { applied, .. } if *applied < floor => {
                Err(format!("a read shows {applied}, {floor} was committed when it began"))
            }
            _ => Ok(()),
        }
    }
}
