//! What a person at the terminal sees while the run goes on.
//!
//! Invariant: on stderr, and only when that is a terminal and nobody asked for silence.

use std::io::IsTerminal;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::args::CommonArgs;
use crate::phases::progress::Progress;

/// A line that changes.
#[derive(Debug)]
struct Line(ProgressBar);

/// Visible or not, as the options and the terminal say.
pub fn of(args: &CommonArgs) -> Arc<dyn Progress> {
    if args.quiet || args.no_progress || !std::io::stderr().is_terminal() {
        return Arc::new(());
    }
    Arc::new(Line(ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5))))
}

impl Progress for Line {
    fn is_seen(&self) -> bool {
        !self.0.is_hidden()
    }

    fn part(&self, name: &'static str, total: u64) {
        let style = ProgressStyle::with_template("{prefix:>10} {bar:12} {pos}/{len} {wide_msg}");
        if let Ok(style) = style {
            self.0.set_style(style);
        }
        self.0.set_prefix(name);
        self.0.set_message("");
        self.0.set_length(total);
        self.0.set_position(0);
    }

    fn at(&self, position: u64, message: String) {
        self.0.set_position(position);
        self.0.set_message(message);
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}
