//! How commands fail: a line, a hint, an exit code.

use std::fmt;
use std::time::Duration;

use raft_api::ConfigError;
use raft_client::{ClientError, Failed, FailedKind, Fault, FaultKind, Reasons, Unknown};
use serde_json::{Value, json};

/// The end of a command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// For programs.
    kind: &'static str,
    message: String,
    hint: Option<String>,
    /// Whether a write may have been done all the same.
    is_unknown: bool,
    /// Whether the hint is better than what would be said to those who named no cluster.
    keeps_hint: bool,
    /// What each node had to say, where that is why.
    reasons: Reasons,
}

/// For those of whom nothing better is known.
const MORE: &str = "`--help` tells more";

/// The last words of the parser.
const HELP: &str = "For more information, try '--help'.";

/// What may be written, for those who tried something else.
pub(crate) const LIMITS: &str = "a key has 1 to 4096 bytes and a value up to 8 MiB, but a whole \
    write no more than the servers' `raft.command_max`, which is 4 MiB unless cluster.yaml says \
    otherwise";

/// For those who said nothing and found nobody.
pub(crate) const ASSUMED: &str = "no cluster.yaml was found and no --endpoints given, so \
    127.0.0.1:7101 to 7103 were tried; `scripts/local-cluster.sh start` starts a cluster there";

const INTERNAL: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const NO_CLUSTER: u8 = 3;
pub(crate) const REFUSED: u8 = 4;
pub(crate) const DEADLINE: u8 = 124;

impl Failure {
    pub(crate) fn internal(message: String) -> Self {
        Self::new(INTERNAL, message, None)
    }

    pub(crate) fn new(code: u8, message: String, hint: Option<&str>) -> Self {
        let kind = match code {
            USAGE => "usage",
            NO_CLUSTER => "no_cluster",
            REFUSED => "refused",
            DEADLINE => "deadline",
            _ => "internal",
        };
        let hint = hint.map(str::to_owned);
        Self {
            code,
            kind,
            message,
            hint,
            is_unknown: false,
            keeps_hint: false,
            reasons: Reasons::default(),
        }
    }

    pub(crate) fn usage(message: String, hint: Option<&str>) -> Self {
        Self::new(USAGE, message, hint.or(Some(MORE)))
    }

    /// The same for people: as the parser puts it, with its advice as the last line.
    pub(crate) fn misuse_in_words(error: &clap::Error) -> String {
        let said = error.to_string();
        let Some(said) = said.trim_end().strip_suffix(HELP) else { return said };
        let (tips, rest): (Vec<&str>, Vec<&str>) =
            said.lines().partition(|line| line.trim_start().starts_with("tip: "));
        let mut text = String::new();
        for line in rest {
            // Where a tip was, one empty line is enough.
            if !(line.is_empty() && text.ends_with("\n\n")) {
                text += line;
                text.push('\n');
            }
        }
        let tips = tips.iter().map(|tip| tip.trim_start().trim_start_matches("tip: "));
        let advice = tips.chain([MORE]).collect::<Vec<_>>().join("; ");
        format!("{}\nhint: {advice}\n", text.trim_end())
    }

    /// Words that make no command, as the parser put it: what is wrong, and below it how it goes.
    pub(crate) fn misuse(error: &clap::Error) -> Self {
        let said = error.to_string();
        let mut parts = said.splitn(2, "\n\n");
        let what = parts.next().unwrap_or_default();
        let what = what.strip_prefix("error: ").unwrap_or(what);
        let what: Vec<&str> = what.lines().map(str::trim).collect();
        let advice = parts.next().map(str::trim);
        let advice = advice.map(|advice| advice.strip_prefix("tip: ").unwrap_or(advice));
        Self::usage(what.join(" "), advice)
    }

    /// What was asked for may be done yet.
    pub(super) fn of_unknown_outcome(self) -> Self {
        Self { is_unknown: true, ..self }
    }

    /// The same with what each node had to say.
    pub(crate) fn because(self, reasons: Reasons) -> Self {
        Self { reasons, ..self }
    }

    /// One object for programs.
    pub(crate) fn json(&self) -> Value {
        let node = |(addr, fault): (&str, &Fault)| json!({ "addr": addr, "kind": fault.kind.name(), "detail": fault.detail });
        json!({
            "schema": "raft-error/1",
            "level": "error",
            "exit": self.code,
            "kind": self.kind,
            "message": self.message,
            "hint": self.hint,
            "may_be_done": self.is_unknown,
            "nodes": self.reasons.iter().map(node).collect::<Vec<_>>(),
        })
    }

    /// Nobody had said where the cluster is.
    pub(crate) fn without_a_target(self) -> Self {
        if self.code != NO_CLUSTER || self.keeps_hint {
            return self;
        }
        Self { hint: Some(ASSUMED.to_owned()), ..self }
    }

    /// The same with this advice.
    pub(crate) fn advising(self, hint: String) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// The same with this advice, which holds whatever was said of a cluster of this project.
    pub(crate) fn advising_in_the_end(self, hint: &str) -> Self {
        Self { keeps_hint: true, ..self.advising(hint.to_owned()) }
    }

    /// Says what was being done.
    pub(crate) fn during(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (code, hint) = match &error {
            ClientError::Failed(Failed { kind, after, reasons }) => match kind {
                FailedKind::OutOfBounds => (USAGE, LIMITS),
                FailedKind::TooLarge | FailedKind::Invalid => (REFUSED, LIMITS),
                _ if meets_other_services(reasons) => (
                    NO_CLUSTER,
                    "is that a client port? In a local cluster node 1 has its peer port on 7001 \
                     and its client port on 7101",
                ),
                FailedKind::NoCluster | FailedKind::NoLeader if is_hasty(*after, reasons) => (
                    NO_CLUSTER,
                    "nobody has answered yet, nor has anybody said no: give it more time with --timeout",
                ),
                FailedKind::NoCluster => (
                    NO_CLUSTER,
                    "is the cluster running? `scripts/local-cluster.sh start` starts one; \
                     --endpoints or --config says where it is. If all these nodes were replaced by \
                     others, name one of those with --endpoints",
                ),
                FailedKind::NoLeader => (
                    NO_CLUSTER,
                    "a majority of the nodes must be up and have kept its data; `raft-client status` shows who is",
                ),
                FailedKind::Unserved => {
                    (DEADLINE, "nothing was done; `raft-client status` shows how the nodes are")
                }
                FailedKind::Rejected => (REFUSED, "do client and server have the same version?"),
            },
            ClientError::Unknown(_) => {
                (DEADLINE, "read it back before you repeat it: a repeat is a second write")
            }
        };
        let message = error.to_string();
        let (kind, is_unknown, reasons) = match error {
            ClientError::Failed(Failed { kind, reasons, .. }) => (kind.name(), false, reasons),
            ClientError::Unknown(Unknown { reasons, .. }) => ("unknown", true, reasons),
        };
        Self { kind, is_unknown, reasons, ..Self::new(code, message, Some(hint)) }
    }
}

/// Whether it was given up before an answer could have come.
fn is_hasty(after: Duration, reasons: &Reasons) -> bool {
    after < HASTE && reasons.iter().all(|(_, fault)| fault.kind == FaultKind::TimedOut)
}

/// In so little time a cluster far away, or a busy one, answers nobody.
const HASTE: Duration = Duration::from_millis(100);

fn meets_other_services(reasons: &Reasons) -> bool {
    reasons.iter().any(|(_, fault)| fault.kind == FaultKind::OtherService)
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string(), error.hint())
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
