//! Deliberate bugs, and the story that each of them changes. In a process of its own, because a bug
//! is switched on for all of it. The simulator looks for the same bugs without knowing the stories.

#[cfg(test)]
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "it/cluster.rs"]
mod cluster;
#[cfg(test)]
#[path = "it/script.rs"]
mod script;
#[cfg(test)]
#[path = "it/show.rs"]
mod show;
#[cfg(test)]
#[path = "it/verb.rs"]
mod verb;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use raft_core::mutants;

/// The bug, and a script that shows it.
const STORIES: &[(&str, &str)] = &[
    ("a vote is told before it is durable", "election/a_vote_that_is_not_durable_is_not_told"),
    ("a term is written without its vote", "restart/vote_is_remembered"),
    ("a vote is kept for the next term", "election/split_vote_is_settled_by_fresh_timeouts"),
    ("a node votes twice in a term", "election/vote_once_per_term"),
    ("a vote is given to any log", "election/incomplete_log_cannot_win"),
    ("logs are compared by their length", "election/incomplete_log_cannot_win"),
    ("an equal log gets no vote", "election/first_leader"),
    ("a vote of another term counts", "election/late_answers_count_for_nothing"),
    ("a pre-vote counts as a vote", "election/first_leader"),
    ("a pre-vote moves the term", "election/first_leader"),
    ("nobody asks before it campaigns", "election/a_cut_off_node_comes_back_harmless"),
    ("a candidate leads before its own vote is durable", "election/leader_waits_for_its_own_vote"),
    ("who votes does not wait for the elected", "election/leader_that_hears_nobody_steps_down"),
    ("all wait equally long", "election/higher_term_is_learnt_from_the_answer"),
    (
        "a leader does not mind a later term in an answer",
        "election/higher_term_is_learnt_from_the_answer",
    ),
    (
        "a deposed leader keeps others from campaigning",
        "election/higher_term_is_learnt_from_the_answer",
    ),
    ("the term of a heartbeat is not looked at", "transfer/term_that_moves_on"),
    ("half is a majority", "election/split_vote_is_settled_by_fresh_timeouts"),
    ("learners count", "hostile/learners_do_not_count"),
    ("the entry before is not asked for", "replication/conflicting_suffix_is_replaced"),
    (
        "of the entry before only the index is compared",
        "replication/conflicting_suffix_is_replaced",
    ),
    ("an old append cuts what follows it", "replication/old_append_does_not_cut"),
    ("a conflict is not cut", "replication/conflicting_suffix_is_replaced"),
    ("a match is taken for the whole log", "replication/pipelined_appends"),
    ("a match goes back", "replication/match_does_not_go_back"),
    ("an answer of an earlier term counts", "replication/acknowledgement_of_an_earlier_term"),
    ("a refusal in the pipeline is ignored", "replication/stale_refusal_is_ignored"),
    ("what is lost is not sent again", "replication/lost_append_is_noticed_by_the_next_heartbeat"),
    ("an append is acknowledged before it is durable", "replication/a_write_from_beginning_to_end"),
    ("a leader counts itself by memory", "replication/leader_counts_its_own_disk_only"),
    ("nobody waits for the disk", "replication/leader_counts_its_own_disk_only"),
    ("an entry of an earlier term is committed by counting", "replication/figure_8"),
    ("a majority is counted without sorting", "election/first_leader"),
    ("a follower commits what may differ", "replication/commits_no_more_than_agrees"),
    ("a heartbeat commits what the peer may lack", "replication/idle_followers_learn_the_commit"),
    ("no entry opens a term", "election/first_leader"),
    ("what is applied is applied again", "restart/state_is_rebuilt_from_the_snapshot"),
    ("what is not committed is applied", "replication/a_write_from_beginning_to_end"),
    ("an unknown outcome is told as a refusal", "replication/every_request_ends_once"),
    ("a leader reads without asking", "read/deposed_leader_answers_no_read"),
    ("a read joins the round under way", "read/read_does_not_join_a_round_under_way"),
    (
        "a new leader reads before it has committed anything",
        "read/new_leader_reads_only_after_its_own_commit",
    ),
    ("a follower reads without asking", "read/follower_asks_the_leader"),
    (
        "a configuration counts when it is committed",
        "membership/any_leader_finishes_a_joint_change",
    ),
    ("a configuration is not rolled back", "membership/overwritten_change_is_undone"),
    (
        "a new leader changes members before it has committed anything",
        "membership/no_change_before_an_own_commit",
    ),
    (
        "a joint configuration is left before it is committed",
        "membership/any_leader_finishes_a_joint_change",
    ),
    ("a joint configuration is counted as one", "membership/removed_leader_hands_over"),
    (
        "only the new half of a joint configuration counts",
        "membership/leaving_voter_leads_until_the_change_is_through",
    ),
    ("newcomers vote before they have caught up", "membership/newcomer_catches_up_before_it_votes"),
    ("a vote tells whose seat it is", "membership/empty_disk_of_a_member_that_left"),
    ("whoever answers first is the founder", "membership/empty_disks_of_founders_that_left"),
    (
        "of a learner's disk the first word is the last",
        "membership/two_leaders_met_different_disks_of_a_learner",
    ),
    ("who was never met is made a voter", "membership/nobody_is_forced_to_vote_unheard"),
    ("who has forgotten votes as before", "restart/older_copy_of_the_disk"),
    ("a leader that is out goes on", "membership/removed_leader_hands_over"),
    ("the word to take over does not wait for the log", "transfer/leadership_is_handed_over"),
    ("a snapshot has no members", "membership/joint_survives_restart_and_snapshot"),
    ("an older snapshot is installed", "snapshot/old_snapshot_does_not_go_back"),
    ("a snapshot counts as installed without its data", "snapshot/follower_behind_gets_a_snapshot"),
    ("what follows a snapshot stays whatever it is", "snapshot/conflicting_log_is_discarded"),
    ("a snapshot is confirmed before it is durable", "snapshot/follower_behind_gets_a_snapshot"),
];

/// Whether a script tells the story that it should.
fn is_told(script: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(script);
    let expected = std::fs::read_to_string(&path).expect("the script is there");
    // A bug may well break an assertion.
    let told = catch_unwind(AssertUnwindSafe(|| {
        goldenscript::generate(&mut script::Script::default(), &expected)
    }));
    matches!(told, Ok(Ok(told)) if told == expected)
}

#[test]
#[cfg(debug_assertions)]
fn every_bug_changes_its_story() {
    let mut unseen = Vec::new();
    for (bug, script) in STORIES {
        assert!(is_told(script), "{script} tells another story");
        mutants::switch_to(Some(bug));
        if is_told(script) {
            unseen.push(format!("{bug}: {script}"));
        }
        mutants::switch_to(None);
    }
    assert!(unseen.is_empty(), "not seen: {unseen:#?}");
}

#[test]
#[cfg(not(debug_assertions))]
fn a_release_contains_no_bugs() {
    assert!(!mutants::INCLUDED);
    for (bug, script) in STORIES {
        assert!(!mutants::is_on(mutants::key(bug)));
        assert!(is_told(script), "{script} tells another story");
    }
}
