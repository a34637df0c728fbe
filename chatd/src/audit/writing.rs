//! The thread that writes records, and what a line looks like.
//!
//! Invariant: records are written in the order they came, those that wait together in one write; each has the time at
//! which it was written, so that the file is in order of time. One that could not be written stands in the log of the
//! node, and the next line that can be tells how many are missing.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chat_protocol::audit::{By, Record};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::State;
use super::book::Book;
use crate::clock::Clock;
use crate::counters::Counters;

/// Records in one write at most.
const TOGETHER: usize = 256;

/// Something to do for the thread.
pub(super) enum Job {
    /// To write this, and to tell whether it is written.
    Record(Box<Record>, Option<oneshot::Sender<bool>>),
    /// To tell whether records can be written, by writing how many are missing if some are.
    Check(oneshot::Sender<bool>),
    /// To go on with a new file if the old one was moved away.
    Reopen(oneshot::Sender<io::Result<()>>),
}

/// What the thread has.
pub(super) struct Writer {
    book: Book,
    node: String,
    clock: Arc<dyn Clock>,
    state: Arc<State>,
    counters: Arc<Counters>,
    /// Records that could not be written.
    missing: u64,
}

impl Writer {
    pub(super) fn new(
        book: Book,
        node: String,
        clock: Arc<dyn Clock>,
        state: Arc<State>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { book, node, clock, state, counters, missing: 0 }
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            let (mut records, mut waiting, mut next) = (Vec::new(), Vec::new(), Some(job));
            while let Some(job) = next {
                match job {
                    Job::Record(record, told) => {
                        records.push(*record);
                        waiting.extend(told);
                    }
                    Job::Check(told) => waiting.push(told),
                    Job::Reopen(told) => {
                        self.write(std::mem::take(&mut records), &mut waiting);
                        let _ = told.send(self.book.reopen());
                    }
                }
                next = if records.len() < TOGETHER { jobs.try_recv().ok() } else { None };
            }
            self.write(records, &mut waiting);
        }
    }

    fn write(&mut self, mut records: Vec<Record>, waiting: &mut Vec<oneshot::Sender<bool>>) {
        let (now, left_out) = (self.clock.now_ms(), self.state.left_out.swap(0, Ordering::Relaxed));
        records.iter_mut().for_each(|record| record.time = now);
        match records.first_mut() {
            Some(first) => first.left_out = (left_out > 0).then_some(left_out),
            None => _ = self.state.left_out.fetch_add(left_out, Ordering::Relaxed),
        }
        let gap = (self.missing > 0).then(|| line(&self.gap(now)));
        let lines: Vec<_> = records.iter().map(line).collect();
        let text: String = gap.iter().chain(&lines).map(String::as_str).collect();
        if self.state.is_failing.load(Ordering::Relaxed) {
            // Perhaps there is another file by now.
            let _ = self.book.reopen();
        }
        let written = if text.is_empty() { Ok(()) } else { self.book.append(text.as_bytes()) };
        match &written {
            Ok(()) => {
                self.missing = 0;
                self.counters.audit.records.add(lines.len() as u64);
            }
            Err(error) => {
                let record = lines.concat();
                tracing::error!(%error, record, "the audit log cannot be written");
                self.missing += lines.len() as u64;
                self.counters.audit.failures.add(lines.len() as u64);
            }
        }
        self.state.is_failing.store(written.is_err(), Ordering::Relaxed);
        waiting.drain(..).for_each(|told| _ = told.send(written.is_ok()));
    }

    /// Tells that records are missing.
    fn gap(&self, now: u64) -> Record {
        Record {
            time: now,
            node: self.node.clone(),
            by: By::Node,
            who: self.node.clone(),
            scope: None,
            operation: "audit/missing".to_owned(),
            app_id: None,
            params: Map::from_iter([("records".to_owned(), Value::from(self.missing))]),
            address: String::new(),
            code: None,
            left_out: None,
        }
    }
}

/// The line of a record: JSON in which nothing stands that a reader of lines, or a terminal, takes for something else
/// than text.
fn line(record: &Record) -> String {
    // Cannot fail: plain data with text keys.
    let json = serde_json::to_string(record).unwrap_or_default();
    let mut line = String::with_capacity(json.len() + 1);
    for sign in json.chars() {
        match is_deceiving(sign) {
            // Outside of texts JSON has none of these.
            true => sign.encode_utf16(&mut [0; 2]).iter().for_each(|unit| _ = write!(line, "\\u{unit:04x}")),
            false => line.push(sign),
        }
    }
    line.push('\n');
    line
}

/// Control characters, separators of lines, and what is not seen or turns the direction of writing.
fn is_deceiving(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(sign, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_within_its_line() {
        let who = "a\n{\"by\":\"key\"}\r\u{202e}\u{2028}\u{85}\u{7f}\x1b[2J\u{e0041}\"\\帝";
        let record = Record {
            time: 1,
            node: "n".to_owned(),
            by: By::User,
            who: who.to_owned(),
            scope: None,
            operation: "/system/kick".to_owned(),
            app_id: Some(1),
            params: Map::from_iter([("userId".to_owned(), Value::from(who))]),
            address: "127.0.0.1:1".to_owned(),
            code: Some(1003),
            left_out: Some(2),
        };
        let line = line(&record);
        let text = line.strip_suffix('\n').unwrap();
        assert!(!text.contains(is_deceiving) && text.contains('帝'), "{text}");
        assert_eq!(serde_json::from_str::<Record>(text).unwrap(), record);
    }
}
