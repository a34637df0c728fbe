//! Message ids that may be repeated, and the first receipt of each.
//!
//! Invariant: an id is known for the whole window after it was sent, and for little longer.

use rusqlite::{Connection, OptionalExtension, params};

use crate::broker::{BrokerError, Outgoing, REPEAT_WINDOW_MS, Receipt};
use crate::model::{Conversation, epoch};

/// Expired ids forgotten with each new one: more than one, so that there are never many.
const FORGET_STEP: u32 = 2;

/// The first receipt of a message that was sent before; [`BrokerError::Used`] when its id is that of another one.
pub fn find(tables: &Connection, message: &Outgoing, now_ms: u64) -> Result<Option<Receipt>, BrokerError> {
    let Some(fingerprint) = message.fingerprint else { return Ok(None) };
    let (app, since) = (message.conversation.app(), now_ms.saturating_sub(REPEAT_WINDOW_MS));
    let found = tables
        .prepare_cached(
            "SELECT offset, epoch, time, fingerprint FROM sent
             WHERE app = ?1 AND sender = ?2 AND msg_id = ?3 AND time > ?4",
        )?
        .query_row(params![app, message.sender.as_str(), message.msg_id.as_str(), since], |row| {
            let epoch = row.get_ref(1)?.as_str()?.into();
            let first = Receipt { offset: row.get(0)?, epoch, time: row.get(2)?, duplicate: true };
            Ok((first, row.get::<_, Option<String>>(3)?))
        });
    match found.optional()? {
        Some((_, Some(known))) if known != fingerprint.to_string() => Err(BrokerError::Used),
        Some((first, _)) if is_of_another(tables, message, &first)? => Err(BrokerError::Used),
        // Ids that an earlier version of chatd kept have no fingerprint.
        found => Ok(found.map(|(first, _)| first)),
    }
}

/// Whether the group that has the id now is not the one that got the message.
fn is_of_another(tables: &Connection, message: &Outgoing, first: &Receipt) -> rusqlite::Result<bool> {
    let Conversation::Group(app, group) = &message.conversation else { return Ok(false) };
    let now: Option<[String; 2]> = tables
        .prepare_cached(
            "SELECT g.incarnation, c.epoch FROM chat_group AS g JOIN conversation AS c ON c.id = g.conversation
                WHERE g.app = ?1 AND g.group_id = ?2",
        )?
        .query_row(params![app, group.as_str()], |row| Ok([row.get(0)?, row.get(1)?]))
        .optional()?;
    let is_first = |epoch: &String| epoch::history(epoch) == epoch::history(&first.epoch);
    Ok(now.is_some_and(|epochs| !epochs.iter().any(is_first)))
}

/// Keeps the receipt for repeats, where one can come.
pub fn remember(
    tables: &Connection,
    message: &Outgoing,
    receipt: &Receipt,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let Some(fingerprint) = message.fingerprint else { return Ok(()) };
    let (app, sender) = (message.conversation.app(), message.sender.as_str());
    let Receipt { offset, epoch, time, .. } = receipt;
    tables
        .prepare_cached(
            "INSERT OR REPLACE INTO sent(app, sender, msg_id, offset, epoch, time, fingerprint)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            app,
            sender,
            message.msg_id.as_str(),
            offset,
            &**epoch,
            time,
            fingerprint.to_string()
        ])?;
    let expired = now_ms.saturating_sub(REPEAT_WINDOW_MS);
    tables
        .prepare_cached(
            "DELETE FROM sent WHERE (app, sender, msg_id) IN
             (SELECT app, sender, msg_id FROM sent WHERE time <= ?1 ORDER BY time LIMIT ?2)",
        )?
        .execute(params![expired, FORGET_STEP])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chat_protocol::{MsgId, UserId};

    use super::*;
    use crate::broker::Fingerprint;
    use crate::engine::sqlite::migrate::prepare;
    use crate::engine::sqlite::schema;
    use crate::model::Skip;

    #[test]
    fn message_ids_of_short_conversations_are_forgotten_too() {
        let mut tables = Connection::open_in_memory().unwrap();
        prepare(&mut tables, schema::STEPS).unwrap();
        for day in 1..=2 {
            let now_ms = day * 2 * REPEAT_WINDOW_MS;
            for number in 0..100 {
                let (a, b) = (UserId::new("a").unwrap(), UserId::new(&format!("b{number}")).unwrap());
                let message = Outgoing {
                    conversation: Conversation::Pair(1, a.clone(), b),
                    sender: a,
                    msg_id: MsgId::new(&format!("{day}-{number}")).unwrap(),
                    fingerprint: Some(Fingerprint::of(b"")),
                    members: Bytes::new(),
                    skip: Skip::Nobody,
                };
                let receipt = Receipt { offset: 1, epoch: "e".into(), time: now_ms, duplicate: false };
                remember(&tables, &message, &receipt, now_ms).unwrap();
            }
        }
        let count = |row: &rusqlite::Row<'_>| row.get::<_, u64>(0);
        let kept = tables.query_row("SELECT count(*) FROM sent", [], count).unwrap();
        assert_eq!(kept, 100, "of the last day only");
    }

    #[test]
    fn an_id_kept_by_an_earlier_version_is_still_known() {
        let mut tables = Connection::open_in_memory().unwrap();
        prepare(&mut tables, schema::STEPS).unwrap();
        tables.execute("INSERT INTO sent VALUES (1, 'a', 'm', 7, 'e', 5, NULL)", []).unwrap();
        let message = Outgoing {
            conversation: Conversation::World(1),
            sender: UserId::new("a").unwrap(),
            msg_id: MsgId::new("m").unwrap(),
            fingerprint: Some(Fingerprint::of(b"anything")),
            members: Bytes::new(),
            skip: Skip::Nobody,
        };
        let first = Receipt { offset: 7, epoch: "e".into(), time: 5, duplicate: true };
        assert_eq!(find(&tables, &message, 6).unwrap(), Some(first));
    }
}
