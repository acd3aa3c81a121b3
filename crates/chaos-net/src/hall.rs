//! A port that several links share: all who dial the same target come in here, and each is led to the
//! link of whoever it is.
//!
//! Some systems tell everybody one address for each member, so that the dialler cannot be told by the
//! port that was dialled. Then somebody who knows has to be asked, connection by connection.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::link::{Port, shut};
use crate::shared::Shared;
use crate::target::{DIAL_EVERY, watch_target};

/// Tells which node has opened the connection that comes from this address, if anybody knows. It may
/// take its time: it is asked on a thread where that hinders nobody.
pub type Who = Arc<dyn Fn(SocketAddr) -> Option<u64> + Send + Sync>;

/// Connections about whose origin somebody thinks, at a time.
const ASKED_MAX: usize = 64;

/// What the task of a hall is made with.
pub(crate) struct Hall {
    pub(crate) port: Port,
    pub(crate) who: Who,
    /// Where each node's connections go.
    pub(crate) links: BTreeMap<u64, mpsc::Sender<TcpStream>>,
    /// Closed when the hall is to end.
    pub(crate) open: watch::Receiver<()>,
    pub(crate) questions: mpsc::Receiver<oneshot::Sender<bool>>,
    pub(crate) shared: Arc<Shared>,
}

/// Leads connections to their links until it is to end. The port is open whenever the target's is.
pub(crate) async fn attend(hall: Hall) {
    let Hall { port, who, links, mut open, questions, shared } = hall;
    let (tell, accepts) = watch::channel(None);
    let mut usher = Usher { port, who, links, accepts, asked: JoinSet::new() };
    tokio::select! {
        never = watch_target(&shared, questions, tell) => match never {},
        () = usher.lead(&shared) => (),
        // There is never news, only the end.
        _ended = open.changed() => (),
    }
}

struct Usher {
    port: Port,
    who: Who,
    links: BTreeMap<u64, mpsc::Sender<TcpStream>>,
    accepts: watch::Receiver<Option<bool>>,
    asked: JoinSet<()>,
}

impl Usher {
    async fn lead(&mut self, shared: &Shared) {
        let mut listener: Option<Listener> = None;
        loop {
            let wanted = *self.accepts.borrow_and_update() == Some(true);
            if !wanted {
                listener = None;
            } else if listener.is_none() {
                match self.port.open() {
                    Ok(open) => listener = Some(Listener(open)),
                    Err(error) => {
                        shared.report(&format!("could not open {}", self.port.address), &error);
                    }
                }
            }
            let failed = wanted && listener.is_none();
            let room = self.asked.len() < ASKED_MAX;
            tokio::select! {
                biased;
                changed = self.accepts.changed() => if changed.is_err() { return },
                Some(ended) = self.asked.join_next() => {
                    if let Err(error) = ended {
                        std::panic::resume_unwind(error.into_panic());
                    }
                }
                accepted = accept(listener.as_ref()), if room => match accepted {
                    Ok((stream, from)) => self.ask(stream, from),
                    Err(error) => {
                        shared.report("could not accept a connection", &error);
                        sleep(DIAL_EVERY).await;
                    }
                },
                () = sleep(DIAL_EVERY), if failed => (),
            }
        }
    }

    /// Whoever is not known is reset, as at a link that is cut.
    fn ask(&mut self, stream: TcpStream, from: SocketAddr) {
        let (who, links) = (Arc::clone(&self.who), self.links.clone());
        self.asked.spawn(async move {
            let found = tokio::task::spawn_blocking(move || who(from)).await;
            let link = found.ok().flatten().and_then(|id| links.get(&id));
            let refused = match link {
                Some(link) => link.send(stream).await.err().map(|unsent| unsent.0),
                None => Some(stream),
            };
            if let Some(stream) = refused {
                // It fails on a connection that is gone already, and that is as good.
                drop(stream.set_zero_linger());
            }
        });
    }
}

/// An open port, which is closed with it.
struct Listener(TcpListener);

impl Drop for Listener {
    fn drop(&mut self) {
        shut(&self.0);
    }
}

async fn accept(listener: Option<&Listener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(Listener(listener)) => listener.accept().await,
        None => std::future::pending().await,
    }
}
