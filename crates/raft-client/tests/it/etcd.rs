//! The bench against a server that speaks etcd's language.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use wire::kv_server::{Kv, KvServer};
use wire::maintenance_server::{Maintenance, MaintenanceServer};
use wire::{request_op, response_op};

mod wire {
    #![expect(
        unreachable_pub,
        unused_qualifications,
        clippy::pedantic,
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    tonic::include_proto!("etcdserverpb");
}

/// One node, which leads.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    keys: BTreeMap<Bytes, Bytes>,
    /// What reads see that need not be fresh, if not the same: keys, and after how many writes.
    stale: Option<(BTreeMap<Bytes, Bytes>, u64)>,
    writes: u64,
    /// What is said to every write instead of carrying it out.
    refusal: Option<&'static str>,
}

impl Fake {
    /// It ends with its runtime.
    fn start(refusal: Option<&'static str>) -> (Self, Runtime, String) {
        let runtime = Runtime::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let fake = Self::default();
        fake.0.lock().unwrap().refusal = refusal;
        let (kv, maintenance) = (fake.clone(), fake.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tonic::transport::Server::builder()
                .add_service(KvServer::new(kv))
                .add_service(MaintenanceServer::new(maintenance))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
        });
        (fake, runtime, addr)
    }

    fn range(&self, request: &wire::RangeRequest) -> wire::RangeResponse {
        let world = self.0.lock().unwrap();
        let fresh = (&world.keys, world.writes);
        let stale = world.stale.as_ref().map(|(keys, writes)| (keys, *writes));
        let (keys, writes) = stale.filter(|_| request.serializable).unwrap_or(fresh);
        let key = request.key.clone();
        let pair = keys.get(&key).cloned().map(|value| wire::KeyValue { key, value });
        wire::RangeResponse { header: Some(header(writes)), kvs: pair.into_iter().collect() }
    }

    fn put(&self, request: wire::PutRequest) -> wire::PutResponse {
        let mut world = self.0.lock().unwrap();
        world.keys.insert(request.key, request.value);
        world.writes += 1;
        wire::PutResponse { header: Some(header(world.writes)) }
    }

    fn check(&self) -> Result<(), Status> {
        self.0.lock().unwrap().refusal.map_or(Ok(()), |said| Err(Status::unavailable(said)))
    }
}

/// An empty store is at revision 1.
fn header(writes: u64) -> wire::ResponseHeader {
    let revision = i64::try_from(writes).unwrap() + 1;
    wire::ResponseHeader { cluster_id: 1, member_id: 7, revision, raft_term: 3 }
}

#[tonic::async_trait]
impl Maintenance for Fake {
    async fn status(
        &self,
        _: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let version = "0.0.fake".to_owned();
        let status =
            wire::StatusResponse { header: Some(header(0)), version, leader: 7, raft_term: 3 };
        Ok(Response::new(status))
    }
}

#[tonic::async_trait]
impl Kv for Fake {
    async fn range(
        &self,
        request: Request<wire::RangeRequest>,
    ) -> Result<Response<wire::RangeResponse>, Status> {
        Ok(Response::new(self.range(&request.into_inner())))
    }

    async fn put(
        &self,
        request: Request<wire::PutRequest>,
    ) -> Result<Response<wire::PutResponse>, Status> {
        self.check()?;
        Ok(Response::new(self.put(request.into_inner())))
    }

    async fn txn(
        &self,
        request: Request<wire::TxnRequest>,
    ) -> Result<Response<wire::TxnResponse>, Status> {
        self.check()?;
        let wire::TxnRequest { compare, success, failure } = request.into_inner();
        let (key, serializable) = (compare[0].key.clone(), false);
        let held = self.range(&wire::RangeRequest { key, serializable }).kvs.pop();
        let held = held.map(|pair| pair.value);
        let succeeded = match compare[0].target_union.clone() {
            Some(wire::compare::TargetUnion::Value(value)) => held == Some(value),
            Some(wire::compare::TargetUnion::Version(version)) => version == 0 && held.is_none(),
            None => panic!("it compares nothing"),
        };
        let mut responses = Vec::new();
        for operation in if succeeded { success } else { failure } {
            let response = match operation.request.expect("it is an operation") {
                request_op::Request::RequestPut(put) => {
                    response_op::Response::ResponsePut(self.put(put))
                }
                request_op::Request::RequestRange(range) => {
                    response_op::Response::ResponseRange(self.range(&range))
                }
            };
            responses.push(wire::ResponseOp { response: Some(response) });
        }
        let header = Some(header(self.0.lock().unwrap().writes));
        Ok(Response::new(wire::TxnResponse { header, succeeded, responses }))
    }
}

fn run(addr: &str, arguments: &[&str]) -> Output {
    let anywhere = tempfile::tempdir().unwrap();
    let mut client = Command::new(assert_cmd::cargo::cargo_bin!("raft-client"));
    client.args(["--endpoints", addr, "bench", "--target", "etcd"]).args(arguments);
    client.current_dir(anywhere.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Swaps and puts reach the store as often as the report says, and what the store knows of itself
/// is in it.
#[test]
fn a_load_is_carried_out_as_it_is_reported() {
    let (fake, _runtime, addr) = Fake::start(None);
    let mix = ["--mix", "put=2,cas=2,get=1", "--keys", "20", "-c", "4", "-n", "1000"];
    let output = run(&addr, &[&mix[..], &["-o", "json", "--calibrate", "50ms"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["ok"], &report["load"]["system"]), (&1000.into(), &"etcd".into()));
    assert_eq!((&report["cluster"]["term"], &report["cluster"]["leader"]), (&3.into(), &1.into()));
    assert!(report["empty_trip_us"]["count"].as_u64() > Some(0), "{report}");
    let count = |kind: &str, what: &str| {
        let ops = report["ops"].as_array().unwrap();
        ops.iter().find(|op| op["op"] == kind).unwrap()[what].as_u64().unwrap()
    };
    let writes = fake.0.lock().unwrap().writes;
    assert_eq!(writes, count("put", "ok") + count("cas", "ok") - count("cas", "in_vain"));
    assert!(0 < count("cas", "in_vain") && count("cas", "in_vain") < count("cas", "ok"));
}

/// A write that etcd did not look at is tried again; one whose outcome it does not tell is unknown.
#[test]
fn what_etcd_says_is_understood() {
    let short = ["-c", "2", "-n", "4", "--op-deadline", "200ms"];
    for (refusal, outcome, attempts) in [
        ("etcdserver: no leader", "failed", "overloaded"),
        ("etcdserver: leader changed", "unknown", "outcome_unknown"),
    ] {
        let (_fake, _runtime, addr) = Fake::start(Some(refusal));
        let output = run(&addr, &[&short[..], &["-o", "json"]].concat());
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |of: &Value| of.as_u64().unwrap_or(0);
        // On a busy machine the time of one may be up before it hears anything.
        assert!(0 < count(&report[outcome]), "{report}");
        assert_eq!(count(&report["failed"]) + count(&report["unknown"]), 4, "{report}");
        assert!(0 < count(&report["errors"][attempts]), "{report}");
        assert!(report["messages"].to_string().contains(refusal), "{report}");
    }
}

/// The history of one run, and what it is judged.
fn judged(addr: &str, arguments: &[&str]) -> (lin_check::History, lin_check::Judgement) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.jsonl");
    let named = file.display().to_string();
    let output = run(addr, &[&["-c", "4", "--history", &named][..], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let history = lin_check::History::read(BufReader::new(File::open(file).unwrap())).unwrap();
    let judgement = lin_check::judge(&history, lin_check::Budget::default());
    (history, judgement)
}

/// The servers' own order proves it, so every operation has its place: the revision that a write
/// made, or that a read saw.
#[test]
fn a_history_has_the_revisions() {
    let (_fake, _runtime, addr) = Fake::start(None);
    let load = ["-n", "400", "--mix", "put=1,get=1", "--keys", "5"];
    for how in ["linearizable", "stale"] {
        let (history, judgement) = judged(&addr, &[&load[..], &["--consistency", how]].concat());
        assert_eq!(history.operations().len(), 400);
        assert_eq!(judgement.verdict, lin_check::Verdict::Linearizable);
        assert_eq!(judgement.refusal, None);
    }
}

/// A store that shows old values to those who do not ask for fresh ones is found out.
#[test]
fn a_stale_read_is_in_the_history_as_what_it_is() {
    let (fake, _runtime, addr) = Fake::start(None);
    fake.0.lock().unwrap().stale = Some((BTreeMap::new(), 0));
    let load = ["-n", "400", "--mix", "put=1,get=1", "--keys", "5"];
    let (_, judgement) = judged(&addr, &load);
    assert_eq!(judgement.verdict, lin_check::Verdict::Linearizable);
    let (_, judgement) = judged(&addr, &[&load[..], &["--consistency", "stale"]].concat());
    assert!(judgement.refusal.is_some());
    assert!(matches!(judgement.verdict, lin_check::Verdict::Violation(_)));
}

/// A real etcd, which ends with the test.
struct Etcd {
    child: Child,
    addr: String,
    _dir: TempDir,
}

impl Etcd {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let ports = crate::real::free_ports(2);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let (client_url, peer_url) = (url(ports[0]), url(ports[1]));
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(dir.path()).arg("--initial-cluster");
        etcd.arg(format!("default={peer_url}"));
        for (option, url) in [
            ("--listen-client-urls", &client_url),
            ("--advertise-client-urls", &client_url),
            ("--listen-peer-urls", &peer_url),
            ("--initial-advertise-peer-urls", &peer_url),
        ] {
            etcd.arg(option).arg(url);
        }
        etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = etcd.spawn().ok()?;
        Some(Self { child, addr: format!("127.0.0.1:{}", ports[0]), _dir: dir })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the fake claims of revisions is so with the real one, where there is one.
#[test]
fn the_real_etcd_is_proven_linearizable_by_its_revisions() {
    let Some(etcd) = Etcd::start() else { return };
    let load = ["--wait", "30s", "-n", "2000", "--mix", "put=1,get=1", "--keys", "20"];
    let (history, judgement) = judged(&etcd.addr, &load);
    assert_eq!(history.operations().len(), 2000);
    assert_eq!(judgement.verdict, lin_check::Verdict::Linearizable);
    assert_eq!(judgement.refusal, None);
}

/// What cannot be asked of etcd is said at once, and so is who does not answer.
#[test]
fn what_etcd_cannot_do_is_said() {
    let (_held, addr) = crate::fake::nobody();
    for (arguments, expected) in [
        (&["--verify", "--put"][..], "error: --verify is for clusters of this project"),
        (&["--append"], "error: etcd knows put, get and cas: no append"),
        (&["--propose"], "error: etcd knows put, get and cas: no propose"),
        (&["--pipeline", "2"], "error: etcd knows put, get and cas: no --pipeline"),
    ] {
        let output = run(&addr, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
    let output = run(&addr, &["--wait", "200ms"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains(&addr), "{}", said(&output));
    assert!(said(&output).contains("etcdctl"), "{}", said(&output));
    assert!(!said(&output).contains("raft-client status"), "{}", said(&output));
}

/// Why nobody was found is told of each endpoint: one refuses, one hangs up, one speaks something
/// else, one says nothing.
#[test]
fn why_no_etcd_was_found_is_told_of_each_endpoint() {
    let (_held, refusing) = crate::fake::nobody();
    let (_mute, silent) = crate::fake::mute();
    let answering = |words: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                drop(std::io::Write::write_all(&mut stream.unwrap(), words));
            }
        });
        addr
    };
    let (closing, strange) = (answering(b""), answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let all = [&*refusing, &silent, &closing, &strange].join(",");
    let output = run(&all, &["--wait", "700ms"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let said = said(&output);
    for (addr, reason) in [
        (refusing, "connection refused"),
        (silent, "no answer in time"),
        (closing, "connection "), // Lost or closed, as it was met.
        (strange, "answers, but does not serve clients, it speaks no HTTP/2"),
    ] {
        assert!(said.contains(&format!("{addr}: {reason}")), "{addr}: {reason}: {said}");
    }
}
