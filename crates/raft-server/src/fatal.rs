//! The end of a process that may not go on.

use std::fmt::Display;

use crate::recording;

/// Says why and ends the process at once. After an error of the disk nothing may be acknowledged,
/// retried or tidied up: what one fsync failed to write is gone, whatever the next one says. A
/// restart reads what is really there.
#[expect(clippy::exit, reason = "going on would risk acknowledging what is not durable")]
pub(crate) fn end(what: impl Display) -> ! {
    tracing::error!("{what}; the process ends");
    recording::flush_last_words();
    std::process::exit(1)
}

/// Makes a panic on any thread and in any task the end of the process: a broken invariant stops the
/// node, and half a node is worse than none.
pub fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        recording::flush_last_words();
        std::process::abort();
    }));
}
