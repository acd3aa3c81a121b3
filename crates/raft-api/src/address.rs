//! Addresses as files, command lines and requests write them: `host:port`.

use std::fmt;
use std::net::Ipv6Addr;

/// A host and a port.
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The longest name that DNS has.
const HOST_LEN_MAX: usize = 253;

/// What is shown of a text that is no address.
const SHOWN_MAX: usize = 64;

/// Whether this is an address. The error says what it is instead, and fits on a line, whatever the
/// text is.
pub fn check(text: &str) -> Result<(), String> {
    Address::parse(text).map(drop)
}

impl Address {
    pub(crate) fn new(host: &str, port: u64) -> Result<Self, String> {
        match u16::try_from(port) {
            Ok(0) => Err("port 0 is no fixed port".to_owned()),
            Ok(port) => Ok(Self { host: host.to_owned(), port }),
            Err(_) => Err(format!("{port} is not a port: the last is {}", u16::MAX)),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let example = "it is written host:port, as in 127.0.0.1:7001";
        let parsed = || {
            let (host, port) = text.rsplit_once(':').ok_or(example)?;
            check_host(host)?;
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = if digits { port.parse().ok() } else { None };
            Self::new(host, port.ok_or(example)?)
        };
        parsed().map_err(|why: String| format!("`{}` is not an address: {why}", shown(text)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Whether this is a name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let parsed = inside.parse::<Ipv6Addr>();
        return parsed
            .map(drop)
            .map_err(|_error| format!("`{}` is not an IPv6 address", shown(inside)));
    }
    if host.contains(':') {
        return Err("an IPv6 address goes in brackets, as in [::1]:7001".to_owned());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(format!("`{}` is not a host", shown(host)));
    }
    if HOST_LEN_MAX < host.len() {
        let len = host.len();
        return Err(format!("a host of {len} bytes, and no name has more than {HOST_LEN_MAX}"));
    }
    Ok(())
}

/// The beginning of it, and nothing in it that moves a cursor.
fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_on_one_short_line() {
        for good in ["127.0.0.1:7001", "[::1]:7001", "a-b_c.example:65535"] {
            assert_eq!(check(good), Ok(()));
        }
        let long = format!("{}:7001", "a".repeat(300));
        let bad = [
            "",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "::1:7",
            " a:7",
            "a\n:7",
            "a:7\n",
            "\u{1b}[2J:7",
            &long,
        ];
        for bad in bad {
            let why = check(bad).unwrap_err();
            assert!(!why.chars().any(char::is_control) && why.len() < 300, "{why}");
        }
    }
}
