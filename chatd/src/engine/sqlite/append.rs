//! The way of a message into its log, with as few statements as there are rows to write.
//!
//! Invariant: what refuses a message is asked before anything of it is written, so a refusal leaves nothing to undo.

use rusqlite::Connection;

use super::broker::Step;
use super::known::Known;
use super::log::{self, EntryKey};
use super::{conversations, friends, groups, pairs, sent};
use crate::broker::{BrokerError, Event, Outgoing, Receipt};
use crate::model::{Conversation, Effect, Entry};

/// Appends a message if its sender may send it, or finds that it was appended before.
pub(crate) fn append(step: &mut Step<'_>, message: Outgoing) -> Result<Receipt, BrokerError> {
    let scope = step.scope;
    let mut logs = scope.logs.borrow_mut();
    if logs.find(&message.conversation).is_none()
        && let Some(known) = read(step.connection, &message.conversation)?
    {
        logs.keep(message.conversation.clone(), known);
    }
    if let Err(refusal) = admit(step.connection, &message, logs.find(&message.conversation)) {
        // What was sent before is answered as it was then, whatever was decided since.
        return sent::find(step.connection, &message, step.now_ms)?.ok_or(refusal);
    }
    if logs.find(&message.conversation).is_none() {
        if let Some(first) = sent::find(step.connection, &message, step.now_ms)? {
            return Ok(first);
        }
        let head = log::create(step, &message.conversation)?;
        logs.keep(message.conversation.clone(), Known::new(head, step.now_ms, 0));
    }
    let known = logs.find(&message.conversation).ok_or_else(gone)?;
    let receipt = Receipt {
        offset: known.head.offset + 1,
        epoch: known.head.epoch.clone(),
        time: step.now_ms.max(known.head.time),
        duplicate: false,
    };
    let mut sweep = scope.sweep.borrow_mut();
    if !sent::remember(step.connection, &mut sweep, &message, &receipt, step.now_ms)? {
        return sent::find(step.connection, &message, step.now_ms)?.ok_or_else(gone);
    }
    write(step, &message, known, &receipt)?;
    let topics = message.conversation.topics();
    let Outgoing { conversation, msg_id, members, skip, .. } = message;
    let (offset, time, epoch) = (receipt.offset, receipt.time, receipt.epoch.clone());
    let entry = Entry { offset, epoch, time, msg_id, members, skip, effect: Effect::None };
    step.publish((topics, Event::Message { conversation, entry }));
    Ok(receipt)
}

fn gone() -> BrokerError {
    BrokerError::Corrupt("what was there a moment ago is not".to_owned())
}

/// What the tables say of a log, if anything was ever said in it.
fn read(tables: &Connection, conversation: &Conversation) -> rusqlite::Result<Option<Known>> {
    let Some(head) = log::head(tables, conversation)? else { return Ok(None) };
    let oldest = log::oldest(tables, head.id)?.unwrap_or(head.time);
    let listed = pairs::listed(tables, conversation, head.id)?;
    Ok(Some(Known::new(head, oldest, listed)))
}

fn admit(tables: &Connection, message: &Outgoing, known: Option<&mut Known>) -> Result<(), BrokerError> {
    match &message.conversation {
        Conversation::World(_) => Ok(()),
        Conversation::Group(app, group) => groups::require_member(tables, *app, group, &message.sender),
        Conversation::Pair(app, a, b) => {
            let recipient = if message.sender == *a { b } else { a };
            let ask = || friends::blocks(tables, *app, recipient, &message.sender);
            let blocked = match known {
                None => ask()?,
                Some(known) => {
                    let blocked = &mut known.users[usize::from(message.sender != *a)].blocked;
                    match *blocked {
                        Some(blocked) => blocked,
                        None => *blocked.insert(ask()?),
                    }
                }
            };
            if blocked { Err(BrokerError::Blocked) } else { Ok(()) }
        }
    }
}

/// Writes the entry that `receipt` is for, and what follows from it.
fn write(step: &Step<'_>, message: &Outgoing, known: &mut Known, receipt: &Receipt) -> rusqlite::Result<()> {
    let (tables, log, offset) = (step.connection, known.head.id, receipt.offset);
    log::insert(tables, log, message, receipt, &Effect::None)?;
    known.head.offset = offset;
    known.head.time = receipt.time;
    match &message.conversation {
        Conversation::Pair(_, a, _) => {
            if known.listed < receipt.time {
                known.listed = pairs::note(tables, &message.conversation, log, receipt.time)?;
            }
            let read = &mut known.users[usize::from(message.sender != *a)].read;
            let before = match *read {
                Some(before) => before,
                None => conversations::read_offset(tables, log, &message.sender)?,
            };
            let after = if before == offset - 1 { offset } else { before };
            if after > before {
                conversations::set(tables, log, &message.sender, after)?;
            }
            *read = Some(after);
        }
        Conversation::World(_) | Conversation::Group(..) => {
            conversations::sent(tables, log, &message.sender, offset)?;
        }
    }
    log::trim(tables, EntryKey { log, offset }, &mut known.oldest, &step.scope.retention, step.now_ms)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chat_protocol::{MsgId, UserId};
    use tokio::sync::mpsc;

    use super::*;
    use crate::broker::{Fingerprint, Retention};
    use crate::engine::sqlite::broker::LogScope;
    use crate::engine::sqlite::writer::{self, Job, Scope};
    use crate::engine::sqlite::{schema, store};
    use crate::model::Skip;

    fn says(id: &'static str) -> Box<dyn Job<LogScope>> {
        let [a, b] = ["a", "b"].map(|name| UserId::new(name).unwrap());
        let message = Outgoing {
            conversation: Conversation::Pair(1, a.clone(), b),
            sender: a,
            msg_id: MsgId::new(id).unwrap(),
            fingerprint: Some(Fingerprint::of(id.as_bytes())),
            members: r#""msg":"m""#.into(),
            skip: Skip::Nobody,
        };
        writer::job(move |step: &mut Step<'_>| append(step, message), true).0
    }

    #[test]
    fn what_was_undone_is_not_counted_on() {
        let mut tables = store::memory(schema::STEPS).unwrap();
        let retention = Retention { max_messages: 10, max_age_ms: 0 };
        let scope = LogScope::new(retention, mpsc::channel(1).0, mpsc::channel(1).0);
        let mut commit = |batch: &mut [Box<dyn Job<LogScope>>]| {
            let done = writer::commit(&mut tables, batch, &scope, 5, Duration::MAX, false);
            if done.is_err() {
                scope.undone();
            }
            done.map(|events| events.into_iter().flatten().map(offset).collect::<Vec<_>>())
        };
        assert_eq!(commit(&mut [says("1"), says("2"), says("1")]), Ok(vec![1, 2]));
        let fails = |step: &mut Step<'_>| Ok::<_, BrokerError>(step.connection.execute_batch("no SQL")?);
        assert!(commit(&mut [says("3"), says("4"), writer::job(fails, true).0]).is_err());
        assert_eq!(commit(&mut [says("4"), says("2"), says("3")]), Ok(vec![3, 4]));
    }

    fn offset((_, event): (Vec<crate::model::Topic>, Event)) -> u64 {
        match event {
            Event::Message { entry, .. } => entry.offset,
            Event::Notice(_) => 0,
        }
    }
}
