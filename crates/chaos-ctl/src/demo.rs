//! The demonstration.
use crate::exit::{Code, Failure};
/// x
pub async fn run() -> Result<Code, Failure> {
    Ok(Code::Done)
}
