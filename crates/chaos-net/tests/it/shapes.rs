//! Each shape, with what its counters say of it. Only lower bounds of time are asserted.

use std::num::NonZeroU64;
use std::time::Duration;

use chaos_net::{Shape, Side, Stall};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::support::{Lab, ends, eventually, hears, hears_nothing, is_reset, says};

/// What is late is late by at least that, each way; what travels the other way is not touched.
#[tokio::test]
async fn delays_delay() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    let shape = Shape::late(Duration::from_millis(50), Duration::from_millis(5));
    for (side, late) in [(Side::Both, 100), (Side::Towards, 50), (Side::Back, 50)] {
        lab.shape(shape.only(side)).await;
        let (begin, before) = (Instant::now(), lab.counters().chunks_delayed);
        says(&mut client, &mut target, b"ping").await;
        says(&mut target, &mut client, b"pong").await;
        assert!(Duration::from_millis(late) <= begin.elapsed(), "{:?}", begin.elapsed());
        assert_eq!(lab.counters().chunks_delayed - before, late / 50);
    }
}

/// Jitter keeps the order.
#[tokio::test]
async fn jitter_keeps_the_order() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    lab.shape(Shape::late(Duration::ZERO, Duration::from_millis(20))).await;
    let mut said = Vec::new();
    for number in 0..200_u32 {
        client.write_all(&number.to_le_bytes()).await.unwrap();
        said.extend(number.to_le_bytes());
        tokio::task::yield_now().await;
    }
    hears(&mut target, &said).await;
    assert!(0 < lab.counters().chunks_delayed);
}

/// A delay that is taken away sets free what it held.
#[tokio::test]
async fn less_delay_counts_at_once() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    lab.shape(Shape::late(Duration::from_hours(1), Duration::ZERO)).await;
    client.write_all(b"in an hour").await.unwrap();
    client.shutdown().await.unwrap();
    eventually("held", || lab.counters().bytes_held_now == 10).await;
    hears_nothing(&mut target).await;
    lab.shape(Shape::clear()).await;
    assert_eq!(ends(&mut target).await.unwrap(), b"in an hour");
}

/// A lost chunk comes later by its retransmission.
#[tokio::test]
async fn losses_cost_time() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    lab.shape(Shape { loss: 0.2, ..Shape::default() }).await;
    let begin = Instant::now();
    let mut exchanged = 0;
    while lab.counters().chunks_lost == 0 {
        says(&mut client, &mut target, b"ping").await;
        exchanged += 1;
        assert!(exchanged < 100, "it never lost a chunk");
    }
    assert!(Duration::from_millis(200) <= begin.elapsed());
}

/// A chunk that is always lost takes its connection with it, at last; unless it is healed before.
#[tokio::test]
async fn what_is_always_lost_ends() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    let (mut other, mut other_target) = lab.connect().await;
    lab.shape(Shape { loss: 1.0, side: Side::Back, ..Shape::default() }).await;
    client.write_all(b"ping").await.unwrap();
    hears(&mut target, b"ping").await;
    target.write_all(b"pong").await.unwrap();
    is_reset(&mut client).await;
    is_reset(&mut target).await;
    let counters = lab.counters();
    assert_eq!((counters.resets_by_loss, counters.chunks_lost), (1, 6));
    other_target.write_all(b"pong").await.unwrap();
    eventually("lost", || lab.counters().chunks_lost == 12).await;
    lab.shape(Shape::clear()).await;
    hears(&mut other, b"pong").await;
}

/// The rate bounds what all connections of the link carry together.
#[tokio::test]
async fn rates_bound() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    let (mut other, mut other_target) = lab.connect().await;
    lab.shape(Shape { rate: NonZeroU64::new(200_000), ..Shape::default() }).await;
    let (begin, load) = (Instant::now(), vec![1; 50_000]);
    client.write_all(&load).await.unwrap();
    other.write_all(&load).await.unwrap();
    hears(&mut target, &load).await;
    hears(&mut other_target, &load).await;
    // 100 kB, less a burst of 20 ms.
    assert!(Duration::from_millis(470) <= begin.elapsed(), "{:?}", begin.elapsed());
    assert!(0 < lab.counters().chunks_limited);
}

/// Pauses hold what comes while they last.
#[tokio::test]
async fn stalls_stall() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    let stall = Stall { length: Duration::from_millis(30), per_second: 50.0 };
    lab.shape(Shape { stall: Some(stall), ..Shape::default() }).await;
    let mut exchanged = 0;
    while lab.counters().chunks_stalled < 3 {
        says(&mut client, &mut target, b"ping").await;
        exchanged += 1;
        assert!(exchanged < 100_000, "it never paused");
    }
}

/// Connections are reset by chance, and new ones can be made.
#[tokio::test]
async fn resets_come_by_chance() {
    let lab = Lab::new().await;
    lab.shape(Shape { resets_per_second: 50.0, ..Shape::default() }).await;
    for _ in 0..10 {
        let mut client = tokio::net::TcpStream::connect(lab.proxy).await.unwrap();
        is_reset(&mut client).await;
    }
    eventually("counted", || lab.counters().resets_by_chance == 10).await;
}
