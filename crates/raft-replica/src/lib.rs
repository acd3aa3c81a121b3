//! One replica: consensus, write-ahead log, snapshots, sessions, and a state machine.
//!
//! This is where it is decided what is durable before what is said. [`open()`] turns a data directory
//! into a [`Replica`] and its two hands, the [`Wal`] and the [`SnapshotStore`]; a driver moves what
//! they have for each other, and brings time and messages:
//!
//! * [`Replica::take`] gives a [`Turn`]. Its messages leave at once; its persist goes to the log.
//! * [`Wal::run`] makes any number of persists durable with one write and one sync, and hands out
//!   the messages that had to wait for it. Then [`Replica::persisted`] is told.
//! * [`SnapshotStore`] does the snapshot jobs beside it, in order; [`Replica::snapshot_done`] is told.
//! * Any error of these two is final: nothing more may be acknowledged, and the process ends.
//!
//! Nothing here knows keys or values: the replicated thing is any [`StateMachine`]. Around it stands
//! what every one needs: sessions that make a retried write apply once, and a rolling hash by which
//! replicas are compared. There are no threads and no clock, and files are touched through
//! [`Disk`] alone, so that a simulator can drive this very code.

mod bytes_io;
mod cadence;
mod check;
pub mod disk;
mod envelope;
mod error;
mod identity;
mod jobs;
mod open;
mod recording;
mod refound;
mod replica;
mod request;
mod sessions;
mod snapshot;
mod state;
mod state_machine;
mod status;
mod survey;
mod wal;

pub use check::Divergence;
pub use disk::{Disk, DiskFile, ReadOnlyDisk, RealDisk};
pub use error::{Damage, DiskError, LockError, StorageError};
pub use identity::Identity;
pub use jobs::{SnapshotDone, SnapshotJob};
pub use open::{OpenError, OpenReport, Opened, Options, open};
pub use recording::RecordSink;
pub use refound::{NewCluster, RefoundError, Refounded, refound};
pub use replica::{Replica, Turn};
pub use request::{Answer, Consistency, Outcome, Refused, Request, RequestKind, SessionHeader};
pub use snapshot::{SnapshotReader, SnapshotStore, Staged, check_snapshot};
pub use state_machine::{Image, Invalid, StateMachine};
pub use status::{PeerStatus, Status};
pub use survey::{EntryContent, EntrySurvey, SnapshotSurvey, Survey, survey};
pub use wal::survey::{LogSurvey, SegmentSurvey};
pub use wal::{
    Cut, Durable, PrepareJob, Prepared, Recovered, RecoveryReport, Wal, WalOptions, WalStats,
};
