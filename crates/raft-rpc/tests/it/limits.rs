//! What one client can take from the others.

use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tonic::codegen::http::{Request, Version};

use crate::support::{ECHO, Rig, TALK, Text, text};

/// HTTP/2 by hand, as far as the head of a call.
fn head() -> Request<()> {
    let uri = format!("http://here:1{TALK}");
    let request = Request::post(uri).version(Version::HTTP_2);
    request.header("content-type", "application/grpc").body(()).expect("it is well-formed")
}

/// Messages that are begun and not ended take no more memory than there is for all, and it is there again
/// when they are given up.
#[tokio::test]
async fn there_is_room_for_so_many_unfinished_messages() {
    let rig = Rig::start();
    let (requests, connection) = h2::client::handshake(rig.socket(64 << 10).await).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { connection.await.unwrap() });
    let mut requests = requests.ready().await.unwrap();
    let mut part = BytesMut::new();
    part.put_u8(0);
    part.put_u32(4_000_000);
    part.resize(3_500_000, 0);
    let part = part.freeze();
    let mut calls = Vec::new();
    for _ in 0..6 {
        let (answer, mut stream) = requests.send_request(head(), false).unwrap();
        stream.send_data(part.clone(), false).unwrap();
        let body = answer.await.unwrap().into_body();
        calls.push((body, stream));
    }
    // Those that are kept have nothing to say.
    let ends = calls.into_iter().map(async |(mut body, stream)| {
        while body.data().await.is_some() {}
        drop(stream);
        body.trailers().await.unwrap().unwrap()
    });
    let mut ends: FuturesUnordered<_> = ends.collect();
    let refused = tokio::time::timeout(Duration::from_mins(1), ends.next()).await.unwrap().unwrap();
    assert_eq!(refused["grpc-status"], "8", "the resources are exhausted");
    assert!(ends.next().now_or_never().is_none(), "five of six fit into 20 MiB");
    drop(ends);
    rig.until_nobody_talks().await;
    let channel = rig.connect().await;
    let message = text(vec![1; 4_000_000]);
    let echoed: Text = channel.unary(ECHO, &message, 4 << 20).await.unwrap();
    assert_eq!(echoed, message);
}

/// A connection that always has something to be read does not have the thread for itself.
#[tokio::test]
async fn a_flood_does_not_keep_others_waiting() {
    const FLOOD: usize = 16 << 20;
    let rig = Rig::start();
    let channel = rig.connect().await;
    let mut socket = rig.socket(FLOOD).await;
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let echoed: Text = channel.unary(ECHO, &text("before"), 99).await.unwrap();
    assert_eq!(echoed, text("before"));

    // Frames that ask for nothing: PRIORITY, of no weight.
    let frames = [0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0].repeat(FLOOD / 13);
    let mut left = &frames[..];
    while let Some(Ok(written)) = socket.write(left).now_or_never() {
        left = &left[written..];
        assert!(!left.is_empty(), "it does not all fit");
    }
    let echoed: Text = channel.unary(ECHO, &text("beside"), 99).await.unwrap();
    assert_eq!(echoed, text("beside"));
    let mut read = 0;
    while let Some(Ok(written @ 1..)) = socket.write(&frames[..FLOOD / 2]).now_or_never() {
        read += written;
    }
    assert!((1..512 << 10).contains(&read), "{read} bytes of the flood were read first");
    // It was no error either.
    let mut answer = [0; 9];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[3], 4, "SETTINGS");
}
