//! How many connections there may be, so that the files a node works with are never short of
//! descriptors.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Connections that are let in at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) clients: usize,
    pub(crate) peers: usize,
}

/// Descriptors for everything but clients: log, snapshots, peers.
const RESERVE: usize = 256;

/// Each costs memory as well.
const CLIENTS_MAX: usize = 8192;

impl Limits {
    /// Raises the process's limit on descriptors as far as it may, and shares it out.
    pub(crate) fn raise() -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, hard)| {
            match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
                Ok(()) => hard,
                Err(_) => soft,
            }
        });
        // POSIX promises 20; what cannot be asked for is what Linux begins with.
        Self::within(limit.map_or(1024, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }

    fn within(descriptors: usize) -> Self {
        let reserve = RESERVE.min(descriptors / 2);
        Self { clients: (descriptors - reserve).clamp(1, CLIENTS_MAX), peers: (reserve / 2).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_for_files() {
        assert_eq!(Limits::within(128), Limits { clients: 64, peers: 32 });
        assert_eq!(Limits::within(1024), Limits { clients: 768, peers: 128 });
        assert_eq!(Limits::within(1 << 20), Limits { clients: 8192, peers: 128 });
        assert_eq!(Limits::within(usize::MAX), Limits { clients: 8192, peers: 128 });
    }
}
