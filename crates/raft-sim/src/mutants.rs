//! Deliberate bugs in rings 0 and 1, and how many seeds it takes to find each of them. A simulator
//! that passes is worth what it would have found. The bugs stand in the code that they spoil, as
//! `mutant!("name")`; builds without debug assertions contain none.

use raft_core::mutants;

use crate::plan::Plan;
use crate::run::run;

/// A deliberate bug.
pub struct Mutant {
    /// What it does.
    pub name: &'static str,
    /// Which other test finds it, if a cluster gets over it, or it takes very many seeds.
    pub seen_by: Option<&'static str>,
}

const fn found(name: &'static str) -> Mutant {
    Mutant { name, seen_by: None }
}

const fn seen_by(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, seen_by: Some(test) }
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    // Elections and terms.
    found("a vote is told before it is durable"),
    seen_by("a term is written without its vote", "script restart/vote_is_remembered"),
    found("a vote is kept for the next term"),
    found("a node votes twice in a term"),
    found("a vote is given to any log"),
    found("logs are compared by their length"),
    found("an equal log gets no vote"),
    found("a vote of another term counts"),
    found("a pre-vote counts as a vote"),
    found("a pre-vote moves the term"),
    seen_by(
        "nobody asks before it campaigns",
        "script election/a_cut_off_node_comes_back_harmless",
    ),
    seen_by(
        "a candidate leads before its own vote is durable",
        "script election/leader_waits_for_its_own_vote",
    ),
    seen_by(
        "votes are asked for before the log is durable",
        "script election/votes_are_asked_for_when_the_log_is_durable",
    ),
    seen_by(
        "who votes does not wait for the elected",
        "script election/leader_that_hears_nobody_steps_down",
    ),
    seen_by("all wait equally long", "script election/higher_term_is_learnt_from_the_answer"),
    seen_by(
        "a leader does not mind a later term in an answer",
        "script election/higher_term_is_learnt_from_the_answer",
    ),
    seen_by(
        "a deposed leader keeps others from campaigning",
        "script election/higher_term_is_learnt_from_the_answer",
    ),
    found("the term of a heartbeat is not looked at"),
    found("half is a majority"),
    found("learners count"),
    // Replication.
    found("the entry before is not asked for"),
    found("of the entry before only the index is compared"),
    found("an old append cuts what follows it"),
    found("a conflict is not cut"),
    found("a match is taken for the whole log"),
    found("a match goes back"),
    seen_by(
        "an answer of an earlier term counts",
        "script replication/acknowledgement_of_an_earlier_term",
    ),
    found("a leader never goes back behind its log's beginning"),
    seen_by("a refusal in the pipeline is ignored", "script replication/stale_refusal_is_ignored"),
    found("what is lost is not sent again"),
    found("an append is acknowledged before it is durable"),
    found("a leader counts itself by memory"),
    found("nobody waits for the disk"),
    found("an entry of an earlier term is committed by counting"),
    found("a majority is counted without sorting"),
    seen_by("a follower commits what may differ", "script replication/commits_no_more_than_agrees"),
    found("a heartbeat commits what the peer may lack"),
    found("no entry opens a term"),
    // The state machine, and clients.
    found("what is applied is applied again"),
    found("what is not committed is applied"),
    found("a write is acknowledged when it is proposed"),
    found("an unknown outcome is told as a refusal"),
    found("only who is asked remembers its answers"),
    found("a repeat is applied again"),
    found("a repeat gets another answer"),
    seen_by(
        "a number whose answer is forgotten is new",
        "sessions::tests::answers_are_kept_until_the_client_has_them",
    ),
    found("sessions expire by the local clock"),
    found("a snapshot has no sessions"),
    found("a snapshot has sessions without answers"),
    // Reads.
    found("a leader reads without asking"),
    found("a read joins the round under way"),
    found("a read does not wait for what it must see"),
    found("a new leader reads before it has committed anything"),
    found("a follower reads without asking"),
    // Members.
    found("a wiped disk is believed"),
    found("a configuration counts when it is committed"),
    found("a configuration is not rolled back"),
    found("a new leader changes members before it has committed anything"),
    found("a joint configuration is left before it is committed"),
    found("a joint configuration is counted as one"),
    found("only the new half of a joint configuration counts"),
    seen_by(
        "newcomers vote before they have caught up",
        "script membership/newcomer_catches_up_before_it_votes",
    ),
    seen_by("a vote tells whose seat it is", "script membership/empty_disk_of_a_member_that_left"),
    seen_by(
        "whoever answers first is the founder",
        "script membership/empty_disks_of_founders_that_left",
    ),
    seen_by(
        "of a learner's disk the first word is the last",
        "script membership/two_leaders_met_different_disks_of_a_learner",
    ),
    seen_by(
        "who was never met is made a voter",
        "script membership/nobody_is_forced_to_vote_unheard",
    ),
    seen_by("who has forgotten votes as before", "script restart/older_copy_of_the_disk"),
    found("a leader that is out goes on"),
    seen_by(
        "the word to take over does not wait for the log",
        "script transfer/leadership_is_handed_over",
    ),
    // Snapshots and files.
    found("a snapshot has no members"),
    found("an older snapshot is installed"),
    found("a snapshot counts as installed without its data"),
    seen_by(
        "what follows a snapshot stays whatever it is",
        "script snapshot/conflicting_log_is_discarded",
    ),
    found("a snapshot is confirmed before it is durable"),
    found("a snapshot is labelled with the log's end"),
    found("a snapshot is not synced"),
    found("the name of a snapshot is not synced"),
    found("a snapshot that arrived is not synced"),
    found("the name of a snapshot that arrived is not synced"),
    found("pieces of a snapshot are taken as they come"),
    found("a full disk is no error to a snapshot"),
    found("the log is not synced"),
    found("a failed sync is ignored"),
    found("a failed sync is tried again"),
    found("the name of a segment is not synced"),
    found("the first of several entries is not written"),
    seen_by(
        "a recycled segment may hold old frames",
        "wal::format::tests::a_frame_of_one_segment_does_not_pass_in_another",
    ),
    found("the log's checksums are not looked at"),
    found("damage in the middle of the log is cut"),
    found("a vote is not read back"),
];

/// How a deliberate bug was found.
#[derive(Clone, Debug)]
pub struct Kill {
    /// Which property it violates.
    pub property: &'static str,
    /// The seed that showed it.
    pub seed: u64,
    /// What was seen.
    pub what: String,
}

/// Whether this build contains deliberate bugs.
pub fn are_included() -> bool {
    mutants::INCLUDED
}

/// Runs seeds with this bug, or with none, until something is violated.
///
/// # Panics
///
/// If the build contains no bugs, and one is wanted.
pub fn find(name: Option<&str>, seeds: impl IntoIterator<Item = u64>) -> Option<Kill> {
    switch_to(name);
    let kill = seeds.into_iter().find_map(|seed| {
        let violation = run(Plan::draw(seed), None).violation?;
        Some(Kill { property: violation.property, seed, what: violation.what })
    });
    switch_to(None);
    kill
}

/// Switches this bug on, in the whole process, or all of them off.
///
/// # Panics
///
/// If the build contains no bugs, and one is wanted.
#[cfg(debug_assertions)]
pub fn switch_to(name: Option<&str>) {
    mutants::switch_to(name);
}

/// See the other one.
#[cfg(not(debug_assertions))]
pub fn switch_to(name: Option<&str>) {
    assert!(name.is_none(), "this build contains no deliberate bugs");
}
