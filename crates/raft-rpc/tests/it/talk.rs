//! Calls of many messages both ways: both ends against each other, and each against the general stack.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use prost::Message as _;
use raft_rpc::Talk;
use raft_rpc::client::{Broken, Channel};
use tokio_stream::StreamExt as _;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::support::{MISSING, Rig, TALK, Text, text};

/// Everything that comes, and how it ended.
async fn rest(mut talk: Talk) -> (Vec<Text>, Result<(), Status>) {
    let mut messages = Vec::new();
    while let Some(message) = talk.message().await {
        match message {
            Ok(message) => messages.push(Text::decode(message).expect("a text")),
            Err(status) => return (messages, Err(status)),
        }
    }
    (messages, Ok(()))
}

async fn begin(channel: &Channel) -> Talk {
    channel.talk(TALK, 4 << 20).await.expect("the server is there")
}

/// In their order and of every size, far beyond what either end takes at a time: whoever sends must read.
#[tokio::test]
async fn messages_come_back_in_their_order() {
    let rig = Rig::start();
    let mut talk = begin(&rig.connect().await).await;
    let sizes = [0, 1, 300, 20_000, 70_000, 3_000_000].into_iter().cycle().take(60);
    let sent: Vec<Text> = (0..).zip(sizes).map(|(number, size)| text(vec![number; size])).collect();
    let (mut next, mut back) = (sent.iter(), Vec::new());
    poll_fn(|context| {
        while talk.unsent() < 100_000
            && let Some(message) = next.next()
        {
            talk.put(message);
        }
        let flushed = talk.poll_flush(context);
        while let Poll::Ready(message) = talk.poll_message(context) {
            back.push(Text::decode(message.unwrap().unwrap()).unwrap());
        }
        if back.len() == sent.len() {
            return Poll::Ready(());
        }
        if flushed.is_ready() && next.len() != 0 {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    assert_eq!(back, sent);
    talk.close();
    let (more, ended) = rest(talk).await;
    assert_eq!(more, []);
    ended.unwrap();
    rig.until_nobody_talks().await;
}

/// However many are put together, they arrive, and the end is told after them.
#[tokio::test]
async fn the_end_comes_last() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    let mut talk = begin(&channel).await;
    let sent: Vec<Text> = (0..1000_u16).map(|it| text(it.to_be_bytes().to_vec())).collect();
    for message in &sent {
        talk.put(message);
    }
    talk.flush().await.unwrap();
    talk.close();
    let (back, ended) = rest(talk).await;
    assert_eq!(back, sent);
    ended.unwrap();

    let mut talk = begin(&channel).await;
    talk.put(&text("first"));
    talk.put(&text("refuse"));
    talk.put(&text("never heard"));
    talk.flush().await.unwrap();
    let (back, ended) = rest(talk).await;
    assert_eq!(back, [text("first")]);
    let refused = ended.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "no, ö\n"));
    rig.until_nobody_talks().await;
}

/// What is too large, cut short or for nobody is said, and the connection goes on.
#[tokio::test]
async fn what_is_no_message_is_refused() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    let mut talk = begin(&channel).await;
    talk.put(&text(vec![0; 5 << 20]));
    // It may be refused before all of it is sent.
    talk.flush().await.unwrap_or(());
    assert_eq!(rest(talk).await.1.unwrap_err().code(), Code::OutOfRange, "refused there");

    let mut talk = channel.talk(TALK, 99).await.unwrap();
    talk.put(&text(vec![0; 100]));
    talk.flush().await.unwrap();
    assert_eq!(rest(talk).await.1.unwrap_err().code(), Code::OutOfRange, "refused here");

    let missing = channel.talk(MISSING, 99).await.unwrap();
    assert_eq!(rest(missing).await.1.unwrap_err().code(), Code::Unimplemented);
    let mut talk = begin(&channel).await;
    talk.put(&text("still there"));
    talk.flush().await.unwrap();
    let answer = talk.message().await.unwrap().unwrap();
    assert_eq!(Text::decode(answer).unwrap(), text("still there"));
    drop(talk);
    rig.until_nobody_talks().await;
}

/// A client that takes nothing is sent a bounded amount, and costs nobody else anything.
#[tokio::test]
async fn a_client_that_does_not_read_waits_alone() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    let mut deaf = begin(&channel).await;
    let flood = async {
        loop {
            deaf.put(&text(vec![0; 50_000]));
            deaf.flush().await.unwrap();
        }
    };
    // It is held up for good: the echo is not taken from it.
    tokio::time::timeout(Duration::from_millis(300), flood).await.unwrap_err();
    let mut other = begin(&channel).await;
    other.put(&text("hello"));
    other.flush().await.unwrap();
    let answer = other.message().await.unwrap().unwrap();
    assert_eq!(Text::decode(answer).unwrap(), text("hello"));
    drop((deaf, other));
    rig.until_nobody_talks().await;
}

/// A connection that is gone ends its calls, and says that it is gone.
#[tokio::test]
async fn a_broken_connection_ends_a_call() {
    let rig = Rig::start();
    let mut talk = begin(&rig.connect().await).await;
    talk.put(&text("hello"));
    talk.flush().await.unwrap();
    talk.message().await.unwrap().unwrap();
    rig.kill().await;
    let status = rest(talk).await.1.unwrap_err();
    let broken = std::error::Error::source(&status).and_then(|it| it.downcast_ref::<Broken>());
    assert!(matches!(broken, Some(Broken::Lost(_))), "{status:?}");
}

/// tonic's own client, with a stream both ways.
#[tokio::test]
async fn a_general_client_is_served() {
    let rig = Rig::start();
    let mut grpc = tonic::client::Grpc::new(rig.connect_with_tonic().await);
    grpc.ready().await.unwrap();
    let sent: Vec<Text> = [0, 100, 200_000, 5].map(|size| text(vec![1; size])).into();
    let codec = tonic_prost::ProstCodec::<Text, Text>::default();
    let request = tonic::Request::new(tokio_stream::iter(sent.clone()));
    let answers = grpc.streaming(request, TALK, codec).await.unwrap().into_inner();
    let back: Vec<Text> = answers.map(Result::unwrap).collect().await;
    assert_eq!(back, sent);

    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Text, Text>::default();
    let request = tonic::Request::new(tokio_stream::iter([text("refuse")]));
    let mut answers = grpc.streaming(request, TALK, codec).await.unwrap().into_inner();
    let refused = answers.message().await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "no, ö\n"));
}

/// A stream of tonic's own server, over our client.
#[tokio::test]
async fn a_general_server_is_called() {
    const WATCH: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Watch");
    let rig = Rig::start();
    let mut talk = rig.connect().await.talk(WATCH, 99).await.unwrap();
    talk.put(&HealthCheckRequest { service: String::new() });
    talk.flush().await.unwrap();
    talk.close();
    let mut status = async || {
        HealthCheckResponse::decode(talk.message().await.unwrap().unwrap()).unwrap().status
    };
    assert_eq!(status().await, 1);
    rig.not_serving().await;
    assert_eq!(status().await, 2);
}
