//! One replica: consensus, write-ahead log, snapshots, sessions, and a state machine.

mod bytes_io;
pub mod disk;
mod envelope;
mod error;
mod identity;
mod jobs;
mod open;
mod replica;
mod request;
mod sessions;
mod snapshot;
mod state;
mod state_machine;
mod status;
mod wal;

pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{Damage, DiskError, LockError, StorageError};
pub use identity::Identity;
pub use jobs::{SnapshotDone, SnapshotJob};
pub use open::{OpenError, OpenReport, Opened, Options, open};
pub use replica::{Replica, Turn};
pub use request::{Answer, Consistency, Outcome, Refused, Request, RequestKind, SessionHeader};
pub use snapshot::{SnapshotReader, SnapshotStore, Staged, check_snapshot};
pub use state_machine::{Image, StateMachine};
pub use status::{PeerStatus, Status};
pub use wal::{
    Cut, Durable, PrepareJob, Prepared, Recovered, RecoveryReport, Wal, WalOptions, WalStats,
};
