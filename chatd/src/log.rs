//! The program's log on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging what the filter lets through; an unreadable filter falls back to `info`.
pub fn init(filter: &str) {
    // The driver of RabbitMQ reports every lost connection several times over; its adapter tells it once.
    let quiet = |filter: &str| format!("lapin=off,{filter}");
    let parsed = EnvFilter::try_new(quiet(filter));
    let bad = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new(quiet("info")));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        // It would tell stderr that stderr cannot be written to, and panic over that in the task that logs.
        .log_internal_errors(false)
        .init();
    if let Some(error) = bad {
        tracing::warn!(%error, "unreadable log filter; using info");
    }
}
