//! A page in the browser that shows a run as it goes on, and takes orders.
//!
//! The run tells a feed what happens; it never waits for anybody who reads. Orders from the page go
//! to the runner by the same socket as those from other terminals.

mod client;
mod feed;
mod load;
mod wish;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::client::Door;
pub(crate) use self::feed::{Feed, Kind};
use crate::exit::Failure;
use crate::output::Output;

/// So many may be connected at once; others wait.
const CONNECTIONS_MAX: usize = 32;
/// So many may read what happens.
const READERS_MAX: usize = 8;
/// How long the last words may take to reach the pages.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// An address that nobody reaches from another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(SocketAddr);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: SocketAddr =
            text.parse().map_err(|_other| format!("`{text}` is no address: write 127.0.0.1:0"))?;
        if !address.ip().is_loopback() {
            let what = "is not on loopback: whoever reaches the page can break the cluster";
            return Err(format!("{address} {what}; from elsewhere, use a tunnel as by ssh -L"));
        }
        Ok(Self(address))
    }
}

/// The server of the page. With it go all who are connected.
#[derive(Debug)]
pub(crate) struct Dashboard {
    url: String,
    feed: Feed,
    over: oneshot::Sender<()>,
    serving: JoinSet<()>,
    /// Goes when the server goes.
    _following: JoinSet<()>,
}

impl Dashboard {
    /// Listens, and serves from now on.
    pub(crate) async fn open(place: Place, kind: Kind) -> Result<Self, Failure> {
        let listen = async {
            let listener = TcpListener::bind(place.0).await?;
            let address = listener.local_addr()?;
            io::Result::Ok((listener, address))
        };
        let (listener, address) = listen.await.map_err(|error| {
            let what = format!("the dashboard cannot listen on {}: {error}", place.0);
            Failure::usage(what).hint("--dashboard without an address takes a port that is free")
        })?;
        let token = format!("{:032x}", rand::random::<u128>());
        let url = format!("http://{address}/?token={token}");
        let feed = Feed::new(kind);
        let door = Door {
            hosts: [address.to_string(), format!("localhost:{}", address.port())],
            token,
            feed: feed.clone(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        };
        let (over, is_over) = oneshot::channel();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::new(door), is_over));
        let mut following = JoinSet::new();
        if kind == Kind::Scenario {
            following.spawn(load::follow(feed.clone()));
        }
        Ok(Self { url, feed, over, serving, _following: following })
    }

    /// What the run is to tell.
    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Says where the page is. The token stands in no file.
    pub(crate) fn announce(&self, stdout_is_for_people: bool) {
        let line = format!("dashboard  {}", self.url);
        if stdout_is_for_people {
            Output::stdout().line(&line);
        } else if let Err(error) = writeln!(io::stderr().lock(), "{line}") {
            tracing::debug!(%error, "nobody reads the error output");
        }
    }

    /// The run is over: lets the pages read the last of it, and ends whether they do or not.
    pub(crate) async fn end(mut self) {
        self.feed.close();
        drop(self.over);
        match timeout(FAREWELL_MAX, self.serving.join_next()).await {
            Ok(Some(Err(error))) => tracing::warn!(%error, "the dashboard had ended before"),
            Ok(_) => (),
            Err(_elapsed) => tracing::debug!("a page did not read the last words"),
        }
    }
}

/// Takes connections until the run is over, and then waits for those there are.
async fn serve(listener: TcpListener, door: Arc<Door>, mut is_over: oneshot::Receiver<()>) {
    let mut clients = JoinSet::new();
    loop {
        let room = clients.len() < CONNECTIONS_MAX;
        tokio::select! {
            _ = &mut is_over => break,
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    clients.spawn(client::serve(stream, Arc::clone(&door)));
                }
                Err(error) => {
                    tracing::warn!(%error, "could not take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(ended) = clients.join_next(), if !clients.is_empty() => note(ended),
        }
    }
    drop(listener);
    while let Some(ended) = clients.join_next().await {
        note(ended);
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::warn!(%error, "could not serve a page");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        for good in ["127.0.0.1:0", "127.0.0.1:8080", "[::1]:0"] {
            assert!(good.parse::<Place>().is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:0", "[::]:0", "192.168.0.1:80", "[::ffff:127.0.0.1]:0", "8080", "a:1"]
        {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
