//! The terminal while a view has all of it: taken over, drawn on, given back as it was.
//!
//! Invariant: however a view ends (a key, a signal, a panic, a terminal that goes away), the terminal gets its lines,
//! its cursor and its own screen back.

mod inputs;

use std::io::{self, BufWriter, Write};
use std::sync::Once;

use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use crate::console::Console;
use crate::failure::Failure;
use crate::operator::Operator;

pub use inputs::{Input, inputs};

type Backend<'a> = CrosstermBackend<BufWriter<Out<'a>>>;

/// A terminal taken over, until dropped.
pub struct Screen<'a> {
    terminal: ratatui::Terminal<Backend<'a>>,
}

/// Standard output, as the console has it.
struct Out<'a>(&'a Console);

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.raw(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Screen<'a> {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When it is none, or cannot be.
    pub fn take(operator: &'a Operator) -> Result<Self, Failure> {
        restore_before_panics();
        let taken = || -> io::Result<Self> {
            enable_raw_mode()?;
            // Given back from here on, should the rest fail.
            let mut out = BufWriter::with_capacity(1 << 16, Out(&operator.console));
            execute!(out, EnterAlternateScreen, EnableBracketedPaste).inspect_err(|_| restore())?;
            let terminal = ratatui::Terminal::new(CrosstermBackend::new(out));
            terminal.map(|terminal| Self { terminal }).inspect_err(|_| restore())
        };
        taken().map_err(|error| Failure::Undone(format!("cannot take the terminal over: {error}")))
    }

    /// Draws what has changed.
    ///
    /// # Errors
    /// [`Failure::Output`] when the terminal is gone.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        self.terminal.draw(view).map(drop).map_err(Failure::Output)
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. Nothing is left to be done where that fails: it is gone.
fn restore() {
    let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// What a panic says would be drawn over, and go with the screen it was written to.
fn restore_before_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            told(panic);
        }));
    });
}
