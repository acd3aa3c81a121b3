//! Memory for a store of gigabytes in small pieces.
//!
//! While a snapshot is written, all that is overwritten or removed meanwhile stays. At its end the thread
//! that wrote it gives that back: hundreds of megabytes, a few kilobytes at a time. The system's allocator
//! takes a lock for each, hands the pages on to the kernel, and has the thread that owns the replica wait for
//! both: pauses of 100 ms. This one gives back to a thread without a lock. It would still ask the kernel
//! to take pages back a second later, all at once and from whichever thread comes by, so it is told not to.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The place of `mi_option_purge_delay` among the options, in versions 2 and 3.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps memory that is free for what comes next: a process is as large as it once had to be.
#[expect(unsafe_code, reason = "the allocator's options have no safe interface")]
pub(crate) fn keep() {
    // SAFETY: it takes any number and stores it; nothing else runs yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}
