//! What is pressed while the whole screen shows a run.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::io::unix::AsyncFd;

/// The keyboard: nothing that is typed is shown. Gives the terminal its ways back when it goes.
pub(super) struct Keys {
    tty: AsyncFd<File>,
    restore: Restore,
}

/// How the terminal was.
pub(super) struct Restore {
    tty: File,
    before: Termios,
}

impl Restore {
    /// What was typed and not read goes with it: it was meant for the screen.
    pub(super) fn restore(&self) {
        tcsetattr(&self.tty, OptionalActions::Flush, &self.before).ok();
    }
}

impl Keys {
    /// `None` where there is nobody to press a key: without a terminal, or in the background.
    pub(super) fn open() -> Option<Self> {
        // Opened anew: not to wait is a property of what was opened, and standard input is shared.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
        let tty = File::options().read(true).custom_flags(flags).open("/dev/tty").ok()?;
        if tcgetpgrp(&tty).ok()? != rustix::process::getpgrp() {
            return None;
        }
        let before = tcgetattr(&tty).ok()?;
        let restore = Restore { tty: tty.try_clone().ok()?, before: before.clone() };
        #[expect(deprecated, reason = "an owned descriptor stays what it is until it is dropped")]
        let keys = Self { tty: AsyncFd::new(tty).ok()?, restore };
        let mut silent = before;
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
        // Who is stopped or killed by a key leaves the screen as it is; 0 is no key.
        for code in [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT] {
            silent.special_codes[code] = 0;
        }
        tcsetattr(&keys.restore.tty, OptionalActions::Now, &silent).ok()?;
        Some(keys)
    }

    /// To be kept where a panic finds it.
    pub(super) fn restore(&self) -> Option<Restore> {
        let Restore { tty, before } = &self.restore;
        Some(Restore { tty: tty.try_clone().ok()?, before: before.clone() })
    }

    /// Returns when `q` is pressed.
    pub(super) async fn quit(&self) {
        loop {
            let Ok(mut ready) = self.tty.readable().await else { break };
            let mut pressed = [0; 64];
            match ready.try_io(|tty| tty.get_ref().read(&mut pressed)) {
                Ok(Ok(0) | Err(_)) => break, // The terminal is gone, and a signal says so.
                Ok(Ok(count)) if pressed[..count].contains(&b'q') => return,
                Ok(Ok(_)) | Err(_) => (),
            }
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.restore.restore();
    }
}
