//! Counts up a key by compare-and-swap, as often as it is told, and says what came of every try:
//! `cargo run --example increment -- 127.0.0.1:7101 visits 10`.

use std::process::ExitCode;

use raft_client::{CasOutcome, Client, ClientError, Consistency, Options};

/// Adds one. Tells the new number.
async fn increment(client: &Client, key: &str) -> Result<u64, ClientError> {
    let mut found = client.get(key.to_owned().into(), Consistency::Linearizable).await?.value;
    loop {
        let text = found.as_deref().map(String::from_utf8_lossy);
        let next = text.and_then(|text| text.parse::<u64>().ok()).map_or(1, |number| number + 1);
        let new = Some(next.to_string().into());
        match client.cas(key.to_owned().into(), found, new).await?.value {
            CasOutcome::Swapped => return Ok(next),
            // Somebody else was faster; this is what is there now.
            CasOutcome::Mismatch(actual) => found = actual,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it shows what it does")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(endpoint), Some(key)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: increment ENDPOINT KEY [TIMES]");
        return ExitCode::from(2);
    };
    let times = arguments.next().and_then(|times| times.parse().ok()).unwrap_or(1);
    let client = Client::new(Options::new([endpoint]));
    for _ in 0..times {
        match increment(&client, &key).await {
            Ok(number) => println!("{key} is {number}"),
            Err(ClientError::Failed(failed)) => {
                eprintln!("not counted: {failed}");
                return ExitCode::FAILURE;
            }
            // One more try could count twice: here that is for a person to decide.
            Err(ClientError::Unknown(unknown)) => {
                eprintln!("perhaps counted: {unknown}");
                return ExitCode::from(124);
            }
        }
    }
    ExitCode::SUCCESS
}
