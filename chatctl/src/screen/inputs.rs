//! What a person types, pastes, and how large the window becomes.
//!
//! Invariant: a paste is one input, whatever is in it: nobody's clipboard presses keys.

use ratatui::crossterm::event::{Event, KeyEvent, KeyEventKind, read};
use tokio::sync::mpsc;

/// Inputs that wait for the view.
const WAITING: usize = 256;

/// Something a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A key went down, or is held.
    Key(KeyEvent),
    /// Text from a clipboard.
    Paste(String),
    /// The window has another size.
    Resized,
}

/// What comes from the terminal; ends when that does. A thread waits for it, which the end of the process ends.
pub fn inputs() -> mpsc::Receiver<Input> {
    let (tell, told) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        while let Ok(event) = read() {
            let input = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => Input::Key(key),
                Event::Paste(text) => Input::Paste(text),
                Event::Resize(..) => Input::Resized,
                _ => continue,
            };
            if tell.blocking_send(input).is_err() {
                return;
            }
        }
    });
    told
}
