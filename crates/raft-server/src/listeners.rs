//! The two listeners, one for clients and one for peers.

use std::time::Duration;

use raft_api::pb;
use raft_api::pb::kv_server::KvServer;
use raft_api::pb::management_rpc_server::ManagementRpcServer;
use raft_api::pb::peer_rpc_server::PeerRpcServer;
use raft_core::RoleName;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::handle::Handle;
use crate::machine::Services;
use crate::service::Front;
use crate::service::kv::KvService;
use crate::service::management::Management;
use crate::service::peer::PeerService;
use crate::transport::inbound::Inbound;
use crate::transport::socket::accepted;
use crate::transport::{CONNECTION_WINDOW, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, STREAM_WINDOW};

/// The health service's name for leading, so that a balancer can send writes to the leader.
const LEADER_SERVICE: &str = "raft.Leader";

/// Bytes in a client's message, at least: beyond the greatest command, so that one that is somewhat
/// too large is told so by name.
const CLIENT_MESSAGE_MIN: usize = 16 << 20;

/// Requests under way on one connection. Beyond it a client's own stack waits.
const CLIENT_STREAMS_MAX: u32 = 4096;

/// Cancelled requests on one connection: h2 ends it after so many. Its own default of 1024 over the
/// connection's whole life is soon reached by a client with short deadlines; without any bound a
/// client could keep the server busy with nothing else.
const CLIENT_RESETS_MAX: usize = 1 << 20;
const CLIENT_PENDING_RESETS_MAX: usize = 1 << 14;

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
    let management =
        ManagementRpcServer::new(Management { front: front.clone(), stop: stop.clone() })
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
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CLIENT_STREAMS_MAX)
        .http2_max_local_error_reset_streams(Some(CLIENT_RESETS_MAX))
        .http2_max_pending_accept_reset_streams(Some(CLIENT_PENDING_RESETS_MAX))
        .http2_keepalive_interval(Some(CLIENT_KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(CLIENT_KEEPALIVE_TIMEOUT))
        .add_service(management)
        .add_optional_service(kv)
        .add_service(health)
        .add_service(reflection)
        .serve_with_incoming_shutdown(
            accepted(listener, "clients", places),
            stop.clone().cancelled_owned(),
        );
    let (ended, ()) = tokio::join!(server, report_health(reporter, front.handle, stop));
    if let Err(error) = ended {
        tracing::error!(%error, "clients are no longer served");
    }
}

/// Serves peers, so many at a time, for ever.
pub(crate) async fn serve_peers(
    inbound: Inbound,
    (listener, places): (TcpListener, usize),
    frame_bytes_max: usize,
) {
    let peer = PeerRpcServer::new(PeerService(inbound))
        .max_decoding_message_size(frame_bytes_max)
        .max_encoding_message_size(frame_bytes_max);
    let served = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Peers hold one stream for a connection's whole life; no count of broken ones may end it.
        .http2_max_local_error_reset_streams(None)
        .http2_max_pending_accept_reset_streams(Some(CLIENT_PENDING_RESETS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(peer)
        .serve_with_incoming(accepted(listener, "peers", places))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "peers are no longer served");
    }
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
