//! Cutting a link: what hangs is held and delivered, what is refused is reset, and the counters say so.

use chaos_net::{Cut, Shape, Side};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Lab, eventually, hears, hears_nothing, is_refused, is_reset, says, within};

/// Clear links carry both ways, and add nothing up wrongly.
#[tokio::test]
async fn a_clear_link_carries() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    says(&mut client, &mut target, b"ping").await;
    says(&mut target, &mut client, b"pong!").await;
    let counters = lab.counters();
    assert_eq!((counters.bytes_towards, counters.bytes_back), (9, 5));
    assert_eq!((counters.bytes_read, counters.bytes_held_now), (14, 0));
    assert_eq!((counters.connections, counters.connections_now), (1, 1));
}

/// A hanging link holds what both sides say, tells nobody, and delivers it when healed.
#[tokio::test]
async fn a_hanging_link_holds_and_delivers() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    lab.shape(Shape::hang()).await;
    client.write_all(b"towards").await.unwrap();
    target.write_all(b"back").await.unwrap();
    eventually("held", || lab.counters().bytes_held_now == 11).await;
    hears_nothing(&mut client).await;
    hears_nothing(&mut target).await;
    lab.shape(Shape::clear()).await;
    hears(&mut target, b"towards").await;
    hears(&mut client, b"back").await;
    let counters = lab.counters();
    assert_eq!((counters.bytes_held_total, counters.bytes_held_now), (11, 0));
}

/// Only one way of a link may hang: the other goes on.
#[tokio::test]
async fn half_a_link_hangs() {
    for side in [Side::Towards, Side::Back] {
        let lab = Lab::new().await;
        let (mut client, mut target) = lab.connect().await;
        lab.shape(Shape::hang().only(side)).await;
        let (cut_off, other) = match side {
            Side::Towards => (&mut client, &mut target),
            _ => (&mut target, &mut client),
        };
        cut_off.write_all(b"lost?").await.unwrap();
        hears_nothing(other).await;
        says(other, cut_off, b"but I am heard").await;
        lab.shape(Shape::clear()).await;
        hears(other, b"lost?").await;
    }
}

/// A connection made while the link hangs is accepted and silent. Healed, it comes through; unless
/// its client has given up.
#[tokio::test]
async fn new_connections_hang() {
    let lab = Lab::new().await;
    lab.shape(Shape::hang()).await;
    let mut patient = within(TcpStream::connect(lab.proxy)).await.unwrap();
    patient.write_all(b"hello, are you there?").await.unwrap();
    let mut hasty = within(TcpStream::connect(lab.proxy)).await.unwrap();
    hasty.write_all(b"hello and goodbye").await.unwrap();
    eventually("both held", || lab.counters().bytes_held_now == 21 + 17).await;
    assert_eq!(lab.counters().connections_hung, 2);
    hears_nothing(&mut patient).await;
    drop(hasty);
    eventually("one is gone", || lab.counters().bytes_discarded == 17).await;
    lab.shape(Shape::clear()).await;
    let mut target = lab.accept().await;
    hears(&mut target, b", are you there?").await;
    says(&mut target, &mut patient, b"yes").await;
    assert_eq!(lab.counters().connections_now, 1);
}

/// Closes and resets hang as bytes do: the other side learns when the link is healed.
#[tokio::test]
async fn ends_hang_too() {
    let lab = Lab::new().await;
    let (client, mut target) = lab.connect().await;
    let (mut other_client, other_target) = lab.connect().await;
    lab.shape(Shape::hang()).await;
    drop(client);
    other_target.set_zero_linger().unwrap();
    drop(other_target);
    hears_nothing(&mut target).await;
    hears_nothing(&mut other_client).await;
    lab.shape(Shape::clear()).await;
    assert_eq!(crate::support::ends(&mut target).await.unwrap(), b"");
    is_reset(&mut other_client).await;
    assert_eq!(lab.counters().resets_mirrored, 1);
}

/// What a reset sender had said before is gone when the receiver does not take it, and is counted.
#[tokio::test]
async fn what_a_cut_off_sender_said_is_accounted_for() {
    let lab = Lab::new().await;
    let (mut client, target) = lab.connect().await;
    lab.shape(Shape::hang()).await;
    client.write_all(b"lost").await.unwrap();
    eventually("held", || lab.counters().bytes_held_now == 4).await;
    drop(target);
    lab.shape(Shape::refuse()).await;
    is_reset(&mut client).await;
    let counters = lab.counters();
    assert_eq!((counters.bytes_discarded, counters.bytes_held_now), (4, 0));
    assert_eq!((counters.resets_by_cut, counters.connections_now), (1, 0));
}

/// A refusing link resets what is open and refuses what is new, at once; healed, it accepts again.
#[tokio::test]
async fn a_refusing_link_refuses() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    for round in 1..=20 {
        lab.shape(Shape::refuse()).await;
        assert!(is_refused(lab.proxy).await);
        is_reset(&mut client).await;
        is_reset(&mut target).await;
        let counters = lab.counters();
        assert_eq!(counters.connections_now, 0);
        assert_eq!((counters.resets_by_cut, counters.closures), (round, round));
        assert_eq!((counters.refusals_seen, counters.closures_mirrored), (round, 0));
        lab.shape(Shape::clear()).await;
        (client, target) = lab.connect().await;
        says(&mut client, &mut target, b"again").await;
    }
}

/// From one cut to another without being healed between.
#[tokio::test]
async fn cuts_follow_cuts() {
    let lab = Lab::new().await;
    lab.shape(Shape::refuse()).await;
    lab.shape(Shape::hang()).await;
    let mut client = within(TcpStream::connect(lab.proxy)).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    eventually("it is seen", || lab.counters().connections == 1).await;
    lab.shape(Shape { cut: Cut::Refuse, ..Shape::default() }).await;
    is_reset(&mut client).await;
    assert!(is_refused(lab.proxy).await);
}
