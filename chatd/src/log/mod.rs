//! The program's log on stderr.
//!
//! Invariant: whoever logs never waits. A line is put into a bounded [`queue`] and written by a thread of its own;
//! what does not fit is dropped and counted. Repeated lines are [`gather`]ed before they are written out.

mod gather;
mod queue;

use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use self::gather::Gather;
use self::queue::{Line, Queue};

/// How long repeated lines are counted before the count is written.
const WINDOW: Duration = Duration::from_secs(10);
/// How long the end of the program waits for a reader of stderr.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the process has; tracing keeps one for the whole process too.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();
static GATHER: OnceLock<Gather> = OnceLock::new();

/// Starts logging what the filter lets through; an unreadable filter falls back to `info`. Panics are logged from now
/// on too. Once a process.
pub fn init(filter: &str) {
    // The driver of RabbitMQ reports every lost connection several times over; its adapter tells it once.
    let quiet = |filter: &str| format!("lapin=off,{filter}");
    let parsed = EnvFilter::try_new(quiet(filter));
    let bad = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new(quiet("info")));
    let (queue, gather) = (QUEUE.get_or_init(Arc::default), GATHER.get_or_init(Gather::default));
    let (lines, repeats) = (queue.clone(), gather.clone());
    let writer = std::thread::Builder::new().name("log".to_owned());
    if writer.spawn(move || lines.run(std::io::stderr(), &repeats, WINDOW)).is_err() {
        // Without the thread nothing is ever written; the program itself can do its work.
        queue.end(Duration::ZERO);
    }
    let shown = layer()
        .with_writer({
            let queue = queue.clone();
            move || Line(queue.clone())
        })
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(gather.clone());
    tracing_subscriber::registry().with(filter).with(shown).init();
    std::panic::set_hook(Box::new(panicked));
    if let Some(error) = bad {
        tracing::warn!(%error, "unreadable log filter; using info");
    }
}

/// The usual hook writes to stderr itself, and waits for whoever reads that.
fn panicked(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let trace = std::backtrace::Backtrace::capture();
    let trace = match trace.status() {
        std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    tracing::error!(thread = thread.name().unwrap_or("unnamed"), "{info}{trace}");
}

/// Writes a plain line as it is, behind what was logged before it.
pub fn say(line: &str) {
    let line = format!("{line}\n");
    match QUEUE.get() {
        Some(queue) => queue.put(line.as_bytes()),
        // Nothing is served yet.
        None => _ = std::io::stderr().write_all(line.as_bytes()),
    }
}

/// Writes out what is queued and the counts of repeated lines, unless nobody reads for [`FAREWELL`]. Nothing is logged
/// after it.
pub fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.end(FAREWELL);
    }
}

/// Lines that were lost because nobody read stderr, since the start.
#[must_use]
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.dropped())
}

/// Lines that were counted instead of being written, since the start.
#[must_use]
pub fn gathered() -> u64 {
    GATHER.get().map_or(0, Gather::gathered)
}
