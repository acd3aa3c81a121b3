//! One replica: consensus, write-ahead log, snapshots, sessions, and a state machine.

pub mod disk;
mod error;
mod identity;
mod request;
mod snapshot;
mod state_machine;
mod wal;

pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{Damage, DiskError, LockError, StorageError};
pub use identity::Identity;
pub use request::{Answer, Consistency, Outcome, Refused, Request, RequestKind, SessionHeader};
pub use snapshot::{SnapshotReader, SnapshotStore, Staged, check_snapshot};
pub use state_machine::{Image, StateMachine};
pub use wal::{
    Cut, Durable, PrepareJob, Prepared, Recovered, RecoveryReport, Wal, WalOptions, WalStats,
};
