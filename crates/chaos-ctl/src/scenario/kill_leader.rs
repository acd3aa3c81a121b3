//! Whoever leads is killed, over and over.

use super::stage::{Stage, Whom};
use crate::exit::Failure;

pub(super) async fn act(stage: &mut Stage, rounds: u16) -> Result<(), Failure> {
    for _ in 0..rounds {
        stage.settle().await?;
        stage.kill(Whom::Leader, "").await?;
    }
    stage.settle().await
}
