//! One way of a connection: bytes that were taken from one side and wait to be given to the other.
//!
//! They stay in order and unmodified, whatever is done to them: bytes are only ever appended at the
//! back and taken from the front, and each waits at least as long as the one before. What waits is
//! bounded ([`HELD_MAX`]); while it is full nothing more is read, and the sender feels it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use crate::counters::Tally;
use crate::shape::{Shape, Way};
use crate::shared::{Order, Shared};
use crate::weather::Wait;

/// Bytes held at most for one way of a connection.
pub const HELD_MAX: usize = 256 * 1024;

/// Chunks held at most for one way of a connection, which bounds what small ones cost.
const CHUNKS_MAX: usize = 4096;

/// Bytes taken at once, which makes them one chunk.
const CHUNK_MAX: usize = 16 * 1024;

/// How late a chunk is that was lost once; twice that after the next time. What Linux begins with.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// Losses in a row that end the connection.
const LOSSES_MAX: u32 = 6;

/// Why a connection ends before both of its ways were closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The one who dialled reset it.
    Client,
    /// The target did, or died.
    Target,
    /// The link refuses, or is no more.
    Cut,
    /// By chance, as ordered.
    Chance,
    /// A chunk was lost too often.
    Loss,
}

/// What has to happen before more of a flow can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Something has to come.
    Bytes,
    /// The link has to heal.
    Heal,
    /// The receiver has to make room.
    Room,
    /// It has to become later.
    Time(Instant),
    /// Nothing: all has been given, and the close is due.
    Close,
}

/// Bytes that came at once, and leave together.
#[derive(Debug)]
struct Chunk {
    came: Instant,
    due: Instant,
    left: usize,
    /// It was lost so often that the connection ends when it is due.
    doomed: bool,
    limited: bool,
    stalled: bool,
}

/// How the sender ended its stream, and when that is due at the receiver.
#[derive(Clone, Copy, Debug)]
struct End {
    reset: bool,
    came: Instant,
    due: Instant,
}

/// One way of a connection.
#[derive(Debug)]
pub(crate) struct Flow {
    way: Way,
    order: Order,
    chance: ChaCha8Rng,
    shared: Arc<Shared>,
    bytes: VecDeque<u8>,
    chunks: VecDeque<Chunk>,
    end: Option<End>,
    scratch: Box<[u8]>,
}

impl Flow {
    pub(crate) fn new(way: Way, order: Order, chance: ChaCha8Rng, shared: Arc<Shared>) -> Self {
        let (bytes, chunks) = (VecDeque::new(), VecDeque::new());
        let scratch = vec![0; CHUNK_MAX].into_boxed_slice();
        Self { way, order, chance, shared, bytes, chunks, end: None, scratch }
    }

    /// Whether more can be taken from the sender.
    pub(crate) fn has_room(&self) -> bool {
        self.end.is_none() && self.bytes.len() < HELD_MAX && self.chunks.len() < CHUNKS_MAX
    }

    /// Whether the sender has ended its stream.
    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Notes that the close has been passed on.
    pub(crate) fn closed(&self) {
        Tally::one(&self.shared.tally.closes_mirrored);
    }

    /// The connection, broken by the one to whom the bytes go.
    pub(crate) fn by_receiver(&self) -> Broken {
        if self.way == Way::Towards { Broken::Target } else { Broken::Client }
    }

    /// The connection, broken by the one who sends the bytes.
    fn by_sender(&self) -> Broken {
        if self.way == Way::Towards { Broken::Client } else { Broken::Target }
    }

    /// Does from now on what is ordered. What waits is treated as if it had come under that order,
    /// without being lost again.
    pub(crate) fn obey(&mut self, order: Order) {
        if order == self.order {
            return;
        }
        let hung = self.order.shape.hangs(self.way);
        self.order = order;
        if order.shape.hangs(self.way) && !hung {
            Tally::add(&self.shared.tally.bytes_held_total, self.bytes.len());
        }
        let mut latest = None;
        let late: Vec<Duration> = (0..=self.chunks.len()).map(|_| self.lateness()).collect();
        for (chunk, late) in self.chunks.iter_mut().zip(&late) {
            (chunk.due, chunk.doomed) =
                ((chunk.came + *late).max(latest.unwrap_or(chunk.came)), false);
            latest = Some(chunk.due);
        }
        if let Some(end) = &mut self.end {
            end.due = (end.came + late[late.len() - 1]).max(latest.unwrap_or(end.came));
        }
    }

    /// Takes what the sender has sent. What need not wait is given to the receiver at once.
    pub(crate) fn take(
        &mut self,
        reader: &ReadHalf<'_>,
        writer: Option<&WriteHalf<'_>>,
    ) -> Result<(), Broken> {
        let room = CHUNK_MAX.min(HELD_MAX - self.bytes.len());
        let count = match reader.try_read(&mut self.scratch[..room]) {
            Ok(0) => {
                self.ended(false);
                return Ok(());
            }
            Ok(count) => count,
            Err(error) if is_retry(&error) => return Ok(()),
            Err(_) => {
                self.ended(true);
                return Ok(());
            }
        };
        Tally::add(&self.shared.tally.bytes_read, count);
        let clear = self.bytes.is_empty() && self.order.shape == Shape::default();
        let given = match writer.filter(|_| clear).map(|to| to.try_write(&self.scratch[..count])) {
            Some(Ok(given)) => given,
            Some(Err(error)) if !is_retry(&error) => {
                Tally::add(&self.shared.tally.bytes_discarded, count);
                return Err(self.by_receiver());
            }
            Some(Err(_)) | None => 0,
        };
        self.passed(given);
        if given < count {
            self.hold(given, count);
        }
        Ok(())
    }

    /// Notes that the sender has ended its stream.
    pub(crate) fn ended(&mut self, reset: bool) {
        let came = Instant::now();
        let due = (came + self.lateness()).max(self.due_last().unwrap_or(came));
        self.end.get_or_insert(End { reset, came, due });
    }

    /// Gives the receiver all that it can be given now, and says what has to happen before the rest.
    pub(crate) fn give(&mut self, writer: &WriteHalf<'_>) -> Result<Next, Broken> {
        loop {
            if self.order.shape.hangs(self.way) {
                return Ok(Next::Heal);
            }
            if self.chunks.is_empty() && self.end.is_none() {
                return Ok(Next::Bytes);
            }
            let now = Instant::now();
            let Some(chunk) = self.chunks.front() else { return self.finish(now) };
            if now < chunk.due {
                return Ok(Next::Time(chunk.due));
            }
            if chunk.doomed {
                return Err(Broken::Loss);
            }
            match self.give_some(now, writer)? {
                Some(Next::Room) if self.end.is_some_and(|end| end.reset) => {
                    // Nobody will send the rest again.
                    return Err(self.by_sender());
                }
                Some(next) => return Ok(next),
                None => (),
            }
        }
    }

    /// Gives some of the chunk in front; or says why nothing of it can be given.
    fn give_some(&mut self, now: Instant, to: &WriteHalf<'_>) -> Result<Option<Next>, Broken> {
        let chunk = self.chunks.front_mut().expect("the caller saw it");
        let front = self.bytes.as_slices().0;
        let want = chunk.left.min(front.len());
        let shape = &self.order.shape;
        let mut weather = None;
        let mut granted = want;
        if shape.hits(self.way) && (shape.rate.is_some() || shape.stall.is_some()) {
            let mut lane = self.shared.weather(self.way);
            match lane.permit(now, (self.order.generation, shape), want) {
                Ok(bytes) => granted = bytes,
                Err(why) => return Ok(Some(Next::Time(note(&self.shared.tally, chunk, why)))),
            }
            weather = Some(lane);
        }
        let given = match to.try_write(&front[..granted]) {
            Ok(given) => given,
            Err(error) if is_retry(&error) => 0,
            Err(_) => return Err(self.by_receiver()),
        };
        if let Some(mut lane) = weather {
            lane.give_back(granted - given);
        }
        if given == 0 {
            return Ok(Some(Next::Room));
        }
        chunk.left -= given;
        if chunk.left == 0 {
            self.chunks.pop_front();
        }
        self.bytes.drain(..given);
        if self.bytes.is_empty() && CHUNK_MAX < self.bytes.capacity() {
            self.bytes = VecDeque::new();
        }
        Tally::subtract(&self.shared.tally.bytes_held_now, given);
        self.passed(given);
        Ok(None)
    }

    /// All bytes have been given: what is next is the end, if it is due.
    fn finish(&self, now: Instant) -> Result<Next, Broken> {
        match self.end {
            None => Ok(Next::Bytes),
            Some(end) if now < end.due => Ok(Next::Time(end.due)),
            Some(end) if end.reset => Err(self.by_sender()),
            Some(_) => Ok(Next::Close),
        }
    }

    /// Appends what came to what waits.
    fn hold(&mut self, from: usize, to: usize) {
        let (came, shape, tally) = (Instant::now(), self.order.shape, &self.shared.tally);
        Tally::add(&tally.bytes_held_now, to - from);
        if shape.hangs(self.way) {
            Tally::add(&tally.bytes_held_total, to - from);
        }
        let (late, losses) = self.losses();
        let late = self.lateness() + late;
        let due = (came + late).max(self.due_last().unwrap_or(came));
        let tally = &self.shared.tally;
        Tally::add(&tally.chunks_lost, losses as usize);
        if came < due {
            Tally::one(&tally.chunks_delayed);
        }
        let doomed = losses == LOSSES_MAX;
        self.bytes.extend(&self.scratch[from..to]);
        let (left, limited, stalled) = (to - from, false, false);
        self.chunks.push_back(Chunk { came, due, left, doomed, limited, stalled });
    }

    /// How much later than it comes a chunk leaves if it is not lost.
    fn lateness(&mut self) -> Duration {
        let shape = self.order.shape;
        if !shape.hits(self.way) {
            return Duration::ZERO;
        }
        if shape.jitter.is_zero() {
            return shape.delay;
        }
        shape.delay + shape.jitter.mul_f64(self.chance.random())
    }

    /// How many times a chunk is lost, and how much later it comes for that.
    fn losses(&mut self) -> (Duration, u32) {
        let shape = self.order.shape;
        let (mut late, mut losses) = (Duration::ZERO, 0);
        if !shape.hits(self.way) || shape.loss == 0.0 {
            return (late, losses);
        }
        while losses < LOSSES_MAX && self.chance.random_bool(shape.loss) {
            late += RETRANSMISSION * 2_u32.pow(losses);
            losses += 1;
        }
        (late, losses)
    }

    fn due_last(&self) -> Option<Instant> {
        self.chunks.back().map(|chunk| chunk.due)
    }

    fn passed(&self, bytes: usize) {
        let tally = &self.shared.tally;
        let towards = self.way == Way::Towards;
        Tally::add(if towards { &tally.bytes_towards } else { &tally.bytes_back }, bytes);
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        Tally::subtract(&self.shared.tally.bytes_held_now, self.bytes.len());
        Tally::add(&self.shared.tally.bytes_discarded, self.bytes.len());
    }
}

/// Notes once for each chunk that it has to wait, and says until when.
fn note(tally: &Tally, chunk: &mut Chunk, wait: Wait) -> Instant {
    let (noted, counter, until) = match wait {
        Wait::Rate(until) => (&mut chunk.limited, &tally.chunks_limited, until),
        Wait::Pause(until) => (&mut chunk.stalled, &tally.chunks_stalled, until),
    };
    if !std::mem::replace(noted, true) {
        Tally::one(counter);
    }
    until
}

fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
