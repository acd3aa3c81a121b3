//! The same run makes the same page, byte for byte, and that page is the one kept in `tests/`.
//!
//! `UPDATE_GOLDENFILES=1 cargo test -p chaos-report golden` writes it anew. Open it in a browser
//! before you keep it. Style and script are left out of it: they have files of their own.

use std::path::Path;

use crate::support;

#[test]
fn the_page_is_the_kept_one() {
    let dir = support::copy();
    let page = support::report(dir.path());
    let again = support::report(dir.path());
    assert!(page == again, "a second report of the same run differs");
    let style = support::between(&page, "<style>\n", "</style>");
    let script = support::between(&page, "<script>\n", "</script>");
    let markup = page.replace(style, "").replace(script, "");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.html");
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(&path, &markup).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let differs = markup.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(markup == kept, "the page differs from tests/golden.html, first in {differs:?}");
}

/// Whatever a browser would fetch or send to is named with a scheme and a host.
#[test]
fn the_page_names_no_host() {
    let page = support::report(support::copy().path());
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("\"//"));
    assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    let script = support::between(&page, "<script>\n", "</script>");
    assert!(script.len() <= 7_000, "the script has {} bytes", script.len());
}
