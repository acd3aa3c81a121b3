//! A target that is a process: killed, suspended, and started again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use chaos_net::Net;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{LINK, ends, eventually, hears, hears_nothing, is_refused, listen, within};

/// Tells this program to be the target, and where.
const BE_TARGET: &str = "CHAOS_NET_TEST_TARGET";

/// Killed, a process takes its connections and its port with it, and both are seen through the
/// link at once; started again, it is there again. Suspended, it accepts and says nothing.
#[tokio::test]
async fn a_process_is_seen_through_its_link() {
    if let Ok(address) = env::var(BE_TARGET) {
        return echo(address.parse().unwrap());
    }
    let target = listen("127.0.0.1:0".parse().unwrap()).local_addr().unwrap();
    let net = Net::new(1);
    let proxy = net.add(LINK, None, target).await.unwrap();
    for round in 0..10 {
        assert!(is_refused(proxy).await);
        let process = Target::start(target);
        eventually("open", || net.status(LINK).unwrap().open).await;
        let mut client = within(TcpStream::connect(proxy)).await.unwrap();
        echoes(&mut client, b"ping").await;

        process.signal(Signal::STOP);
        eventually("suspended", || process.is_suspended()).await;
        client.write_all(b"ping").await.unwrap();
        hears_nothing(&mut client).await;
        let mut late = within(TcpStream::connect(proxy)).await.unwrap();
        late.write_all(b"ping").await.unwrap();
        hears_nothing(&mut late).await;
        if round % 2 == 0 {
            process.signal(Signal::CONT);
            hears(&mut client, b"ping").await;
            hears(&mut late, b"ping").await;
        }

        drop(process);
        drop(ends(&mut client).await); // Closed, or reset if it had not read all.
        assert!(is_refused(proxy).await, "whoever hears of it is refused");
        drop(ends(&mut late).await);
    }
    let counters = net.counters(LINK).unwrap();
    assert_eq!((counters.closures_mirrored, counters.errors), (10, 0));
}

async fn echoes(client: &mut TcpStream, what: &[u8]) {
    client.write_all(what).await.unwrap();
    hears(client, what).await;
}

/// Says again what it hears, until whoever started it ends.
fn echo(address: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut scratch = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut scratch) {
                    stream.write_all(&scratch[..count]).unwrap();
                }
            });
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

struct Target(Child);

impl Target {
    fn start(address: SocketAddr) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "process::a_process_is_seen_through_its_link"]);
        command.env(BE_TARGET, address.to_string()).stdin(Stdio::piped()).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// A signal takes effect some time after it was sent.
    fn is_suspended(&self) -> bool {
        let task = format!("/proc/{}/task", self.0.id());
        let stats = fs::read_dir(task).unwrap().map(|it| it.unwrap().path().join("stat"));
        stats.into_iter().all(|path| fs::read_to_string(path).unwrap().contains(") T "))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
