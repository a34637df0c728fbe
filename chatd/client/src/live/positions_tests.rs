//! Positions without a network.

use super::*;

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn position(text: &str, epoch: &str, offset: u64) -> Position {
    Position { target: target(text), epoch: epoch.to_owned(), offset }
}

fn recovered(text: &str, epoch: &str, offset: u64, complete: bool) -> Recovered {
    Recovered { target: target(text), epoch: epoch.to_owned(), offset, complete }
}

fn receipt(epoch: &str, offset: u64) -> Receipt {
    let msg_id = "m".parse().unwrap();
    Receipt { msg_id, offset, epoch: epoch.to_owned(), time: 0, duplicate: false }
}

fn push(to: &str, from: &str) -> Push {
    serde_json::from_value(serde_json::json!({
        "target": to, "type": "text", "msg": "x", "from": from, "msgId": "m", "offset": 1, "epoch": "e", "time": 2
    }))
    .unwrap()
}

#[test]
fn a_conversation_has_one_name_whoever_speaks() {
    let me = "me".parse().unwrap();
    for (to, from, named) in [
        ("user:me", "x", "user:x"),
        ("user:x", "me", "user:x"),
        ("user:me", "me", "user:me"),
        ("group:g", "x", "group:g"),
        ("", "x", ""),
    ] {
        assert_eq!(conversation_of(&push(to, from), &me), target(named), "{to} from {from}");
    }
}

#[test]
fn repeats_are_told_within_an_epoch_only() {
    let (mut positions, world) = (Positions::default(), Target::World);
    assert_eq!(positions.admit(&world, "e", 4), Admission::New);
    assert_eq!(positions.admit(&world, "e", 4), Admission::Repeat);
    assert_eq!(positions.admit(&world, "e", 3), Admission::Repeat);
    assert_eq!(positions.admit(&world, "e", 6), Admission::New);
    assert_eq!(positions.admit(&world, "f", 1), Admission::NewEpoch);
    assert_eq!(positions.admit(&world, "f", 1), Admission::Repeat);
    assert_eq!(positions.to_recover(), [position("", "f", 1)]);
}

#[test]
fn the_first_message_ever_is_no_change_of_history() {
    let mut positions = Positions::default();
    positions.set(position("", "", 0));
    assert_eq!(positions.recovered(&[recovered("", "e", 1, true)]), []);
    assert_eq!(positions.admit(&Target::World, "e", 1), Admission::New);
    let mut positions = Positions::default();
    positions.set(position("", "", 0));
    assert_eq!(positions.admit(&Target::World, "e", 1), Admission::New);
}

#[test]
fn an_own_message_counts_when_it_is_the_next() {
    let (mut positions, world) = (Positions::default(), Target::World);
    positions.admit(&world, "e", 4);
    positions.sent(&world, &receipt("e", 6));
    assert_eq!(positions.admit(&world, "e", 5), Admission::New, "5 was still on its way");
    positions.sent(&world, &receipt("e", 6));
    assert_eq!(positions.to_recover(), [position("", "e", 6)]);
    positions.sent(&target("user:x"), &receipt("u", 9));
    assert_eq!(positions.admit(&target("user:x"), "u", 8), Admission::New, "8 was still on its way");
    assert!(positions.to_recover().contains(&position("user:x", "u", 9)));
}

#[test]
fn a_gap_is_told_once_and_what_comes_after_it_is_shown() {
    let (mut positions, world) = (Positions::default(), Target::World);
    positions.set(position("", "e", 4));
    let gaps = positions.recovered(&[recovered("", "e", 90, false)]);
    let gap = Gap { target: world.clone(), seen: Some(position("", "e", 4)), epoch: "e".into(), newest: 90 };
    assert_eq!(gaps, [gap]);
    assert_eq!(positions.to_recover(), [position("", "e", 90)], "not told again");
    assert_eq!(positions.admit(&world, "e", 80), Admission::New, "the server may send the end of it");
    assert_eq!(positions.admit(&world, "e", 91), Admission::New);
    assert_eq!(positions.to_recover(), [position("", "e", 91)]);
}

#[test]
fn a_lost_history_begins_anew() {
    let mut positions = Positions::default();
    positions.set(position("", "e", 40));
    let gaps = positions.recovered(&[recovered("", "f", 2, false)]);
    assert_eq!((gaps[0].seen.as_ref(), gaps[0].newest), (Some(&position("", "e", 40)), 2));
    assert!(gaps[0].is_other_history());
    assert_eq!(positions.admit(&Target::World, "f", 3), Admission::New);
}

#[test]
fn what_there_was_no_room_to_ask_for_is_a_gap() {
    let mut positions = Positions::default();
    for n in 0..=MAX_RECOVER {
        positions.set(position(&format!("user:{n}"), "e", 1));
    }
    let asked = positions.to_recover();
    assert_eq!(asked.len(), MAX_RECOVER);
    assert_eq!(asked[0].target, target(&format!("user:{MAX_RECOVER}")), "the last one used comes first");
    let answers: Vec<_> = asked.iter().map(|p| recovered(&p.target.to_string(), "e", 1, true)).collect();
    let gaps = positions.recovered(&answers);
    assert_eq!(gaps.iter().map(|gap| gap.target.clone()).collect::<Vec<_>>(), [target("user:0")]);
}

#[test]
fn conversations_begun_while_away_are_noticed() {
    let found = |text: &str, last_offset| Conversation {
        target: target(text),
        last_offset,
        last_time: 0,
        read_offset: 0,
        unread: 0,
    };
    let mut positions = Positions::default();
    positions.set(position("", "e", 4));
    assert_eq!(positions.discovered(&[found("", 4), found("user:a", 7)]), []);
    assert_eq!(positions.discovered(&[found("", 9), found("user:a", 7)]), [], "the world is recovered");
    let gaps = positions.discovered(&[found("user:a", 8), found("user:b", 1)]);
    let mut told: Vec<_> = gaps.iter().map(|gap| (gap.target.to_string(), gap.newest)).collect();
    told.sort();
    assert_eq!(told, [("user:a".to_owned(), 8), ("user:b".to_owned(), 1)]);
    assert_eq!(positions.discovered(&[found("user:a", 8), found("user:b", 1)]), []);
}
