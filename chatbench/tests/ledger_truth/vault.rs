//! The double's red packets and wallets, which cheat on request.
//!
//! Invariant: without a cheat every share has one winner, is settled at once, and a rest comes back when somebody asks
//! for the packet.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// How to cheat. A share is the number of its winner, from 1, in each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cheat {
    /// No cheat: packets do not expire.
    KeepOpen,
    /// A share has a cent more than was put in for it.
    CentMore { share: usize },
    /// The first share is won a second time when all are gone.
    TwoWinners,
    /// Who grabs again is told a cent more.
    OtherRepeat,
    /// Who grabs again wins again.
    WonAgain,
    /// Who grabs again is told that nothing is left.
    Forgotten,
    /// Somebody is told that nothing is left while there is.
    EarlyEmpty,
    /// A winner is not among the winners.
    Missing { share: usize },
    /// Two winners have each other's share in the books.
    Swapped,
    /// The audit tells of a settlement under way for ever.
    Unsettled,
    /// A share does not come to its wallet.
    NotPaid { share: usize },
    /// A share comes twice.
    PaidTwice { share: usize },
    /// A share comes with a cent less.
    PaidShort { share: usize },
    /// An expired packet keeps its rest.
    KeepRest,
    /// A refund lacks a cent.
    ShortRefund,
    /// A refund does not come.
    NoRefund,
    /// The giver pays again for a repeated request.
    ChargedTwice,
    /// The audit does not hold.
    AuditFails,
}

#[derive(Default)]
struct Packet {
    from: String,
    msg_id: String,
    total: u64,
    count: u64,
    mode: String,
    shares: Vec<u64>,
    winners: Vec<(u64, String, u64)>,
    is_expired: bool,
    keeps: bool,
}

/// All money.
#[derive(Default)]
pub struct Vault {
    cheat: Option<Cheat>,
    packets: Vec<Packet>,
    /// By user, the oldest first.
    transfers: BTreeMap<String, Vec<Value>>,
    number: u64,
}

impl Vault {
    /// Without any money yet.
    pub fn new(cheat: Option<Cheat>) -> Self {
        Self { cheat, ..Self::default() }
    }

    /// Carries an operation out; none when it is not one of money.
    pub fn operate(&mut self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let user = body["userId"].as_str().unwrap_or_default().to_owned();
        let data = match path.trim_start_matches('/') {
            "wallet/deposit" => self.deposit(&user, body),
            "wallet/balance" => json!({"userId": user, "balance": self.balance(&user)}),
            "wallet/transfers" => self.page(&user, body),
            "redPacket/create" => self.create(user, body),
            "redPacket/grab" => self.grab(user, body),
            "redPacket/detail" => self.detail(body),
            "redPacket/audit" => self.audit(),
            _ => return None,
        };
        Some((200, data))
    }

    fn cheats(&self, cheat: Cheat) -> bool {
        self.cheat == Some(cheat)
    }

    fn transfer(&mut self, user: &str, kind: &str, amount: i64, packet: Option<usize>, id: String) {
        self.number += 1;
        let packet_id = packet.map(|packet| format!("packet-{packet}"));
        let transfer = json!({
            "number": self.number, "transferId": id, "kind": kind, "amount": amount, "packetId": packet_id, "time": 7
        });
        self.transfers.entry(user.to_owned()).or_default().push(transfer);
    }

    fn balance(&self, user: &str) -> i64 {
        let transfers = self.transfers.get(user).into_iter().flatten();
        transfers.map(|transfer| transfer["amount"].as_i64().expect("cents")).sum()
    }

    fn deposit(&mut self, user: &str, body: &Value) -> Value {
        let id = body["transferId"].as_str().expect("an id").to_owned();
        self.transfer(user, "deposit", body["amount"].as_i64().expect("cents"), None, id);
        json!({"userId": user, "balance": self.balance(user), "duplicate": false})
    }

    fn page(&self, user: &str, body: &Value) -> Value {
        let before = body["before"].as_u64().unwrap_or(u64::MAX);
        // Smaller than asked for, so that every reader has to turn pages.
        let all = self.transfers.get(user).cloned().unwrap_or_default();
        let older = all.into_iter().rev().filter(|transfer| transfer["number"].as_u64() < Some(before));
        let page: Vec<Value> = older.take(3).collect();
        let next = page.get(2).map(|last| last["number"].clone());
        json!({"transfers": page, "next": next})
    }

    fn create(&mut self, from: String, body: &Value) -> Value {
        let msg_id = body["msgId"].as_str().expect("an id").to_owned();
        let total = body["total"].as_u64().expect("cents");
        let known = self.packets.iter().position(|packet| packet.msg_id == msg_id);
        let number = known.unwrap_or(self.packets.len());
        if known.is_none() || self.cheats(Cheat::ChargedTwice) {
            let paid = -i64::try_from(total).expect("cents");
            self.transfer(&from.clone(), "packet", paid, Some(number), format!("packet:{number}"));
        }
        if known.is_none() {
            let (count, mode) =
                (body["count"].as_u64().expect("shares"), body["mode"].as_str().expect("a mode"));
            let mut shares: Vec<u64> =
                (0..count).map(|n| total / count + u64::from(n < total % count)).collect();
            // A little luck that leaves the sum as it is.
            if mode == "lucky" && count > 1 {
                (shares[0], shares[1]) = (shares[0] + shares[1] - 1, 1);
            }
            let mode = mode.to_owned();
            self.packets.push(Packet { from, msg_id, total, count, mode, shares, ..Packet::default() });
        }
        json!({
            "packetId": format!("packet-{number}"), "expires": 9, "msgId": body["msgId"], "offset": 1, "epoch": "e1",
            "time": 1, "duplicate": known.is_some()
        })
    }

    fn packet(&self, body: &Value) -> usize {
        let id = body["packetId"].as_str().expect("an id");
        id.strip_prefix("packet-").and_then(|number| number.parse().ok()).expect("a packet of this double")
    }

    fn grab(&mut self, user: String, body: &Value) -> Value {
        let (at, cheat) = (self.packet(body), self.cheat);
        let packet = &mut self.packets[at];
        let said = |outcome: &str, amount: u64| json!({"outcome": outcome, "amount": amount});
        if let Some((_, _, amount)) = packet.winners.iter().find(|(_, winner, _)| *winner == user) {
            return match cheat {
                Some(Cheat::OtherRepeat) => said("already", amount + 1),
                Some(Cheat::WonAgain) => said("won", *amount),
                Some(Cheat::Forgotten) => said("empty", 0),
                _ => said("already", *amount),
            };
        }
        let taken = packet.winners.len();
        let is_gone = taken == packet.shares.len();
        if cheat == Some(Cheat::EarlyEmpty) && crate::double::number(&user) == 1 && !is_gone {
            return said("empty", 0);
        }
        let again = cheat == Some(Cheat::TwoWinners) && taken == packet.shares.len();
        if packet.is_expired || (taken >= packet.shares.len() && !again) {
            return said("empty", 0);
        }
        let share = if again { 1 } else { taken + 1 };
        let amount = packet.shares[share - 1] + u64::from(cheat == Some(Cheat::CentMore { share }));
        packet.winners.push((share as u64, user.clone(), amount));
        self.settle(at, share, &user, amount);
        said("won", amount)
    }

    fn settle(&mut self, at: usize, share: usize, user: &str, amount: u64) {
        let (cents, id) = (i64::try_from(amount).expect("cents"), format!("grab:{at}:{user}"));
        match self.cheat {
            Some(Cheat::NotPaid { share: cheated }) if cheated == share => {}
            Some(Cheat::PaidShort { share: cheated }) if cheated == share => {
                self.transfer(user, "grab", cents - 1, Some(at), id);
            }
            Some(Cheat::PaidTwice { share: cheated }) if cheated == share => {
                self.transfer(user, "grab", cents, Some(at), id.clone());
                self.transfer(user, "grab", cents, Some(at), id);
            }
            _ => self.transfer(user, "grab", cents, Some(at), id),
        }
    }

    fn expire(&mut self, at: usize) {
        let packet = &mut self.packets[at];
        let rest: u64 = packet.shares.iter().skip(packet.winners.len()).sum();
        if packet.is_expired || rest == 0 || self.cheat == Some(Cheat::KeepOpen) {
            return;
        }
        packet.is_expired = true;
        packet.keeps = self.cheat == Some(Cheat::KeepRest);
        if packet.keeps {
            return;
        }
        let from = packet.from.clone();
        let short = i64::from(self.cheats(Cheat::ShortRefund));
        if !self.cheats(Cheat::NoRefund) {
            let cents = i64::try_from(rest).expect("cents") - short;
            self.transfer(&from, "refund", cents, Some(at), format!("refund:{at}"));
        }
    }

    fn sums(packet: &Packet) -> (u64, u64, u64) {
        let grabbed = packet.winners.iter().map(|(_, _, amount)| amount).sum();
        let rest = packet.shares.iter().skip(packet.winners.len()).sum();
        if packet.is_expired && !packet.keeps { (grabbed, rest, 0) } else { (grabbed, 0, rest) }
    }

    fn detail(&mut self, body: &Value) -> Value {
        let at = self.packet(body);
        self.expire(at);
        let packet = &self.packets[at];
        let (grabbed, refunded, open) = Self::sums(packet);
        let mut winners = packet.winners.clone();
        if self.cheats(Cheat::Swapped) && winners.len() > 1 {
            (winners[0].2, winners[1].2) = (winners[1].2, winners[0].2);
        }
        let is_full = packet.winners.len() >= packet.shares.len();
        let most = winners.iter().map(|winner| winner.2).max();
        let luckiest = winners
            .iter()
            .find(|winner| Some(winner.2) == most)
            .filter(|_| is_full && packet.mode == "lucky");
        let luckiest = luckiest.map(|winner| winner.1.clone());
        if let Some(Cheat::Missing { share }) = self.cheat {
            winners.retain(|winner| winner.0 != share as u64);
        }
        // Smaller than asked for, as above.
        let after = usize::try_from(body["after"].as_u64().unwrap_or(0)).expect("a number");
        let page: Vec<Value> = winners
            .iter()
            .skip(after)
            .take(2)
            .map(|(number, user, amount)| json!({"number": number, "userId": user, "amount": amount, "time": 5}))
            .collect();
        let next = (after + 2 < winners.len()).then_some(after + 2);
        let state = if packet.is_expired {
            "expired"
        } else if is_full {
            "empty"
        } else {
            "open"
        };
        json!({
            "packetId": body["packetId"], "from": packet.from, "target": "", "mode": packet.mode, "greeting": "",
            "state": state, "total": packet.total, "count": packet.count, "grabbed": grabbed,
            "grabbedCount": packet.winners.len(), "refunded": refunded, "open": open, "created": 1, "expires": 9,
            "luckiest": luckiest, "winners": page, "next": next
        })
    }

    fn audit(&self) -> Value {
        let sums: Vec<_> = self.packets.iter().map(Self::sums).collect();
        let total: u64 = self.packets.iter().map(|packet| packet.total).sum();
        let grabbed: u64 = sums.iter().map(|sum| sum.0).sum();
        let refunded: u64 = sums.iter().map(|sum| sum.1).sum();
        let open: u64 = sums.iter().map(|sum| sum.2).sum();
        let fails = self.cheats(Cheat::AuditFails);
        let violations = if fails { json!([{"rule": "lost", "detail": "a cent"}]) } else { json!([]) };
        json!({
            "holds": !fails, "packets": self.packets.len(), "total": total, "grabbed": grabbed, "refunded": refunded,
            "open": open, "unsettled": u64::from(self.cheats(Cheat::Unsettled)), "unsettledAmount": 0, "queued": 0,
            "deadLetters": 0, "ledgerSum": 0, "violationCount": u64::from(fails), "violations": violations
        })
    }
}
