//! Bytes into `Node::step`. What they mean is told in `tests/it/onslaught.rs`.
#![no_main]

#[path = "../../tests/it/onslaught.rs"]
mod onslaught;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| onslaught::play(bytes));
