//! What a link costs a conversation: round trips and throughput with it and without.
//!
//! `cargo run --release -p chaos-net --example overhead`
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use chaos_net::{Link, Net};
use hdrhistogram::Histogram;

const ROUNDS: usize = 5;
const ROUND_TRIPS: usize = 10_000;
const LOAD: usize = 256 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let target = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let net = Net::new(1);
    let proxy = runtime.block_on(net.add(Link::new(1, 2), None, target))?;
    let ways = [("direct", target), ("through a link", proxy)];
    let times = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3)?;
    let mut found = [(times.clone(), 0.0_f64), (times, 0.0)];
    for _ in 0..ROUNDS {
        for ((_, address), (times, rate)) in ways.iter().zip(&mut found) {
            round_trips(*address, times)?;
            *rate = rate.max(throughput(*address)?);
        }
    }
    for ((name, _), (times, rate)) in ways.iter().zip(&found) {
        println!(
            "{name:15} round trip of 64 bytes: p50 {} us, p99 {} us, p99.9 {} us; {rate:.0} MiB/s",
            times.value_at_quantile(0.5) / 1000,
            times.value_at_quantile(0.99) / 1000,
            times.value_at_quantile(0.999) / 1000,
        );
    }
    runtime.block_on(net.shutdown());
    Ok(())
}

/// Says again what it hears; if the first byte is 0, only counts it.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut scratch = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut scratch)?;
        if count == 0 {
            return Ok(());
        }
        if scratch[0] != 0 {
            stream.write_all(&scratch[..count])?;
        }
    }
}

fn round_trips(address: SocketAddr, times: &mut Histogram<u64>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut scratch = [1; 64];
    for at in 0..ROUND_TRIPS {
        let begin = Instant::now();
        stream.write_all(&scratch)?;
        stream.read_exact(&mut scratch)?;
        if ROUND_TRIPS / 10 < at {
            times.saturating_record(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }
    Ok(())
}

/// MiB per second that the other side takes, until it has closed.
fn throughput(address: SocketAddr) -> io::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    let (chunk, begin) = (vec![0; 64 * 1024], Instant::now());
    for _ in 0..LOAD / chunk.len() {
        stream.write_all(&chunk)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    #[expect(clippy::cast_precision_loss, reason = "a number of MiB")]
    let mebibytes = (LOAD >> 20) as f64;
    Ok(mebibytes / begin.elapsed().as_secs_f64())
}
