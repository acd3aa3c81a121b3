//! The live page of a real cluster: who is let in, what is told, what is obeyed, and that no page
//! keeps a run from its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::cluster::built;
use super::stage::{PATIENCE, Stage, events, finish, of_kind, signal, text, wait_for};

/// A page that is served.
struct Page {
    address: SocketAddr,
    token: String,
}

impl Page {
    /// Reads where it is from what a process says, and what else it says beside.
    fn of(child: &mut Child) -> Self {
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = said
            .find_map(|line| Some(line.unwrap().strip_prefix("dashboard  http://")?.to_owned()));
        let url = url.expect("the address is printed");
        let bad =
            |line: &str| ["INCONCLUSIVE", "FAIL", "HARNESS"].iter().any(|it| line.contains(it));
        std::thread::spawn(move || {
            for line in said.map_while(Result::ok).filter(|line| bad(line)) {
                eprintln!("the run said: {line}");
            }
        });
        let (address, token) = url.split_once("/?token=").unwrap();
        Self { address: address.parse().unwrap(), token: token.to_owned() }
    }

    fn send(&self, head: &str, host: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(stream, "{head}\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        stream
    }

    /// The status, and all of the answer.
    fn ask(&self, head: &str, host: &str, body: &str) -> (u16, String) {
        let mut answer = String::new();
        self.send(head, host, body).read_to_string(&mut answer).unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path} HTTP/1.1"), &self.address.to_string(), "")
    }

    fn order(&self, act: &str, target: &str, more: &str) -> (u16, String) {
        let body = format!("{{\"do\":\"{act}\",\"target\":\"{target}\"}}");
        let path = format!("POST /do?token={} HTTP/1.1", self.token);
        let head = format!("{path}\r\nContent-Type: application/json{more}");
        self.ask(&head, &self.address.to_string(), &body)
    }

    fn events(&self) -> BufReader<TcpStream> {
        let head = format!("GET /events?token={} HTTP/1.1", self.token);
        BufReader::new(self.send(&head, &self.address.to_string(), ""))
    }
}

/// The next thing told for which this holds.
fn next(told: &mut BufReader<TcpStream>, is: impl Fn(&Value) -> bool) -> Value {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(told.read_line(&mut line).unwrap(), 0, "the stream ended before");
        let data = line.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap());
        if let Some(found) = data.filter(|it| is(it)) {
            return found;
        }
    }
}

#[test]
fn a_cluster_is_shown_and_broken_in_the_browser_and_no_page_keeps_it() {
    let stage = Stage::new();
    let server = built("raft-server");
    let args = ["up", "--dashboard", "--bin", server.to_str().unwrap()];
    let mut child = stage.command(&args).spawn().unwrap();
    let page = Page::of(&mut child);

    let host = page.address.to_string();
    let own = format!("/?token={}", page.token);
    let (status, whole) = page.get(&own);
    assert_eq!(status, 200, "{whole}");
    assert!(whole.contains("content-security-policy: frame-ancestors 'none'"), "{whole}");
    assert!(whole.contains("<title>A cluster, live</title>"), "{whole}");
    let by_name = format!("localhost:{}", page.address.port());
    assert_eq!(page.ask(&format!("GET {own} HTTP/1.1"), &by_name, "").0, 200);
    for path in ["/", "/?token=", "/?token=0", "/events", "/events?token=00", "/other"] {
        assert_eq!(page.get(path).0, 403, "{path}");
    }
    for other in ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:1"] {
        let (status, why) = page.ask(&format!("GET {own} HTTP/1.1"), other, "");
        assert_eq!(status, 403, "{other}: {why}");
    }
    assert_eq!(page.get(&format!("/other?token={}", page.token)).0, 404);
    assert_eq!(page.get(&format!("/do?token={}", page.token)).0, 405);

    let mut told = page.events();
    next(&mut told, |it| it["kind"] == "ready");
    let leads = next(&mut told, |it| it["state"] == "up" && it["role"] == "leader");
    assert!(leads["term"].as_u64() > Some(0), "{leads}");
    let evil = "\r\nOrigin: http://evil.example";
    assert_eq!(page.order("pause", "n2", evil).0, 403);
    assert_eq!(page.order("dance", "n2", "").0, 400);
    let kill = "{\"do\":\"kill\",\"target\":\"n1\"}";
    let json = "HTTP/1.1\r\nContent-Type: application/json";
    for path in ["/do", "/do?token=", "/do?token=0"] {
        assert_eq!(page.ask(&format!("POST {path} {json}"), &host, kill).0, 403, "{path}");
    }
    let known = format!("/do?token={}", page.token);
    assert_eq!(page.ask(&format!("POST {known} {json}"), "evil.example", kill).0, 403);
    assert_eq!(page.ask(&format!("GET {known} {json}"), &host, kill).0, 405);
    let plain = format!("POST {known} HTTP/1.1");
    assert_eq!(page.ask(&plain, &host, kill).0, 415);
    let (status, why) = page.order("partition", "leader", "");
    assert!(status == 409 && why.contains("up --lab"), "{why}");

    let (status, done) = page.order("pause", "n2", &format!("\r\nOrigin: http://{host}"));
    assert!(status == 200 && done.contains("seen stopped"), "{done}");
    assert_eq!(next(&mut told, |it| it["kind"] == "pause")["node"], 2);
    next(&mut told, |it| it["node"] == 2 && it["state"] == "paused");
    assert_eq!(page.order("heal", "n2", "").0, 200);
    assert_eq!(next(&mut told, |it| it["kind"] == "resume")["node"], 2);
    assert_eq!(page.order("kill", "n3", "").0, 200);
    assert_eq!(next(&mut told, |it| it["kind"] == "kill")["node"], 3);
    next(&mut told, |it| it["node"] == 3 && it["state"] == "down");
    // Somebody who comes later is told what happened before, as long as there are seats.
    let mut open: Vec<_> = (0..7).map(|_| page.events()).collect();
    for stream in &mut open {
        next(stream, |it| it["kind"] == "kill");
    }
    assert_eq!(page.get(&format!("/events?token={}", page.token)).0, 503, "no seat is left");
    signal(&child, Signal::SIGINT);
    let output = finish(child);
    assert!(output.status.code().is_some(), "it ended by itself: {output:?}");
    next(&mut told, |it| it["kind"] == "stopped");
    let seen = events(&stage.path(".raft/test/events.jsonl"));
    let orders: Vec<&Value> = of_kind(&seen, "order").iter().map(|it| &it["what"]).collect();
    assert_eq!(orders, ["partition leader", "pause n2", "resume n2", "kill n3"]);
    let kept = std::fs::read_to_string(stage.path(".raft/test/events.jsonl")).unwrap();
    assert!(!kept.contains(&page.token), "the token stands in no file");
}

#[test]
fn a_page_is_for_this_machine_alone() {
    let stage = Stage::new();
    for (flag, why) in
        [("--dashboard=0.0.0.0:0", "not on loopback"), ("--dashboard=x", "no address")]
    {
        let output = stage.run(&["up", flag]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(why), "{output:?}");
    }
    let output = stage.run(&["up", "--detach", "--dashboard"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// A scenario of one round, shown.
fn scenario(stage: &Stage, name: &str) -> (Child, Page) {
    built("raft-client");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
    command.args(["run", name, "--dashboard", "--rounds", "1", "--seed", "7", "-c", "4"]);
    command.arg("--dir").arg(stage.path("run")).arg("--bin").arg(built("raft-server"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let page = Page::of(&mut child);
    (child, page)
}

fn results(stage: &Stage) -> Value {
    let results = std::fs::read(stage.path("run/results.json")).unwrap();
    serde_json::from_slice(&results).unwrap()
}

/// Whoever interferes with a scenario leaves a trace in its results.
#[test]
fn a_scenario_is_shown_to_its_verdict_and_tells_that_somebody_interfered() {
    let stage = Stage::new();
    let (child, page) = scenario(&stage, "kill-random");
    let mut told = page.events();
    next(&mut told, |it| it["kind"] == "ready");
    wait_for("an order that is taken", || (page.order("heal", "all", "").0 == 200).then_some(()));
    let (status, why) = page.order("partition", "leader", "");
    assert!(status == 409 && why.contains("no proxies on its links (a scenario has"), "{why}");
    // What the clients see is told, and to who comes later as well.
    let seen = next(&mut told, |it| it["length_us"].is_u64());
    assert_eq!(next(&mut page.events(), |it| it["length_us"].is_u64()), seen);
    assert!(seen["ok"].as_u64() > Some(0), "{seen}");
    let verdict = next(&mut told, |it| it["kind"] == "verdict");
    let output = finish(child);
    let results = results(&stage);
    assert!(results["orders_by_hand"].as_u64() > Some(0), "{results:#}");
    let why = results["why"].as_str().unwrap();
    assert!(why.contains("somebody interfered"), "{why}");
    assert_eq!((&verdict["verdict"], &verdict["why"]), (&results["verdict"], &results["why"]));
    assert!(output.status.code().is_some(), "{output:?}");
}

/// Links that somebody cuts stay cut whatever the scenario does with links meanwhile, and are whole in
/// the end.
#[test]
fn links_of_a_scenario_are_cut_by_hand_beside_its_own_faults() {
    let stage = Stage::new();
    let (child, page) = scenario(&stage, "minority-partition");
    let mut told = page.events();
    let own = next(&mut told, |it| it["kind"] == "fault");
    assert!(own["number"].as_u64() < Some(1000), "{own}");
    let (status, done) = page.order("partition", "n1", "");
    assert_eq!(status, 200, "{done}");
    assert!(done.contains("n1 cut off from all others") && done.contains("8 links"), "{done}");
    let by_hand = next(&mut told, |it| it["kind"] == "fault");
    assert!(by_hand["number"].as_u64() > Some(1000), "{by_hand}");
    let over = next(&mut told, |it| it["kind"] == "over");
    assert_eq!((&over["number"], &over["outcome"]), (&own["number"], &"installed".into()));
    // A scenario that has come to its end takes no orders, and heals what there is.
    let (status, why) = page.order("heal", "all", "");
    assert!(status == 200 || status == 409, "{why}");
    let over = next(&mut told, |it| it["kind"] == "over");
    assert_eq!((&over["number"], &over["outcome"]), (&by_hand["number"], &"installed".into()));
    next(&mut told, |it| it["kind"] == "verdict");
    let output = finish(child);
    assert!(output.status.code().is_some(), "{output:?}");
    let results = results(&stage);
    assert!(results["orders_by_hand"].as_u64() > Some(0), "{results:#}");
    assert_eq!(results["faults"][0]["outcome"], "installed", "{results:#}");
}
