//! A packet as it stands in Redis.
//!
//! Invariant: nothing is left out that belongs to it; a value that cannot be read is an error.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use chat_protocol::red_packet::MAX_COUNT;
use chat_protocol::{AppId, PacketId};

use super::{RedisPackets, fields, winner};
use crate::engine::redis::keys::Keys;
use crate::money::packets::record::{Flaw, Names, Record, Sums, differs, unreadable};
use crate::money::packets::{PacketError, Winner};
use crate::money::{Cents, Terms};

/// Fields of a packet that change; those beside them stay as they were when it was opened.
const CHANGING: [&str; 8] = ["terms", "left", "until", "grabbed", "best", "luckiest", "refunded", "era"];
/// How the field of a winner begins, which has the amount that they are answered.
const WINNER: &str = "u:";

/// Fields of the hash, shares nobody has taken, winners.
type Answer = (Vec<String>, Vec<String>, Vec<String>);

impl RedisPackets {
    /// See [`crate::money::packets::Contents::record`].
    pub(super) async fn read_record(&self, app: AppId, packet: &PacketId) -> Result<Record, PacketError> {
        let mut call = self.record.call(&self.names(app, packet)[..3]);
        call.arg(MAX_COUNT);
        let answer: Answer = self.logs.others.call(&self.record, &call).await?;
        read(&self.logs.keys, answer)
    }

    /// See [`crate::money::packets::Contents::names`].
    pub(super) async fn scan(
        &self,
        app: AppId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Names, PacketError> {
        let keys = &self.logs.keys;
        let after: u64 = after.map_or(Ok(0), str::parse).map_err(|_| PacketError::NoPlace)?;
        let mut scan = redis::cmd("SCAN");
        scan.arg(after).arg("MATCH").arg(keys.all_of_app(app)).arg("COUNT").arg(limit);
        let (next, found): (String, Vec<Vec<u8>>) =
            self.logs.others.run_at(Some(keys.all_of_app(app).as_bytes()), &scan).await?;
        let mut names = Names { next: Some(next).filter(|next| next != "0"), ..Names::default() };
        for key in found.iter().map(|key| String::from_utf8_lossy(key)) {
            if let Some(name) = keys.packet_named_by(app, &key) {
                names.names.push(name.to_owned());
            } else if let Some(name) = keys.part_named_by(app, &key) {
                names.parts.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

fn read(keys: &Keys, (hash, shares, lines): Answer) -> Result<Record, PacketError> {
    let hash: HashMap<&str, &str> =
        hash.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    if hash.is_empty() && !(shares.is_empty() && lines.is_empty()) {
        let detail = format!("{} shares and {} winners are there without it", shares.len(), lines.len());
        return Err(unreadable("it", detail));
    }
    if hash.is_empty() || hash.contains_key("lost") {
        return Err(PacketError::NoSuchPacket);
    }
    let terms: Terms = serde_json::from_str(hash.get("terms").copied().unwrap_or_default())
        .map_err(|error| unreadable("its terms", error))?;
    let rest: Result<Vec<Cents>, _> = shares.iter().map(|share| share.parse()).collect();
    let rest = rest.map_err(|error| unreadable("a share", error))?;
    let winners = lines.iter().zip(1..).map(|(line, number)| winner(number, line).ok_or(line));
    let winners = winners.collect::<Result<Vec<_>, _>>().map_err(|line| unreadable("a winner", line))?;
    let (left, best) = (number(&hash, "left")?, number(&hash, "best")?);
    let (grabbed, until) = (number(&hash, "grabbed")?, number::<u64>(&hash, "until")?);
    let refunded = hash.contains_key("refunded").then(|| number(&hash, "refunded")).transpose()?;
    let mut flaws = Sums::of(&winners, terms.count).flaws(left, best, hash.get("luckiest").copied());
    // A packet that is closed has no end any more.
    let end = if refunded.is_some() { 0 } else { terms.expires_ms };
    if until != end {
        flaws.push(differs("end", until, end));
    }
    flaws.extend(unlike_its_beginning(keys, &terms, &hash)?);
    flaws.extend(answered(&winners, &hash));
    Ok(Record { terms, rest, winners, grabbed, refunded, flaws })
}

fn number<T: FromStr<Err: Display>>(hash: &HashMap<&str, &str>, name: &str) -> Result<T, PacketError> {
    let text = hash.get(name).copied().unwrap_or_default();
    text.parse().map_err(|error| unreadable(name, format!("{text:?}: {error}")))
}

/// Whether what never changes is what [`fields`] gave it.
fn unlike_its_beginning(
    keys: &Keys,
    terms: &Terms,
    hash: &HashMap<&str, &str>,
) -> Result<Vec<Flaw>, PacketError> {
    let begun = fields(keys, terms)?;
    let begun: HashMap<&str, &str> =
        begun.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let stays = |name: &&&str| !CHANGING.contains(*name) && !name.starts_with(WINNER);
    let mut names: Vec<&str> = begun.keys().chain(hash.keys()).filter(stays).copied().collect();
    names.sort_unstable();
    names.dedup();
    let unlike = names.into_iter().filter(|name| begun.get(name) != hash.get(name)).map(|name| {
        let shown = |of: &HashMap<&str, &str>| of.get(name).map_or("nothing", |value| value).to_owned();
        differs(name, shown(hash), shown(&begun))
    });
    Ok(unlike.collect())
}

/// Whether everybody who won, and nobody else, is answered so.
fn answered(winners: &[Winner], hash: &HashMap<&str, &str>) -> Vec<Flaw> {
    let mut told: HashMap<&str, &str> =
        hash.iter().filter_map(|(name, amount)| Some((name.strip_prefix(WINNER)?, *amount))).collect();
    let mut flaws = Vec::new();
    for Winner { user, amount, .. } in winners {
        let answer = told.remove(user.as_str());
        if answer.is_none_or(|answer| answer != amount.to_string()) {
            let answer = answer.unwrap_or("nothing");
            flaws.push(Flaw::new("winner", format!("{user} won {amount} cents and is answered {answer}")));
        }
    }
    let mut others: Vec<_> = told.into_iter().collect();
    others.sort_unstable();
    let others = others.into_iter().map(|(user, answer)| {
        Flaw::new("winner", format!("{user} is answered {answer} cents and is no winner"))
    });
    flaws.extend(others);
    flaws
}
