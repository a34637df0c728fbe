//! A terminal for a program under test: a pseudo-terminal, and an emulator that shows what a person would see.
//!
//! Invariant: the program has it as its controlling terminal, so that keys, sizes and signals reach it as from a person.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use crate::node::program;
use crate::wait::{SOON, until};

/// A program on a terminal of its own; killed when dropped.
pub struct Terminal {
    child: Child,
    keys: File,
    ours: File,
    emulator: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts a program of this workspace in a window of so many columns and lines.
    ///
    /// # Panics
    /// When there is no pseudo-terminal, or the program cannot be started.
    pub async fn run(
        name: &'static str,
        line: &[&str],
        variables: &[(&str, &str)],
        size: (u16, u16),
    ) -> Self {
        let path = tokio::task::spawn_blocking(move || program(name)).await.expect("built");
        let (ws_col, ws_row) = size;
        let window = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&window), None).expect("a pseudo-terminal");
        let stream = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(path)
            .args(line)
            .env_clear()
            .envs([("TERM", "xterm-256color"), ("PATH", "/usr/bin:/bin")])
            .envs(variables.iter().copied())
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn();
        let emulator = Arc::new(Mutex::new(vt100::Parser::new(ws_row, ws_col, 0)));
        let shown = emulator.clone();
        let mut master = File::from(master);
        let keys = master.try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = master.read(&mut bytes) {
                shown.lock().process(&bytes[..length]);
            }
        });
        Self { child: child.expect("it starts"), keys, ours: File::from(slave), emulator }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal takes nothing.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("typed");
    }

    /// Gives the window another size.
    ///
    /// # Panics
    /// When it cannot have it.
    pub fn resize(&mut self, columns: u16, lines: u16) {
        self.emulator.lock().screen_mut().set_size(lines, columns);
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let stdin = Stdio::from(self.ours.try_clone().expect("a descriptor"));
        let resized = Command::new("stty").args(["cols", &columns, "rows", &lines]).stdin(stdin).status();
        assert!(resized.expect("stty runs").success());
    }

    /// What stands on it, line by line, without the spaces behind.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let emulator = self.emulator.lock();
        let (_, columns) = emulator.screen().size();
        emulator.screen().rows(0, columns).map(|line| line.trim_end().to_owned()).collect()
    }

    /// Whether some line was too wide, so that the terminal broke it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        let emulator = self.emulator.lock();
        let (lines, _) = emulator.screen().size();
        (0..lines).any(|line| emulator.screen().row_wrapped(line))
    }

    /// Letters that vanish on a light or on a dark ground, with their colours.
    #[must_use]
    pub fn vanishing(&self) -> Vec<String> {
        self.letters(|cell| !can_be_read(cell))
    }

    /// Letters that are coloured, with their colours.
    #[must_use]
    pub fn coloured(&self) -> Vec<String> {
        self.letters(|cell| cell.fgcolor() != vt100::Color::Default)
    }

    fn letters(&self, is_wanted: impl Fn(&vt100::Cell) -> bool) -> Vec<String> {
        let emulator = self.emulator.lock();
        let screen = emulator.screen();
        let (lines, columns) = screen.size();
        let places = (0..lines).flat_map(|line| (0..columns).map(move |column| (line, column)));
        let cells = places.filter_map(|(line, column)| screen.cell(line, column));
        let wanted = cells.filter(|cell| cell.has_contents() && is_wanted(cell));
        wanted
            .map(|cell| format!("{} in {:?} on {:?}", cell.contents(), cell.fgcolor(), cell.bgcolor()))
            .collect()
    }

    /// Whether a view has the whole of it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.emulator.lock().screen().alternate_screen()
    }

    /// Whether nobody sees the cursor.
    #[must_use]
    pub fn hides_cursor(&self) -> bool {
        self.emulator.lock().screen().hide_cursor()
    }

    /// Line and column of the cursor.
    #[must_use]
    pub fn cursor(&self) -> (u16, u16) {
        self.emulator.lock().screen().cursor_position()
    }

    /// Whether what is typed is shown and waits for the end of its line, as a shell wants it.
    ///
    /// # Panics
    /// When the terminal does not say.
    #[must_use]
    pub fn is_as_before(&self) -> bool {
        let stdin = Stdio::from(self.ours.try_clone().expect("a descriptor"));
        let told = Command::new("stty").arg("-a").stdin(stdin).output().expect("stty runs");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let has = |word: &str| told.split_whitespace().any(|known| known == word);
        has("icanon") && has("echo") && has("isig")
    }

    /// Waits until some line has this in it.
    ///
    /// # Panics
    /// When none gets it.
    pub async fn until(&self, text: &str) {
        until(&format!("{text:?} on the terminal"), SOON, async || {
            self.lines().iter().any(|line| line.contains(text))
        })
        .await;
    }

    /// Signals the program.
    ///
    /// # Panics
    /// When it is not there.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it is there");
    }

    /// Waits for its end; gives the exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        until("the program ends", SOON, async || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }
}

/// Whether letters can be read on whatever ground a terminal has: in its own colour, in red and magenta, and in green
/// and cyan unless they are bold, which many show brighter; or both colours are chosen, for each other.
fn can_be_read(cell: &vt100::Cell) -> bool {
    use vt100::Color::{Default, Idx};
    match (cell.fgcolor(), cell.bgcolor()) {
        (Default | Idx(1 | 5), Default) => true,
        (Idx(2 | 6), Default) => !cell.bold(),
        (_, Default) | (Default, _) => false,
        (letters, ground) => letters != ground,
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
