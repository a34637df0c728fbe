//! Packets over Redis: a hash for each, a list of the shares nobody has taken, a list of the winners, and the outbox
//! of the app.
//!
//! Invariant: one script takes a share, names its winner and queues the settlement. All keys of an app are in one
//! slot, so the script also sees who is a member of a group at that moment.

mod mending;
mod record;

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, PacketId, Target, UserId};
use redis::Value;

use super::broker::RedisBroker;
use super::keys::Keys;
use super::link::{LinkError, Script};
use super::log::Logs;
use crate::clock::Clock;
use crate::money::packets::record::{Names, Record};
use crate::money::packets::{
    Closed, Contents, Debts, Grab, PacketError, Paid, Shares, Snapshot, Tally, Winner, check_shares,
};
use crate::money::settlement::Settlement;
use crate::money::{Cents, Terms};

/// How long a packet is known after its last share was taken or it was closed: 30 days.
const KEPT_SECONDS: u64 = 30 * 24 * 60 * 60;

/// The port over Redis.
pub struct RedisPackets {
    logs: Arc<Logs>,
    clock: Arc<dyn Clock>,
    open: Script,
    grab: Script,
    close: Script,
    record: Script,
    books: Script,
    rewrite: Script,
}

type SnapshotAnswer = (Option<String>, Option<u32>, Option<Cents>, Option<Cents>, Option<String>);

impl RedisPackets {
    /// Over the connections of the broker.
    #[must_use]
    pub fn new(broker: &RedisBroker) -> Arc<Self> {
        Arc::new(Self {
            logs: broker.logs.clone(),
            clock: broker.clock.clone(),
            open: Script::promising(concat!(include_str!("era.lua"), include_str!("open.lua"))),
            grab: Script::promising(concat!(
                include_str!("era.lua"),
                include_str!("time.lua"),
                include_str!("queue.lua"),
                include_str!("grab.lua")
            )),
            close: Script::promising(concat!(
                include_str!("time.lua"),
                include_str!("queue.lua"),
                include_str!("close.lua")
            )),
            record: Script::new(include_str!("record.lua")),
            books: Script::new(concat!(include_str!("era.lua"), include_str!("books.lua"))),
            rewrite: Script::promising(concat!(
                include_str!("era.lua"),
                include_str!("time.lua"),
                include_str!("queue.lua"),
                include_str!("rewrite.lua")
            )),
        })
    }

    /// For the scripts: nothing on a node, where they go by the clock of Redis.
    fn given_time(&self) -> String {
        self.clock.by_hand().map(|now_ms| now_ms.to_string()).unwrap_or_default()
    }

    /// What the scripts touch.
    fn names(&self, app: AppId, packet: &PacketId) -> [String; 4] {
        let keys = &self.logs.keys;
        [keys.packet(app, packet), keys.shares(app, packet), keys.winners(app, packet), keys.outbox(app)]
    }
}

/// Fields and values of a new packet.
fn fields(keys: &Keys, terms: &Terms) -> Result<Vec<String>, PacketError> {
    let (total, count, end) =
        (terms.total.to_string(), terms.count.to_string(), terms.expires_ms.to_string());
    let text = serde_json::to_string(terms).map_err(corrupt)?;
    let mut fields = vec![("terms", text), ("total", total), ("left", count), ("until", end)];
    fields.extend(["grabbed", "best"].map(|sum| (sum, "0".to_owned())));
    match &terms.target {
        Target::World => {}
        Target::Group(group) => {
            fields.push(("for", format!("g{}", keys.members(terms.app, group))));
            if let Some(incarnation) = &terms.incarnation {
                fields.push(("group", keys.group(terms.app, group)));
                fields.push(("incarnation", incarnation.clone()));
            }
        }
        Target::User(user) => fields.push(("for", format!("u{user}"))),
    }
    Ok(fields.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect())
}

fn winner(number: u32, text: &str) -> Option<Winner> {
    let mut parts = text.splitn(3, ' ');
    let (amount, time_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Winner { number, user: UserId::new(parts.next()?).ok()?, amount, time_ms })
}

#[async_trait]
impl Shares for RedisPackets {
    async fn now_ms(&self) -> Result<u64, PacketError> {
        match self.clock.by_hand() {
            Some(now_ms) => Ok(now_ms),
            None => Ok(millis(self.logs.others.run(&redis::cmd("TIME")).await?)),
        }
    }

    async fn open(&self, terms: &Terms, shares: &[Cents]) -> Result<(), PacketError> {
        check_shares(terms, shares)?;
        let keys = &self.logs.keys;
        let mut register = redis::cmd("SADD");
        // First: a settlement in an outbox that nobody knows would wait for ever.
        self.logs.others.run::<Value>(register.arg(keys.outboxes()).arg(terms.app)).await?;
        let fields = fields(keys, terms)?;
        let mut call = self.open.call(&self.names(terms.app, &terms.packet)[..3]);
        call.arg(fields.len()).arg(fields).arg(shares);
        self.logs.others.call::<Value>(&self.open, &call).await?;
        Ok(())
    }

    async fn grab(&self, app: AppId, packet: &PacketId, user: &UserId) -> Result<Grab, PacketError> {
        let mut call = self.grab.call(&self.names(app, packet));
        call.arg(user.as_str()).arg(self.given_time()).arg(app).arg(packet.as_str()).arg(KEPT_SECONDS);
        let (outcome, amount, number, last): (String, Cents, u32, bool) =
            self.logs.appends.call(&self.grab, &call).await?;
        match outcome.as_str() {
            "won" => Ok(Grab::Won { amount, number, last }),
            "already" => Ok(Grab::Already { amount }),
            "empty" => Ok(Grab::Empty),
            "expired" => Ok(Grab::Expired),
            "no such packet" => Err(PacketError::NoSuchPacket),
            "not for you" => Err(PacketError::NotForYou),
            "doubtful" => Err(PacketError::Doubtful),
            other => Err(PacketError::Corrupt(other.to_owned())),
        }
    }

    async fn close(&self, terms: &Terms) -> Result<Closed, PacketError> {
        let Terms { app, packet, sender, .. } = terms;
        let mut call = self.close.call(&self.names(*app, packet));
        call.arg(*app).arg(packet.as_str()).arg(sender.as_str()).arg(self.given_time()).arg(KEPT_SECONDS);
        let (now, refunded, known) = self.logs.appends.call(&self.close, &call).await?;
        Ok(Closed { now, refunded, known })
    }

    async fn snapshot(&self, app: AppId, packet: &PacketId) -> Result<Snapshot, PacketError> {
        let mut read = redis::pipe();
        read.cmd("HMGET").arg(self.logs.keys.packet(app, packet)).arg("terms").arg("left").arg("grabbed");
        read.arg("refunded").arg("luckiest").cmd("TIME");
        let ((terms, left, grabbed, refunded, luckiest), time): (SnapshotAnswer, (u64, u64)) =
            self.logs.others.run_all(&read).await?;
        let terms: Terms = serde_json::from_str(&terms.ok_or(PacketError::NoSuchPacket)?).map_err(corrupt)?;
        let (Some(left), Some(grabbed)) = (left, grabbed) else { return Err(corrupt("a field is missing")) };
        let tally = Tally {
            grabbed_count: terms.count.checked_sub(left).ok_or_else(|| corrupt("too much is left"))?,
            grabbed,
            refunded,
            luckiest: luckiest.map(|user| UserId::new(&user).map_err(corrupt)).transpose()?,
        };
        Snapshot::new(terms, tally, self.clock.by_hand().unwrap_or_else(|| millis(time)))
    }

    async fn winners(
        &self,
        app: AppId,
        packet: &PacketId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Winner>, PacketError> {
        // No transaction: Redis refuses those when it is short of memory.
        let mut read = redis::pipe();
        read.cmd("HEXISTS").arg(self.logs.keys.packet(app, packet)).arg("terms");
        let last = u64::from(after) + u64::from(limit);
        read.cmd("LRANGE").arg(self.logs.keys.winners(app, packet)).arg(after).arg(last);
        let (known, found): (bool, Vec<String>) = self.logs.others.run_all(&read).await?;
        if !known {
            return Err(PacketError::NoSuchPacket);
        }
        let read = |(text, number): (&String, u32)| winner(number, text).ok_or_else(|| corrupt(text));
        found.iter().take(limit as usize).zip(after.saturating_add(1)..).map(read).collect()
    }
}

#[async_trait]
impl Debts for RedisPackets {
    async fn owed(&self, settlements: &[Settlement]) -> Result<Vec<Option<Cents>>, PacketError> {
        self.debts(settlements).await
    }

    async fn restore(&self, terms: &Terms, paid: &[Paid]) -> Result<bool, PacketError> {
        self.compare(terms, paid).await
    }
}

#[async_trait]
impl Contents for RedisPackets {
    async fn record(&self, app: AppId, packet: &PacketId) -> Result<Record, PacketError> {
        self.read_record(app, packet).await
    }

    async fn names(&self, app: AppId, after: Option<&str>, limit: u32) -> Result<Names, PacketError> {
        self.scan(app, after, limit).await
    }
}

/// Of what Redis answers to `TIME`: seconds and microseconds.
fn millis((seconds, micros): (u64, u64)) -> u64 {
    seconds.saturating_mul(1000).saturating_add(micros / 1000)
}

impl From<LinkError> for PacketError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(detail) => PacketError::Unreachable(detail),
            LinkError::Corrupt(detail) => PacketError::Corrupt(detail),
        }
    }
}

fn corrupt(detail: impl std::fmt::Display) -> PacketError {
    PacketError::Corrupt(detail.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_winner_is_read_whatever_they_are_called() {
        for hostile in [r#"","amount":0,""#, "帝 {}", "\\", "a b c", "5 6", "'"] {
            let read = winner(3, &format!("5 6 {hostile}")).unwrap();
            assert_eq!((read.user.as_str(), read.amount, read.time_ms), (hostile, Cents::new(5), 6));
        }
    }
}
