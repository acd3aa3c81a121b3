//! Why a change of the members was not made, and what can be done.

use std::time::Duration;

use raft_client::{
    ChangeError, Client, Configuration, Difference, Member, MemberRole, PlanError, Reasons, Refused,
};

use super::super::Failure;
use super::super::failure::{DEADLINE, REFUSED};

pub(super) fn senseless(error: &PlanError) -> Failure {
    let hint = match error {
        PlanError::NotAMember(_) => "`raft-client get-config` shows the members",
        PlanError::AlreadyThat { id, .. } => {
            &format!("`raft-client get-config` shows the members. {}", way_back(*id))
        }
        PlanError::NoId => "ids begin at 1",
        PlanError::Twice(_) => "name every node once, with what it is to become",
        PlanError::UnderWay => "wait until it is done",
        PlanError::NoVoter => "keep or add at least one voter",
        PlanError::TooMany { .. } => {
            "each member costs its leader time and memory; three to seven voters are usual"
        }
        PlanError::BadAddress { .. } => "write HOST:PORT, such as 10.0.0.4:7001",
        PlanError::SharedAddress { .. } => {
            "every address is used once; one that is not written follows from the peer's: client \
             is port + 100, http is port + 200"
        }
    };
    Failure::usage(error.to_string(), Some(hint))
}

/// How a node comes back that has lost its disk: its seat is the old one's.
fn way_back(id: u64) -> String {
    format!(
        "If n{id} has lost its disk, its seat is still kept for what was there: --remove {id} first, \
         then start it with an empty directory and --join, then --add {id}"
    )
}

/// What to do about members that were to become voters and run with another disk than the one they
/// were added with: they answer, and hold nothing, for the leader does not speak with them.
pub(super) async fn emptied(client: &Client, differences: &[Difference]) -> Option<String> {
    for difference in differences {
        let Difference::Altered { before, after } = difference else { continue };
        if before.role == MemberRole::Learner && after.role == MemberRole::Voter {
            let status = client.status(&after.client).await.status.ok()?;
            if (status.node_id, status.commit_index) == (after.id, 0) {
                let (id, addr) = (after.id, &after.client);
                let what = format!("n{id} answers at {addr} and holds nothing.");
                return Some(format!("{what} {}", way_back(id)));
            }
        }
    }
    None
}

/// What became of newcomers that did not catch up in time, and the ways on and back.
pub(super) async fn left_behind(client: &Client, differences: &[Difference]) -> Option<String> {
    let now = client.configuration().await.ok()?;
    let is_new = |id: u64| {
        differences.iter().any(|it| matches!(it, Difference::Added(member) if member.id == id))
    };
    let left = now.members.iter().filter(|it| it.role == MemberRole::Learner && is_new(it.id));
    let left: Vec<u64> = left.map(|member| member.id).collect();
    let ids = |prefix: &str, between: &str| {
        left.iter().map(|id| format!("{prefix}{id}")).collect::<Vec<_>>().join(between)
    };
    let (names, numbers) = (ids("n", ", "), ids("", ","));
    (!left.is_empty()).then(|| {
        format!(
            "{names} stays in the configuration as a learner, which counts for nothing. Once it runs \
             (with --join) and reaches the leader, the same command goes on from there; \
             `raft-client set-config --remove {numbers}` undoes it"
        )
    })
}

/// Who is to join, or to vote, and does not answer: that is what holds up a change.
pub(super) async fn silent(client: &Client, differences: &[Difference]) -> Option<String> {
    for difference in differences {
        let (member, way) = match difference {
            Difference::Added(member) => {
                (member, "a new node is started with --join, before its membership")
            }
            Difference::Altered { before, after } if before.role != after.role => {
                (after, "start it again")
            }
            Difference::Altered { .. } | Difference::Same(_) | Difference::Removed(_) => continue,
        };
        if let Err(fault) = client.status(&member.client).await.status {
            let (id, addr) = (member.id, &member.client);
            return Some(format!(
                "n{id} does not answer at {addr} ({fault}): {way}. The same command goes on from there, \
                 and what has begun may go on by itself: `raft-client get-config` shows it"
            ));
        }
    }
    None
}

/// How long the members are looked at once more when time is up.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The same with the members as anybody knows them now: a leader may have made a change and lost its
/// office by it.
pub(super) async fn brought_up_to_date(client: &Client, error: ChangeError) -> ChangeError {
    let ChangeError::Unfinished { after, found, obstacles } = error else { return error };
    let found = match client.get_configuration_within(LAST_LOOK).await {
        Ok(answer) if !answer.removed => Box::new(Configuration::from(answer)),
        Ok(_) | Err(_) => found,
    };
    ChangeError::Unfinished { after, found, obstacles }
}

pub(super) fn failed(error: ChangeError, differences: &[Difference]) -> Failure {
    let adds = differences.iter().any(|it| matches!(it, Difference::Added(_)));
    let (code, message, hint) = match &error {
        ChangeError::Client(_) => return client_failure(error),
        ChangeError::Refused { why, .. } => {
            let hint = match why {
                Refused::Senseless | Refused::TooMany => {
                    "`raft-client get-config` shows the members"
                }
                Refused::Unreachable if adds => {
                    "start the new nodes first; --force does without this check"
                }
                Refused::Unreachable => {
                    "`raft-client status` shows who is down: start more of those that are to stay, or \
                     take out those that are dead; --force does without this check"
                }
                Refused::Behind => {
                    "is it running with --join? The same wish goes on from where it stands"
                }
            };
            (REFUSED, format!("the leader refused: {error}"), hint)
        }
        ChangeError::Interfered { found } => (
            REFUSED,
            format!("{error}: now {}", summary(found)),
            "look at it with `raft-client get-config`, and begin anew if that is still to be changed",
        ),
        ChangeError::Unfinished { found, .. } => (
            DEADLINE,
            format!("{error}; reached: {}", summary(found)),
            "what has begun may go on by itself: `raft-client get-config` shows it",
        ),
    };
    let reasons = match &error {
        ChangeError::Unfinished { obstacles, .. } => obstacles.clone(),
        _ => Reasons::default(),
    };
    let failure = Failure::new(code, message, Some(hint)).because(reasons);
    if matches!(error, ChangeError::Unfinished { .. }) {
        failure.of_unknown_outcome()
    } else {
        failure
    }
}

fn client_failure(error: ChangeError) -> Failure {
    match error {
        ChangeError::Client(error) => error.into(),
        other => Failure::internal(other.to_string()),
    }
}

/// `n1 voter, n4 learner`
fn summary(configuration: &Configuration) -> String {
    let member = |member: &Member| format!("n{} {}", member.id, member.role);
    let members: Vec<String> = configuration.members.iter().map(member).collect();
    let joint = if configuration.is_joint { " (joint)" } else { "" };
    format!("{}{joint}", members.join(", "))
}
