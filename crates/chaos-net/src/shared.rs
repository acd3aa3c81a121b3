//! What the tasks of one link share.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::counters::Tally;
use crate::shape::{Shape, Way};
use crate::weather::Weather;

/// What a link is to do, and the how-manieth such order it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Order {
    pub(crate) generation: u64,
    pub(crate) shape: Shape,
}

/// How far a link has got with its orders.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Door {
    /// The last order that was carried out.
    pub(crate) generation: u64,
    /// Whether the port accepts connections.
    pub(crate) open: bool,
    /// Whether it is open or closed because of an order, whatever the target does.
    pub(crate) ordered: bool,
    /// Whether the target has been looked at, and accepted connections.
    pub(crate) target: Option<bool>,
    /// Whether the port should be open, and cannot.
    pub(crate) failed: bool,
}

/// What the tasks of one link share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) target: SocketAddr,
    pub(crate) tally: Tally,
    towards: Mutex<Weather>,
    back: Mutex<Weather>,
    trouble: Mutex<Option<String>>,
    /// Questions to the one who watches the target. Full means: wait, they are answered at once.
    questions: mpsc::Sender<oneshot::Sender<bool>>,
    door: watch::Receiver<Door>,
}

impl Shared {
    pub(crate) fn new(
        target: SocketAddr,
        seed: u64,
        questions: mpsc::Sender<oneshot::Sender<bool>>,
        door: watch::Receiver<Door>,
    ) -> Self {
        let now = Instant::now();
        let (towards, back) = (Weather::new(seed ^ 1, now), Weather::new(seed ^ 2, now));
        let (towards, back) = (Mutex::new(towards), Mutex::new(back));
        let (tally, trouble) = (Tally::default(), Mutex::new(None));
        Self { target, tally, towards, back, trouble, questions, door }
    }

    pub(crate) fn weather(&self, way: Way) -> MutexGuard<'_, Weather> {
        let weather = if way == Way::Towards { &self.towards } else { &self.back };
        weather.lock().expect("nobody panics while holding it")
    }

    /// Notes an error that no fault explains.
    pub(crate) fn report(&self, what: &str, error: &std::io::Error) {
        Tally::one(&self.tally.errors);
        let mut trouble = self.trouble.lock().expect("nobody panics while holding it");
        *trouble = Some(format!("{what}: {error}"));
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().expect("nobody panics while holding it").clone()
    }

    pub(crate) fn door(&self) -> Door {
        *self.door.borrow()
    }

    /// The target closed a connection, and may be gone. Returns when the port does what the target
    /// does: whoever hears of the close and dials again at once must find the same as at the target.
    pub(crate) async fn settle(&self) {
        let settled = async {
            let (ask, answer) = oneshot::channel();
            if self.questions.send(ask).await.is_err() || answer.await != Ok(false) {
                return;
            }
            let mut door = self.door.clone();
            // An error means that the link is being removed.
            drop(door.wait_for(|door| !door.open || door.ordered).await);
        };
        // A target whose queue of connections is full gives no answer: late, but not stuck.
        drop(timeout(SETTLE_MAX, settled).await);
    }
}

const SETTLE_MAX: Duration = Duration::from_secs(1);
