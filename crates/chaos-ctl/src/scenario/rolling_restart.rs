//! Node after node is ended with SIGTERM and started again.

use super::stage::Stage;
use crate::exit::Failure;

pub(super) async fn act(stage: &mut Stage, rounds: u16) -> Result<(), Failure> {
    for _ in 0..rounds {
        for id in stage.runner.members() {
            stage.settle().await?;
            stage.restart(id).await?;
        }
    }
    stage.settle().await
}
