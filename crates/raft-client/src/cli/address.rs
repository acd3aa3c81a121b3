//! Nodes and their addresses as a command line names them.

use raft_api::address;

/// Where a node's other ports are, from its peer port, unless they are written.
const CLIENT_PORT_OFFSET: u16 = 100;
const HTTP_PORT_OFFSET: u16 = 200;

const EXAMPLE: &str = "write ID, ID=HOST:PORT or ID=PEER/CLIENT/HTTP, as in 4=127.0.0.1:7004";

/// Where a node listens, each as `host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) peer: String,
    pub(crate) client: String,
    pub(crate) http: String,
    /// Whether only the peer address was written.
    pub(crate) is_derived: bool,
}

/// A node that is to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newcomer {
    pub(crate) id: u64,
    pub(crate) contact: Option<Contact>,
}

impl Newcomer {
    /// `4`, `4=HOST:PORT` or `4=PEER/CLIENT/HTTP`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (id, addr) = match text.split_once('=') {
            Some((id, addr)) => (id, Some(addr)),
            None => (text, None),
        };
        Ok(Self { id: node_id(id)?, contact: addr.map(Contact::parse).transpose()? })
    }
}

impl Contact {
    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match *parts {
            [peer] => {
                let (host, port) = host_and_port(peer)?;
                let beside = |offset: u16| {
                    let port = port.checked_add(offset).ok_or_else(|| {
                        format!(
                            "port {port} leaves no room: clients are at port + 100, http at + 200"
                        )
                    })?;
                    Ok::<_, String>(format!("{host}:{port}"))
                };
                Ok(Self {
                    client: beside(CLIENT_PORT_OFFSET)?,
                    http: beside(HTTP_PORT_OFFSET)?,
                    peer: peer.to_owned(),
                    is_derived: true,
                })
            }
            [peer, client, http] => {
                for addr in [peer, client, http] {
                    host_and_port(addr)?;
                }
                let [peer, client, http] = [peer, client, http].map(str::to_owned);
                Ok(Self { peer, client, http, is_derived: false })
            }
            _ => Err(EXAMPLE.to_owned()),
        }
    }
}

/// `4` or `n4`.
pub(crate) fn node_id(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('n').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(0) => Err("ids begin at 1".to_owned()),
        Ok(id) if plain => Ok(id),
        _ => Err(format!("`{text}` is not a node id, such as 4 or n4")),
    }
}

fn host_and_port(text: &str) -> Result<(&str, u16), String> {
    address::check(text)?;
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| EXAMPLE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_are_written_in_three_ways() {
        assert_eq!(Newcomer::parse("n4"), Ok(Newcomer { id: 4, contact: None }));
        let contact = |text: &str| Newcomer::parse(text).unwrap().contact.unwrap();
        let short = contact("4=[::1]:7004");
        assert_eq!(
            [&*short.peer, &short.client, &short.http],
            ["[::1]:7004", "[::1]:7104", "[::1]:7204"]
        );
        let long = contact("4=a:1/b-c.d:2/e:3");
        assert_eq!([&*long.peer, &long.client, &long.http], ["a:1", "b-c.d:2", "e:3"]);
    }

    #[test]
    fn what_is_no_newcomer_is_refused() {
        for text in [
            "",
            "=",
            "0",
            "n",
            "+4",
            "four",
            "4=",
            "4=a",
            "4=a:",
            "4=a:0",
            "4=a:+7",
            "4=a:65536",
            "4=:7004",
            "4=a b:7004",
            "4=::1:7004",
            "4=[x]:7004",
            "4=a:65400",
            "4=a:1/b:2",
            "4=a:1/b:2/c",
            "4=a:1/b:2/c:3/d:4",
        ] {
            assert!(Newcomer::parse(text).is_err(), "{text}");
        }
    }
}
