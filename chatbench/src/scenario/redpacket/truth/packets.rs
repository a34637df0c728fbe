//! The packets as the server tells of them, against themselves and against what the clients were told.
//!
//! Invariant: every share has one winner, every winner one share, and all cents are somewhere.

use std::collections::{BTreeMap, HashMap};

use chat_protocol::UserId;
use chat_protocol::red_packet::{DetailResponse, Mode, State, Winner};

use super::claims::{Claim, Claims};
use super::{Case, Findings, Place};
use crate::scenario::redpacket::bank::Packet;

/// Compares all packets.
pub fn compare(case: &Case<'_>, claims: &Claims, findings: &mut Findings) {
    let numbers: HashMap<&UserId, u32> = case.users.iter().zip(0..).collect();
    for ((packet, detail), claims) in case.packets.iter().zip(&case.books.details).zip(claims) {
        sums(packet, detail, findings);
        winners(packet, detail, findings);
        clients(case, packet, detail, claims, &numbers, findings);
        count(packet, detail, claims, findings);
    }
}

fn sums(packet: &Packet, detail: &DetailResponse, findings: &mut Findings) {
    let place = Place { rule: "total", packet: Some(packet), user: None };
    findings.same(&place, "packet", &packet.id, &detail.packet_id);
    findings.same(&place, "giver", &packet.from, &detail.from);
    findings.same(&place, "total", packet.total, detail.total);
    findings.same(&place, "shares", packet.count, detail.count);
    findings.same(&place, "mode", packet.mode.as_str(), detail.mode.as_str());
    let amounts = detail.winners.iter().map(|winner| winner.amount).sum();
    findings.same(&place, "sum of the shares", detail.grabbed, amounts);
    findings.same(&place, "shares taken", u64::from(detail.grabbed_count), detail.winners.len() as u64);
    let parts = detail.grabbed.checked_add(detail.refunded).and_then(|sum| sum.checked_add(detail.open));
    if parts != Some(packet.total) {
        let found = format!("{} + {} + {}", detail.grabbed, detail.refunded, detail.open);
        findings.add(place.broken(format!("grabbed + refunded + open = {}", packet.total), found));
    }
    let is_all_taken = detail.winners.len() as u64 >= u64::from(packet.count);
    if is_all_taken && (detail.open > 0 || detail.refunded > 0 || detail.state == State::Open) {
        findings.add(
            place
                .broken("nothing left of a packet whose shares are all taken", format!("{:?}", detail.state)),
        );
    }
    if !is_all_taken && detail.state == State::Empty {
        let taken = format!("empty with {} of {} shares taken", detail.winners.len(), packet.count);
        findings.add(place.broken("an empty packet only when all shares are taken", taken));
    }
}

fn winners(packet: &Packet, detail: &DetailResponse, findings: &mut Findings) {
    let place = Place { rule: "winner", packet: Some(packet), user: None };
    let mut seen: HashMap<&UserId, &Winner> = HashMap::new();
    for (position, winner) in (1..).zip(&detail.winners) {
        let place = Place { user: Some(&winner.user_id), ..place };
        findings.same(&place, "number", position, winner.number);
        if let Some(first) = seen.insert(&winner.user_id, winner) {
            findings
                .add(place.broken("one share", format!("numbers {} and {}", first.number, winner.number)));
        }
    }
    let amounts = || detail.winners.iter().map(|winner| winner.amount);
    let (least, most) = (amounts().min().unwrap_or(0), amounts().max().unwrap_or(0));
    if least == 0 && !detail.winners.is_empty() {
        findings.add(place.broken("a cent in every share", "a share of 0"));
    }
    if packet.mode == Mode::Equal && most - least > 1 {
        findings.add(place.broken("equal shares", format!("{least} and {most}")));
    }
    let is_all_taken = detail.winners.len() as u64 >= u64::from(packet.count);
    let luckiest = detail.winners.iter().find(|winner| winner.amount == most).map(|winner| &winner.user_id);
    let expected = luckiest.filter(|_| is_all_taken && packet.mode == Mode::Lucky);
    if detail.luckiest.as_ref() != expected {
        let name = |user: Option<&UserId>| user.map_or("nobody".to_owned(), ToString::to_string);
        findings.add(place.broken(
            format!("luckiest {}", name(expected)),
            format!("luckiest {}", name(detail.luckiest.as_ref())),
        ));
    }
}

fn clients(
    case: &Case<'_>,
    packet: &Packet,
    detail: &DetailResponse,
    claims: &BTreeMap<u32, Claim>,
    numbers: &HashMap<&UserId, u32>,
    findings: &mut Findings,
) {
    let mut shares: HashMap<u32, u64> = HashMap::new();
    for winner in &detail.winners {
        let place = Place { rule: "winner", packet: Some(packet), user: Some(&winner.user_id) };
        let number = numbers.get(&winner.user_id).filter(|number| claims.contains_key(number));
        match number {
            Some(number) => {
                shares.insert(*number, winner.amount);
            }
            None => findings.add(place.broken("only winners who grabbed", format!("won {}", winner.amount))),
        }
    }
    for (number, claim) in claims.iter().filter(|(_, claim)| claim.told) {
        let place = Place { rule: "share", packet: Some(packet), user: Some(&case.users[*number as usize]) };
        let words = |share: Option<u64>| share.map_or("no share".to_owned(), |cents| format!("won {cents}"));
        let found = shares.get(number).copied();
        if claim.share != found {
            findings.add(place.broken(format!("{} (the client was told)", words(claim.share)), words(found)));
        }
    }
}

/// As many winners as there were shares or takers, whichever is less.
fn count(packet: &Packet, detail: &DetailResponse, claims: &BTreeMap<u32, Claim>, findings: &mut Findings) {
    // Who came when the time was over does not count; of who was told nothing, nobody knows.
    let in_time = claims.values().filter(|claim| claim.share.is_some() || claim.empty).count() as u64;
    let (shares, found) = (u64::from(packet.count), detail.winners.len() as u64);
    let untold = claims.values().filter(|claim| !claim.told).count() as u64;
    let (least, most) = (in_time.min(shares), (in_time + untold).min(shares));
    if !(least..=most).contains(&found) {
        let place = Place { rule: "count", packet: Some(packet), user: None };
        let expected =
            if least == most { format!("{most} winners") } else { format!("{least} to {most} winners") };
        findings.add(place.broken(expected, format!("{found} winners")));
    }
    if found < shares && claims.values().any(|claim| claim.empty) {
        let place = Place { rule: "empty", packet: Some(packet), user: None };
        findings.add(
            place.broken("a share for everybody while some are left", format!("{found} of {shares} taken")),
        );
    }
    if detail.state != State::Expired && claims.values().any(|claim| claim.expired) {
        let place = Place { rule: "expired", packet: Some(packet), user: None };
        findings.add(place.broken("expired, as a client was told", format!("{:?}", detail.state)));
    }
}
