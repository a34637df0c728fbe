//! Following conversations of a server that lets nobody observe: their histories are read again and again, and nobody
//! comes online.
//!
//! Invariant: each page begins with the last message that was shown, so that a history that lost its end, or is another
//! one, is noticed and told; what was not reached in a round is asked for in the next one.

use std::time::Duration;

use chat_client::Error;
use chat_protocol::backoff::Backoff;
use chat_protocol::message::{History, HistoryRequest, HistoryResponse, MAX_HISTORY_PAGE};
use chat_protocol::session::{Position, Push};
use chat_protocol::{Code, Target};

use super::Tail;
use crate::failure::Failure;
use crate::message;

/// First pause after a failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How far one conversation was shown.
#[derive(Debug)]
struct Place {
    target: Target,
    epoch: String,
    offset: u64,
    /// Id of the message there, once it was seen.
    msg_id: Option<String>,
    /// Whether the history is another one than at first, of which only what was written since is new.
    is_other: bool,
}

/// Shows what comes until told to stop, or until the reader wants no more.
pub async fn follow(tail: &Tail<'_>, from: Vec<Position>, every: Duration) -> Result<(), Failure> {
    let place =
        |Position { target, epoch, offset }| Place { target, epoch, offset, msg_id: None, is_other: false };
    let mut places: Vec<Place> = from.into_iter().map(place).collect();
    let mut backoff = Backoff::half(FIRST_PAUSE, MAX_PAUSE);
    let mut was_lost = false;
    loop {
        let round = tokio::select! {
            round = round(tail, &mut places) => round,
            () = tail.operator.stop.notified() => return Ok(()),
        };
        let pause = match round {
            Ok(true) => {
                if std::mem::take(&mut was_lost) {
                    tail.operator.console.note("reading again");
                }
                backoff = Backoff::half(FIRST_PAUSE, MAX_PAUSE);
                every
            }
            Ok(false) => return Ok(()),
            Err(Failure::Call { error, .. }) if may_pass(&error) => {
                let pause = backoff.pause(1.0).max(every);
                was_lost = true;
                tail.operator.console.note(&format!("{error}; trying again in {} ms", pause.as_millis()));
                pause
            }
            Err(failure) => return Err(failure),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tail.operator.stop.notified() => return Ok(()),
        }
    }
}

/// Whether this is left when an operator's connection is refused so: the server does not know that there is one, lets no
/// WebSocket through, or takes whoever asks for a user, whose histories could be read.
pub fn is_the_way_after(error: &Error) -> bool {
    match error {
        Error::Refused { .. } => {
            matches!(error.code(), None | Some(Code::UnknownOperation | Code::NotAuthorised))
        }
        _ => false,
    }
}

/// Whether it may be over some time later.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Refused { .. } => {
            matches!(error.code(), Some(Code::TooManyRequests | Code::StoreUnreachable | Code::ServerError))
        }
        Error::Unreachable { .. }
        | Error::Timeout { .. }
        | Error::Interrupted { .. }
        | Error::Closed { .. } => true,
        Error::BadServer(_) | Error::Untrusted { .. } | Error::Redirected { .. } | Error::NotChatd { .. } => {
            false
        }
    }
}

/// Shows what is new in each conversation; false when the reader wants no more.
async fn round(tail: &Tail<'_>, places: &mut [Place]) -> Result<bool, Failure> {
    for place in places {
        while let Some(new) = news(tail, place).await? {
            for message in &new.messages {
                if !tail.write(message)? {
                    return Ok(false);
                }
                place.pass(message);
            }
            if new.next.is_none() {
                break;
            }
        }
    }
    Ok(true)
}

/// The next page behind the place; none when there is nothing.
async fn news(tail: &Tail<'_>, place: &mut Place) -> Result<Option<HistoryResponse>, Failure> {
    let mut page = ask(tail, place, Some(place.offset.saturating_sub(1)), MAX_HISTORY_PAGE).await?;
    if !place.epoch.is_empty() && page.epoch != place.epoch {
        page = begin_anew(tail, place, page.epoch).await?;
    }
    let is_last = |message: &Push| message.offset == place.offset;
    let has_other_id =
        |message: &Push| place.msg_id.as_ref().is_some_and(|id| *id != message.msg_id.as_str());
    match page.messages.first() {
        Some(first) if is_last(first) => {
            if has_other_id(first) {
                tail.note(&place.target, "lost its end: what was said meanwhile may be missing");
            }
            place.msg_id = Some(first.msg_id.to_string());
            page.messages.remove(0);
        }
        // It is kept no longer, or there no more.
        _ if place.offset > 0 => {
            let newest = ask(tail, place, None, 1).await?;
            let end = newest.messages.last().map_or(0, |message| message.offset);
            if end < place.offset {
                tail.note(&place.target, &format!("lost the messages after {end}"));
                (place.offset, place.msg_id) = (end, None);
                return Ok(None);
            }
            if let Some(first) = page.messages.first().filter(|first| first.offset > place.offset + 1) {
                tail.note_hole(&place.target, place.offset + 1, first.offset - 1);
            }
        }
        _ => {}
    }
    page.epoch.clone_into(&mut place.epoch);
    if place.is_other {
        page.messages.last().into_iter().for_each(|last| place.pass(last));
        page.messages.retain(|message| message.epoch == page.epoch);
    }
    Ok((!page.messages.is_empty() || page.next.is_some()).then_some(page))
}

/// The first page of another history; of one that forked, what was written since.
async fn begin_anew(tail: &Tail<'_>, place: &mut Place, epoch: String) -> Result<HistoryResponse, Failure> {
    tail.note(&place.target, "has another history now, which begins anew or goes on from an earlier message");
    *place = Place { target: place.target.clone(), epoch, offset: 0, msg_id: None, is_other: true };
    ask(tail, place, Some(0), MAX_HISTORY_PAGE).await
}

async fn ask(
    tail: &Tail<'_>,
    place: &Place,
    after: Option<u64>,
    limit: u32,
) -> Result<HistoryResponse, Failure> {
    let request = HistoryRequest { after, ..tail.request(&place.target, Some(limit)) };
    Ok(tail.http.call::<History>(&request).await?)
}

impl Place {
    fn pass(&mut self, message: &Push) {
        (self.offset, self.msg_id) = (message.offset, Some(message.msg_id.to_string()));
    }
}

impl Tail<'_> {
    fn note(&self, target: &Target, what: &str) {
        self.operator.console.note(&format!("{} {what}", message::name(target)));
    }
}
