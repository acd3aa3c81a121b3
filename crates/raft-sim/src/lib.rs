//! Deterministic simulation: one thread, one seed, the real replicas.
