//! All nodes are killed at the same moment, over and over. Nothing is left but what is on the disks.

use super::stage::Stage;
use crate::exit::Failure;

/// From the moment somebody leads to the next kill, if the cluster is not given the time to become
/// whole: nodes are then killed while they catch up, or before they have.
const SOON_MS: (u64, u64) = (0, 300);

pub(super) async fn act(stage: &mut Stage, rounds: u16) -> Result<(), Failure> {
    for _ in 0..rounds {
        if stage.draw_coin() {
            stage.settle().await?;
        } else {
            stage.led().await?;
            let pause = stage.draw_ms(SOON_MS);
            stage.pass_watching(pause).await?;
        }
        stage.kill_all().await?;
    }
    stage.settle().await
}
