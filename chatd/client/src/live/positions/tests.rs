//! Places and gaps, one rule a test.

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
fn the_answer_to_an_own_message_is_no_place() {
    let (mut positions, world) = (Positions::default(), Target::World);
    positions.admit(&world, "e", 4);
    positions.sent(&world, &receipt("e", 7));
    positions.sent(&world, &receipt("e", 6));
    assert_eq!(positions.to_recover(), [position("", "e", 4)], "5 is still on its way");
    assert_eq!(positions.admit(&world, "e", 5), Admission::New);
    assert_eq!(positions.to_recover(), [position("", "e", 7)]);
    positions.sent(&world, &receipt("e", 8));
    assert_eq!(positions.to_recover(), [position("", "e", 8)], "it is the next");
}

#[test]
fn an_own_message_makes_no_place_where_none_is_known() {
    let (mut positions, other) = (Positions::default(), target("user:x"));
    positions.sent(&other, &receipt("u", 9));
    assert_eq!(positions.to_recover(), [], "8 may still be on its way");
    positions.know_all();
    positions.sent(&other, &receipt("u", 2));
    assert_eq!(positions.to_recover(), [position("user:x", "u", 0)], "so is 1");
    assert_eq!(positions.admit(&other, "u", 1), Admission::New);
    assert_eq!(positions.to_recover(), [position("user:x", "u", 2)]);
    let first = target("user:y");
    positions.sent(&first, &receipt("v", 1));
    assert!(positions.to_recover().contains(&position("user:y", "v", 1)), "nothing is before it");
}

#[test]
fn an_own_message_does_not_hide_what_comes_up_to_the_log_in() {
    let (mut positions, world) = (Positions::default(), Target::World);
    assert_eq!(positions.told(&world, "e", 5, true), News::Nothing);
    positions.sent(&world, &receipt("e", 6));
    assert_eq!(positions.admit(&world, "e", 5), Admission::New, "the bus may be late");
    assert_eq!(positions.to_recover(), [position("", "e", 6)]);
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
fn a_history_that_lost_its_end_goes_on() {
    let mut positions = Positions::default();
    positions.set(position("", "e", 40));
    let gaps = positions.recovered(&[recovered("", "e", 30, false)]);
    assert!(gaps[0].is_lost_end() && !gaps[0].is_other_history());
    assert_eq!(positions.admit(&Target::World, "e", 30), Admission::Repeat);
    assert_eq!(positions.admit(&Target::World, "e", 31), Admission::New);
}

#[test]
fn an_emptied_history_is_told_once_and_recovered_from_its_beginning() {
    let mut positions = Positions::default();
    positions.set(position("", "e", 40));
    assert_eq!(positions.recovered(&[recovered("", "", 0, false)]).len(), 1);
    assert_eq!(positions.to_recover(), [position("", "", 0)]);
    assert_eq!(positions.recovered(&[recovered("", "", 0, false)]), []);
    assert_eq!(positions.admit(&Target::World, "f", 1), Admission::New);
}

#[test]
fn what_there_was_no_room_to_ask_for_is_missed_when_there_is_more() {
    let mut positions = Positions::default();
    for n in 0..=MAX_RECOVER {
        positions.set(position(&format!("user:{n}"), "e", 1));
    }
    let asked = positions.to_recover();
    assert_eq!(asked.len(), MAX_RECOVER);
    assert_eq!(asked[0].target, target(&format!("user:{MAX_RECOVER}")), "the last one used comes first");
    assert!(positions.are_many());
    let other = target("user:0");
    assert_eq!(positions.told(&other, "e", 1, false), News::Nothing);
    assert_eq!(positions.told(&other, "e", 3, false), News::Missed);
    let seen = Some(position("user:0", "e", 1));
    let gap = Gap { target: other.clone(), seen, epoch: "f".into(), newest: 3 };
    assert_eq!(positions.told(&other, "f", 3, false), News::Gap(gap), "another history");
    assert_eq!(positions.told(&other, "f", 3, false), News::Nothing, "it is told once");
}

#[test]
fn conversations_begun_while_away_are_noticed() {
    let (mut positions, old, new) = (Positions::default(), target("user:a"), target("user:b"));
    assert_eq!(positions.told(&old, "e", 7, true), News::Nothing, "that was before");
    assert_eq!(positions.to_recover(), [position("user:a", "e", 7)]);
    let gap = Gap { target: new.clone(), seen: None, epoch: "e".into(), newest: 2 };
    assert_eq!(positions.told(&new, "e", 2, false), News::Gap(gap), "not all were known");
    positions.know_all();
    assert_eq!(positions.told(&target("user:c"), "e", 3, false), News::Begun);
    assert_eq!(positions.of(&target("user:c")), Some(position("user:c", "e", 0)));
    assert_eq!(positions.told(&new, "e", 2, false), News::Nothing);
    assert_eq!(positions.told(&old, "e", 8, false), News::Missed);
}
