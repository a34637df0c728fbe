//! Message ids that may be repeated, and the first receipt of each.
//!
//! Invariant: an id is known for the whole window after it was sent, and not longer. Its row goes some time after: four
//! rows are looked at for each new one, so that with as many new ones each day a third as many expired ones lie beside them.

use rusqlite::{Connection, OptionalExtension, params};

use crate::broker::{BrokerError, Outgoing, REPEAT_WINDOW_MS, Receipt};
use crate::model::{Conversation, epoch};

/// New ids between two steps of a sweep.
const SWEEP_EVERY: u32 = 64;
/// Ids looked at in a step of a sweep.
const SWEEP_STEP: usize = 256;

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

/// Keeps the receipt for repeats, where one can come. False: the id is known already, see [`find`], and nothing changed.
pub fn remember(
    tables: &Connection,
    sweep: &mut Sweep,
    message: &Outgoing,
    receipt: &Receipt,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let Some(fingerprint) = message.fingerprint else { return Ok(true) };
    let (app, sender) = (message.conversation.app(), message.sender.as_str());
    let Receipt { offset, epoch, time, .. } = receipt;
    let expired = now_ms.saturating_sub(REPEAT_WINDOW_MS);
    let is_new = tables
        .prepare_cached(
            "INSERT INTO sent(app, sender, msg_id, offset, epoch, time, fingerprint)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET offset = ?4, epoch = ?5, time = ?6, fingerprint = ?7 WHERE time <= ?8",
        )?
        .execute(params![
            app,
            sender,
            message.msg_id.as_str(),
            offset,
            &**epoch,
            time,
            fingerprint.to_string(),
            expired
        ])?;
    if is_new == 0 {
        return Ok(false);
    }
    sweep.heard += 1;
    if sweep.heard >= SWEEP_EVERY {
        sweep.step(tables, expired)?;
    }
    Ok(true)
}

/// Goes round the ids, a part at a time, and forgets those that have expired.
#[derive(Default)]
pub(crate) struct Sweep {
    /// Ids that came since the last step.
    heard: u32,
    /// The last id that was looked at.
    behind: (u32, String, String),
}

impl Sweep {
    fn step(&mut self, tables: &Connection, expired: u64) -> rusqlite::Result<()> {
        let (app, sender, msg_id) = &self.behind;
        let mut ids = tables.prepare_cached(
            "SELECT app, sender, msg_id, time <= ?5 FROM sent WHERE (app, sender, msg_id) > (?1, ?2, ?3)
             ORDER BY app, sender, msg_id LIMIT ?4",
        )?;
        let ids = ids.query_map(params![app, sender, msg_id, SWEEP_STEP, expired], |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get::<_, bool>(3)?))
        })?;
        let ids = ids.collect::<rusqlite::Result<Vec<((u32, String, String), bool)>>>()?;
        let mut forget =
            tables.prepare_cached("DELETE FROM sent WHERE app = ?1 AND sender = ?2 AND msg_id = ?3")?;
        for ((app, sender, msg_id), _) in ids.iter().filter(|(_, has_expired)| *has_expired) {
            forget.execute(params![app, sender, msg_id])?;
        }
        self.heard = 0;
        let is_round = ids.len() < SWEEP_STEP;
        self.behind = ids.into_iter().last().filter(|_| !is_round).map(|(id, _)| id).unwrap_or_default();
        Ok(())
    }
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
        let mut sweep = Sweep::default();
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
                assert!(remember(&tables, &mut sweep, &message, &receipt, now_ms).unwrap());
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
