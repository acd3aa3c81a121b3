//! Work on snapshot files: done beside the log's writer, in the order it was asked for.

use std::io;

use raft_core::{Input, LogId, Membership, SnapshotCommand, SnapshotMeta};

use crate::error::{DiskError, StorageError};
use crate::snapshot::SnapshotStore;
use crate::state::{State, StateImage};
use crate::state_machine::StateMachine;

/// A piece of work on snapshot files.
pub struct SnapshotJob<S: StateMachine>(pub(crate) Job<S>);

/// What came of it.
pub struct SnapshotDone<S: StateMachine>(pub(crate) Done<S>);

impl<S: StateMachine> SnapshotJob<S> {
    /// Whether a peer waits for what comes of it.
    pub fn is_for_a_peer(&self) -> bool {
        matches!(self.0, Job::Core(_))
    }

    /// Bytes of a snapshot that came from a leader and are to be kept.
    pub fn received_bytes(&self) -> usize {
        match &self.0 {
            Job::Core(SnapshotCommand::Stage { data, .. }) => data.len(),
            Job::Core(SnapshotCommand::Read { .. })
            | Job::Build { .. }
            | Job::Load(_)
            | Job::Forget { .. }
            | Job::Discard(_) => 0,
        }
    }
}

pub(crate) enum Job<S: StateMachine> {
    /// Write a frozen state out.
    Build { membership: Membership, image: Box<StateImage<S::Image>> },
    /// Make a state from a snapshot.
    Load(SnapshotMeta),
    /// Read or stage a piece.
    Core(SnapshotCommand),
    /// Remove the snapshots before the newest, but for those that are needed.
    Forget { newest: SnapshotMeta, needed: Vec<LogId> },
    /// Give the memory of a state back.
    Discard(Box<State<S>>),
}

pub(crate) enum Done<S: StateMachine> {
    Input(Input),
    Built(SnapshotMeta),
    Loaded(SnapshotMeta, Box<State<S>>),
    /// Nothing that the replica has to know.
    Nothing,
    /// There was no space: nothing has changed. What a peer is to be told, if a peer asked.
    Full {
        error: DiskError,
        answer: Option<Input>,
    },
}

impl SnapshotStore {
    /// Does a job. An error is final: the node must stop. That there was no space is none: the job is
    /// not done, and that is all, see [`SnapshotDone::full`].
    pub fn run<S: StateMachine>(
        &mut self,
        job: SnapshotJob<S>,
    ) -> Result<SnapshotDone<S>, StorageError> {
        let done = match job.0 {
            Job::Build { membership, image } => {
                let last = image.applied();
                match self.write(last, &membership, |sink| image.write_to(sink)) {
                    Ok(meta) => Done::Built(meta),
                    Err(StorageError::Disk(error)) if error.is_full() => {
                        self.give_up(last)?;
                        Done::Full { error, answer: None }
                    }
                    Err(error) => return Err(error),
                }
            }
            Job::Load(meta) => {
                let state = self.load(&meta)?;
                Done::Loaded(meta, Box::new(state))
            }
            Job::Core(command) => self.run_command(command)?,
            Job::Forget { newest, needed } => {
                self.keep_only(&newest, &needed)?;
                Done::Nothing
            }
            Job::Discard(state) => {
                drop(state);
                Done::Nothing
            }
        };
        Ok(SnapshotDone(done))
    }

    /// Makes a state from a snapshot, whose bytes have been verified.
    pub(crate) fn load<S: StateMachine>(
        &self,
        meta: &SnapshotMeta,
    ) -> Result<State<S>, StorageError> {
        let (mut reader, path) = (self.reader(meta)?, self.path(meta.last));
        let start = reader.position();
        let state = State::restore(&mut reader).map_err(|error| match error.kind() {
            // The bytes are the ones that were written: somebody else wrote them.
            io::ErrorKind::Unsupported => {
                StorageError::Version { path: path.clone(), offset: start, what: error.to_string() }
            }
            _ if error.raw_os_error().is_some() => DiskError::new("read", &path, error).into(),
            _ => StorageError::damaged(&path, Some(start), error.to_string()),
        })?;
        if state.applied != meta.last {
            let what = format!("it holds the state at {}, not at {}", state.applied, meta.last);
            return Err(StorageError::damaged(&path, Some(start), what));
        }
        Ok(state)
    }

    fn run_command<S: StateMachine>(
        &mut self,
        command: SnapshotCommand,
    ) -> Result<Done<S>, StorageError> {
        Ok(Done::Input(match command {
            SnapshotCommand::Read { to, meta, offset, len } => {
                match self.read(&meta, offset, len) {
                    Ok(data) => {
                        let checksum = crc32c::crc32c(&data);
                        Input::SnapshotRead { to, meta, offset, data, checksum }
                    }
                    // Removed since: the transfer starts again with the newest.
                    Err(StorageError::Disk(error))
                        if error.source.kind() == io::ErrorKind::NotFound =>
                    {
                        Input::SnapshotFailed { last: meta.last }
                    }
                    Err(error) => return Err(error),
                }
            }
            SnapshotCommand::Stage { meta, offset, data, checksum } => {
                let (next_offset, complete) = match self.stage(&meta, offset, &data, checksum) {
                    Ok(staged) => (staged.next_offset, staged.complete),
                    // All is there, and it is not what was sent: from the beginning.
                    Err(StorageError::Damaged(_)) => (0, false),
                    // What had arrived is there, and a piece that had not is wanted again.
                    Err(StorageError::Disk(error)) if error.is_full() => {
                        let there = self.staged()?.filter(|(staged, _)| *staged == meta);
                        let next_offset = there.map_or(0, |(_, end)| end);
                        let answer =
                            Some(Input::SnapshotStaged { meta, next_offset, complete: false });
                        return Ok(Done::Full { error, answer });
                    }
                    Err(error) => return Err(error),
                };
                Input::SnapshotStaged { meta, next_offset, complete }
            }
        }))
    }
}

impl<S: StateMachine> SnapshotDone<S> {
    /// The snapshot, if one was built.
    pub fn built(&self) -> Option<&SnapshotMeta> {
        match &self.0 {
            Done::Built(meta) => Some(meta),
            Done::Input(_) | Done::Loaded(..) | Done::Nothing | Done::Full { .. } => None,
        }
    }

    /// What the system said, if there was no space. It will not be asked again at once by a replica that
    /// hears of it, but by peers, so its driver should let some time pass before it passes this on.
    pub fn full(&self) -> Option<&DiskError> {
        match &self.0 {
            Done::Full { error, .. } => Some(error),
            Done::Input(_) | Done::Built(_) | Done::Loaded(..) | Done::Nothing => None,
        }
    }
}

impl<S: StateMachine> std::fmt::Debug for SnapshotJob<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Job::Build { image, .. } => f.debug_tuple("Build").field(image).finish(),
            Job::Load(meta) => f.debug_tuple("Load").field(&meta.last).finish(),
            Job::Core(command) => command.fmt(f),
            Job::Forget { newest, needed } => {
                f.debug_tuple("Forget").field(&newest.last).field(needed).finish()
            }
            Job::Discard(state) => f.debug_tuple("Discard").field(&state.applied).finish(),
        }
    }
}

impl<S: StateMachine> std::fmt::Debug for SnapshotDone<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Done::Input(input) => input.fmt(f),
            Done::Built(meta) => f.debug_tuple("Built").field(&meta.last).finish(),
            Done::Loaded(meta, _) => f.debug_tuple("Loaded").field(&meta.last).finish(),
            Done::Nothing => f.write_str("Nothing"),
            Done::Full { error, .. } => f.debug_tuple("Full").field(error).finish(),
        }
    }
}
