//! What each client was told of each packet, and whether it was told the same every time.
//!
//! Invariant: an answer that did not come proves nothing; only answers contradict each other.

use std::collections::BTreeMap;

use chat_protocol::red_packet::{GrabResponse, Outcome};

use super::{Case, Findings, Place};
use crate::scenario::redpacket::record::Attempt;

/// What a client can claim of a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claim {
    /// Cents of its share, if it was told of one.
    pub share: Option<u64>,
    /// Whether it was told that nothing is left.
    pub empty: bool,
    /// Whether it was told that the packet's time is over.
    pub expired: bool,
    /// Whether it was told anything at all.
    pub told: bool,
}

/// By packet: the claims, by client.
pub type Claims = Vec<BTreeMap<u32, Claim>>;

/// The claims of all clients. Who was told different things is a discrepancy.
pub fn of(case: &Case<'_>, findings: &mut Findings) -> Claims {
    let mut claims = vec![BTreeMap::new(); case.packets.len()];
    for (number, record) in (0..).zip(case.records) {
        let mut by_packet: BTreeMap<u32, Vec<&Attempt>> = BTreeMap::new();
        for attempt in &record.attempts {
            by_packet.entry(attempt.packet).or_default().push(attempt);
        }
        for (packet, mut attempts) in by_packet {
            attempts.sort_by_key(|attempt| attempt.sent_ns);
            let (packet, user) = (packet as usize, &case.users[number as usize]);
            let place = Place { rule: "repeat", packet: case.packets.get(packet), user: Some(user) };
            if let Some(wrong) = contradiction(&attempts) {
                findings.add(place.broken(wrong, story(&attempts)));
            }
            if let Some(claims) = claims.get_mut(packet) {
                claims.insert(number, claim(&attempts));
            }
        }
    }
    claims
}

fn has_share(said: GrabResponse) -> bool {
    matches!(said.outcome, Outcome::Won | Outcome::Already)
}

fn claim(attempts: &[&Attempt]) -> Claim {
    let mut said = attempts.iter().filter_map(|attempt| attempt.said);
    let told = said.clone().next().is_some();
    let heard = |outcome: Outcome| said.clone().any(|said| said.outcome == outcome);
    let (empty, expired) = (heard(Outcome::Empty), heard(Outcome::Expired));
    Claim { share: said.find(|said| has_share(*said)).map(|said| said.amount), empty, expired, told }
}

/// What the answers should have been, when they contradict each other.
fn contradiction(attempts: &[&Attempt]) -> Option<&'static str> {
    let said: Vec<_> = attempts.iter().filter_map(|attempt| Some((*attempt, attempt.said?))).collect();
    let shares: Vec<_> =
        said.iter().filter(|(_, said)| has_share(*said)).map(|(_, said)| said.amount).collect();
    if said.iter().any(|(_, said)| has_share(*said) != (said.amount > 0)) {
        return Some("cents with a share, and none without");
    }
    if shares.iter().any(|amount| *amount != shares[0]) {
        return Some("the same amount every time");
    }
    let wins = said.iter().filter(|(_, said)| said.outcome == Outcome::Won).count();
    if wins > 1 {
        return Some("one win");
    }
    let unanswered = attempts.iter().any(|attempt| attempt.said.is_none());
    if wins == 0 && !shares.is_empty() && !unanswered {
        return Some("a win before it is won already");
    }
    // Grabs that overlap may be carried out in any order.
    let in_order = |one: &Attempt, other: &Attempt| one.ended_ns <= other.sent_ns;
    let contradicts = |(one, first): &(&Attempt, GrabResponse),
                       (other, second): &(&Attempt, GrabResponse)| {
        in_order(one, other) && (has_share(*first) != has_share(*second) || second.outcome == Outcome::Won)
    };
    let pairs =
        said.iter().enumerate().flat_map(|(at, one)| said[at + 1..].iter().map(move |other| (one, other)));
    pairs.into_iter().any(|(one, other)| contradicts(one, other)).then_some("the same end every time")
}

fn story(attempts: &[&Attempt]) -> String {
    let told = attempts.iter().take(6).map(|attempt| match attempt.said {
        Some(said) => format!("{:?} {}", said.outcome, said.amount).to_lowercase(),
        None => "no answer".to_owned(),
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(answers: &[Option<(Outcome, u64)>]) -> Option<&'static str> {
        let attempts: Vec<_> = (0..)
            .zip(answers)
            .map(|(n, said)| Attempt {
                packet: 0,
                intended_ns: n * 10,
                sent_ns: n * 10,
                ended_ns: n * 10 + 5,
                said: said.map(|(outcome, amount)| GrabResponse { outcome, amount }),
            })
            .collect();
        contradiction(&attempts.iter().collect::<Vec<_>>())
    }

    #[test]
    fn answers_agree_or_contradict_each_other() {
        use Outcome::{Already, Empty, Expired, Won};
        for (answers, is_wrong) in [
            (&[][..], false),
            (&[Some((Won, 5)), Some((Already, 5))], false),
            (&[None, Some((Already, 5))], false),
            (&[None, Some((Won, 5)), None, Some((Already, 5))], false),
            (&[Some((Empty, 0)), Some((Expired, 0))], false),
            (&[None, Some((Empty, 0))], false),
            (&[Some((Won, 5)), Some((Already, 6))], true),
            (&[Some((Won, 5)), Some((Won, 5))], true),
            (&[Some((Already, 5))], true),
            (&[Some((Already, 5)), None, Some((Won, 5))], true),
            (&[Some((Won, 5)), Some((Empty, 0))], true),
            (&[Some((Empty, 0)), Some((Won, 5))], true),
            (&[Some((Won, 0))], true),
            (&[Some((Empty, 3))], true),
        ] {
            assert_eq!(wrong(answers).is_some(), is_wrong, "{answers:?}");
        }
    }
}
