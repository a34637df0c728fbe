//! What the packets in Redis owe, and how their books are compared with what the ledger paid.
//!
//! Invariant: books are written as they were worked out only while they still are what they were worked out from.

use redis::Value;

use super::{KEPT_SECONDS, RedisPackets, corrupt, winner};
use crate::money::packets::books::{Books, Mended};
use crate::money::packets::{PacketError, Paid};
use crate::money::settlement::{Kind, Settlement};
use crate::money::{Cents, Terms};

/// How often books are read again that others change meanwhile.
const TRIES: u32 = 10;

/// Books as they were read.
struct Read {
    left: String,
    grabbed: String,
    refunded: String,
    era: String,
    books: Books,
}

type Answer = (String, String, String, String, Vec<String>, Vec<Cents>);

impl RedisPackets {
    pub(super) async fn debts(&self, settlements: &[Settlement]) -> Result<Vec<Option<Cents>>, PacketError> {
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        let mut read = redis::pipe();
        for Settlement { app, packet, kind, user, .. } in settlements {
            read.cmd("HMGET").arg(self.logs.keys.packet(*app, packet));
            match kind {
                Kind::Grab => read.arg(format!("u:{user}")).arg("none"),
                Kind::Refund | Kind::Rest => read.arg("refunded").arg("terms"),
            };
        }
        let found: Vec<(Option<Cents>, Option<String>)> = self.logs.others.run_all(&read).await?;
        let debt = |(settlement, (cents, terms)): (&Settlement, (Option<Cents>, Option<String>))| {
            let is_due = match (settlement.kind, terms) {
                (Kind::Grab, _) => true,
                (Kind::Refund, Some(terms)) => {
                    let terms: Terms = serde_json::from_str(&terms).map_err(corrupt)?;
                    terms.sender == settlement.user
                }
                (Kind::Refund | Kind::Rest, _) => false,
            };
            Ok(cents.filter(|cents| is_due && cents.is_positive()))
        };
        settlements.iter().zip(found).map(debt).collect()
    }

    pub(super) async fn compare(&self, terms: &Terms, paid: &[Paid]) -> Result<bool, PacketError> {
        for _ in 0..TRIES {
            let Some(read) = self.read(terms).await? else { return Ok(false) };
            let mended = read.books.mended(terms, paid);
            if self.rewrite(terms, &read, mended.as_ref()).await? {
                if let Some(Mended { annulled, .. }) = &mended {
                    crate::money::packets::tell_mended(terms, annulled);
                }
                return Ok(mended.is_some());
            }
        }
        Err(PacketError::Unreachable("the packet changes all the time".to_owned()))
    }

    async fn read(&self, terms: &Terms) -> Result<Option<Read>, PacketError> {
        let call = self.books.call(&self.names(terms.app, &terms.packet)[..3]);
        let answer: Vec<Value> = self.logs.others.call(&self.books, &call).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let answer = redis::from_redis_value::<Answer>(Value::Array(answer)).map_err(corrupt)?;
        let (left, grabbed, refunded, era, winners, shares) = answer;
        let read = |(number, text): (u32, &String)| winner(number, text).ok_or_else(|| corrupt(text));
        let winners = (1..).zip(&winners).map(read).collect::<Result<_, _>>()?;
        let sum = if refunded.is_empty() { None } else { Some(refunded.parse().map_err(corrupt)?) };
        let books = Books { winners, shares, refunded: sum };
        Ok(Some(Read { left, grabbed, refunded, era, books }))
    }

    async fn rewrite(
        &self,
        terms: &Terms,
        read: &Read,
        mended: Option<&Mended>,
    ) -> Result<bool, PacketError> {
        let mut call = self.rewrite.call(&self.names(terms.app, &terms.packet));
        call.arg(&read.left).arg(&read.grabbed).arg(&read.refunded).arg(&read.era);
        if let Some(Mended { books, annulled }) = mended {
            let left = (terms.count as usize).checked_sub(books.winners.len());
            call.arg(left.ok_or_else(|| corrupt("more were paid than there are shares"))?);
            call.arg(books.grabbed()).arg(books.refunded.map(|cents| cents.to_string()).unwrap_or_default());
            let luckiest = books.winners.iter().rev().max_by_key(|winner| winner.amount);
            call.arg(luckiest.map_or(Cents::ZERO, |winner| winner.amount));
            call.arg(luckiest.map(|winner| winner.user.as_str()).unwrap_or_default());
            call.arg(terms.app).arg(terms.packet.as_str()).arg(terms.sender.as_str());
            call.arg(self.given_time()).arg(KEPT_SECONDS).arg(annulled.len()).arg(books.winners.len());
            call.arg(annulled.iter().map(|user| user.as_str()).collect::<Vec<_>>());
            let line = |of: &super::Winner| format!("{} {} {}", of.amount, of.time_ms, of.user);
            call.arg(books.winners.iter().map(line).collect::<Vec<_>>()).arg(&books.shares);
        }
        Ok(self.logs.others.call::<bool>(&self.rewrite, &call).await?)
    }
}
