//! The page as a browser sees it: it opens without an error, asks nobody for anything, and shows
//! everything without JavaScript. Needs Chromium, and says so where there is none.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{copy, report};

pub(crate) fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let all = std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
    all.into_iter().find(|path| path.is_file())
}

/// Said past the test runner, which shows nothing of what a test that passes prints.
pub(crate) fn skipped() {
    let words = "SKIPPED: there is no Chromium on this machine, so no page was opened";
    writeln!(std::io::stderr(), "{words}").expect("standard error takes a line");
}

/// What a browser makes of a page.
pub(crate) struct Seen {
    pub(crate) dom: String,
    /// What it says, the page's own messages and errors among it.
    pub(crate) said: String,
    /// All that it did on the network.
    net: String,
}

fn open(browser: &Path, dir: &Path, page: &str) -> Seen {
    let path = dir.join("opened.html");
    std::fs::write(&path, page).unwrap();
    visit(browser, dir, &format!("file://{}", path.display()))
}

/// Opens an address, and waits until all of it has come.
pub(crate) fn visit(browser: &Path, dir: &Path, address: &str) -> Seen {
    let log = dir.join("net.json");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--disable-extensions", "--disable-default-apps"])
        // The browser's own errands must not leave the machine either.
        .arg("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
        .args(["--enable-logging=stderr", "--v=0", "--timeout=20000", "--window-size=1280,1000"])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg("--dump-dom")
        .arg(address)
        .output()
        .expect("the browser starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let net = text(&std::fs::read(&log).unwrap());
    Seen { dom: text(&output.stdout), said: text(&output.stderr), net }
}

/// Addresses that the page asked for, beside files and what it holds itself. The browser's own
/// errands have no origin.
fn asked(net: &str) -> Vec<&str> {
    let requests = net.lines().filter(|line| {
        line.contains("\"initiator\":\"") && !line.contains("\"initiator\":\"not an origin\"")
    });
    let urls = requests.filter_map(|line| line.split("\"url\":\"").nth(1)?.split('"').next());
    urls.filter(|url| url.starts_with("http") || url.starts_with("ws")).collect()
}

#[test]
fn it_opens_in_a_browser() {
    let Some(browser) = chromium() else {
        return skipped();
    };
    let dir = copy();
    let page = report(dir.path());
    let seen = open(&browser, dir.path(), &page);
    assert!(!seen.said.contains("CONSOLE"), "{}", seen.said);
    assert!(asked(&seen.net).is_empty(), "{:?}", asked(&seen.net));
    assert!(seen.dom.contains("<html lang=\"en\" class=\"script\">"), "the script has run");

    // A click on a fault in the table zooms to it, and Escape goes back.
    let act = "<script>document.querySelector('.faults tbody tr').click();\
        document.body.dataset.near = document.querySelector('svg.z').getAttribute('viewBox');\
        dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }));\
        document.body.dataset.all = document.querySelector('svg.z').getAttribute('viewBox');</script></body>";
    let seen = open(&browser, dir.path(), &page.replace("</body>", act));
    assert!(!seen.said.contains("CONSOLE"), "{}", seen.said);
    // The fault lasted from 1 s to 1.5 s.
    assert!(seen.dom.contains("data-near=\"600 0 1300 "), "{:?}", seen.dom.find("data-near"));
    assert!(seen.dom.contains("data-all=\"0 0 3000 "));

    // This test can tell: a page that does ask and does err is seen to.
    let bad = page.replace(
        "</body>",
        "<script>fetch('http://127.0.0.1:9/x'); nothing.at.all;</script></body>",
    );
    let seen = open(&browser, dir.path(), &bad);
    assert!(seen.said.contains("CONSOLE"), "an error goes unseen:\n{}", seen.said);
    assert!(
        seen.said.contains("Content Security Policy"),
        "the policy lets it leave:\n{}",
        seen.said
    );
    assert!(asked(&seen.net).is_empty(), "the policy stops it before the network");
    let loose = bad.replace("http-equiv=\"Content-Security-Policy\"", "name=\"none\"");
    let seen = open(&browser, dir.path(), &loose);
    assert!(asked(&seen.net).contains(&"http://127.0.0.1:9/x"), "a request goes unseen");
}

#[test]
fn it_shows_everything_without_javascript() {
    let Some(browser) = chromium() else {
        return skipped();
    };
    let dir = copy();
    let page = report(dir.path());
    let without = page.replace("script-src 'unsafe-inline'", "script-src 'none'");
    let seen = open(&browser, dir.path(), &without);
    assert!(seen.dom.contains("<html lang=\"en\">"), "the script has run");
    for part in [
        "PASS",
        "no acknowledged write lost",
        "id=\"timeline\"",
        "SIGKILL n1 leader",
        "hash n1=n2=n3",
    ] {
        assert!(seen.dom.contains(part), "{part}");
    }
}
