//! One connection through a link, from its accept to its end.

use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncWriteExt, Interest, Ready};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use crate::counters::Tally;
use crate::flow::{Broken, Flow, Next};
use crate::shape::{Cut, Way};
use crate::shared::{Order, Shared};
use crate::target::dial;
use crate::weather::interval;

type Orders = watch::Receiver<Order>;

/// Carries a connection until both ways of it are closed, or it breaks; and then lets both sides
/// see the same: closed, or reset.
pub(crate) async fn carry(
    mut client: TcpStream,
    seed: u64,
    mut orders: Orders,
    shared: Arc<Shared>,
) {
    Tally::one(&shared.tally.connections);
    let _open = Open::new(&shared.tally);
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let order = *orders.borrow_and_update();
    let mut flow = |way| {
        let chance = ChaCha8Rng::seed_from_u64(chance.random());
        Flow::new(way, order, chance, Arc::clone(&shared))
    };
    let (mut towards, back) = (flow(Way::Towards), flow(Way::Back));
    let mut target = match reach(&mut client, &mut towards, &mut orders, &shared).await {
        Ok(target) => target,
        Err(broken) => return end(&client, None, broken, &shared).await,
    };
    // Only one of the flows has followed the orders until now.
    orders.mark_changed();
    let broken = {
        let (from_client, to_client) = client.split();
        let (from_target, to_target) = target.split();
        let both = async {
            tokio::try_join!(
                pump(towards, from_client, to_target, orders.clone(), None),
                pump(back, from_target, to_client, orders.clone(), Some(&shared)),
            )
        };
        tokio::select! {
            ended = both => ended.err(),
            broken = misfortune(chance, orders.clone()) => Some(broken),
        }
    };
    if let Some(broken) = broken {
        end(&client, Some(&target), broken, &shared).await;
    }
}

/// Counts a connection as open as long as it lives.
struct Open<'a>(&'a Tally);

impl<'a> Open<'a> {
    fn new(tally: &'a Tally) -> Self {
        Tally::one(&tally.connections_now);
        Self(tally)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        Tally::subtract(&self.0.connections_now, 1);
    }
}

/// Dials the target; while the link hangs, only takes what the client says.
async fn reach(
    client: &mut TcpStream,
    towards: &mut Flow,
    orders: &mut Orders,
    shared: &Shared,
) -> Result<TcpStream, Broken> {
    let (reader, _writer) = client.split();
    let mut hung = false;
    loop {
        let order = *orders.borrow_and_update();
        towards.obey(order);
        match order.shape.cut {
            Cut::Refuse => return Err(Broken::Cut),
            Cut::Hang => {
                if !std::mem::replace(&mut hung, true) {
                    Tally::one(&shared.tally.connections_hung);
                }
                hang(&reader, towards, orders).await?;
            }
            Cut::None => {
                let dialled = tokio::select! {
                    biased;
                    changed = orders.changed() => { changed.map_err(closed)?; continue }
                    dialled = dial(shared.target) => dialled,
                };
                match dialled {
                    Ok(target) => return Ok(target),
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                        Tally::one(&shared.tally.target_refused);
                    }
                    Err(error) => shared.report("could not dial the target", &error),
                }
                return Err(Broken::Target);
            }
        }
    }
}

/// Takes what the client says until there is another order, or until the client gives up: had its
/// packets been dropped it would not even be connected, so nothing of it is left.
async fn hang(
    reader: &ReadHalf<'_>,
    towards: &mut Flow,
    orders: &mut Orders,
) -> Result<(), Broken> {
    loop {
        tokio::select! {
            biased;
            changed = orders.changed() => return changed.map_err(closed),
            ready = reader.ready(interest(towards)) => {
                if ready.map_or(true, Ready::is_error) {
                    return Err(Broken::Client);
                }
                if towards.has_room() {
                    towards.take(reader, None)?;
                }
                if towards.has_ended() {
                    return Err(Broken::Client);
                }
            }
        }
    }
}

/// What is of interest at the sender: bytes if there is room for them, a reset always.
fn interest(flow: &Flow) -> Interest {
    if flow.has_room() { Interest::READABLE } else { Interest::ERROR }
}

/// Moves bytes one way until they end. With `settle` they come from the target, whose close may
/// mean that it is gone.
async fn pump(
    mut flow: Flow,
    reader: ReadHalf<'_>,
    mut writer: WriteHalf<'_>,
    mut orders: Orders,
    settle: Option<&Shared>,
) -> Result<(), Broken> {
    loop {
        if orders.has_changed().map_err(closed)? {
            let order = *orders.borrow_and_update();
            if order.shape.cut == Cut::Refuse {
                return Err(Broken::Cut);
            }
            flow.obey(order);
        }
        let next = flow.give(&writer)?;
        if next == Next::Close {
            break;
        }
        tokio::select! {
            biased;
            changed = orders.changed() => {
                changed.map_err(closed)?;
                orders.mark_changed();
            }
            ready = reader.ready(interest(&flow)), if !flow.has_ended() => {
                if flow.has_room() {
                    flow.take(&reader, Some(&writer))?;
                } else if ready.map_or(true, Ready::is_error) {
                    flow.ended(true);
                }
            }
            _ = writer.writable(), if next == Next::Room => (),
            () = until(next) => (),
        }
    }
    if let Some(shared) = settle {
        shared.settle().await;
    }
    if writer.shutdown().await.is_err() {
        return Err(flow.by_receiver());
    }
    flow.closed();
    Ok(())
}

async fn until(next: Next) {
    match next {
        Next::Time(at) => sleep_until(at).await,
        _ => std::future::pending().await,
    }
}

/// Waits for the reset that chance has in store.
async fn misfortune(mut chance: ChaCha8Rng, mut orders: Orders) -> Broken {
    loop {
        let per_second = orders.borrow_and_update().shape.resets_per_second;
        let strikes = async {
            match per_second {
                0.0 => std::future::pending().await,
                _ => sleep(interval(&mut chance, per_second)).await,
            }
        };
        tokio::select! {
            biased;
            changed = orders.changed() => if changed.is_err() { return Broken::Cut },
            () = strikes => return Broken::Chance,
        }
    }
}

fn closed(_: watch::error::RecvError) -> Broken {
    Broken::Cut
}

/// Resets both sides: none of them is told that all is well.
async fn end(client: &TcpStream, target: Option<&TcpStream>, broken: Broken, shared: &Shared) {
    if broken == Broken::Target {
        shared.settle().await;
    }
    Tally::one(match broken {
        Broken::Client | Broken::Target => &shared.tally.resets_mirrored,
        Broken::Cut => &shared.tally.resets_by_cut,
        Broken::Chance => &shared.tally.resets_by_chance,
        Broken::Loss => &shared.tally.resets_by_loss,
    });
    for stream in [Some(client), target].into_iter().flatten() {
        // It fails on a connection that is gone already, and that is as good.
        drop(stream.set_zero_linger());
    }
}
