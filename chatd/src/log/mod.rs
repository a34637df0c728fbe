//! The program's log on stderr.
//!
//! Invariant: whoever logs never waits. A line is put into a bounded [`queue`] and written by a thread of its own;
//! what does not fit is dropped and counted. Repeated lines are [`gather`]ed before they are written out. What is said
//! of a connection stands in fields of its line, because a span that lives as long as the connection costs memory for
//! each; spans are for debugging.

mod form;
mod gather;
mod queue;

use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

pub use self::form::Form;
use self::gather::Gather;
use self::queue::{Line, Queue};

/// Target of the lines that tell of one connection each: log-ins and ends.
pub const CONNECTION: &str = "chatd::connection";

/// How long repeated lines are counted before the count is written.
const WINDOW: Duration = Duration::from_secs(10);
/// How long the end of the program waits for a reader of stderr.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the process has; tracing keeps one for the whole process too.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();
static GATHER: OnceLock<Gather> = OnceLock::new();

/// What is logged, to be changed.
static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// What is to be logged.
#[derive(Debug)]
pub struct Filter(EnvFilter);

impl Filter {
    /// Reads a level or directives.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(text: &str) -> Result<Self, String> {
        EnvFilter::try_new(own(text)).map(Self).map_err(|error| error.to_string())
    }
}

/// Logs what this lets through from now on.
pub fn refilter(Filter(filter): Filter) {
    if let Some(Err(error)) = FILTER.get().map(|known| known.reload(filter)) {
        tracing::error!(%error, "the log filter stays as it was");
    }
}

/// Starts logging what the filter lets through; an unreadable filter falls back to `info`. Panics are logged from now
/// on too. Once a process.
pub fn init(filter: &str, form: Form) {
    let parsed = Filter::parse(filter);
    let bad = parsed.as_ref().err().cloned();
    let filter = parsed.map_or_else(|_| EnvFilter::new(own("info")), |Filter(filter)| filter);
    let (filter, handle) = reload::Layer::new(filter);
    let _ = FILTER.set(handle);
    let (queue, gather) = (QUEUE.get_or_init(Arc::default), GATHER.get_or_init(|| Gather::new(form)));
    let (lines, repeats) = (queue.clone(), gather.clone());
    let writer = std::thread::Builder::new().name("log".to_owned());
    if writer.spawn(move || lines.run(std::io::stderr(), &repeats, WINDOW)).is_err() {
        // Without the thread nothing is ever written; the program itself can do its work.
        queue.end(Duration::ZERO);
    }
    let lines = queue.clone();
    let shown = layer().with_writer(move || Line::new(lines.clone(), form));
    let shown = match form {
        Form::Text => shown.with_ansi(std::io::stderr().is_terminal()).with_filter(gather.clone()).boxed(),
        Form::Json => shown.json().with_current_span(false).with_filter(gather.clone()).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(shown).init();
    std::panic::set_hook(Box::new(panicked));
    if let Some(error) = bad {
        tracing::warn!(%error, "unreadable log filter; using info");
    }
}

/// The filter in which a plain level is meant for chatd itself: other crates speak of what chatd tells in its own words,
/// or of each of their steps, and are heard when a directive names them.
fn own(filter: &str) -> String {
    let directive = |part: &str| match part.parse::<LevelFilter>() {
        Ok(level) => format!("{}={level}", env!("CARGO_CRATE_NAME")),
        Err(_) => part.to_owned(),
    };
    filter.split(',').map(str::trim).map(directive).collect::<Vec<_>>().join(",")
}

/// Milliseconds to the microsecond, as a field of a line.
#[must_use]
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
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

/// Writes a plain line, as it is where lines are text, behind what was logged before it.
pub fn say(level: Level, line: &str) {
    let form = GATHER.get().map_or_else(Form::default, Gather::form);
    let line = form.plain(level, line);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_level_is_for_chatd_and_directives_can_name_others() {
        for (given, own_filter) in [
            ("info", "chatd=info"),
            ("TRACE", "chatd=trace"),
            (" warn , redis=debug", "chatd=warn,redis=debug"),
            ("debug,chatd::connection=off,hyper", "chatd=debug,chatd::connection=off,hyper"),
            ("off", "chatd=off"),
        ] {
            assert_eq!(own(given), own_filter);
            assert!(EnvFilter::try_new(own(given)).is_ok(), "{given}");
        }
    }
}
