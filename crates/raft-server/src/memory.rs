//! Memory for a store of gigabytes in small pieces.
//!
//! While a snapshot is written, all that is overwritten or removed meanwhile stays. At its end the thread
//! that wrote it gives that back: hundreds of megabytes, a few kilobytes at a time. The system's allocator
//! takes a lock for each, hands the pages on to the kernel, and has the thread that owns the replica wait for
//! both: pauses of 100 ms. This one gives back to a thread without a lock. It would still ask the kernel
//! to take pages back a second later, all at once and from whichever thread comes by, so it is told not to.
//!
//! It also wants huge pages. They spare a large state many page faults; a small process they only make
//! larger, by two megabytes for each kind of thing it has, and each is zeroed at once by whoever first
//! comes there. So the first part of the memory is in small pages, and what is beyond it in huge ones.

use rustix::mm::{Advice, madvise};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The place of `mi_option_purge_delay` among the options, in versions 2 and 3.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Bytes of memory in small pages, from where the allocator begins.
const SMALL_PAGES: usize = 256 << 20;

/// Where huge pages begin: at multiples of this.
const HUGE_PAGE: usize = 2 << 20;

/// Keeps memory that is free for what comes next: a process is as large as it once had to be.
#[expect(unsafe_code, reason = "the allocator's options have no safe interface")]
pub(crate) fn keep() {
    // SAFETY: it takes any number and stores it; nothing else runs yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}

/// Has no huge pages until there is much to keep. Where they are is a matter of speed: failing is nothing.
#[expect(unsafe_code, reason = "what is said of pages has no safe interface")]
pub(crate) fn begin_small() {
    // The allocator's first gigabyte is there already, and filled from its beginning.
    let first = Box::new(0_u8);
    let first = std::ptr::from_ref(first.as_ref());
    let begin = first.wrapping_byte_sub(first.addr() % HUGE_PAGE).cast_mut().cast();
    // SAFETY: this advice changes no memory, whoever it belongs to, and what is not mapped is left out.
    let _as_far_as_it_went = unsafe { madvise(begin, SMALL_PAGES, Advice::LinuxNoHugepage) };
}
