//! The socket that orders come by.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::{Answer, Order};
use crate::exit::{Code, Failure};
use crate::home::Home;

/// An order is shorter than this.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Who connects speaks soon, and who asked reads the answer soon.
const SPEAK_MAX: Duration = Duration::from_secs(10);
/// So many may be connected at once; others wait.
const CONNECTIONS_MAX: usize = 16;
/// Whoever asks waits for an answer no longer than this: nodes may take their grace to end, and a
/// cluster its time to get ready.
const ANSWER_MAX: Duration = Duration::from_mins(5);

/// Where orders come in.
#[derive(Debug)]
pub(crate) struct Orders {
    listener: UnixListener,
    path: PathBuf,
    reading: FuturesUnordered<BoxFuture<'static, Option<(String, Connection)>>>,
}

type Connection = BufReader<UnixStream>;

/// An order, and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Or what is wrong with it.
    pub(crate) order: Result<Order, String>,
    connection: Connection,
}

impl Orders {
    /// Listens in a cluster's folder, which must be locked by us. A socket that somebody left behind
    /// is removed.
    pub(crate) fn listen(home: &Home) -> io::Result<Self> {
        let path = home.socket();
        remove_stale(&path)?;
        // Nobody else may connect, from the first moment on: it gets its name after its mode.
        let fresh = path.with_extension("new");
        remove_stale(&fresh)?;
        let listener = at_short_path(&fresh, |path| UnixListener::bind(path))?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        fs::rename(&fresh, &path)?;
        Ok(Self { listener, path, reading: FuturesUnordered::new() })
    }

    /// The next order. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Asked {
        loop {
            let room = self.reading.len() < CONNECTIONS_MAX;
            tokio::select! {
                accepted = self.listener.accept(), if room => match accepted {
                    Ok((stream, _)) => self.read_from(BufReader::new(stream)),
                    Err(error) => {
                        tracing::warn!(%error, "could not take a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(read) = self.reading.next(), if !self.reading.is_empty() => {
                    let Some((line, connection)) = read else { continue };
                    let order = serde_json::from_str(&line);
                    let order = order.map_err(|error| format!("this is no order: {error}"));
                    return Asked { order, connection };
                }
            }
        }
    }

    fn read_from(&self, mut connection: Connection) {
        self.reading.push(Box::pin(async move {
            let mut line = String::new();
            let mut limited = (&mut connection).take(LINE_BYTES_MAX);
            let read = timeout(SPEAK_MAX, limited.read_line(&mut line)).await;
            let whole = matches!(read, Ok(Ok(1..))) && line.ends_with('\n');
            whole.then_some((line, connection))
        }));
    }

    /// Answers, and listens to what else may come from there.
    pub(crate) async fn answer(&self, asked: Asked, answer: &Answer) {
        let mut line = serde_json::to_string(answer).expect("plain data becomes JSON");
        line.push('\n');
        let mut connection = asked.connection;
        let sent = connection.get_mut().write_all(line.as_bytes());
        // Whoever does not wait for the answer does not want it.
        if let Ok(Ok(())) = timeout(SPEAK_MAX, sent).await {
            self.read_from(connection);
        }
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "could not remove the socket");
        }
    }
}

/// Removes a socket that nobody listens on, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let other = |what: &str| {
        let text = format!("{} {what}", path.display());
        io::Error::new(io::ErrorKind::AlreadyExists, text)
    };
    if !found.file_type().is_socket() {
        return Err(other("is there and is no socket"));
    }
    if at_short_path(path, |path| Probe::connect(path)).is_ok() {
        return Err(other("is in use"));
    }
    fs::remove_file(path)
}

/// The system takes no path of a socket that is longer than about a hundred bytes. A long one is
/// reached through its open folder.
fn at_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    const PATH_BYTES_MAX: usize = 100;
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return act(path);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return act(path) };
    let dir = File::open(dir)?;
    act(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}

/// Asks the runner of a cluster to do something.
pub(crate) async fn ask(home: &Home, cluster: &str, order: &Order) -> Result<Answer, Failure> {
    let connected = at_short_path(&home.socket(), |path| Probe::connect(path));
    let stream = connected.map_err(|_nobody| nobody(home, cluster))?;
    let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
    let stream = stream.map_err(anyhow::Error::from)?;
    let mut line = serde_json::to_string(order).map_err(anyhow::Error::from)?;
    line.push('\n');
    let talk = async {
        let mut connection = BufReader::new(stream);
        connection.get_mut().write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_line(&mut answer).await.map(|_bytes| answer)
    };
    let gone = |what: &str| Failure::new(Code::NotReady, format!("the runner {what}"));
    match timeout(ANSWER_MAX, talk).await {
        Ok(Ok(answer)) if answer.ends_with('\n') => {
            let read = serde_json::from_str(&answer);
            read.map_err(|_other| gone("answers in another way: is it of another version?"))
        }
        Ok(_) => Err(gone("ended before it answered")),
        Err(_elapsed) => Err(gone("does not answer")),
    }
}

fn nobody(home: &Home, cluster: &str) -> Failure {
    let runner = home.state().map(|state| state.runner).filter(crate::procfs::Birth::is_alive);
    match runner {
        Some(runner) => Failure::new(
            Code::NotReady,
            format!("process {} runs cluster {cluster} and takes no orders", runner.pid),
        )
        .hint("clusters that `chaos-ctl up` runs do"),
        None => Failure::new(Code::NotReady, format!("nothing runs for cluster {cluster}"))
            .hint("start it with `chaos-ctl up`, or name another one with -f FILE"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as Blocking;

    use super::*;
    use crate::control::Scope;

    const HEAL: Order = Order::Heal { what: Scope::All };

    fn in_runtime<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    /// An order goes there and an answer comes back, in a folder with this name.
    async fn exchange(dir: &Path) {
        let home = Home::at(dir);
        let mut orders = Orders::listen(&home).unwrap();
        let mode = fs::metadata(home.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let done = Answer::Done { lines: vec!["healed".to_owned()] };
        let serve = async {
            let asked = orders.next().await;
            assert_eq!(asked.order, Ok(HEAL));
            orders.answer(asked, &done).await;
        };
        let (answer, ()) = tokio::join!(ask(&home, "test", &HEAL), serve);
        assert_eq!(answer.unwrap(), done);
        drop(orders);
        assert!(!home.socket().exists());
    }

    #[test]
    fn orders_come_by_however_long_the_path_is() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        in_runtime(exchange(dir.path()));
        in_runtime(exchange(&deep));
    }

    #[test]
    fn a_stale_socket_is_removed_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        drop(Blocking::bind(home.socket()).unwrap());
        assert!(home.socket().exists(), "a closed socket leaves its name behind");
        in_runtime(async {
            let failure = ask(&home, "test", &HEAL).await.unwrap_err();
            assert_eq!(failure.code, Code::NotReady);
            assert_eq!(failure.error.to_string(), "nothing runs for cluster test");
            drop(Orders::listen(&home).unwrap());

            let other = Blocking::bind(home.socket()).unwrap();
            let error = Orders::listen(&home).unwrap_err();
            assert!(error.to_string().ends_with("is in use"), "{error}");
            drop(other);
            fs::remove_file(home.socket()).unwrap();
            fs::write(home.socket(), "mine").unwrap();
            let error = Orders::listen(&home).unwrap_err();
            assert!(error.to_string().ends_with("is no socket"), "{error}");
        });
        assert_eq!(fs::read_to_string(home.socket()).unwrap(), "mine");
    }

    #[test]
    fn what_is_no_order_is_told_and_the_next_one_is_heard() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        in_runtime(async {
            let mut orders = Orders::listen(&home).unwrap();
            let stream = UnixStream::connect(home.socket()).await.unwrap();
            let mut connection = BufReader::new(stream);
            connection.get_mut().write_all(b"{\"order\":\"dance\"}\n").await.unwrap();
            let asked = orders.next().await;
            let wrong = asked.order.clone().unwrap_err();
            assert!(wrong.starts_with("this is no order"), "{wrong}");
            let refused = Answer::Refused { why: wrong, hint: None };
            orders.answer(asked, &refused).await;
            let mut line = String::new();
            connection.read_line(&mut line).await.unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), refused);
            let heal = serde_json::to_string(&HEAL).unwrap();
            connection.get_mut().write_all(format!("{heal}\n").as_bytes()).await.unwrap();
            assert_eq!(orders.next().await.order, Ok(HEAL));
        });
    }
}
