//! The two listeners, one for clients and one for peers.

use std::time::Duration;

use raft_api::pb;
use raft_api::pb::kv_server::KvServer;
use raft_api::pb::management_rpc_server::ManagementRpcServer;
use raft_core::RoleName;
use raft_rpc::KeepAlive;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::handle::Handle;
use crate::machine::Services;
use crate::service::Front;
use crate::service::calls::Calls;
use crate::service::kv::KvService;
use crate::service::management::Management;
use crate::service::peer::PeerDesk;
use crate::transport::inbound::Inbound;
use crate::transport::socket::{Socket, accepted};
use crate::transport::{CONNECTION_WINDOW, KEEPALIVE, PIECE_BYTES_MAX, STREAM_WINDOW};

/// The health service's name for leading, so that a balancer can send writes to the leader.
const LEADER_SERVICE: &str = "raft.Leader";

/// Bytes in a client's message, at least: beyond the greatest command, so that one that is somewhat
/// too large is told so by name.
const CLIENT_MESSAGE_MIN: usize = 16 << 20;

/// Bytes of messages that are still on their way, of all clients and of all peers: as much as whole ones
/// may take. More are refused.
const UNFINISHED_BYTES_MAX: usize = 256 << 20;

/// Requests under way on one connection. Beyond it a client's own stack waits.
const CLIENT_STREAMS_MAX: u32 = 4096;

/// Cancelled requests on one connection: h2 ends it after so many. Its own default of 1024 over the
/// connection's whole life is soon reached by a client with short deadlines; without any bound a
/// client could keep the server busy with nothing else.
const CLIENT_RESETS_MAX: usize = 1 << 20;
const CLIENT_PENDING_RESETS_MAX: usize = 1 << 14;

/// Streams on one connection of a peer, at most.
const PEER_STREAMS_MAX: u32 = 16;

/// A client that vanished without a word is found out after these.
const CLIENT_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const CLIENT_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves clients, so many at a time, until `stop`, and then those that are there until they have their answers.
pub(crate) async fn serve_clients(
    front: Front,
    (listener, places): (TcpListener, usize),
    stop: CancellationToken,
) {
    let message_max = CLIENT_MESSAGE_MIN.max(front.handle.command_bytes_max().saturating_mul(2));
    let management = ManagementRpcServer::new(Management { front: front.clone() })
        .max_decoding_message_size(message_max)
        .max_encoding_message_size(message_max);
    let kv = (front.node.services == Services::WithKv).then(|| {
        KvServer::new(KvService(front.clone()))
            .max_decoding_message_size(message_max)
            .max_encoding_message_size(message_max)
    });
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors were compiled together with this program");
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut routes = Routes::builder();
    routes.add_service(management).add_service(health).add_service(reflection);
    if let Some(kv) = kv {
        routes.add_service(kv);
    }
    let options = raft_rpc::server::Options {
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        streams_max: CLIENT_STREAMS_MAX,
        resets_max: CLIENT_RESETS_MAX,
        pending_resets_max: CLIENT_PENDING_RESETS_MAX,
        frame_bytes_max: PIECE_BYTES_MAX,
        message_bytes_max: message_max,
        unfinished_bytes_max: UNFINISHED_BYTES_MAX.max(2 * message_max),
        keepalive: KeepAlive {
            interval: CLIENT_KEEPALIVE_INTERVAL,
            patience: CLIENT_KEEPALIVE_TIMEOUT,
        },
    };
    let handle = front.handle.clone();
    let calls = Calls { front, stop: stop.clone() };
    let server = raft_rpc::server::serve(
        accepted(listener, "clients", places),
        (|_: &Socket| calls.clone(), routes.routes().prepare()),
        options,
        stop.cancelled(),
    );
    tokio::join!(server, report_health(reporter, handle, stop.clone()));
}

/// Serves peers, so many at a time, for ever.
pub(crate) async fn serve_peers(
    inbound: Inbound,
    (listener, places): (TcpListener, usize),
    frame_bytes_max: usize,
) {
    let options = raft_rpc::server::Options {
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        // A peer needs one, and another while it believes that one to be broken.
        streams_max: PEER_STREAMS_MAX,
        // Peers hold one stream for a connection's whole life; no count of broken ones may end it.
        resets_max: usize::MAX,
        pending_resets_max: CLIENT_PENDING_RESETS_MAX,
        frame_bytes_max: PIECE_BYTES_MAX,
        message_bytes_max: frame_bytes_max,
        unfinished_bytes_max: UNFINISHED_BYTES_MAX.max(8 * frame_bytes_max),
        keepalive: KEEPALIVE,
    };
    let desk = |socket: &Socket| PeerDesk { inbound: inbound.clone(), remote: socket.remote() };
    let ends = (desk, Routes::default());
    let incoming = accepted(listener, "peers", places);
    raft_rpc::server::serve(incoming, ends, options, std::future::pending()).await;
}

/// Keeps the health service in step with the node, until `stop`.
async fn report_health(reporter: HealthReporter, handle: Handle, stop: CancellationToken) {
    let mut view = handle.watch();
    loop {
        let leads = view.borrow_and_update().role == RoleName::Leader;
        let status = if leads { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(LEADER_SERVICE, status).await;
        let changed = tokio::select! {
            changed = view.changed() => changed.is_ok(),
            () = stop.cancelled() => false,
        };
        if !changed {
            break;
        }
    }
    reporter.set_service_status(LEADER_SERVICE, ServingStatus::NotServing).await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
}
