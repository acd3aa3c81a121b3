//! How commands fail: a line, a hint, an exit code.

use std::fmt;

use raft_api::ConfigError;
use raft_client::{ClientError, Failed, FailedKind};

/// The end of a command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    message: String,
    hint: Option<String>,
}

const INTERNAL: u8 = 1;
const USAGE: u8 = 2;
const NO_CLUSTER: u8 = 3;
const REFUSED: u8 = 4;
const DEADLINE: u8 = 124;

impl Failure {
    pub(crate) fn internal(message: String) -> Self {
        Self { code: INTERNAL, message, hint: None }
    }

    pub(crate) fn usage(message: String, hint: Option<&str>) -> Self {
        Self { code: USAGE, message, hint: hint.map(str::to_owned) }
    }

    /// Says what was being done.
    pub(crate) fn during(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (code, hint) = match &error {
            ClientError::Failed(Failed { kind, .. }) => match kind {
                FailedKind::NoCluster => (
                    NO_CLUSTER,
                    "is the cluster running? `scripts/local-cluster.sh start` starts one; \
                     --endpoints or --config says where it is",
                ),
                FailedKind::NoLeader => (
                    NO_CLUSTER,
                    "a majority of the nodes must be up; `raft-client status` shows who is",
                ),
                FailedKind::Unserved => {
                    (DEADLINE, "nothing was done; `raft-client status` shows how the nodes are")
                }
                FailedKind::TooLarge => (
                    REFUSED,
                    "the bound is `raft.command_max` in cluster.yaml; a value may have 8 MiB",
                ),
                FailedKind::Invalid => (REFUSED, "keys have 1 to 4096 bytes, values up to 8 MiB"),
                FailedKind::Rejected => (REFUSED, "do client and server have the same version?"),
            },
            ClientError::Unknown(_) => {
                (DEADLINE, "read it back before you repeat it: a repeat is a second write")
            }
        };
        Self { code, message: error.to_string(), hint: Some(hint.to_owned()) }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { code: USAGE, message: error.to_string(), hint }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}
