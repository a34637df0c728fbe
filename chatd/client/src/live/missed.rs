//! Conversations of which a log-in only says where they end: what is missing of them is read from their histories.
//!
//! Invariant: while a history is read, what is pushed of its conversation waits in the log, so that everything comes
//! once and in order; one page is asked for at a time, and only while the reader keeps up.

use std::collections::VecDeque;

use chat_protocol::conversation::{self, ListResponse, MAX_CONVERSATIONS_PAGE};
use chat_protocol::message::{History, HistoryResponse, MAX_HISTORY_PAGE};
use chat_protocol::session::{Also, LoggedIn, Push};
use chat_protocol::{Operation, Target};
use serde_json::{Value, json};

use super::driver::{BACKLOG, Driver};
use super::link::{Link, Waiting};
use super::positions::{Gap, News};
use crate::error::Error;

/// Pages in which the joining of a group is looked for; what is older is told as a gap.
const PAGES_OF_A_GROUP: u32 = 10;

/// A history that is being read.
#[derive(Debug)]
struct Reading {
    target: Target,
    epoch: String,
    /// Offset of the newest message known.
    until: u64,
    from: From,
}

/// Where the reading stands.
#[derive(Debug)]
enum From {
    /// Looking for the joining, in the page before this offset; so many pages are left.
    Joining { before: u64, pages: u32 },
    /// From the place of the conversation on.
    Place,
}

/// What is still to be read.
#[derive(Debug, Default)]
pub(super) struct Missed {
    readings: VecDeque<Reading>,
    /// Cursor of the next page of the list of conversations.
    list: Option<String>,
    is_asked: bool,
    /// Whether the server was asked before.
    was_in: bool,
}

impl Missed {
    /// Whether what is pushed of the conversation waits in its log.
    pub(super) fn holds(&mut self, target: &Target, offset: u64) -> bool {
        let reading = self.readings.iter_mut().find(|reading| reading.target == *target);
        reading.is_some_and(|reading| {
            reading.until = reading.until.max(offset);
            true
        })
    }
}

impl Driver {
    /// Takes in what a log-in says of conversations that were not asked for.
    pub(super) fn hear_of(&mut self, answer: LoggedIn) {
        let was_in = std::mem::replace(&mut self.missed.was_in, true);
        self.missed = Missed { was_in: true, ..Missed::default() };
        for also in answer.also {
            self.hear_of_one(also, !was_in);
        }
        match answer.more && (self.options.discover || self.positions.are_many()) {
            true => self.missed.list = Some(String::new()),
            false if self.options.discover => self.positions.know_all(),
            false => {}
        }
    }

    fn hear_of_one(&mut self, also: Also, is_first: bool) {
        let Also { target, epoch, last_offset: until } = also;
        if self.missed.holds(&target, until)
            || !(self.options.discover || self.positions.of(&target).is_some())
        {
            return;
        }
        let from = match self.positions.told(&target, &epoch, until, is_first) {
            News::Nothing => return,
            News::Gap(gap) => return self.tell(vec![gap]),
            News::Begun if matches!(target, Target::Group(_)) => {
                From::Joining { before: until.saturating_add(1), pages: PAGES_OF_A_GROUP }
            }
            News::Begun | News::Missed => From::Place,
        };
        self.missed.readings.push_back(Reading { target, epoch, until, from });
    }

    /// Asks for the next page of what is missing, when it is time for it.
    pub(super) async fn look(&mut self, link: &mut Link) -> Result<(), Error> {
        if self.missed.is_asked || self.backlog.len() >= BACKLOG {
            return Ok(());
        }
        let (cmd, data, waiting) = match (self.missed.readings.front(), &self.missed.list) {
            (Some(reading), _) => {
                let mut data = json!({"target": reading.target, "limit": MAX_HISTORY_PAGE});
                match reading.from {
                    From::Joining { before, .. } => data["before"] = before.into(),
                    From::Place => {
                        data["after"] =
                            self.positions.of(&reading.target).map_or(0, |place| place.offset).into();
                    }
                }
                (History::PATH, data, Waiting::History)
            }
            (None, Some(cursor)) => {
                let mut data = json!({"limit": MAX_CONVERSATIONS_PAGE});
                if !cursor.is_empty() {
                    data["cursor"] = cursor.as_str().into();
                }
                (conversation::List::PATH, data, Waiting::Conversations)
            }
            (None, None) => return Ok(()),
        };
        self.missed.is_asked = true;
        let seq = self.seq();
        link.ask(seq, cmd.trim_start_matches('/'), &data, waiting).await
    }

    /// Takes in a page of the user's conversations.
    pub(super) fn take_conversations(&mut self, outcome: Result<Value, Error>) {
        self.missed.is_asked = false;
        let before = self.missed.list.take();
        // Without it, conversations that begin later are told as gaps.
        let Some(page) = read::<ListResponse>(outcome) else { return };
        for found in page.conversations {
            let also = Also { target: found.target, epoch: found.epoch, last_offset: found.last_offset };
            if also.last_offset > 0 {
                self.hear_of_one(also, !self.positions.knows_all());
            }
        }
        match page.cursor {
            Some(cursor) if before.is_some_and(|before| before != cursor) => self.missed.list = Some(cursor),
            _ if self.options.discover => self.positions.know_all(),
            _ => {}
        }
    }

    /// Takes in a page of the history that is read.
    pub(super) fn take_history(&mut self, outcome: Result<Value, Error>) {
        self.missed.is_asked = false;
        let Some(reading) = self.missed.readings.pop_front() else { return };
        match read::<HistoryResponse>(outcome) {
            None => self.give_up(&reading),
            Some(page) => {
                let reading = match reading.from {
                    From::Joining { pages, .. } => Some(self.find_joining(reading, &page, pages)),
                    From::Place => self.take_messages(reading, page.messages),
                };
                if let Some(reading) = reading {
                    self.missed.readings.push_front(reading);
                }
            }
        }
    }

    /// Looks for the user's joining among older and older messages.
    fn find_joining(&mut self, reading: Reading, page: &HistoryResponse, pages: u32) -> Reading {
        let me = self.who.names();
        let is_joining = |message: &&Push| {
            me == Some(&message.from) && matches!(message.content.kind.as_str(), "join" | "create")
        };
        let offset = match (page.messages.iter().rev().find(is_joining), page.next) {
            (Some(joining), _) => joining.offset,
            (None, Some(before)) if pages > 1 => {
                return Reading { from: From::Joining { before, pages: pages - 1 }, ..reading };
            }
            (None, _) => {
                let newest = page.messages.first().map_or(reading.until, |first| first.offset - 1);
                if newest > 0 {
                    let (target, epoch) = (reading.target.clone(), reading.epoch.clone());
                    self.tell(vec![Gap { target, seen: None, epoch, newest }]);
                }
                newest
            }
        };
        self.positions.reported(&reading.target, offset);
        Reading { from: From::Place, ..reading }
    }

    /// Hands messages over; what is left to be read.
    fn take_messages(&mut self, reading: Reading, messages: Vec<Push>) -> Option<Reading> {
        let place = self.positions.of(&reading.target).map_or(0, |place| place.offset);
        let ends = messages.first().zip(messages.last()).map(|(first, last)| (first.offset, last.offset));
        let Some((first, last)) = ends.filter(|(_, last)| *last > place) else {
            self.give_up(&reading);
            return None;
        };
        if first > place + 1 {
            self.report(&reading, first - 1);
        }
        messages.into_iter().for_each(|message| self.message(message));
        (last < reading.until).then_some(reading)
    }

    /// The server does not give what it told of.
    fn give_up(&mut self, reading: &Reading) {
        self.report(reading, reading.until);
    }

    fn report(&mut self, reading: &Reading, newest: u64) {
        let Reading { target, epoch, .. } = reading;
        let seen = self.positions.of(target).filter(|seen| seen.offset > 0);
        self.positions.reported(target, newest);
        self.tell(vec![Gap { target: target.clone(), seen, epoch: epoch.clone(), newest }]);
    }
}

fn read<T: serde::de::DeserializeOwned>(outcome: Result<Value, Error>) -> Option<T> {
    outcome.ok().and_then(|data| serde_json::from_value(data).ok())
}
