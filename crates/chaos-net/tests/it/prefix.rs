//! Whatever is done to a link, what arrives is a prefix of what was sent: in order, unmodified. And
//! all of it, unless the connection was reset.
//!
//! Clients and the target send each other a stream of which every byte follows from its place,
//! while the link takes shapes drawn by chance. Each connection begins with its number, under which
//! both ends note what they sent and received, to be compared when all is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos_net::{Cut, Shape, Side, Stall};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Lab, within};

/// What one end of a connection sent and received.
#[derive(Clone, Copy, Debug)]
struct End {
    sent: u64,
    received: u64,
    /// The other end closed its stream, after all that it had to say.
    closed: bool,
}

/// Connections by number: the client's end, and the target's.
type Ends = Arc<Mutex<BTreeMap<u64, [Option<End>; 2]>>>;

const CLIENT: usize = 0;
const TARGET: usize = 1;

/// The byte at a place of the stream that an end sends.
fn byte(number: u64, end: usize, at: u64) -> u8 {
    let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number << 1 | end as u64);
    (mixed >> 17 ^ mixed).to_le_bytes()[2]
}

async fn sends(
    mut to: OwnedWriteHalf,
    seed: u64,
    (number, end): (u64, usize),
    stop: Stop,
) -> (u64, bool) {
    let (mut chance, mut sent) = (ChaCha8Rng::seed_from_u64(seed), 0);
    while !*stop.borrow() {
        let size: u64 = if chance.random_bool(0.2) { 60_000 } else { 200 };
        let count = chance.random_range(1..=size);
        let bytes: Vec<u8> = (sent..sent + count).map(|at| byte(number, end, at)).collect();
        // More may be under way than was written in full.
        sent += count;
        if to.write_all(&bytes).await.is_err() {
            return (sent, false);
        }
        sleep(Duration::from_millis(chance.random_range(0..3))).await;
    }
    let closed = to.shutdown().await.is_ok();
    (sent, closed)
}

type Stop = watch::Receiver<bool>;

async fn receives(mut from: OwnedReadHalf, (number, end): (u64, usize)) -> (u64, bool) {
    let (mut received, mut scratch) = (0, vec![0; 30_000]);
    loop {
        match from.read(&mut scratch).await {
            Ok(0) => return (received, true),
            Ok(count) => {
                for got in &scratch[..count] {
                    assert_eq!(*got, byte(number, end, received), "{number}: byte {received}");
                    received += 1;
                }
            }
            Err(_) => return (received, false),
        }
    }
}

/// Sends and receives until both are over, and notes how it was.
async fn talks(stream: TcpStream, seed: u64, (number, end): (u64, usize), stop: Stop, ends: Ends) {
    let (from, to) = stream.into_split();
    let ((sent, unbroken), (received, closed)) =
        tokio::join!(sends(to, seed, (number, end), stop), receives(from, (number, 1 - end)));
    // A reset is told once: to the sender, and then the receiver sees a close.
    let end_of = End { sent, received, closed: closed && unbroken };
    ends.lock().unwrap().entry(number).or_default()[end] = Some(end_of);
}

async fn client(proxy: SocketAddr, first: u64, seed: u64, stop: Stop, ends: Ends) {
    let mut number = first;
    while !*stop.borrow() {
        number += 1;
        let Ok(mut stream) = TcpStream::connect(proxy).await else {
            sleep(Duration::from_millis(1)).await;
            continue;
        };
        if stream.write_all(&number.to_le_bytes()).await.is_ok() {
            talks(stream, seed ^ number, (number, CLIENT), stop.clone(), Arc::clone(&ends)).await;
        }
    }
}

async fn target(listener: TcpListener, seed: u64, stop: Stop, ends: Ends) {
    let mut connections = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (stop, ends) = (stop.clone(), Arc::clone(&ends));
        connections.spawn(async move {
            let mut number = [0; 8];
            // The idle connection of the link says nothing.
            if stream.read_exact(&mut number).await.is_ok() {
                let number = u64::from_le_bytes(number);
                talks(stream, seed ^ !number, (number, TARGET), stop, ends).await;
            }
        });
        while let Some(ended) = connections.try_join_next() {
            ended.unwrap();
        }
    }
}

fn drawn(chance: &mut ChaCha8Rng) -> Shape {
    let ms = |chance: &mut ChaCha8Rng| Duration::from_millis(chance.random_range(0..20));
    let mut shape = Shape::default();
    for _ in 0..chance.random_range(0..4) {
        match chance.random_range(0..9) {
            0 => shape.cut = Cut::Hang,
            1 => shape.cut = Cut::Refuse,
            2 => shape.delay = ms(chance),
            3 => shape.jitter = ms(chance),
            4 => shape.loss = 0.05,
            5 => shape.rate = NonZeroU64::new(chance.random_range(100..5_000_000)),
            6 => shape.resets_per_second = 2.0,
            7 => shape.stall = Some(Stall { length: ms(chance), per_second: 20.0 }),
            _ => shape.side = if chance.random() { Side::Towards } else { Side::Back },
        }
    }
    shape
}

/// One run; how many connections were made in it, and how many bytes of them arrived.
async fn run(seed: u64) -> (usize, u64) {
    let mut lab = Lab::new().await;
    let listener = lab.listener.take().unwrap();
    let ends = Ends::default();
    let (tell, stop) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let served = tasks.spawn(target(listener, seed, stop.clone(), Arc::clone(&ends)));
    for who in 1..=3 {
        tasks.spawn(client(lab.proxy, who << 32, seed, stop.clone(), Arc::clone(&ends)));
    }
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..30 {
        lab.shape(drawn(&mut chance)).await;
        sleep(Duration::from_millis(chance.random_range(0..40))).await;
    }
    lab.net.heal().await.unwrap();
    sleep(Duration::from_millis(20)).await;
    tell.send_replace(true);
    for _ in 1..=3 {
        within(tasks.join_next()).await.unwrap().unwrap();
    }
    // The target's ends of connections that were reset follow.
    within(async {
        while lab.counters().connections_now != 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    served.abort();
    let counters = lab.counters();
    let moved = counters.bytes_towards + counters.bytes_back;
    assert_eq!(counters.bytes_held_now, 0);
    assert_eq!(counters.bytes_read, moved + counters.bytes_discarded, "{counters:?}");
    let ends = ends.lock().unwrap();
    let mut received = 0;
    for (number, pair) in ends.iter() {
        for (end, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let (Some(end), Some(other)) = (end, other) else { continue };
            assert!(end.received <= other.sent, "{seed}, {number}: {end:?} of {other:?}");
            assert!(
                !end.closed || end.received == other.sent,
                "{seed}, {number}: {end:?} {other:?}"
            );
            received += end.received;
        }
    }
    (ends.len(), received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_a_prefix_of_what_was_sent() {
    let (mut connections, mut received) = (0, 0);
    for seed in 0..8 {
        let (more, bytes) = run(seed).await;
        (connections, received) = (connections + more, received + bytes);
    }
    assert!(50 < connections && 1_000_000 < received, "{connections} {received}: too little");
}
