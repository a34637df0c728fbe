//! What a person sees of a command: findings on stdout, notes on stderr.
//!
//! Invariant: what a server says does not reach a terminal as it is.

use std::io::{ErrorKind, Write};

use chat_client::escape::escape_lines;
use chatbench_result::fold::folded;

/// Where a reader looks.
pub struct Screen<'a> {
    /// Findings.
    pub out: &'a mut (dyn Write + Send),
    /// What happens meanwhile.
    pub err: &'a mut (dyn Write + Send),
    /// Whether a finding could not be written.
    pub untold: bool,
}

impl Screen<'_> {
    /// Writes a finding. That it cannot be written stops nothing, and is noted; a reader who has seen enough and gone
    /// is no failure.
    pub fn tell(&mut self, text: &str) {
        let written = self.out.write_all(escape_lines(text).as_bytes()).and_then(|()| self.out.flush());
        if let Err(error) = written
            && error.kind() != ErrorKind::BrokenPipe
        {
            self.untold = true;
            self.note(&format!("the findings cannot be written to stdout: {error}"));
        }
    }

    /// Notes how a round came out, in lines as wide as a terminal.
    pub fn note_round(&mut self, text: &str) {
        let _ = self.err.write_all(folded("chatbench: ", 13, &escape_lines(text)).as_bytes());
    }

    /// Notes what happens; nobody needs to see it.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "chatbench: {}", escape_lines(text));
    }
}
