//! The bench on a whole terminal, and what it leaves behind.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::real::Real;

const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal with a program in it.
struct Terminal {
    keyboard: File,
    /// What the program sees of it.
    inside: OwnedFd,
    shown: Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl Terminal {
    fn start(real: &Real, arguments: &[&str], [columns, rows]: [u16; 2]) -> Self {
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        let name = ptsname(&outside, Vec::new()).unwrap().into_string().unwrap();
        let inside = File::options().read(true).write(true).open(name).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&inside, size).unwrap();
        let client = real.client(arguments);
        // A session of its own makes it the terminal that the keys of it speak to.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(client.get_program()).args(client.get_args());
        command.current_dir(real.dir.path()).env_remove("RAFT_ENDPOINTS");
        for slot in 0..3 {
            let end = Stdio::from(inside.try_clone().unwrap());
            match slot {
                0 => command.stdin(end),
                1 => command.stdout(end),
                _ => command.stderr(end),
            };
        }
        let child = command.spawn().unwrap();
        let keyboard = File::from(outside);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, shown) = sync_channel(1000);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keyboard, inside: inside.into(), shown, seen: String::new(), child }
    }

    /// Reads until this is shown.
    fn await_text(&mut self, wanted: &str) {
        let ends = Instant::now() + PATIENCE;
        while !self.seen.contains(wanted) {
            let piece = self.shown.recv_timeout(ends.saturating_duration_since(Instant::now()));
            let piece = piece.unwrap_or_else(|_| panic!("no {wanted} in {}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    fn press(&mut self, key: &[u8]) {
        self.keyboard.write_all(key).unwrap();
    }

    fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.inside).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Not all who wait for it: the program is another process than this one.
        self.keyboard.write_all(b"\x03\x03").ok();
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A key or a signal ends the run, the report follows, whole, on the first screen, and the terminal is
/// as it was before.
#[test]
fn a_key_ends_the_run_and_the_terminal_is_as_before() {
    let real = Real::start();
    assert!(real.run(&["bench", "--wait", "1m", "-n", "1", "--no-files"]).status.success());
    for (key, size) in [(&b"xq"[..], [40, 10]), (b"\x03", [80, 24])] {
        let load = ["bench", "--tui", "-z", "10m", "-w", "0s", "-c", "2", "--no-files"];
        let mut terminal = Terminal::start(&real, &load, size);
        terminal.await_text("\x1b[?1049h");
        terminal.await_text("op/s");
        assert!(!terminal.echoes(), "nothing is shown of what is typed");
        terminal.press(key);
        terminal.await_text("\x1b[?1049l");
        terminal.await_text("cpu us/op");
        assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
        assert!(terminal.echoes(), "as before");
        let (_, after) = terminal.seen.split_once("\x1b[?1049l").unwrap();
        for part in ["interrupted before its end", "latency ms", "failed 0   unknown 0"] {
            assert!(after.contains(part), "{part} in {after}");
        }
    }
}
