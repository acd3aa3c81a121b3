//! A change of the members, through changes of leader, up to its end.
//!
//! A change is a wish about the whole configuration, made up from the one it was found in. The
//! leader takes a few steps to it, which a new leader may find half done; so the client looks where
//! the cluster stands, asks for the same target again as long as that lies on the way, and gives up
//! when it does not, because then somebody else wants something else.

use std::collections::BTreeSet;
use std::time::Duration;

use raft_api::pb;
use raft_api::pb::Refusal;
use tokio::time::Instant;

use super::plan::{self, PlanError};
use super::{Configuration, Difference, Member, MemberRole, differences, member_to_wire};
use crate::attempt::Ask;
use crate::connect::Link;
use crate::tries::Tries;
use crate::{Client, ClientError, FailedKind, Fault, Reasons};

/// What is left of the time when the last attempt ends, for a look at what has been reached.
const LAST_LOOK_MAX: Duration = Duration::from_millis(200);

/// A wish: from a configuration as it was found to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipChange {
    base: Configuration,
    target: Vec<Member>,
    safeguards: Safeguards,
}

/// What the leader looks at before it lets new voters count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Safeguards {
    /// They must have caught up, and a majority of the new voters must be alive.
    #[default]
    Kept,
    /// Nothing. The cluster may stand still from then on.
    Waived,
}

/// A change that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The configuration, committed, as the leader told it afterwards.
    pub configuration: Configuration,
    /// How long it took.
    pub took: Duration,
    /// How often the leader was asked for it.
    pub attempts: u32,
}

/// Why the leader will not make a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It would be no configuration.
    Senseless,
    /// There would be more members than a cluster may have.
    TooMany,
    /// No majority of the new voters is alive.
    Unreachable,
    /// A new voter is silent or too slow. It stays a learner.
    Behind,
}

/// A change that was not made, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The leader said no.
    #[error("{message}")]
    Refused {
        /// Why.
        why: Refused,
        /// In the leader's words.
        message: String,
    },
    /// The configuration is neither the one the change began with, nor one on its way.
    #[error("somebody else changed the configuration meanwhile")]
    Interfered {
        /// The configuration that was found.
        found: Box<Configuration>,
    },
    /// Time is up. What has begun may go on by itself.
    #[error("the change is not finished after {:.1}s{obstacles}", after.as_secs_f64())]
    Unfinished {
        /// How long it was tried.
        after: Duration,
        /// The last configuration that was seen.
        found: Box<Configuration>,
        /// What each node had to say last.
        obstacles: Reasons,
    },
    /// Nothing was asked for: there was no leader to ask, or one that does not understand.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Where a configuration lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// A step can be asked for from here.
    OnTheWay,
    /// The leader is at it; nothing can be asked for.
    Joint,
    /// Its members and roles are the target's.
    Reached,
    /// Not on the way.
    Elsewhere,
}

impl MembershipChange {
    /// The wish to have these members, with these roles. An address that is left empty stays as it
    /// is.
    pub fn new(base: Configuration, target: Vec<Member>) -> Result<Self, PlanError> {
        plan::check(&target)?;
        if base.is_joint {
            return Err(PlanError::UnderWay);
        }
        Ok(Self { base, target, safeguards: Safeguards::Kept })
    }

    /// The same with or without what the leader looks at first.
    #[must_use]
    pub fn with_safeguards(self, safeguards: Safeguards) -> Self {
        Self { safeguards, ..self }
    }

    /// What it does to every member.
    pub fn differences(&self) -> Vec<Difference> {
        differences(&self.base.members, &self.target)
    }

    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        !self.differences().iter().any(Difference::is_change)
    }

    fn standing(&self, found: &Configuration) -> Standing {
        let (base, target) = (Roles::of(&self.base.members), Roles::of(&self.target));
        let now = Roles::of(&found.members);
        if found.is_joint {
            // Who leaves is shown as such, whatever comes after.
            let joint = Roles {
                outgoing: base.voters.difference(&target.voters).copied().collect(),
                learners: target.learners.difference(&base.voters).copied().collect(),
                voters: target.voters,
            };
            return if now == joint { Standing::Joint } else { Standing::Elsewhere };
        }
        let newcomers = target.everybody().difference(&base.everybody()).copied().collect();
        let staged = Roles { learners: &base.learners | &newcomers, ..base.clone() };
        if now == target {
            Standing::Reached
        } else if now == base || now == staged {
            Standing::OnTheWay
        } else {
            Standing::Elsewhere
        }
    }

    /// The request for the target, to be refused if the configuration is not this one any more.
    fn request(&self, found: &Configuration) -> pb::SetConfigurationRequest {
        let member = |member: &Member| {
            let before = self.base.member(member.id);
            let moves =
                before.is_none_or(|old| member.completed_from(old).addresses() != old.addresses());
            let mut wire = member_to_wire(member);
            if !moves {
                // The log may know less than the file that this node's addresses were read from.
                wire.peer_addr.clear();
                wire.client_addr.clear();
                wire.http_addr.clear();
            }
            wire
        };
        pb::SetConfigurationRequest {
            members: self.target.iter().map(member).collect(),
            expected: found.members.iter().map(member_to_wire).collect(),
            force: self.safeguards == Safeguards::Waived,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Roles {
    voters: BTreeSet<u64>,
    learners: BTreeSet<u64>,
    outgoing: BTreeSet<u64>,
}

impl Roles {
    fn of(members: &[Member]) -> Self {
        let of = |role| {
            members.iter().filter(|member| member.role == role).map(|member| member.id).collect()
        };
        Self {
            voters: of(MemberRole::Voter),
            learners: of(MemberRole::Learner),
            outgoing: of(MemberRole::Outgoing),
        }
    }

    fn everybody(&self) -> BTreeSet<u64> {
        &(&self.voters | &self.learners) | &self.outgoing
    }
}

impl Client {
    /// Changes the members, and ends when the new configuration is committed. May be called again
    /// with the same change: one that is done already is a success.
    pub async fn change_membership(
        &self,
        change: &MembershipChange,
        within: Duration,
    ) -> Result<Changed, ChangeError> {
        let tries = Tries::new(self.options(), within);
        let last_attempt_ends = tries.deadline - LAST_LOOK_MAX.min(within / 4);
        let found = change.base.clone();
        let term = found.term;
        let course =
            Course { client: self, change, tries, last_attempt_ends, found, term, attempts: 0 };
        Box::pin(course.run()).await
    }
}

/// A change that is being made.
struct Course<'a> {
    client: &'a Client,
    change: &'a MembershipChange,
    tries: Tries,
    last_attempt_ends: Instant,
    /// The latest configuration seen.
    found: Configuration,
    /// The latest term seen: what a leader of an earlier one says is out of date.
    term: u64,
    attempts: u32,
}

impl Course<'_> {
    async fn run(mut self) -> Result<Changed, ChangeError> {
        loop {
            self.look().await?;
            match self.change.standing(&self.found) {
                Standing::Elsewhere => return Err(self.interfered()),
                Standing::Joint => self.pause().await?,
                // Only the leader's answer tells that the target is committed.
                Standing::OnTheWay | Standing::Reached => {
                    if self.ask().await? {
                        break;
                    }
                }
            }
        }
        self.look().await?;
        while self.found.is_joint {
            self.pause().await?;
            self.look().await?;
        }
        if self.change.standing(&self.found) != Standing::Reached {
            return Err(self.interfered());
        }
        let took = self.tries.started.elapsed();
        Ok(Changed { configuration: self.found, took, attempts: self.attempts })
    }

    fn interfered(&self) -> ChangeError {
        ChangeError::Interfered { found: Box::new(self.found.clone()) }
    }

    /// Reads the configuration again.
    async fn look(&mut self) -> Result<(), ChangeError> {
        loop {
            let read = self.client.read_configuration(&mut self.tries).await;
            let found = read.map_err(|error| self.over(error))?;
            if self.term <= found.term {
                self.term = found.term;
                self.found = found;
                return Ok(());
            }
            self.pause().await?; // A leader that has not heard of its successor.
        }
    }

    /// Asks for the target. Tells whether it is reached.
    async fn ask(&mut self) -> Result<bool, ChangeError> {
        let leader = self.client.leader(&mut self.tries).await;
        let leader = leader.map_err(|error| self.over(error))?;
        if self.last_attempt_ends <= Instant::now() {
            return Err(self.unfinished());
        }
        self.attempts += 1;
        let request = self.change.request(&self.found);
        let ask = Ask::SetConfiguration(&request);
        let attempt = self.client.attempt(ask, &leader, Instant::now(), self.last_attempt_ends);
        let setback = match attempt.await {
            Ok(reply) => {
                self.term = self.term.max(reply.receipt.term);
                return Ok(true);
            }
            Err(setback) => setback,
        };
        self.note(&leader.link, &setback.fault);
        let refused = |why| {
            let message = setback.fault.detail.clone();
            Err(ChangeError::Refused { why, message })
        };
        match setback.refusal {
            Refusal::MembershipSenseless => return refused(Refused::Senseless),
            Refusal::MembershipTooMany => return refused(Refused::TooMany),
            Refusal::MembershipUnreachable => return refused(Refused::Unreachable),
            Refusal::MembershipBehind => return refused(Refused::Behind),
            Refusal::MembershipTooEarly
            | Refusal::MembershipInProgress
            | Refusal::MembershipChanged => self.pause().await?,
            _ => {
                if let Some(error) = self.tries.final_ending(setback.fault.kind) {
                    return Err(error.into());
                }
                if self.client.go_on(&leader, setback, &mut self.tries) {
                    self.pause().await?;
                }
            }
        }
        Ok(false)
    }

    fn note(&mut self, link: &Link, fault: &Fault) {
        self.client.tally().fault(fault.kind);
        self.tries.reasons.add(link.addr(), fault.clone());
    }

    async fn pause(&mut self) -> Result<(), ChangeError> {
        let paused = self.tries.pause(FailedKind::Unserved).await;
        paused.map_err(|error| self.over(error))
    }

    /// Time is up, or there is nobody to talk to.
    fn over(&mut self, error: ClientError) -> ChangeError {
        match error {
            ClientError::Failed(failed) if 0 < self.attempts && !failed.kind.is_refusal() => {
                self.tries.reasons = failed.reasons;
                self.unfinished()
            }
            error => ChangeError::Client(error),
        }
    }

    fn unfinished(&mut self) -> ChangeError {
        ChangeError::Unfinished {
            after: self.tries.started.elapsed(),
            found: Box::new(self.found.clone()),
            obstacles: std::mem::take(&mut self.tries.reasons),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{configuration, member, members};
    use super::*;

    /// From voters 1, 2, 3 and the learner 4 to voters 1, 4, 5, learners 3, 6.
    fn change() -> MembershipChange {
        let base = configuration(members(&[1, 2, 3], &[4], &[]), false);
        MembershipChange::new(base, members(&[1, 4, 5], &[3, 6], &[])).unwrap()
    }

    #[test]
    fn a_change_knows_its_way() {
        let table = [
            (members(&[1, 2, 3], &[4], &[]), false, Standing::OnTheWay),
            (members(&[1, 2, 3], &[4, 5, 6], &[]), false, Standing::OnTheWay),
            (members(&[1, 4, 5], &[6], &[2, 3]), true, Standing::Joint),
            (members(&[1, 4, 5], &[3, 6], &[]), false, Standing::Reached),
            // Somebody else's: another learner, another voter, another way out.
            (members(&[1, 2, 3], &[4, 5], &[]), false, Standing::Elsewhere),
            (members(&[1, 2, 3], &[4, 5, 6, 7], &[]), false, Standing::Elsewhere),
            (members(&[1, 2, 3, 4], &[], &[]), false, Standing::Elsewhere),
            (members(&[1, 4, 5], &[6], &[2]), true, Standing::Elsewhere),
            (members(&[1, 4, 5], &[3, 6], &[]), true, Standing::Elsewhere),
            (members(&[1, 2, 3], &[4], &[]), true, Standing::Elsewhere),
        ];
        for (members, is_joint, expected) in table {
            let found = configuration(members, is_joint);
            assert_eq!(change().standing(&found), expected, "{found:?}");
        }
    }

    /// When voters are only added, the joint configuration shows nobody who leaves.
    #[test]
    fn a_growing_cluster_knows_its_joint_configuration() {
        let base = configuration(members(&[1], &[], &[]), false);
        let change = MembershipChange::new(base, members(&[1, 2, 3], &[], &[])).unwrap();
        let joint = configuration(members(&[1, 2, 3], &[], &[]), true);
        assert_eq!(change.standing(&joint), Standing::Joint);
    }

    /// The request is whole, expects what was found, and speaks of no address that stays.
    #[test]
    fn a_request_says_what_is_new() {
        let mut change = change();
        change.target[2].http = "127.0.0.1:9000".to_owned();
        change.target[0].peer.clear();
        let found = configuration(members(&[1, 2, 3], &[4, 5, 6], &[]), false);
        let request = change.request(&found);
        let ids = |members: &[pb::Member]| members.iter().map(|m| m.id).collect::<Vec<_>>();
        assert_eq!(ids(&request.members), [1, 3, 4, 5, 6]);
        assert_eq!(ids(&request.expected), [1, 2, 3, 4, 5, 6]);
        let told = request.members.iter().filter(|member| !member.peer_addr.is_empty());
        assert_eq!(told.map(|member| member.id).collect::<Vec<_>>(), [4, 5, 6]);
        assert_eq!(request.members[2].http_addr, "127.0.0.1:9000");
        assert!(!request.force);
        let forced = change.with_safeguards(Safeguards::Waived);
        assert!(forced.request(&found).force);
    }

    #[test]
    fn a_change_begins_and_ends_with_something_settled() {
        let target = || members(&[1, 2], &[], &[]);
        let joint = configuration(members(&[1, 2], &[], &[3]), true);
        assert_eq!(MembershipChange::new(joint, target()), Err(PlanError::UnderWay));
        let base = configuration(target(), false);
        let outgoing = vec![member(1, MemberRole::Voter), member(2, MemberRole::Outgoing)];
        assert_eq!(MembershipChange::new(base.clone(), outgoing), Err(PlanError::UnderWay));
        assert!(MembershipChange::new(base, target()).unwrap().is_nothing());
    }
}
