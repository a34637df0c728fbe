//! What a run sees of the world: streams, environment, time of day, signals; of the process, or made up by a test.
//!
//! Invariant: nothing else in the crate touches the process's streams, environment or signals, or asks what time it is,
//! but a [`crate::screen`], which has the terminal for itself while it is there.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::calendar::Zone;

/// Looks up a variable of the environment.
pub type Environment = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Tells the time of day in Unix milliseconds.
pub type Clock = fn() -> u64;

/// Which streams are terminals.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminals {
    /// A person types the input.
    pub stdin: bool,
    /// A person reads the data.
    pub stdout: bool,
    /// A person reads the messages.
    pub stderr: bool,
    /// Characters in a line of the terminal that shows the data, where it says so.
    pub columns: Option<usize>,
    /// Its lines.
    pub rows: Option<usize>,
    /// The terminal can do nothing but print (`TERM=dumb`).
    pub is_dumb: bool,
}

/// Streams, environment, time of day and the wish to stop.
pub struct Surroundings {
    /// Input.
    pub stdin: Box<dyn Read + Send>,
    /// Where data goes.
    pub stdout: Box<dyn Write + Send>,
    /// Where everything else goes.
    pub stderr: Box<dyn Write + Send>,
    /// Which of them are terminals.
    pub terminals: Terminals,
    /// Variables.
    pub environment: Box<Environment>,
    /// The time of day.
    pub clock: Clock,
    /// Whose clock is shown.
    pub zone: Zone,
    /// Ends when whoever read standard output has gone, also while nothing is written.
    pub reader_gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Ends when the run shall stop: Ctrl-C, SIGTERM, SIGHUP.
    pub interrupt: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let size = window();
        let terminals = Terminals {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
            columns: size.map(|(columns, _)| columns),
            rows: size.map(|(_, lines)| lines),
            is_dumb: std::env::var_os("TERM").is_none_or(|value| value == "dumb" || value.is_empty()),
        };
        Self {
            stdin: Box::new(io::stdin()),
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            terminals,
            environment: Box::new(|name| std::env::var_os(name)),
            clock: system_ms,
            zone: TimeZone::system,
            reader_gone: Box::pin(reader_gone()),
            interrupt: Box::pin(interrupted()),
        }
    }

    /// Streams in memory, the given variables, the system's clock and UTC; never interrupted.
    #[must_use]
    pub fn in_memory(stdin: &[u8], variables: &[(&str, &str)]) -> (Self, Written) {
        let written = Written::default();
        let variables: Vec<(String, OsString)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        let surroundings = Self {
            stdin: Box::new(Cursor::new(stdin.to_vec())),
            stdout: Box::new(written.stdout.clone()),
            stderr: Box::new(written.stderr.clone()),
            terminals: Terminals::default(),
            environment: Box::new(move |name| {
                variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }),
            clock: system_ms,
            zone: || TimeZone::UTC,
            reader_gone: Box::pin(std::future::pending()),
            interrupt: Box::pin(std::future::pending()),
        };
        (surroundings, written)
    }
}

/// Characters in a line and lines of the terminal that is standard output now, where it says so.
#[must_use]
pub fn window() -> Option<(usize, usize)> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, height)| (width.0.into(), height.0.into()))
}

fn system_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// Files a run opens beside its streams: for the runtime and its signals, and a connection.
const FILES: usize = 8;

/// Whether the process may open the files a run needs; the runtime panics without the first of them.
///
/// # Errors
/// What the system says when it may not.
pub fn room_for_files() -> io::Result<()> {
    let opened: io::Result<Vec<File>> = (0..FILES).map(|_| File::open("/dev/null")).collect();
    opened.map(drop)
}

/// Ends at Ctrl-C, when the process is asked to end, or when its terminal goes. Never where no handler can be set: the
/// system's own ends the process there.
async fn interrupted() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    std::future::poll_fn(|cx| match signals.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Ends when a pipe or socket that is standard output has no reader any more; nobody leaves a file. A thread waits for
/// it, which the end of the process ends.
async fn reader_gone() {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let stdout = io::stdout();
        // Errors are told whatever is asked for, and nothing else is.
        let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        while poll(&mut watched, PollTimeout::NONE) == Err(Errno::EINTR) {}
        if watched[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLERR)) {
            // A run that is over needs not be told.
            let _ = tell.send(());
        }
    });
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a run in memory wrote.
#[derive(Debug, Clone, Default)]
pub struct Written {
    stdout: Buffer,
    stderr: Buffer,
}

impl Written {
    /// The data so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// The messages so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }
}

#[derive(Debug, Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
