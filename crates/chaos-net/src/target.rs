//! Watches the target of a link: does it accept connections?
//!
//! An idle connection to the target is kept, and nothing is ever said on it. It breaks the moment
//! the target's process ends, so no polling is needed to see that; then the target is dialled until
//! it accepts again. A suspended process keeps its connections, and so counts as accepting, which
//! is what its kernel does.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::shared::Shared;

/// How often a target that refuses is dialled, and how often at most one that closes at once.
pub(crate) const DIAL_EVERY: Duration = Duration::from_millis(10);

/// How long to wait for a target that neither accepts nor refuses.
const DIAL_MAX: Duration = Duration::from_millis(500);

/// Dials, and takes nobody's word but the target's.
pub(crate) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    if stream.local_addr()? == stream.peer_addr()? {
        // Nobody listens, and the port chosen for this end was that very one: it talks to itself.
        stream.set_zero_linger()?;
        return Err(ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Tells `accepts` whether the target does. Never returns.
pub(crate) async fn watch_target(
    shared: &Shared,
    mut questions: mpsc::Receiver<oneshot::Sender<bool>>,
    accepts: watch::Sender<Option<bool>>,
) -> Infallible {
    let mut idle: Option<TcpStream> = None;
    let mut dialled: Option<Instant> = None;
    loop {
        let question = tokio::select! {
            question = questions.recv() => question,
            () = wait_for_news(idle.as_ref(), dialled) => None,
        };
        match timeout(DIAL_MAX, dial(shared.target)).await {
            Ok(Ok(stream)) => {
                if let Some(old) = idle.replace(stream) {
                    // Best effort: it spares the machine a socket that lingers.
                    drop(old.set_zero_linger());
                }
                accepts.send_replace(Some(true));
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                idle = None;
                accepts.send_replace(Some(false));
            }
            // Neither tells whether it accepts: it is taken to go on as before.
            unclear => {
                if let Ok(Err(error)) = unclear {
                    shared.report("could not dial the target", &error);
                }
                accepts
                    .send_if_modified(|accepts| accepts.replace(accepts.unwrap_or(true)).is_none());
            }
        }
        dialled = Some(Instant::now());
        if let Some(question) = question {
            // The one who asked may have gone.
            question.send(accepts.borrow().unwrap_or(true)).ok();
        }
    }
}

/// Waits until the target has to be dialled again.
async fn wait_for_news(idle: Option<&TcpStream>, dialled: Option<Instant>) {
    let mut scratch = [0; 1024];
    while let Some(stream) = idle {
        if stream.readable().await.is_err() {
            break;
        }
        match stream.try_read(&mut scratch) {
            Ok(0) => break,
            Ok(_) => (), // Servers may greet.
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(_) => break,
        }
    }
    // The first time at once, and then too if the idle connection lasted.
    if let Some(dialled) = dialled {
        sleep_until(dialled + DIAL_EVERY).await;
    }
}
