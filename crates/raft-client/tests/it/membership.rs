//! Changing the members: what is asked for, through what it is carried, and how it ends.

use std::time::Duration;

use assert_cmd::Command;
use raft_api::pb::{MemberRole as Wire, Refusal, SetConfigurationRequest};
use raft_client::{
    ChangeError, Client, Configuration, Edit, FailedKind, Member, MemberRole, MembershipChange,
    Options, Refused, edited,
};

use crate::fake::{Fakes, World, nobody};

const LONG: Duration = Duration::from_mins(1);

/// A client that finds out about silence soon.
fn client(endpoints: impl IntoIterator<Item = String>) -> Client {
    let attempt_timeout = Duration::from_millis(400);
    Client::new(Options { attempt_timeout, ..Options::new(endpoints) })
}

/// Three members, and n4, which runs and is none.
fn three_and_one() -> Fakes {
    let mut fakes = Fakes::start(3);
    fakes.start_node(4);
    fakes
}

fn newcomer(fakes: &Fakes, id: u64, role: MemberRole) -> Member {
    let client = fakes.addr(id);
    Member { id, role, peer: format!("10.0.0.9:{id}"), client, http: format!("10.0.0.9:9{id}") }
}

/// The wish to replace n2 by n4.
async fn replacement(fakes: &Fakes, client: &Client) -> MembershipChange {
    let base = client.configuration().await.unwrap();
    let edits = [Edit::Add(newcomer(fakes, 4, MemberRole::Voter)), Edit::Remove(2)];
    let target = edited(&base, &edits).unwrap();
    MembershipChange::new(base, target).unwrap()
}

fn ids(configuration: &Configuration, role: MemberRole) -> Vec<u64> {
    let members = configuration.members.iter().filter(|member| member.role == role);
    members.map(|member| member.id).collect()
}

/// Who has which role, as the wire told the leader to expect it.
fn expected(request: &SetConfigurationRequest) -> Vec<(u64, Wire)> {
    request.expected.iter().map(|member| (member.id, member.role())).collect()
}

#[tokio::test]
async fn a_change_is_asked_for_as_a_whole() {
    let fakes = three_and_one();
    let client = client(fakes.addrs());
    let change = replacement(&fakes, &client).await;
    let done = client.change_membership(&change, LONG).await.unwrap();
    assert_eq!(ids(&done.configuration, MemberRole::Voter), [1, 3, 4]);
    assert_eq!(done.configuration.member(4), Some(&newcomer(&fakes, 4, MemberRole::Voter)));
    assert_eq!(done.attempts, 1);
    let changes = fakes.world().changes.clone();
    assert_eq!(expected(&changes[0]), [1, 2, 3].map(|id| (id, Wire::Voter)));
    // What is done already is a success.
    assert_eq!(client.change_membership(&change, LONG).await.unwrap().attempts, 1);
}

/// The leader dies with the newcomer as a learner, the next one with the joint configuration in its
/// log; a third one finishes it.
#[tokio::test]
async fn a_change_goes_on_under_the_next_leaders() {
    let fakes = three_and_one();
    let client = client(fakes.addrs());
    let change = replacement(&fakes, &client).await;
    fakes.twist(|world: &mut World, request| {
        world.stage(request);
        world.elect(3);
        Some((Refusal::OutcomeUnknown, ""))
    });
    fakes.twist(|world: &mut World, request| {
        world.join(request, 3);
        world.elect(1);
        Some((Refusal::OutcomeUnknown, ""))
    });
    let done = client.change_membership(&change, LONG).await.unwrap();
    assert_eq!(ids(&done.configuration, MemberRole::Voter), [1, 3, 4]);
    assert_eq!((done.configuration.leader, done.configuration.term), (1, 3));
    let changes = fakes.world().changes.clone();
    let wishes: Vec<_> = changes.iter().map(|request| &request.members).collect();
    assert_eq!(wishes, [&changes[0].members; 3], "the wish stays the same");
    let staged = [(1, Wire::Voter), (2, Wire::Voter), (3, Wire::Voter), (4, Wire::Learner)];
    assert_eq!(expected(&changes[1]), staged);
    assert_eq!(expected(&changes[2]), [1, 3, 4].map(|id| (id, Wire::Voter)));
}

/// A leader that says nothing is left as soon as there is another one.
#[tokio::test]
async fn a_silent_leader_does_not_hold_up_a_change() {
    let fakes = three_and_one();
    let client = client(fakes.addrs());
    let change = replacement(&fakes, &client).await;
    fakes.twist(|world: &mut World, request| {
        world.become_target(request);
        world.elect(3);
        None
    });
    let done = client.change_membership(&change, LONG).await.unwrap();
    assert_eq!((done.configuration.leader, done.attempts), (3, 2));
}

/// What passes by itself is waited for.
#[tokio::test]
async fn refusals_of_the_moment_are_no_end() {
    let fakes = three_and_one();
    let client = client(fakes.addrs());
    let change = replacement(&fakes, &client).await;
    let momentary = [
        Refusal::MembershipTooEarly,
        Refusal::MembershipInProgress,
        Refusal::Transferring,
        Refusal::Overloaded,
        Refusal::NotLeader,
        Refusal::Stopping,
        Refusal::MembershipChanged,
    ];
    for refusal in momentary {
        fakes.twist(move |_, _| Some((refusal, "")));
    }
    let done = client.change_membership(&change, LONG).await.unwrap();
    assert_eq!(usize::try_from(done.attempts), Ok(momentary.len() + 1));
}

#[tokio::test]
async fn a_refusal_is_told_as_the_leader_put_it() {
    let fakes = three_and_one();
    let client = client(fakes.addrs());
    let change = replacement(&fakes, &client).await;
    let table = [
        (Refusal::MembershipSenseless, Refused::Senseless),
        (Refusal::MembershipUnreachable, Refused::Unreachable),
        (Refusal::MembershipBehind, Refused::Behind),
    ];
    for (refusal, why) in table {
        fakes.twist(move |_, _| Some((refusal, "in its words")));
        let error = client.change_membership(&change, LONG).await.unwrap_err();
        assert_eq!(error, ChangeError::Refused { why, message: "in its words".to_owned() });
    }
    fakes.twist(|_, _| Some((Refusal::Invalid, "")));
    let error = client.change_membership(&change, LONG).await.unwrap_err();
    let ChangeError::Client(raft_client::ClientError::Failed(failed)) = error else {
        panic!("{error}")
    };
    assert_eq!(failed.kind, FailedKind::Invalid);
}

/// Somebody else's change is not undone.
#[tokio::test]
async fn a_change_gives_way_to_another_one() {
    let fakes = three_and_one();
    let client = client(fakes.addrs());
    let change = replacement(&fakes, &client).await;
    fakes.world().members.remove(&3);
    let error = client.change_membership(&change, LONG).await.unwrap_err();
    let ChangeError::Interfered { found } = error else { panic!("{error}") };
    assert_eq!(ids(&found, MemberRole::Voter), [1, 2]);
    assert_eq!(fakes.world().changes, [], "nothing was asked for");
    // The same between a look and the request that follows it.
    let change = replacement(&fakes, &client).await;
    fakes.twist(|world: &mut World, _| {
        let member = world.member(4, Wire::Learner);
        world.members.insert(5, raft_api::pb::Member { id: 5, ..member });
        Some((Refusal::MembershipChanged, ""))
    });
    let error = client.change_membership(&change, LONG).await.unwrap_err();
    let ChangeError::Interfered { found } = error else { panic!("{error}") };
    assert_eq!(ids(&found, MemberRole::Learner), [5]);
}

/// When time is up, what has been reached is told.
#[tokio::test]
async fn an_unfinished_change_says_how_far_it_came() {
    let fakes = three_and_one();
    let client = client(fakes.addrs());
    let change = replacement(&fakes, &client).await;
    fakes.twist(|world: &mut World, request| {
        world.stage(request);
        None
    });
    let within = Duration::from_millis(600);
    let error = client.change_membership(&change, within).await.unwrap_err();
    let ChangeError::Unfinished { found, .. } = error else { panic!("{error}") };
    assert_eq!(ids(&found, MemberRole::Voter), [1, 2, 3]);
    assert_eq!(ids(&found, MemberRole::Learner), [4]);
}

/// A client that knew none of the present members finds them, because it heard of them in time.
#[tokio::test]
async fn a_client_survives_the_replacement_of_every_member() {
    let mut fakes = Fakes::start(3);
    let client = client(fakes.addrs());
    client.put("k".into(), "1".into()).await.unwrap();
    for (old, new) in [(1, 4), (2, 5), (3, 6)] {
        fakes.start_node(new);
        let base = client.configuration().await.unwrap();
        let edits = [Edit::Add(newcomer(&fakes, new, MemberRole::Voter)), Edit::Remove(old)];
        let target = edited(&base, &edits).unwrap();
        let change = MembershipChange::new(base, target).unwrap();
        client.change_membership(&change, LONG).await.unwrap();
        fakes.elect(new);
        fakes.kill(old);
    }
    client.put("k".into(), "2".into()).await.unwrap();
    let known: Vec<String> = client.status_all().await.into_iter().map(|node| node.addr).collect();
    assert_eq!(known, [4, 5, 6].map(|id| fakes.addr(id)));
}

/// The same with somebody else who changes them: a client that writes hears of it beside its work.
#[tokio::test]
async fn a_writer_hears_of_new_members() {
    let mut fakes = Fakes::start(3);
    let client = client(fakes.addrs());
    client.put("k".into(), "1".into()).await.unwrap();
    for new in [4, 5, 6] {
        fakes.start_node(new);
        let mut world = fakes.world();
        let member = world.member(new, Wire::Voter);
        world.members.insert(new, member);
        world.members.remove(&(new - 3));
    }
    // A new leader of the old members: it is asked who the members are, some write or other.
    fakes.elect(3);
    let heard = async {
        let members = || async {
            let nodes = client.status_all().await;
            nodes.into_iter().map(|node| node.addr).collect::<Vec<_>>()
        };
        while members().await != [4, 5, 6].map(|id| fakes.addr(id)) {
            client.put("k".into(), "2".into()).await.unwrap();
        }
    };
    tokio::time::timeout(LONG, heard).await.unwrap();
    for old in [1, 2, 3] {
        fakes.kill(old);
    }
    fakes.elect(5);
    assert_eq!(client.put("k".into(), "3".into()).await.unwrap().receipt.node, 5);
}

/// Nodes that are members no more know who is, and are asked before they are gone.
#[tokio::test]
async fn former_members_lead_to_the_present_ones() {
    let mut fakes = Fakes::start(3);
    fakes.start_node(4);
    let operation_timeout = Duration::from_secs(1);
    let client = Client::new(Options { operation_timeout, ..Options::new([fakes.addr(1)]) });
    client.put("k".into(), "1".into()).await.unwrap();
    {
        let mut world = fakes.world();
        let member = world.member(4, Wire::Voter);
        world.members = [(4, member)].into();
        world.leader = 0;
    }
    let found = async {
        let (written, ()) = tokio::join!(client.put("k".into(), "2".into()), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            fakes.elect(4);
        });
        written.unwrap().receipt
    };
    assert_eq!(found.await.node, 4);
    // Who the members are is read beside an operation, and again with the next one where that took too
    // long.
    let is_listed = async || {
        client.put("k".into(), "3".into()).await.unwrap();
        client.status_all().await.iter().any(|node| node.addr == fakes.addr(4))
    };
    let listed = async {
        while !is_listed().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), listed).await.expect("it is listed soon");
}

/// The exit code, standard output and standard error of the program.
fn run(fakes: &Fakes, arguments: &[&str]) -> (i32, String, String) {
    run_at(&fakes.addrs().join(","), arguments)
}

fn run_at(endpoints: &str, arguments: &[&str]) -> (i32, String, String) {
    let anywhere = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("raft-client").unwrap();
    command.args(["--endpoints", endpoints]).args(arguments).current_dir(anywhere.path());
    let output = command.env_remove("RAFT_CONFIG").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// `--add` with all three addresses of a node that runs.
fn full(fakes: &Fakes, id: u64) -> String {
    format!("{id}=10.0.0.1:{}/{}/10.0.0.1:{}", 7000 + id, fakes.addr(id), 7200 + id)
}

/// A wrong address would cut it off, and it is not tried before.
#[test]
fn whoever_moves_a_voter_is_warned() {
    let fakes = three_and_one();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("moved.yaml");
    let moved = |moved: &[u64]| {
        let node = |id: u64| {
            let host = if moved.contains(&id) { "10.0.0.9" } else { "10.0.0.1" };
            let (peer, client, http) = (7000 + id, fakes.addr(id), 7200 + id);
            format!(
                "  - {{id: {id}, peer: '{host}:{peer}', client: '{client}', http: '10.0.0.1:{http}'}}\n"
            )
        };
        let nodes = [1, 2, 3].map(node).concat();
        std::fs::write(&file, format!("nodes:\n{nodes}")).unwrap();
        run(&fakes, &["set-config", "--file", file.to_str().unwrap(), "--dry-run"])
    };
    assert_eq!(moved(&[]).2, "");
    let (code, _, err) = moved(&[2]);
    assert_eq!(code, 0, "{err}");
    assert!(err.starts_with("warning: nothing tries the new peer address of n2 before"), "{err}");
    assert!(!err.contains("one voter at a time"), "{err}");
    let (_, _, err) = moved(&[2, 3]);
    assert!(err.contains("n2, n3 before") && err.contains("one voter at a time"), "{err}");
    let demoted = run(&fakes, &["set-config", "--demote", "3", "--dry-run"]);
    assert_eq!((demoted.0, &*demoted.2), (0, ""));
}

#[test]
fn the_difference_is_shown_and_then_made() {
    let fakes = three_and_one();
    let difference = "  n1   voter             10.0.0.1:7001\n\
                      - n2   voter             10.0.0.1:7002\n\
                      ~ n3   voter -> learner  10.0.0.1:7003\n\
                      + n4   voter             10.0.0.1:7004\n";
    let wish = ["set-config", "--add", &full(&fakes, 4), "--remove", "n2", "--demote", "3"];
    let dry = run(&fakes, &[&wish[..], &["--dry-run"]].concat());
    assert_eq!(dry, (0, format!("{difference}dry run: nothing was changed\n"), String::new()));
    assert_eq!(fakes.world().changes, []);

    let (code, out, err) = run(&fakes, &[&wish[..], &["--wait"]].concat());
    assert_eq!((code, &*err), (0, ""), "{out}");
    assert!(out.starts_with(difference), "{out}");
    assert!(out.contains("\nn3    learner  127.0.0.1:"), "{out}");
    assert!(out.contains("\nchanged in 0.") && out.contains(" s   term 1\n"), "{out}");
    assert!(
        out.ends_with("\nall voters and newcomers have applied everything up to index 0\n"),
        "{out}"
    );

    let again = run(&fakes, &wish);
    assert_eq!(again.0, 2, "{again:?}");
    assert!(again.2.starts_with("error: n4 is a voter already\nhint: "), "{again:?}");
}

/// A file says how everything is to be, and is fulfilled as often as one likes.
#[test]
fn a_file_is_the_whole_configuration() {
    let fakes = three_and_one();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("four.yaml");
    let nodes: String = [1, 3, 4]
        .map(|id| {
            let (peer, http) = (7000 + id, 7200 + id);
            let client = fakes.addr(id);
            format!("  - {{id: {id}, peer: '10.0.0.1:{peer}', client: '{client}', http: '10.0.0.1:{http}'}}\n")
        })
        .concat();
    std::fs::write(&file, format!("nodes:\n{nodes}")).unwrap();
    let wish = ["set-config", "--file", file.to_str().unwrap()];
    let (code, out, err) = run(&fakes, &wish);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("\n- n2 ") && out.contains("\n+ n4 "), "{out}");
    let (code, out, _) = run(&fakes, &wish);
    assert_eq!(code, 0);
    assert!(out.ends_with("  n4   voter             10.0.0.1:7004\nnothing to do\n"), "{out}");

    std::fs::write(&file, format!("cluster: {{name: other}}\nnodes:\n{nodes}")).unwrap();
    let (code, _, err) = run(&fakes, &wish);
    assert_eq!(code, 2);
    assert!(err.contains("about the cluster `other`, and this is `fake`\nhint: "), "{err}");
}

/// Where a newcomer is may be left to cluster.yaml, whether or not it is in there.
#[test]
fn the_file_tells_where_newcomers_are() {
    let fakes = three_and_one();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cluster.yaml");
    let text = "cluster: {base_port: 8000}\n\
                nodes: [{id: 1}, {id: 4, peer: 'h:1', client: 'h:2', http: 'h:3'}]\n";
    std::fs::write(&file, text).unwrap();
    let wish = ["-f", file.to_str().unwrap(), "set-config", "--add", "4,5", "--dry-run"];
    let (code, out, err) = run(&fakes, &[&wish[..], &["-o", "json"]].concat());
    assert_eq!(code, 0, "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["schema"], &report["dry_run"]),
        (&"raft-set-config/1".into(), &true.into())
    );
    let new: Vec<_> = report["differences"].as_array().unwrap().iter().skip(3).collect();
    assert_eq!((&new[0]["change"], &new[0]["before"]), (&"added".into(), &().into()));
    assert_eq!(
        (&new[0]["after"]["client"], &new[0]["after"]["http"]),
        (&"h:2".into(), &"h:3".into())
    );
    assert_eq!(new[1]["after"]["peer"], "127.0.0.1:8005");
    assert_eq!(new[1]["after"]["client"], "127.0.0.1:8105");

    let (code, _, err) = run(&fakes, &["set-config", "--add", "5"]);
    assert_eq!(code, 2);
    assert!(err.starts_with("error: nobody says where n5 is"), "{err}");
}

/// Mistakes of usage: exit 2, an error that says which, and nobody is asked for anything.
#[test]
fn senseless_wishes_exit_2() {
    let fakes = three_and_one();
    let table: &[(&[&str], &str)] = &[
        (&[], "required"),
        (&["--dry-run"], "required"),
        (&["--learner", "--remove", "2"], "--add"),
        (&["--file", "f", "--remove", "2"], "cannot be used with"),
        (&["--file", "nowhere.yaml"], "nowhere.yaml"),
        (&["--add", "4=nonsense"], "`nonsense` is not an address"),
        (&["--add", "x"], "`x` is not a node id"),
        (&["--remove", "0"], "ids begin at 1"),
        (&["--remove", "9"], "error: n9 is not a member\nhint: "),
        (&["--promote", "9"], "error: n9 is not a member\nhint: "),
        (&["--promote", "2"], "error: n2 is a voter already\nhint: "),
        (&["--add", "2=h:1"], "error: n2 is a voter already\nhint: "),
        (&["--add", "4=h:1", "--remove", "4"], "error: n4 is named twice\nhint: "),
        (&["--remove", "2,2"], "error: n2 is named twice\nhint: "),
        (&["--remove", "1,2", "--demote", "3"], "error: no voter would be left\nhint: "),
        (&["--add", "4=10.0.0.1:7001"], "n1 and n4 would share the address 10.0.0.1:7001\nhint: "),
        (&["--add", "4=h:1,5=H:1"], "n4 and n5 would share the address H:1\nhint: "),
    ];
    for (arguments, expected) in table {
        let (code, out, err) = run(&fakes, &[&["set-config"], *arguments].concat());
        assert_eq!((code, &*out), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
    assert_eq!(fakes.world().changes, []);
}

#[test]
fn what_the_leader_refuses_exits_4() {
    let fakes = three_and_one();
    let table = [
        (Refusal::MembershipUnreachable, "--force"),
        (Refusal::MembershipBehind, "is it running with --join?"),
        (Refusal::MembershipSenseless, "get-config"),
    ];
    for (refusal, hint) in table {
        fakes.twist(move |_, _| Some((refusal, "in its words")));
        let (code, _, err) = run(&fakes, &["set-config", "--add", &full(&fakes, 4)]);
        assert_eq!(code, 4, "{err}");
        assert!(err.starts_with("error: the leader refused: in its words\nhint: "), "{err}");
        assert!(err.contains(hint), "{err}");
    }
    fakes.twist(|world: &mut World, _| {
        world.members.remove(&3);
        Some((Refusal::MembershipChanged, ""))
    });
    let (code, _, err) = run(&fakes, &["set-config", "--force", "--add", &full(&fakes, 4)]);
    assert_eq!(code, 4, "{err}");
    let said = "error: somebody else changed the configuration meanwhile: now n1 voter, n2 voter\n";
    assert!(err.starts_with(said), "{err}");
    assert!(fakes.world().changes.last().unwrap().force);
}

/// The newcomer did not catch up: the error says what it is now, and how that is undone.
#[test]
fn a_newcomer_that_is_left_behind_is_named_with_the_way_back() {
    let fakes = three_and_one();
    fakes.twist(|world: &mut World, request| {
        world.stage(request);
        Some((Refusal::MembershipBehind, "in its words"))
    });
    let (code, _, err) = run(&fakes, &["set-config", "--add", &full(&fakes, 4)]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("\nhint: n4 stays in the configuration as a learner"), "{err}");
    assert!(err.ends_with("`raft-client set-config --remove 4` undoes it\n"), "{err}");
}

/// A learner of earlier that does not answer is not waited for.
#[test]
fn an_idle_learner_does_not_hold_up_a_wait() {
    let mut fakes = three_and_one();
    let learner = fakes.world().member(4, Wire::Learner);
    fakes.world().members.insert(4, learner);
    fakes.kill(4);
    let (code, out, err) = run(&fakes, &["set-config", "--remove", "3", "--wait"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("\nall voters and newcomers have applied everything up to"), "{out}");
}

/// A leader that removed itself leads until the others have elected somebody: the table has that one.
#[test]
fn the_table_after_a_change_has_a_leader_who_is_a_member() {
    let fakes = three_and_one();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (code, out, err) = std::thread::scope(|scope| {
        let changing = scope.spawn(|| run(&fakes, &["set-config", "--remove", "1"]));
        runtime.block_on(async {
            let mut looks = tokio::time::interval(Duration::from_millis(2));
            while fakes.world().changes.is_empty() {
                looks.tick().await;
            }
            // So that the one who goes is seen to lead.
            tokio::time::sleep(Duration::from_millis(100)).await;
        });
        fakes.elect(2);
        changing.join().unwrap()
    });
    assert_eq!(code, 0, "{err}");
    let row = out.lines().rfind(|line| line.starts_with("n2 ")).unwrap();
    assert!(row.ends_with("  leader"), "{out}");
    assert!(out.ends_with("   term 2\n"), "{out}");
}

/// Nobody is elected: that is said.
#[test]
fn a_change_that_leaves_no_leader_says_so() {
    let fakes = three_and_one();
    let (code, out, err) = run(&fakes, &["set-config", "--remove", "1"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("   term 1   no leader yet\n"), "{out}");
}

#[test]
fn what_is_not_done_in_time_exits_124() {
    let fakes = three_and_one();
    fakes.twist(|world: &mut World, request| {
        world.stage(request);
        None
    });
    let wish = ["--timeout", "1s", "set-config", "--add", &full(&fakes, 4)];
    let (code, _, err) = run(&fakes, &wish);
    assert_eq!(code, 124, "{err}");
    assert!(err.contains("reached: n1 voter, n2 voter, n3 voter, n4 learner\nhint: "), "{err}");

    // Done, but a member does not get there: that one is named.
    let (nobody, addr) = nobody();
    let add = format!("5=h:1/{addr}/h:2");
    let wish = ["--timeout", "2s", "set-config", "--add", &add, "--wait"];
    fakes.world().members.remove(&4);
    let (code, _, err) = run(&fakes, &wish);
    assert_eq!(code, 124, "{err}");
    assert!(err.starts_with("error: the configuration is changed, but not all members"), "{err}");
    assert!(err.contains(&format!("({addr}: connection refused)")), "{err}");
    drop(nobody);

    let (_nobody, addr) = crate::fake::nobody();
    let (code, _, err) = run_at(&addr, &["--timeout", "300ms", "set-config", "--remove", "2"]);
    assert_eq!(code, 3, "{err}");
}

/// Time is up because the newcomer is not there: that is said, and how it comes to be there.
#[test]
fn a_silent_newcomer_is_named_when_time_is_up() {
    let real = crate::real::Real::start();
    assert!(real.run(&["get-leader", "--wait", "30s"]).status.success());
    let port = crate::real::free_ports(1)[0];
    let add = format!("4=127.0.0.1:{port}");
    let output = real.run(&["--timeout", "1500ms", "set-config", "--add", &add]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(124), "{said}");
    let (_, hint) = said.split_once("\nhint: ").unwrap();
    let silent = format!("n4 does not answer at 127.0.0.1:{}", port + 100);
    assert!(hint.starts_with(&silent) && hint.contains("--join"), "{said}");
}
