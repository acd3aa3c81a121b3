//! What a link costs: bounded memory, and nothing left behind.

use std::net::SocketAddr;
use std::time::Duration;

use chaos_net::{HELD_MAX, Link, Shape};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::support::{LINK, Lab, ends, eventually, is_refused, is_reset, says, within};

/// A sender whose receiver never reads is made to wait: a link holds only so much.
#[tokio::test]
async fn what_nobody_reads_is_bounded() {
    let lab = Lab::new().await;
    let (mut client, mut target) = lab.connect().await;
    let chunk = vec![7; 64 * 1024];
    for shape in
        [Shape::clear(), Shape::hang(), Shape::late(Duration::from_mins(1), Duration::ZERO)]
    {
        lab.shape(shape).await;
        for stream in [&mut client, &mut target] {
            while timeout(Duration::from_millis(200), stream.write_all(&chunk)).await.is_ok() {}
        }
        assert_eq!(lab.counters().bytes_held_now, 2 * HELD_MAX as u64);
    }
}

/// Small chunks cost more than their bytes, and so there are only so many.
#[tokio::test]
async fn small_chunks_are_bounded() {
    let lab = Lab::new().await;
    let (mut client, _target) = lab.connect().await;
    lab.shape(Shape::hang()).await;
    for round in 1..10_000 {
        client.write_all(b"x").await.unwrap();
        if round < 4096 {
            eventually("taken", || lab.counters().bytes_held_now == round).await;
        }
    }
    assert_eq!(lab.counters().bytes_held_now, 4096);
}

/// Sockets of this process at the link's port, or leading to its target. Other tests run beside
/// this one, so descriptors cannot just be counted.
fn sockets(proxy: SocketAddr, target: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |field: &str| u16::from_str_radix(field.split(':').nth(1).unwrap(), 16).unwrap();
    let is_ours = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, remote, inode) = (port(fields[1]), port(fields[2]), fields[9]);
        inode != "0" && (local == proxy.port() || remote == target.port())
    };
    table.lines().skip(1).filter(is_ours).count()
}

/// A thousand connections come and go, in every way there is, and leave no task and no socket.
#[tokio::test]
async fn nothing_is_left_behind() {
    let lab = Lab::new().await;
    eventually("settled", || sockets(lab.proxy, lab.target) == 2).await; // Its port, and its watch.
    let tasks = Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 1);
    for round in 0..1000 {
        let (mut client, mut target) = lab.connect().await;
        match round % 4 {
            0 => says(&mut client, &mut target, b"bye").await,
            1 => client.set_zero_linger().unwrap(),
            2 => target.set_zero_linger().unwrap(),
            _ => {
                client.shutdown().await.unwrap();
                ends(&mut target).await.unwrap();
            }
        }
    }
    eventually("over", || Handle::current().metrics().num_alive_tasks() == tasks).await;
    eventually("gone", || sockets(lab.proxy, lab.target) == 2).await;
    let counters = lab.counters();
    assert_eq!((counters.connections, counters.connections_now), (1000, 0));
    lab.net.shutdown().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    eventually("gone as well", || sockets(lab.proxy, lab.target) == 0).await;
}

/// The end of a net resets what is open, hung or not, and frees its port: by shutdown, by removal
/// of the link, and by dropping it.
#[tokio::test]
async fn ends_are_ends() {
    for (way, shape) in [(0, Shape::clear()), (1, Shape::hang()), (2, Shape::hang())] {
        let lab = Lab::new().await;
        let (mut client, mut target) = lab.connect().await;
        lab.shape(shape).await;
        let mut late = within(TcpStream::connect(lab.proxy)).await.unwrap();
        eventually("accepted", || lab.counters().connections == 2).await;
        let Lab { net, proxy, .. } = lab;
        match way {
            0 => net.shutdown().await,
            1 => {
                net.remove(Link::new(5, 6)).await.unwrap_err();
                assert_eq!(net.remove(LINK).await.unwrap().resets_by_cut, 2);
                assert!(net.names().is_empty() && net.status(LINK).is_none());
            }
            _ => drop(net),
        }
        for stream in [&mut client, &mut target, &mut late] {
            if way == 2 {
                drop(ends(stream).await); // Closed or reset.
            } else {
                is_reset(stream).await;
            }
        }
        assert!(is_refused(proxy).await);
        eventually("over", || Handle::current().metrics().num_alive_tasks() == 0).await;
        drop(std::net::TcpListener::bind(proxy).unwrap());
    }
}
