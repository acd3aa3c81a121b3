//! Judges histories: linearizability, independent of Raft.
