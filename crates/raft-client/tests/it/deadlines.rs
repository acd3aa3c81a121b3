//! Every wait of the library has a deadline: against a node that takes connections and never answers, and
//! against one that dies amid its words.

use std::time::Duration;

use raft_client::{
    Client, ClientError, Consistency, MembershipChange, Options, TransferError, edited,
};
use tokio::time::timeout;

use crate::fake::{Fakes, mute, nobody};

/// Whatever takes as long as this waits for ever.
const FOR_EVER: Duration = Duration::from_secs(30);

const WITHIN: Duration = Duration::from_millis(300);

fn client(addr: &str) -> Client {
    Client::new(Options { operation_timeout: WITHIN, ..Options::new([addr]) })
}

async fn ends<T>(what: &str, operation: impl Future<Output = T>) -> T {
    timeout(FOR_EVER, operation).await.unwrap_or_else(|_| panic!("{what} waits for ever"))
}

fn failed<T>(what: &str, ended: Result<T, ClientError>, addr: &str) {
    match ended {
        Err(ClientError::Failed(failed)) => {
            let mut named = failed.reasons.iter().map(|(addr, _)| addr);
            assert!(named.any(|named| named == addr), "{what} names no {addr}: {failed}");
        }
        Err(error) => panic!("{what}: nothing was sent, and it says {error}"),
        Ok(_) => panic!("{what} cannot have been done"),
    }
}

/// Nothing was sent, so that it is not in doubt; and the node is named.
#[tokio::test]
async fn no_operation_outlives_its_deadline() {
    let ((_mute, silent), (_nobody, gone)) = (mute(), nobody());
    for addr in [&*silent, &*gone] {
        let client = client(addr);
        let key = || "k".into();
        failed("ready", ends("ready", client.ready(WITHIN)).await, addr);
        failed("put", ends("put", client.put(key(), key())).await, addr);
        failed("append", ends("append", client.append(key(), key())).await, addr);
        failed("delete", ends("delete", client.delete(key())).await, addr);
        failed("cas", ends("cas", client.cas(key(), None, None)).await, addr);
        failed("propose", ends("propose", client.propose_data(key())).await, addr);
        for consistency in [Consistency::Linearizable, Consistency::Stale] {
            failed("get", ends("get", client.get(key(), consistency)).await, addr);
            let range = client.range(key(), key(), 0, consistency);
            failed("range", ends("range", range).await, addr);
        }
        failed("get_leader", ends("get_leader", client.get_leader()).await, addr);
        failed("members", ends("members", client.get_configuration()).await, addr);
        failed("configuration", ends("configuration", client.configuration()).await, addr);
        let settled = client.settled_configuration(WITHIN);
        failed("settled", ends("settled", settled).await, addr);
        failed("session", ends("session", client.session_state()).await, addr);
        let handed = ends("transfer", client.transfer_leadership(None, WITHIN)).await;
        assert!(matches!(handed, Err(TransferError::Client(ClientError::Failed(_)))), "{handed:?}");
        assert!(ends("status", client.status(addr)).await.status.is_err());
        assert!(ends("all", client.status_all()).await.iter().all(|node| node.status.is_err()));
        let applied = ends("applied", client.wait_until_applied(&[], WITHIN)).await;
        assert!(applied.is_err(), "{applied:?}");
    }
}

/// The leader dies after the change was made up: to ask for it ends, too.
#[tokio::test]
async fn a_change_without_a_leader_ends() {
    let mut fakes = Fakes::start(1);
    let client = client(&fakes.addr(1));
    let base = client.configuration().await.unwrap();
    let target = edited(&base, &[]).unwrap();
    let change = MembershipChange::new(base, target).unwrap();
    fakes.kill(1);
    let ended = ends("change", client.change_membership(&change, WITHIN)).await;
    assert!(ended.is_err(), "{ended:?}");
}
