//! The links of a cluster, and how they are told what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::counters::Counters;
use crate::hall::{Hall, Who, attend};
use crate::link::{Entrance, Port, Serve, serve};
use crate::shape::Shape;
use crate::shared::{Door, Order, Shared};

/// Who dials whom: the link from node `from` to node `to` carries the connections that `from`
/// opens to `to`, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The node that dials.
    pub from: u64,
    /// The node that is dialled.
    pub to: u64,
}

impl Link {
    /// The link from one node to another.
    pub fn new(from: u64, to: u64) -> Self {
        Self { from, to }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

/// Why a link did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// There is one of that name.
    #[error("the link {0} is there already")]
    Known(Link),
    /// There is none of that name.
    #[error("there is no link {0}")]
    Unknown(Link),
    /// The port that it was to have cannot be had.
    #[error("could not take {address} for the link {link}")]
    Listen {
        /// Which link.
        link: Link,
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A shape with a number that means nothing.
    #[error("no link can be like that: {0}")]
    Shape(&'static str),
    /// Its port should be open and cannot be; it is tried again every 10 ms.
    #[error("the link {link} does not listen: {trouble}")]
    Shut {
        /// Which link.
        link: Link,
        /// What the system said.
        trouble: String,
    },
    /// It did not do so in time, or was removed meanwhile.
    #[error("the link {0} does not obey")]
    Stuck(Link),
}

/// What a link is about at this moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it leads.
    pub target: SocketAddr,
    /// What it is told to do.
    pub shape: Shape,
    /// Whether its port accepts connections.
    pub open: bool,
    /// Whether the target does.
    pub target_accepts: bool,
    /// The last error that no fault explains.
    pub trouble: Option<String>,
    /// What it has done.
    pub counters: Counters,
}

/// The links of a cluster. Dropping it ends them all; [`Net::shutdown`] also waits for that.
#[derive(Debug)]
pub struct Net {
    seed: u64,
    links: Mutex<BTreeMap<Link, Handle>>,
    /// Dropping one closes a port that links share.
    halls: Mutex<Vec<watch::Sender<()>>>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Handle {
    address: SocketAddr,
    /// Dropping it ends the link.
    orders: watch::Sender<Order>,
    door: watch::Receiver<Door>,
    shared: Arc<Shared>,
}

/// An order is carried out at once; this is for a machine that is busy elsewhere.
const OBEY_MAX: Duration = Duration::from_secs(10);

/// Connections that wait at a shared port until their link takes them.
const ARRIVALS_MAX: usize = 64;

impl Net {
    /// A net without links. What chance does on a link follows from the seed and the link's name;
    /// what is in a chunk, and when it comes, does not.
    pub fn new(seed: u64) -> Self {
        let (links, tasks) = (Mutex::new(BTreeMap::new()), Mutex::new(JoinSet::new()));
        Self { seed, links, halls: Mutex::new(Vec::new()), tasks }
    }

    /// Adds a clear link to `target` and returns where it listens: at `listen`, or on a free port
    /// of 127.0.0.1. The port is taken from then on, and accepts connections whenever the target
    /// does.
    pub async fn add(
        &self,
        link: Link,
        listen: Option<SocketAddr>,
        target: SocketAddr,
    ) -> Result<SocketAddr, NetError> {
        let listen = listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let port = Port::reserve(listen);
        let port = port.map_err(|source| NetError::Listen { link, address: listen, source })?;
        let address = port.address;
        self.enter(link, address, target, Entrance::Own(port, None)).await?;
        Ok(address)
    }

    /// Adds clear links from several nodes to one, all of which are dialled at the same port, and
    /// returns where that is. Each connection is led to the link of whoever opened it; of whom nobody
    /// knows who it is, it is reset. The port accepts connections whenever the target does.
    pub async fn add_shared(
        &self,
        from: &BTreeSet<u64>,
        to: u64,
        target: SocketAddr,
        who: Who,
    ) -> Result<SocketAddr, NetError> {
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let port = Port::reserve(listen).map_err(|source| {
            let link = Link::new(from.first().copied().unwrap_or_default(), to);
            NetError::Listen { link, address: listen, source }
        })?;
        let address = port.address;
        let mut links = BTreeMap::new();
        for &from in from {
            let (lead, arrivals) = mpsc::channel(ARRIVALS_MAX);
            self.enter(Link::new(from, to), address, target, Entrance::Shared(arrivals)).await?;
            links.insert(from, lead);
        }
        let (close, open) = watch::channel(());
        let (ask, questions) = mpsc::channel(1);
        let (_door, opened) = watch::channel(Door::default());
        let shared = Arc::new(Shared::new(target, self.seed, ask, opened));
        self.halls().push(close);
        self.tasks().spawn(attend(Hall { port, who, links, open, questions, shared }));
        Ok(address)
    }

    async fn enter(
        &self,
        link: Link,
        address: SocketAddr,
        target: SocketAddr,
        entrance: Entrance,
    ) -> Result<(), NetError> {
        let (ask, questions) = mpsc::channel(64);
        let (order, orders) = watch::channel(Order { generation: 1, shape: Shape::clear() });
        let (door, mut opened) = watch::channel(Door::default());
        let seed = mixed(self.seed, link);
        let shared = Arc::new(Shared::new(target, seed, ask, opened.clone()));
        let handle =
            Handle { address, orders: order, door: opened.clone(), shared: Arc::clone(&shared) };
        {
            let mut links = self.links();
            if links.contains_key(&link) {
                return Err(NetError::Known(link));
            }
            let alone = matches!(entrance, Entrance::Own(..));
            if alone && links.values().any(|other| other.address == address) {
                // The system would not mind as long as neither listens.
                let source = io::ErrorKind::AddrInUse.into();
                return Err(NetError::Listen { link, address, source });
            }
            links.insert(link, handle);
            self.tasks().spawn(serve(Serve { entrance, seed, orders, door, questions, shared }));
        }
        let ready = opened.wait_for(|door| door.target.is_some() && door.generation == 1);
        match timeout(OBEY_MAX, ready).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NetError::Stuck(link)),
        }
    }

    /// Shapes a link. It holds for open connections as well, from the return of this call at the
    /// latest.
    pub async fn shape(&self, link: Link, shape: Shape) -> Result<(), NetError> {
        self.shape_each(&[(link, shape)]).await
    }

    /// Shapes many links as nearly at once as can be: all are told before one is waited for. If
    /// there is an error about names or numbers, none is changed.
    pub async fn shape_each(&self, shapes: &[(Link, Shape)]) -> Result<(), NetError> {
        let mut told = Vec::new();
        {
            let links = self.links();
            for (link, shape) in shapes {
                if !links.contains_key(link) {
                    return Err(NetError::Unknown(*link));
                }
                if let Some(fault) = shape.fault() {
                    return Err(NetError::Shape(fault));
                }
            }
            for (link, shape) in shapes {
                let handle = &links[link];
                let mut generation = 0;
                handle.orders.send_modify(|order| {
                    generation = order.generation + 1;
                    *order = Order { generation, shape: *shape };
                });
                told.push((*link, generation, handle.door.clone(), Arc::clone(&handle.shared)));
            }
        }
        for (link, generation, mut door, shared) in told {
            let obeyed = timeout(OBEY_MAX, door.wait_for(|door| generation <= door.generation));
            let failed = match obeyed.await {
                Ok(Ok(door)) => door.failed,
                Ok(Err(_)) | Err(_) => return Err(NetError::Stuck(link)),
            };
            if failed {
                let trouble = shared.trouble().unwrap_or_default();
                return Err(NetError::Shut { link, trouble });
            }
        }
        Ok(())
    }

    /// Clears all links.
    pub async fn heal(&self) -> Result<(), NetError> {
        let all: Vec<_> = self.names().into_iter().map(|link| (link, Shape::clear())).collect();
        self.shape_each(&all).await
    }

    /// The links there are.
    pub fn names(&self) -> Vec<Link> {
        self.links().keys().copied().collect()
    }

    /// What a link has done; nothing is known of one that is not there.
    pub fn counters(&self, link: Link) -> Option<Counters> {
        self.links().get(&link).map(|handle| handle.shared.tally.counters())
    }

    /// What a link is about.
    pub fn status(&self, link: Link) -> Option<Status> {
        self.links().get(&link).map(|handle| {
            let door = handle.shared.door();
            Status {
                address: handle.address,
                target: handle.shared.target,
                shape: handle.orders.borrow().shape,
                open: door.open,
                target_accepts: door.target == Some(true),
                trouble: handle.shared.trouble(),
                counters: handle.shared.tally.counters(),
            }
        })
    }

    /// Ends a link, resets what is open on it, waits for that, and returns what it has done.
    pub async fn remove(&self, link: Link) -> Result<Counters, NetError> {
        let handle = self.links().remove(&link).ok_or(NetError::Unknown(link))?;
        let counters = end(handle).await;
        let mut tasks = self.tasks();
        while let Some(ended) = tasks.try_join_next() {
            joined(ended);
        }
        Ok(counters)
    }

    /// Ends all links and waits until nothing of them is left.
    pub async fn shutdown(&self) {
        self.halls().clear();
        let links = std::mem::take(&mut *self.links());
        drop(links);
        let mut tasks = std::mem::take(&mut *self.tasks());
        while let Some(ended) = tasks.join_next().await {
            joined(ended);
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<Link, Handle>> {
        self.links.lock().expect("nobody panics while holding it")
    }

    fn halls(&self) -> MutexGuard<'_, Vec<watch::Sender<()>>> {
        self.halls.lock().expect("nobody panics while holding it")
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().expect("nobody panics while holding it")
    }
}

async fn end(handle: Handle) -> Counters {
    let Handle { orders, mut door, shared, .. } = handle;
    drop(orders);
    // The door is gone when the link's task is.
    while door.changed().await.is_ok() {}
    shared.tally.counters()
}

/// A link's task is aborted only with the net itself, so an error is a panic.
fn joined(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// A seed of its own for each link (the finalizer of `SplitMix64`).
fn mixed(seed: u64, link: Link) -> u64 {
    let mut mixed = seed;
    for part in [link.from, link.to] {
        mixed = mixed.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    mixed
}
