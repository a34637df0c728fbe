//! Lines on their way to stderr.
//!
//! Invariant: putting a line in never waits for whoever reads the log; the queue holds at most [`MAX_BYTES`], and every
//! line that does not get out is counted.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::form::Form;
use super::gather::Gather;

/// Bytes that wait for a reader of stderr at most.
const MAX_BYTES: usize = 1024 * 1024;

/// Lines that wait for stderr.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines lost that the log does not tell of yet.
    untold: u64,
    ending: bool,
    ended: bool,
}

impl Queue {
    /// Takes a line, or counts it as lost.
    pub(super) fn put(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.ended || state.bytes + line.len() > MAX_BYTES {
            state.untold += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        drop(state);
        self.changed.notify_all();
    }

    /// Lines lost since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Asks [`Queue::run`] to write what is left and waits for it so long.
    pub(super) fn end(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        state.ending = true;
        self.changed.notify_all();
        while !state.ended && !self.changed.wait_until(&mut state, deadline).timed_out() {}
        state.ended = true;
    }

    /// Writes until [`Queue::end`], and every `window` what `gather` has counted.
    pub(super) fn run(&self, mut out: impl Write, gather: &Gather, window: Duration) {
        let mut window_ends = None;
        loop {
            let (lines, ending) = self.take(window_ends);
            lines.iter().for_each(|line| self.write(&mut out, line));
            if ending || window_ends.is_some_and(|ends| ends <= Instant::now()) {
                gather.sum_up(window).iter().for_each(|line| self.write(&mut out, line.as_bytes()));
                window_ends = None;
            }
            self.tell_dropped(&mut out, gather.form());
            if ending {
                self.state.lock().ended = true;
                self.changed.notify_all();
                return;
            }
            if window_ends.is_none() && !gather.is_empty() {
                window_ends = Some(Instant::now() + window);
            }
        }
    }

    /// Waits for lines, for the end, or until `deadline`.
    fn take(&self, deadline: Option<Instant>) -> (VecDeque<Vec<u8>>, bool) {
        let mut state = self.state.lock();
        while state.lines.is_empty() && !state.ending {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.bytes = 0;
        (std::mem::take(&mut state.lines), state.ending)
    }

    fn write(&self, out: &mut impl Write, line: &[u8]) {
        if out.write_all(line).is_err() {
            self.state.lock().untold += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell_dropped(&self, out: &mut impl Write, form: Form) {
        let untold = std::mem::take(&mut self.state.lock().untold);
        if untold == 0 {
            return;
        }
        let text = format!("{untold} lines were lost, because nobody read the log");
        if out.write_all(form.stamped(tracing::Level::WARN, module_path!(), &text).as_bytes()).is_err() {
            self.state.lock().untold += untold;
        }
    }
}

/// Takes what is written as one line.
pub(super) struct Line {
    queue: Arc<Queue>,
    form: Form,
}

impl Line {
    /// A line for this queue.
    pub(super) fn new(queue: Arc<Queue>, form: Form) -> Self {
        Self { queue, form }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.queue.put(&self.form.event(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl Queue {
    /// What waits.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = &self.state.lock().lines;
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A queue whose writer has this end of a pipe.
    fn running(out: PipeWriter) -> (Arc<Queue>, std::thread::JoinHandle<()>) {
        let queue = Arc::<Queue>::default();
        let (writing, gather) = (queue.clone(), Gather::default());
        (queue, std::thread::spawn(move || writing.run(out, &gather, HOUR)))
    }

    fn lines(reader: PipeReader) -> Vec<String> {
        BufReader::new(reader).lines().map_while(Result::ok).collect()
    }

    #[test]
    fn who_logs_never_waits_for_a_reader_and_lost_lines_are_told_once() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (queue, writing) = running(writer);
        let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
        // More than the queue and any pipe hold; it would never end if it waited.
        let many = 4 * MAX_BYTES / line.len();
        (0..many).for_each(|_| queue.put(&line));
        let dropped = queue.dropped();
        assert!(dropped > 0, "a bound");
        let reading = std::thread::spawn(move || lines(reader));
        queue.end(HOUR);
        writing.join().unwrap();
        let lines = reading.join().unwrap();
        let (told, whole): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains("lost"));
        assert_eq!(whole.len() as u64 + dropped, many as u64, "every line is written or counted");
        assert!(told.len() == 1 && told[0].contains(&format!(" {dropped} lines were lost")), "{told:?}");
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_who_never_comes() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (queue, writing) = running(writer);
        queue.put(&vec![b'x'; MAX_BYTES]);
        queue.end(Duration::from_millis(1));
        queue.put(b"too late\n");
        assert_eq!(queue.dropped(), 1);
        reader.read_to_end(&mut Vec::new()).unwrap();
        writing.join().unwrap();
    }

    #[test]
    fn a_reader_who_is_gone_costs_lines_only() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (queue, writing) = running(writer);
        queue.put(b"unheard\n");
        queue.end(HOUR);
        writing.join().unwrap();
        assert_eq!(queue.dropped(), 1);
    }
}
