//! What a person at the terminal sees while the run goes on.
//!
//! Invariant: on stderr, and only when that is a terminal and nobody asked for silence.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::CommonArgs;

/// A line that changes.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Visible or not, as the options and the terminal say.
    pub fn new(args: &CommonArgs) -> Self {
        let visible = !args.quiet && !args.no_progress && std::io::stderr().is_terminal();
        let target =
            if visible { ProgressDrawTarget::stderr_with_hz(5) } else { ProgressDrawTarget::hidden() };
        Self(ProgressBar::with_draw_target(Some(0), target))
    }

    /// Begins a part that ends at `total`.
    pub fn part(&self, name: &'static str, total: u64) {
        let style = ProgressStyle::with_template("{prefix:>10} {bar:12} {pos}/{len} {wide_msg}");
        if let Ok(style) = style {
            self.0.set_style(style);
        }
        self.0.set_prefix(name);
        self.0.set_message("");
        self.0.set_length(total);
        self.0.set_position(0);
    }

    /// How far the part is.
    pub fn at(&self, position: u64, message: impl Into<String>) {
        if !self.0.is_hidden() {
            self.0.set_position(position);
            self.0.set_message(message.into());
        }
    }

    /// A part measured in time.
    pub fn at_time(&self, elapsed: Duration, message: impl FnOnce() -> String) {
        if !self.0.is_hidden() {
            self.at(elapsed.as_secs(), message());
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}
