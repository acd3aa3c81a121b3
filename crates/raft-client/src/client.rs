//! The client: operations with their attempts.

mod anybody;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use raft_api::pb;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::attempt::{Ask, Reply, Setback, ask_node, knock};
use crate::connect::{Api, COMMAND_BYTES_MAX, Link};
use crate::counters::{Counters, Tally};
use crate::discover::{Directory, Leader};
use crate::session::{Session, SessionState, Ticket};
use crate::tries::{Ending, Tries};
use crate::{Attempt, ClientError, FailedKind, Fault, FaultKind, Options, Step};

/// After this much silence of the leader somebody looks whether there is another one.
const SILENCE: Duration = Duration::from_millis(250);

/// To find the cluster at all may take an attempt this long, however short those of writes are.
const FINDING: Duration = Duration::from_secs(1);

/// A handle on the cluster. Clones share connections, session and what is known of the leader.
///
/// ```no_run
/// use std::time::Duration;
///
/// use raft_client::{Client, ClientError, Consistency, Options};
///
/// # async fn example() -> Result<(), ClientError> {
/// // Some of the nodes are enough; the others are learnt.
/// let client = Client::new(Options {
///     operation_timeout: Duration::from_secs(2),
///     ..Options::new(["127.0.0.1:7101", "127.0.0.1:7102"])
/// });
/// let written = client.put("greeting".into(), "hello".into()).await?;
/// println!("at index {} in term {}", written.receipt.index, written.receipt.term);
///
/// let found = client.get("greeting".into(), Consistency::Linearizable).await?;
/// assert_eq!(found.value.as_deref(), Some(&b"hello"[..]));
/// # Ok(())
/// # }
/// ```
///
/// A write ends in one of three ways, and whoever makes it has to tell them apart:
///
/// ```no_run
/// # use raft_client::{Client, ClientError};
/// # async fn example(client: &Client) {
/// match client.append("log".into(), "entry".into()).await {
///     Ok(done) if done.receipt.duplicate => println!("an earlier attempt had done it"),
///     Ok(done) => println!("the value has {} bytes now", done.value),
///     // No attempt of it will ever take effect: it may be repeated.
///     Err(ClientError::Failed(failed)) => {
///         for (addr, fault) in failed.reasons.iter() {
///             println!("{addr}: {fault}");
///         }
///     }
///     // It may be there, or come later. To repeat it could do it twice: read first.
///     Err(ClientError::Unknown(unknown)) => println!("unknown after {:?}", unknown.after),
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    directory: Directory,
    session: Mutex<Option<Arc<Session>>>,
    /// Held by the one who opens a session.
    opening: tokio::sync::Mutex<()>,
    tally: Tally,
}

/// Where and by whom an operation was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The term of the node that answered.
    pub term: u64,
    /// For a write, the log index at which it was applied; for a read, the index applied before it.
    pub index: u64,
    /// The node that answered.
    pub node: u64,
    /// The leader as that node knows it; 0 if it knows none.
    pub leader: u64,
    /// Whether the answer is that of an earlier attempt, recognised by the session.
    pub duplicate: bool,
    /// Attempts made, the last one included.
    pub attempts: u32,
    /// The entry that made the configuration what it is, as far as that node knows.
    pub members_as_of: u64,
}

/// A write that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The state machine's result.
    pub result: Bytes,
    /// Where and by whom.
    pub receipt: Receipt,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The content.
    pub value: T,
    /// Where and by whom it was read.
    pub receipt: Receipt,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// As fresh as any write acknowledged before it was asked.
    #[default]
    Linearizable,
    /// Any node's own state, however old.
    Stale,
}

/// Which nodes are asked to read. Every node can give linearizable answers: it asks the leader how
/// far it must have applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The leader.
    #[default]
    Leader,
    /// Any node but the leader, if there is another that answers.
    Followers,
    /// Any node.
    Any,
}

/// The leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderInfo {
    /// Its number.
    pub node: u64,
    /// Where it serves clients.
    pub addr: String,
    /// Its term.
    pub term: u64,
}

/// How one node is.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeStatus {
    /// Its client address.
    pub addr: String,
    /// Its own report, or why there is none.
    pub status: Result<pb::StatusResponse, Fault>,
    /// How long it took to answer.
    pub round_trip: Duration,
}

impl Client {
    /// A client of the cluster at these addresses. Nothing is sent yet.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared {
            directory: Directory::new(options.clone()),
            session: Mutex::new(None),
            opening: tokio::sync::Mutex::new(()),
            tally: Tally::default(),
            options,
        }))
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// What went wrong so far, attempt by attempt.
    pub fn counters(&self) -> Counters {
        self.0.tally.read()
    }

    /// Finds the leader, opens the session and makes all connections to the leader, so that the
    /// first write finds everything in place.
    pub async fn ready(&self, within: Duration) -> Result<LeaderInfo, ClientError> {
        let mut tries = Tries::new(&self.0.options, within);
        tries.attempt_timeout = tries.attempt_timeout.max(FINDING);
        self.session(&mut tries).await?;
        let leader = self.leader(&mut tries).await?;
        // One that breaks meanwhile is made when it is needed.
        if let Ok(Err(fault)) = timeout_at(tries.deadline, leader.link.connect_all()).await {
            tracing::debug!(addr = &**leader.link.addr(), %fault, "not all connections were made");
        }
        Ok(LeaderInfo {
            node: leader.node,
            addr: leader.link.addr().to_string(),
            term: leader.term,
        })
    }

    /// Where this client's session stands; one is opened if there is none.
    ///
    /// Write it down before a write that must not be made twice, even if this process ends before it
    /// knows what came of it; [`Client::resume`] shows the rest.
    pub async fn session_state(&self) -> Result<SessionState, ClientError> {
        let mut tries = Tries::new(&self.0.options, self.0.options.operation_timeout);
        Ok(self.session(&mut tries).await?.state())
    }

    /// Goes on with a session of another process, instead of a new one.
    ///
    /// The first write is to be the one that the other process was about to make: the cluster applies
    /// it unless it has already, and answers alike. If the session has expired meanwhile nobody can
    /// tell any more, and that write ends as [`ClientError::Unknown`]; the next one opens a new session.
    ///
    /// ```no_run
    /// # use raft_client::{Client, ClientError, Options, SessionState};
    /// # fn written_down() -> Option<SessionState> { None }
    /// # fn write_down(state: SessionState) {}
    /// # async fn pay(client: &Client) -> Result<(), ClientError> {
    /// if let Some(state) = written_down() {
    ///     client.resume(state); // An earlier process came so far, and perhaps further.
    /// } else {
    ///     write_down(client.session_state().await?);
    /// }
    /// let paid = client.append("payments".into(), "42;".into()).await?;
    /// if paid.receipt.duplicate {
    ///     println!("it had been paid already");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(&self, state: SessionState) {
        *self.current_session() = Some(Session::resumed(state));
    }

    /// Puts a command into the log, once, and waits until it is applied.
    pub async fn propose(&self, command: Bytes) -> Result<Applied, ClientError> {
        self.propose_within(command, self.0.options.operation_timeout).await
    }

    /// As [`Client::propose`], with a deadline of its own.
    pub async fn propose_within(
        &self,
        command: Bytes,
        within: Duration,
    ) -> Result<Applied, ClientError> {
        self.propose_until(command, within, std::future::pending()).await
    }

    /// As [`Client::propose_within`], and broken off as soon as nobody waits for it any more.
    pub(crate) async fn propose_until(
        &self,
        command: Bytes,
        within: Duration,
        abandoned: impl Future<Output = ()>,
    ) -> Result<Applied, ClientError> {
        if COMMAND_BYTES_MAX < command.len() {
            let why =
                format!("the command has {} bytes, more than any server takes", command.len());
            return Err(ClientError::out_of_bounds(why));
        }
        let mut tries = Tries::new(&self.0.options, within);
        let ended = tokio::select! {
            biased;
            ended = self.propose_with(&command, &mut tries) => Some(ended),
            () = abandoned => None,
        };
        ended.unwrap_or_else(|| Err(tries.abandon()))
    }

    async fn propose_with(
        &self,
        command: &Bytes,
        tries: &mut Tries,
    ) -> Result<Applied, ClientError> {
        loop {
            let session = self.session(tries).await?;
            let Ok(ticket) = timeout_at(tries.deadline, session.ticket()).await else {
                return Err(tries.end(FailedKind::Unserved));
            };
            tries.doubt |= ticket.may_be_a_repeat();
            let ask = Ask::Propose { command, ticket: &ticket };
            match self.ask_leader(ask, tries).await {
                Ok(Reply { result, receipt, .. }) => return Ok(Applied { result, receipt }),
                Err(Ending::Over(error)) => return Err(error),
                // Nothing of this write is in any log: it may go out again under a new session.
                Err(Ending::SessionGone) => self.forget_session(&ticket),
            }
        }
    }

    /// Reads the state machine: asks the leader, or for its own state any node.
    pub async fn query(
        &self,
        query: Bytes,
        consistency: Consistency,
    ) -> Result<Found<Bytes>, ClientError> {
        let from = match consistency {
            Consistency::Linearizable => ReadFrom::Leader,
            Consistency::Stale => ReadFrom::Any,
        };
        self.query_from(query, consistency, from, self.0.options.operation_timeout).await
    }

    /// Reads the state machine from nodes of this kind, with a deadline of its own.
    pub async fn query_from(
        &self,
        query: Bytes,
        consistency: Consistency,
        from: ReadFrom,
        within: Duration,
    ) -> Result<Found<Bytes>, ClientError> {
        let ask = Ask::Query { query: &query, consistency };
        let mut tries = Tries::new(&self.0.options, within);
        let reply = match from {
            ReadFrom::Leader => self.ask_leader(ask, &mut tries).await,
            ReadFrom::Any | ReadFrom::Followers => self.ask_anybody(ask, from, &mut tries).await,
        };
        match reply {
            Ok(Reply { result, receipt, .. }) => Ok(Found { value: result, receipt }),
            Err(Ending::Over(error)) => Err(error),
            Err(Ending::SessionGone) => Err(tries.end(FailedKind::Rejected)),
        }
    }

    /// Who leads.
    pub async fn get_leader(&self) -> Result<LeaderInfo, ClientError> {
        let mut tries = Tries::new(&self.0.options, self.0.options.operation_timeout);
        let Leader { link, node, term } = self.leader(&mut tries).await?;
        Ok(LeaderInfo { node, addr: link.addr().to_string(), term })
    }

    /// The members and where they are, also when nobody leads: of the nodes that answer at once,
    /// the word of the one with the latest term; that of one that was removed only if there is no
    /// other, and no member that it knew answers.
    pub async fn get_configuration(&self) -> Result<pb::GetConfigurationResponse, ClientError> {
        self.get_configuration_within(self.0.options.operation_timeout).await
    }

    /// The same, with a time of its own.
    pub async fn get_configuration_within(
        &self,
        within: Duration,
    ) -> Result<pb::GetConfigurationResponse, ClientError> {
        let mut tries = Tries::new(&self.0.options, within);
        loop {
            let within = tries.attempt_ends().saturating_duration_since(Instant::now());
            match self.0.directory.configuration(within).await {
                Ok(answer) => return Ok(answer),
                Err(reasons) => tries.reasons = reasons,
            }
            if tries.reasons.are_all_of_other_services() {
                return Err(tries.end(FailedKind::Rejected));
            }
            tries.pause(FailedKind::NoCluster).await?;
        }
    }

    /// Those of the endpoints that are no member's, once a leader has told who is. Only members are
    /// read from.
    pub fn strange_endpoints(&self) -> Vec<String> {
        self.0.directory.strangers()
    }

    /// Those of the endpoints that said that they are no members any more.
    pub fn removed_endpoints(&self) -> Vec<String> {
        self.0.directory.removed_endpoints()
    }

    /// How the node at this address is.
    pub async fn status(&self, addr: &str) -> NodeStatus {
        let within = self.0.options.attempt_timeout;
        status_of(&self.0.directory.link(addr), within, pb::StatusRequest::default()).await
    }

    /// The same, and where the time of its writes went, in histograms.
    pub async fn status_with_stages(&self, addr: &str) -> NodeStatus {
        let within = self.0.options.attempt_timeout;
        let request = pb::StatusRequest { stages: true };
        status_of(&self.0.directory.link(addr), within, request).await
    }

    /// How long a write takes to the node at this address and back, without anything in between: it is
    /// one that no node takes up, and nothing is written.
    pub async fn knock(&self, addr: &str) -> Result<Duration, Fault> {
        knock(&self.0.directory.link(addr), self.0.options.attempt_timeout).await
    }

    /// How all known nodes are, in the order in which they became known. Members that were not
    /// among the endpoints are known once the leader has been found; endpoints that are no members
    /// any more are then left out.
    pub async fn status_all(&self) -> Vec<NodeStatus> {
        let links = self.0.directory.members();
        let within = self.0.options.attempt_timeout.max(FINDING);
        join_all(links.iter().map(|link| status_of(link, within, pb::StatusRequest::default())))
            .await
    }

    /// A client of the same nodes with connections of its own, for what may take longer than this
    /// one's operations.
    pub(crate) fn patient(&self, operation_timeout: Duration) -> Self {
        let links = self.0.directory.links();
        Self::new(Options {
            endpoints: links.iter().map(|link| link.addr().to_string()).collect(),
            operation_timeout,
            attempt_timeout: self.0.options.attempt_timeout.max(FINDING),
            observer: None,
            ..self.0.options.clone()
        })
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.0.tally
    }

    /// The leader, searched for if none is known.
    pub(crate) async fn leader(&self, tries: &mut Tries) -> Result<Leader, ClientError> {
        let directory = &self.0.directory;
        loop {
            if let Some(leader) = directory.leader() {
                return Ok(leader);
            }
            // Ends a little before the deadline, so that there is something to tell.
            let within = tries.attempt_timeout.min(tries.left().mul_f64(0.9));
            match timeout_at(tries.deadline, directory.search(within)).await {
                Ok(Ok(())) => continue,
                Ok(Err(reasons)) if reasons.are_all_of_other_services() => {
                    tries.reasons.renew(reasons);
                    return Err(tries.end(FailedKind::Rejected));
                }
                Ok(Err(reasons)) => tries.reasons.renew(reasons),
                Err(_elapsed) => {
                    tries.reasons.renew(directory.last_reasons());
                    return Err(tries.end(FailedKind::NoLeader));
                }
            }
            let mut watch = directory.watch();
            let pause = tries.backoff.pause();
            tries.tell(&Step::Pause(pause));
            // Whoever finds the leader first wakes the others; both outcomes lead to another look.
            if timeout(tries.left().min(pause), watch.changed()).await.is_err()
                && tries.left().is_zero()
            {
                return Err(tries.end(FailedKind::NoLeader));
            }
        }
    }

    /// Asks the leader until it answers or time is up.
    async fn ask_leader(&self, ask: Ask<'_>, tries: &mut Tries) -> Result<Reply, Ending> {
        loop {
            let leader = self.leader(tries).await.map_err(Ending::Over)?;
            tries.attempts += 1;
            if 1 < tries.attempts {
                self.0.tally.retry();
            }
            tries.under_way = ask.is_write();
            let began = Instant::now();
            let ends = tries.attempt_begun_ends(began);
            let attempt = std::pin::pin!(self.attempt(ask, &leader, began, ends));
            let answer = self.0.directory.learning_beside(&leader, attempt).await;
            tries.under_way = false;
            self.tell(&leader.link, ask, began, &answer);
            let setback = match answer {
                Ok(reply) => return Ok(self.receive(reply, &leader, tries)),
                Err(setback) => setback,
            };
            let kind = setback.fault.kind;
            self.0.tally.fault(kind);
            tries.doubt |= ask.is_write() && kind.may_have_happened();
            tries.silences += u32::from(kind == FaultKind::TimedOut);
            tries.reasons.add(leader.link.addr(), setback.fault.clone());
            if kind == FaultKind::SessionUnknown && !tries.doubt {
                return Err(Ending::SessionGone);
            }
            if let Some(ending) = tries.final_ending(kind) {
                return Err(Ending::Over(ending));
            }
            if self.go_on(&leader, setback, tries) {
                tries.pause(FailedKind::Unserved).await.map_err(Ending::Over)?;
            }
        }
    }

    /// Tells whoever wants to know of an attempt.
    fn tell(&self, link: &Link, ask: Ask<'_>, began: Instant, answer: &Result<Reply, Setback>) {
        let Some(observer) = &self.0.options.observer else { return };
        let (fault, term, leader) = match answer {
            Ok(reply) => (None, reply.receipt.term, reply.receipt.leader),
            Err(setback) => {
                let leader = setback.hint.as_ref().map_or(0, |(node, _)| *node);
                (Some(&setback.fault), setback.term, leader)
            }
        };
        observer.tell(&Attempt {
            addr: link.addr(),
            write: ask.is_write(),
            took: began.elapsed(),
            fault,
            term,
            leader,
        });
    }

    /// Draws the conclusions from a setback. Tells whether a pause is due.
    pub(crate) fn go_on(&self, leader: &Leader, setback: Setback, tries: &mut Tries) -> bool {
        let directory = &self.0.directory;
        if setback.refusal != pb::Refusal::None {
            directory.note_members_as_of(setback.members_as_of);
        }
        match setback.fault.kind {
            FaultKind::Superseded => false,
            FaultKind::Overloaded
            | FaultKind::DiskFull
            | FaultKind::Transferring
            | FaultKind::SessionUnknown => true,
            FaultKind::NotLeader => {
                directory.suspect(leader);
                // A hint is worth one attempt at once. If that is refused as well, two nodes know
                // no better than we do.
                let follow = !std::mem::replace(&mut tries.followed, true);
                let hint =
                    setback.hint.filter(|(_, addr)| follow && **leader.link.addr() != **addr);
                let Some((node, addr)) = hint else {
                    tries.followed = false;
                    return true;
                };
                let link = directory.link(&addr);
                tries.tell(&Step::Follow { node, addr: &addr });
                directory.adopt(Leader { link, node, term: setback.term });
                false
            }
            _ => {
                directory.suspect(leader);
                true
            }
        }
    }

    fn receive(&self, mut reply: Reply, leader: &Leader, tries: &mut Tries) -> Reply {
        reply.receipt.attempts = tries.attempts;
        if reply.receipt.duplicate {
            self.0.tally.duplicate();
        }
        self.0.directory.note_members_as_of(reply.receipt.members_as_of);
        // An answer of the leader itself tells its term for sure.
        if leader.term < reply.receipt.term && reply.receipt.node == reply.receipt.leader {
            let term = reply.receipt.term;
            self.0.directory.adopt(Leader { term, node: reply.receipt.node, ..leader.clone() });
        }
        reply
    }

    /// One attempt. Ends early if the leader keeps silent and another one turns up meanwhile.
    pub(crate) async fn attempt(
        &self,
        ask: Ask<'_>,
        leader: &Leader,
        began: Instant,
        ends: Instant,
    ) -> Result<Reply, Setback> {
        let directory = &self.0.directory;
        let mut request = std::pin::pin!(ask.send(&leader.link));
        let first_look = began + SILENCE;
        if let Ok(answer) = timeout_at(first_look.min(ends), &mut request).await {
            return answer;
        }
        let mut watch = directory.watch();
        let watching = async {
            while Instant::now() < ends {
                directory.look_around().await;
                let supersedes = watch.wait_for(|known| known.supersedes(leader));
                // The guard must not be held: the next look may have something to write.
                if timeout_at(ends.min(Instant::now() + SILENCE), supersedes).await.is_ok() {
                    return FaultKind::Superseded;
                }
            }
            FaultKind::TimedOut
        };
        tokio::select! {
            biased;
            answer = &mut request => answer,
            () = sleep_until(ends) => Err(Fault::new(FaultKind::TimedOut, "").into()),
            kind = watching => Err(Fault::new(kind, "").into()),
        }
    }

    /// The session, opened if there is none.
    async fn session(&self, tries: &mut Tries) -> Result<Arc<Session>, ClientError> {
        if let Some(session) = self.current_session().clone() {
            return Ok(session);
        }
        let Ok(_alone) = timeout_at(tries.deadline, self.0.opening.lock()).await else {
            return Err(tries.end(FailedKind::Unserved));
        };
        if let Some(session) = self.current_session().clone() {
            return Ok(session);
        }
        // A repeat may open a second session. The one nobody uses expires.
        match self.ask_leader(Ask::OpenSession, tries).await {
            Ok(reply) => {
                let session = Session::new(reply.session);
                *self.current_session() = Some(Arc::clone(&session));
                tries.attempts = 0;
                Ok(session)
            }
            Err(Ending::Over(error)) => Err(error),
            Err(Ending::SessionGone) => Err(tries.end(FailedKind::Rejected)),
        }
    }

    fn forget_session(&self, ticket: &Ticket) {
        let mut current = self.current_session();
        if current.as_ref().is_some_and(|session| ticket.is_of(session)) {
            *current = None;
        }
    }

    fn current_session(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.0.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn status_of(link: &Link, within: Duration, request: pb::StatusRequest) -> NodeStatus {
    let started = Instant::now();
    let call = async |mut api: Api| api.status(request).await;
    let status = ask_node(link, within, call).await;
    NodeStatus { addr: link.addr().to_string(), status, round_trip: started.elapsed() }
}
