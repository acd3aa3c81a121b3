//! The shipped state machine: an ordered key-value store, its commands and their encoding.
