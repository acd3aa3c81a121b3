//! Both ends against each other, and each against the general stack.

use std::error::Error as _;
use std::time::Duration;

use raft_rpc::client::Broken;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use tokio::task::JoinSet;

use crate::support::{self, ECHO, HOLD, MISSING, Rig, Text, socket_pair, text};

const MESSAGE_MAX: usize = 4 << 20;

/// Whatever the size, within what fits into one frame and far beyond the windows.
#[tokio::test]
async fn what_is_sent_comes_back() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    for size in [0, 1, 255, 16_384, 70_000, 3_000_000] {
        let message = text(vec![7; size]);
        let echoed: Text = channel.unary(ECHO, &message, MESSAGE_MAX).await.unwrap();
        assert_eq!(echoed, message, "{size} bytes");
    }
}

/// Calls of one connection do not wait for each other.
#[tokio::test]
async fn many_at_a_time_and_one_that_takes_long() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    let under_way = channel.clone();
    let mut held = JoinSet::new();
    held.spawn(async move { under_way.unary::<_, Text>(HOLD, &text("held"), 99).await });
    let calls = (0..500_u16).map(|number| {
        let channel = channel.clone();
        async move {
            let message = text(number.to_le_bytes().to_vec());
            let echoed: Text = channel.unary(ECHO, &message, MESSAGE_MAX).await.unwrap();
            assert_eq!(echoed, message);
        }
    });
    futures_util::future::join_all(calls).await;
    assert!(held.try_join_next().is_none());
    rig.release();
    assert_eq!(held.join_next().await.unwrap().unwrap().unwrap(), text("held"));
}

/// What the desk refuses, what nobody told, and what is too large, each by its status.
#[tokio::test]
async fn what_goes_wrong_is_said() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    let code = async |message: Text, max| {
        let answer: Result<Text, Status> = channel.unary(ECHO, &message, max).await;
        answer.unwrap_err().code()
    };
    assert_eq!(code(text("refuse"), 99).await, Code::PermissionDenied);
    assert_eq!(code(text("forget"), 99).await, Code::Aborted);
    assert_eq!(code(text(vec![0; 100]), 99).await, Code::OutOfRange, "refused before it is sent");
    assert_eq!(code(text(vec![0; 5 << 20]), 9 << 20).await, Code::OutOfRange, "refused there");
    let missing: Result<Text, Status> = channel.unary(MISSING, &text(""), 99).await;
    assert_eq!(missing.unwrap_err().code(), Code::Unimplemented);
    let echoed: Text = channel.unary(ECHO, &text("still there"), 99).await.unwrap();
    assert_eq!(echoed, text("still there"));
}

/// Calls that are not of the desk go to tonic's services, streams among them, over our client.
#[tokio::test]
async fn the_rest_is_served_by_the_general_stack() {
    let rig = Rig::start();
    let mut health = HealthClient::new(rig.connect().await);
    let request = HealthCheckRequest { service: String::new() };
    let checked = health.check(request.clone()).await.unwrap().into_inner();
    assert_eq!(checked.status, 1);
    let mut watched = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 1);
    rig.not_serving().await;
    assert_eq!(watched.message().await.unwrap().unwrap().status, 2);
}

/// tonic's own client finds nothing amiss in our server.
#[tokio::test]
async fn a_general_client_is_served() {
    let rig = Rig::start();
    let channel = rig.connect_with_tonic().await;
    let mut grpc = tonic::client::Grpc::new(channel);
    for size in [0, 100, 200_000] {
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<Text, Text>::default();
        let request = tonic::Request::new(text(vec![1; size]));
        let echoed = grpc.unary(request, ECHO, codec).await.unwrap().into_inner();
        assert_eq!(echoed.bytes.len(), size);
    }
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Text, Text>::default();
    let refused = grpc.unary(tonic::Request::new(text("refuse")), ECHO, codec).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}

/// Told to stop, it lets nobody in, answers what is under way, and ends.
#[tokio::test]
async fn the_end_waits_for_answers() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    let under_way = channel.clone();
    let mut held = JoinSet::new();
    held.spawn(async move { under_way.unary::<_, Text>(HOLD, &text("x"), 99).await });
    rig.until_held(1).await;
    rig.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let late: Result<Text, Status> = channel.unary(ECHO, &text("late"), 99).await;
    assert!(late.is_err(), "a call after the end");
    rig.release();
    assert_eq!(held.join_next().await.unwrap().unwrap().unwrap(), text("x"));
    rig.until_ended().await;
}

/// Whoever is to tell learns that nobody listens.
#[tokio::test]
async fn a_client_that_goes_is_not_waited_for() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    let gone = channel.clone();
    let mut call = JoinSet::new();
    call.spawn(async move { gone.unary::<_, Text>(HOLD, &text("x"), 99).await });
    rig.until_held(1).await;
    call.shutdown().await;
    drop(channel);
    rig.until_nobody_listens().await;
}

/// A connection that is gone says whether something was sent over it.
#[tokio::test]
async fn a_broken_connection_says_what_was_sent() {
    let rig = Rig::start();
    let channel = rig.connect().await;
    let under_way = channel.clone();
    let mut held = JoinSet::new();
    held.spawn(async move { under_way.unary::<_, Text>(HOLD, &text("x"), 99).await });
    rig.until_held(1).await;
    rig.kill().await;
    let lost = held.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(broken(&lost), Some(Broken::Lost(_))), "{lost:?}");
    let late = channel.unary::<_, Text>(ECHO, &text("late"), 99).await.unwrap_err();
    assert!(matches!(broken(&late), Some(Broken::NotSent(_))), "{late:?}");
}

/// A server that says nothing, not even to a ping, is given up.
#[tokio::test]
async fn silence_is_found_out() {
    let (ours, theirs) = socket_pair();
    let mut mute = JoinSet::new();
    mute.spawn(async move {
        let connection = h2::server::handshake(theirs).await.unwrap();
        std::future::pending::<()>().await;
        drop(connection);
    });
    let channel = support::open(ours).await;
    let status = channel.unary::<_, Text>(ECHO, &text("x"), 99).await.unwrap_err();
    assert!(matches!(broken(&status), Some(Broken::Silent)), "{status:?}");
}

fn broken(status: &Status) -> Option<&Broken> {
    status.source().and_then(|source| source.downcast_ref())
}
