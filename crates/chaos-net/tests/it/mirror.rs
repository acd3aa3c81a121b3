//! A link does as its target does, so that nobody who watches connections is fooled.

use std::time::Duration;

use chaos_net::{Net, NetError, Shape};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{
    LINK, Lab, ends, eventually, hears, hears_nothing, is_refused, is_reset, listen, says, within,
};

/// A link to a target that is not there refuses, and accepts once the target does.
#[tokio::test]
async fn a_link_to_nobody_refuses() {
    let mut lab = Lab::new().await;
    lab.down();
    eventually("refused", || !lab.net.status(LINK).unwrap().open).await;
    assert!(is_refused(lab.proxy).await);
    lab.up();
    eventually("open", || lab.net.status(LINK).unwrap().open).await;
    let (mut client, mut target) = lab.connect().await;
    says(&mut client, &mut target, b"there you are").await;
    let counters = lab.counters();
    assert_eq!((counters.closures, counters.closures_mirrored), (1, 1));
    assert_eq!(counters.refusals_seen, 1);
}

/// Added before its target is there, a link refuses and keeps its port meanwhile.
#[tokio::test]
async fn a_link_may_come_before_its_target() {
    let free = listen("127.0.0.1:0".parse().unwrap()).local_addr().unwrap();
    let net = Net::new(1);
    let proxy = net.add(LINK, None, free).await.unwrap();
    assert!(is_refused(proxy).await);
    let taken = net.add(chaos_net::Link::new(2, 1), Some(proxy), free).await;
    assert!(matches!(taken, Err(NetError::Listen { .. })));
    let _target = listen(free);
    eventually("open", || net.status(LINK).unwrap().open).await;
    within(TcpStream::connect(proxy)).await.unwrap();
}

/// Whoever hears that the target is gone, and dials again at once, is refused: the port was closed
/// before the news were passed on.
#[tokio::test]
async fn the_port_closes_before_the_connection_does() {
    let mut lab = Lab::new().await;
    for reset in [false, true].repeat(25) {
        let (mut client, target) = lab.connect().await;
        lab.down();
        if reset {
            target.set_zero_linger().unwrap();
        }
        drop(target);
        assert_eq!(ends(&mut client).await.is_err(), reset);
        assert!(is_refused(lab.proxy).await);
        lab.up();
        eventually("open", || lab.net.status(LINK).unwrap().open).await;
    }
    assert_eq!(lab.counters().closures_mirrored, 50);
}

/// A target that closes one connection and goes on accepting keeps its port, and so does the link.
#[tokio::test]
async fn a_closed_connection_is_not_a_closed_port() {
    let lab = Lab::new().await;
    let (mut client, target) = lab.connect().await;
    drop(target);
    assert_eq!(ends(&mut client).await.unwrap(), b"");
    assert!(lab.net.status(LINK).unwrap().open);
    lab.connect().await;
    assert_eq!(lab.counters().closures, 0);
}

/// A close of one direction stays one: the other goes on, from whichever side it is.
#[tokio::test]
async fn half_closes_stay_half() {
    let lab = Lab::new().await;
    for client_first in [true, false] {
        let (client, target) = lab.connect().await;
        let (mut first, mut second) =
            if client_first { (client, target) } else { (target, client) };
        first.write_all(b"that was all").await.unwrap();
        first.shutdown().await.unwrap();
        assert_eq!(ends(&mut second).await.unwrap(), b"that was all");
        says(&mut second, &mut first, b"not from me").await;
        second.shutdown().await.unwrap();
        assert_eq!(ends(&mut first).await.unwrap(), b"");
    }
    eventually("over", || lab.counters().connections_now == 0).await;
    assert_eq!(lab.counters().closes_mirrored, 4);
    assert_eq!(lab.counters().resets_mirrored, 0);
}

/// A reset stays one, from whichever side it is.
#[tokio::test]
async fn resets_stay_resets() {
    let lab = Lab::new().await;
    for client_first in [true, false] {
        let (client, target) = lab.connect().await;
        let (first, mut second) = if client_first { (client, target) } else { (target, client) };
        first.set_zero_linger().unwrap();
        drop(first);
        is_reset(&mut second).await;
    }
    assert_eq!(lab.counters().resets_mirrored, 2);
}

/// A reset reaches a side that does not read, past all that waits for it there.
#[tokio::test]
async fn a_reset_overtakes_what_nobody_reads() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    let chunk = vec![7; 64 * 1024];
    while timeout(Duration::from_millis(200), client.write_all(&chunk)).await.is_ok() {}
    assert_eq!(lab.counters().bytes_held_now, chaos_net::HELD_MAX as u64);
    client.set_zero_linger().unwrap();
    drop(client);
    eventually("over", || lab.counters().connections_now == 0).await;
    assert_eq!(lab.counters().bytes_discarded, chaos_net::HELD_MAX as u64);
    ends(&mut target).await.unwrap_err();
}

/// A target whose kernel accepts and that says nothing, as a suspended one, looks so from here.
#[tokio::test]
async fn silence_is_silence() {
    let lab = Lab::new().await;
    let mut client = within(TcpStream::connect(lab.proxy)).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    hears_nothing(&mut client).await;
    let mut target = lab.accept().await; // It goes on.
    says(&mut target, &mut client, b"I was away").await;
}

/// While a link hangs it accepts, whatever becomes of its target: that is not to be seen from here.
#[tokio::test]
async fn a_cut_hides_the_target() {
    let mut lab = Lab::new().await;
    let (mut client, target) = lab.connect().await;
    lab.shape(Shape::hang()).await;
    lab.down();
    drop(target);
    eventually("seen", || !lab.net.status(LINK).unwrap().target_accepts).await;
    hears_nothing(&mut client).await;
    let mut late = within(TcpStream::connect(lab.proxy)).await.unwrap();
    late.write_all(b"hello").await.unwrap();
    hears_nothing(&mut late).await;
    lab.shape(Shape::clear()).await;
    assert!(is_refused(lab.proxy).await);
    assert_eq!(ends(&mut client).await.unwrap(), b"");
    is_reset(&mut late).await;
}

/// A target that greets, and closes connections that stay silent, is watched all the same.
#[tokio::test]
async fn a_target_may_dislike_idle_connections() {
    let lab = Lab::new().await;
    let listener = lab.listener.as_ref().unwrap();
    for _ in 0..20 {
        let (mut idle, _) = within(listener.accept()).await.unwrap();
        idle.write_all(b"welcome").await.unwrap();
    }
    assert!(lab.net.status(LINK).unwrap().open);
    let (mut client, mut target) = lab.connect().await;
    says(&mut client, &mut target, b"me again").await;
    hears(&mut target, b"").await;
    assert_eq!(lab.counters().closures, 0);
}

/// What cannot be done is said.
#[tokio::test]
async fn errors_are_told() {
    let lab = Lab::new().await;
    let other = chaos_net::Link::new(2, 1);
    let unknown = lab.net.shape(other, Shape::clear()).await;
    assert!(matches!(unknown, Err(NetError::Unknown(link)) if link == other));
    let known = lab.net.add(LINK, None, lab.target).await;
    assert!(matches!(known, Err(NetError::Known(link)) if link == LINK));
    let busy = lab.net.add(other, Some(lab.target), lab.target).await;
    assert!(matches!(busy, Err(NetError::Listen { address, .. }) if address == lab.target));
    let shape = Shape { loss: 1.5, ..Shape::default() };
    let odd = lab.net.shape(LINK, shape).await;
    assert!(matches!(odd, Err(NetError::Shape(_))));
    assert_eq!(lab.net.names(), [LINK]);
}

/// A port that somebody else took while it was closed cannot be opened again: that is told, and put
/// right as soon as it can be.
#[tokio::test]
async fn a_port_that_was_taken_is_told() {
    let mut lab = Lab::new().await;
    lab.down();
    let status = || lab.net.status(LINK).unwrap();
    eventually("refused", || status().counters.refusals_seen == 1).await;
    let thief = listen(lab.proxy);
    lab.listener = Some(listen(lab.target));
    let status = || lab.net.status(LINK).unwrap();
    eventually("told", || 0 < status().counters.errors).await;
    assert!(!status().open);
    assert!(status().trouble.unwrap().starts_with("could not open 127.0.0.1:"));
    let hung = lab.net.shape(LINK, Shape::hang()).await;
    assert!(matches!(hung, Err(NetError::Shut { link: LINK, .. })), "{hung:?}");
    drop(thief);
    eventually("open", || status().open).await;
    lab.shape(Shape::clear()).await;
    let (mut client, mut target) = lab.connect().await;
    says(&mut client, &mut target, b"mine").await;
}
