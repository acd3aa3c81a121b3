//! The live page, served as a server of a run would: it draws what it is sent, and its buttons say
//! what to do. Needs Chromium, and says so where there is none.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use chaos_report::dashboard_page;

use crate::browser::{chromium, visit};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn a_token_is_not_markup() {
    let page = dashboard_page("\"><script>alert(1)</script>");
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("data-token=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\""));
    assert!(page.contains("connect-src 'self'") && !page.contains("http:"));
}

/// What the page is sent: a leader, a fault, and a second of load.
const LINES: [&str; 6] = [
    r#"{"mono_ns":9000000000,"kind":"begin","cluster":"<b>three","nodes":3}"#,
    r#"{"mono_us":9100000,"node":1,"state":"up","role":"leader","term":3,"commit":7,"applied":7}"#,
    r#"{"mono_us":9100000,"node":2,"state":"paused","role":"","term":0,"commit":0,"applied":0}"#,
    r#"{"mono_us":10000000,"length_us":1000000,"ok":1234,"failed":1,"unknown":2,"p50_us":900,"p99_us":4200,"max_us":90000}"#,
    r#"{"mono_ns":10100000000,"kind":"pause","node":2,"role":"follower"}"#,
    "not JSON",
];

/// Run in the page when it has drawn: presses a button.
const PRESS: &str = "<script>const look = setInterval(function () {\
    if (!document.querySelector('#live .leader') || !document.querySelector('#nodes button')) return;\
    clearInterval(look); document.querySelector('#nodes button').click(); }, 20);</script>\
    <img src=\"/late\" alt=\"\"></body>";

/// What the threads of the server share.
struct Server {
    page: String,
    pressed: SyncSender<String>,
    /// Comes when the late picture may.
    late: Mutex<Receiver<()>>,
    is_over: AtomicBool,
}

impl Server {
    /// Answers until it is over.
    fn run(&self, listener: &TcpListener) {
        std::thread::scope(|scope| {
            for stream in listener.incoming() {
                if self.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                scope.spawn(move || self.answer(stream));
            }
        });
    }

    /// Answers one request. The picture comes late, so that the page is not whole before its button
    /// was pressed.
    fn answer(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let Some((path, body)) = request(&stream) else { return };
        let (kind, reply) = match path.as_str() {
            "POST /do?token=a%26b" => {
                self.pressed.send(body).unwrap();
                ("text/plain", "done".to_owned())
            }
            "GET /events?token=a%26b" => {
                let lines = LINES.map(|line| format!("data: {line}\n\n"));
                ("text/event-stream", lines.concat())
            }
            "GET /late" => {
                let in_time = self.late.lock().unwrap().recv_timeout(PATIENCE).is_ok();
                ("text/plain", format!("{in_time}"))
            }
            "GET /" => ("text/html", self.page.clone()),
            _ => ("text/plain", String::new()),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n");
        // A browser that has gone needs no answer.
        drop(stream.write_all(format!("{head}{reply}").as_bytes()));
    }
}

/// What is asked for, and what comes with it. Browsers open connections and ask nothing.
fn request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    let mut line = String::new();
    while 0 < reader.read_line(&mut line).ok()? && !line.trim().is_empty() {
        lines.push(std::mem::take(&mut line).to_ascii_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |it| it.trim().parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let mut words = lines.first()?.split(' ');
    let (verb, path) = (words.next()?.to_ascii_uppercase(), words.next()?.to_owned());
    Some((format!("{verb} {path}"), String::from_utf8(body).unwrap()))
}

#[test]
fn it_draws_what_it_is_sent_and_says_what_to_do() {
    let Some(browser) = chromium() else { return crate::browser::skipped() };
    let page = dashboard_page("a&b").replace("</body>", PRESS);
    let page = page.replace("img-src data:", "img-src data: 'self'");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (pressed, heard) = sync_channel(16);
    let (release, late) = sync_channel(16);
    let (late, is_over) = (Mutex::new(late), AtomicBool::new(false));
    let server = Server { page, pressed, late, is_over };
    let dir = tempfile::tempdir().unwrap();
    let (seen, press) = std::thread::scope(|scope| {
        scope.spawn(|| server.run(&listener));
        let waiter = scope.spawn(move || {
            let press = heard.recv_timeout(PATIENCE);
            release.send(()).unwrap();
            press
        });
        let seen = visit(&browser, dir.path(), &format!("http://{address}/"));
        server.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(address));
        (seen, waiter.join().unwrap())
    });
    assert_eq!(press.expect("a button was pressed"), "{\"do\":\"kill\",\"target\":\"n1\"}");
    assert!(!seen.said.contains("CONSOLE"), "{}", seen.said);
    for part in [
        "L t3",
        "n1 leader in term 3",
        "url(#c-paused)",
        "pause n2",
        "1234/s",
        "1 failed, 2 unknown",
        "&lt;b&gt;three",
    ] {
        assert!(seen.dom.contains(part), "{part} is missing in {}", seen.dom);
    }
}
