//! What Linux tells about processes and sockets under `/proc`.
//!
//! A pid alone does not name a process: the number is used again. A [`Birth`] does.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One line of `/proc/<pid>/stat`, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The process id.
    pub pid: i32,
    /// The name of the program, cut to 15 characters by the kernel.
    pub name: String,
    /// The state letter: `R`, `S`, `T`, `Z`, …
    pub state: char,
    /// The process group.
    pub group: i32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
}

impl Stat {
    /// Reads the line of a process, if there is such a process.
    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// A zombie has ended: only its parent's interest is missing.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// The name stands in parentheses and may itself contain parentheses and blanks.
    fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.rsplit_once(')')?;
        let (pid, name) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        Some(Self {
            pid: pid.trim().parse().ok()?,
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            group: fields.get(2)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Identifies a process for good: its pid, when it started, and in which life of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The process id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// The kernel's random id of this boot.
    pub boot: String,
}

impl Birth {
    /// The identity of the process that has this pid now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        Some(Self { pid, start_ticks: stat.start_ticks, boot: boot_id() })
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| {
            stat.is_alive() && stat.start_ticks == self.start_ticks && self.boot == boot_id()
        })
    }

    /// The living members of the process group that this process opened. The group may outlive the
    /// process, and its number is not used again before it is empty: so if the number names
    /// another process by now, the group is gone.
    ///
    /// Nobody has opened the groups 0 and below: in a signal they stand for other groups, our own first.
    pub fn group_members(&self) -> Vec<i32> {
        let stranger = |stat: &Stat| stat.pid == self.pid && stat.start_ticks != self.start_ticks;
        if self.pid <= 1
            || self.boot != boot_id()
            || Stat::of(self.pid).is_some_and(|stat| stranger(&stat))
        {
            return Vec::new();
        }
        let all = pids().filter_map(Stat::of);
        all.filter(|stat| stat.group == self.pid && stat.is_alive()).map(|stat| stat.pid).collect()
    }
}

/// The process that listens on a TCP port of this machine, if it may be seen.
pub fn listener_on(port: u16) -> Option<Stat> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables.iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().find_map(|line| listening_inode(line, port)).map(str::to_owned)
    })?;
    let socket = format!("socket:[{inode}]");
    pids().find(|&pid| holds(pid, &socket)).and_then(Stat::of)
}

/// The socket whose own end of a TCP connection is at this address, by its number in the kernel. `None` if
/// it is gone already.
pub fn inode_of(own_end: std::net::SocketAddr) -> Option<String> {
    let std::net::SocketAddr::V4(own_end) = own_end else { return None };
    // As the kernel shows it: the bytes of the address as a number of this machine.
    let address = u32::from_ne_bytes(own_end.ip().octets());
    let shown = format!("{address:08X}:{:04X}", own_end.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        (fields.next()? == shown).then(|| fields.nth(7)).flatten()
    });
    inode.filter(|inode| *inode != "0").map(str::to_owned)
}

/// Whether a process has this socket.
pub fn holds_socket(pid: i32, inode: &str) -> bool {
    holds(pid, &format!("socket:[{inode}]"))
}

/// How many files a process has open.
pub fn open_files(pid: i32) -> u64 {
    let count = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// How many files a process may have open: the soft and the hard limit.
pub fn file_limit(pid: i32) -> Option<(u64, u64)> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let number = |text: &str| if text == "unlimited" { Some(u64::MAX) } else { text.parse().ok() };
    let mut fields = line.split_whitespace();
    Some((number(fields.next()?)?, number(fields.next()?)?))
}

/// Sets how many files a process of ours may have open, and returns the limits before.
pub fn set_file_limit(pid: i32, (soft, hard): (u64, u64)) -> Option<(u64, u64)> {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let value = |limit: u64| if limit == u64::MAX { None } else { Some(limit) };
    let new = Rlimit { current: value(soft), maximum: value(hard) };
    let old = prlimit(Pid::from_raw(pid), Resource::Nofile, new).ok()?;
    Some((old.current.unwrap_or(u64::MAX), old.maximum.unwrap_or(u64::MAX)))
}

/// Allows a process of ours so many open files and no more, the hard limit left as it is.
pub fn limit_files(pid: i32, soft: u64) -> Option<(u64, u64)> {
    let (_, hard) = file_limit(pid)?;
    set_file_limit(pid, (soft, hard))
}

/// Whether a signal was ignored when this process started, as `nohup` does with SIGHUP.
pub fn ignores_signal(number: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn holds(pid: i32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link == Path::new(socket))
}

/// The inode in a line of `/proc/net/tcp` if that socket listens (state 0A) on the port.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == "0A" && u16::from_str_radix(local_port, 16) == Ok(port);
    listens.then(|| fields.get(9).copied()).flatten()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "41 (a) b (c) S 7 39 39 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (41, "a) b (c", 'S'));
        assert_eq!((stat.group, stat.start_ticks), (39, 98765));
    }

    #[test]
    fn this_process_is_alive_and_a_later_namesake_is_not_it() {
        let me = Birth::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive());
        let namesake = Birth { start_ticks: me.start_ticks + 1, ..me };
        assert!(!namesake.is_alive());
        assert_eq!(namesake.group_members(), Vec::<i32>::new());
    }

    /// A signal to group 0 would end this program, and whoever shares its group.
    #[test]
    fn a_damaged_file_names_no_group_to_be_ended() {
        for pid in [1, 0, -1, i32::MIN] {
            let birth = Birth { pid, start_ticks: 1, boot: boot_id() };
            assert_eq!(birth.group_members(), Vec::<i32>::new(), "{pid}");
            assert!(!birth.is_alive() || pid == 1);
        }
    }

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = listener_on(port).unwrap();
        assert_eq!(holder.pid, i32::try_from(std::process::id()).unwrap());
    }

    #[test]
    fn a_connection_is_found_by_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_accepted, from) = listener.accept().unwrap();
        let inode = inode_of(from).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(holds_socket(me, &inode) && !holds_socket(me, "1"));
        let gone = stream.local_addr().unwrap();
        drop(stream);
        assert!(inode_of(gone).is_none_or(|other| !holds_socket(me, &other)));
    }
}
