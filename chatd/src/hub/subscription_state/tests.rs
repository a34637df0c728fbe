//! Joins, ends and what is to be read between them.

use bytes::Bytes;

use super::*;
use crate::model::{Effect, Skip};

fn group() -> GroupId {
    GroupId::new("g").unwrap()
}

fn joined(epoch: &str, since: u64) -> Joined {
    Joined { group: group(), since, epoch: epoch.into() }
}

fn entry(epoch: &str, offset: u64) -> Entry {
    let (msg_id, members) = (chat_protocol::MsgId::new("m").unwrap(), Bytes::new());
    let (skip, effect) = (Skip::Nobody, Effect::None);
    Entry { offset, epoch: epoch.into(), time: 0, msg_id, members, skip, effect }
}

/// Where reading begins for a connection outside the room.
fn due(state: &SubscriptionState, listed: &[Joined]) -> Option<u64> {
    state.due(listed, |_| false).first().map(|due| due.after)
}

fn read(epoch: &str, head: u64, member: bool) -> Option<Read> {
    Some(Read { position: Position { epoch: epoch.into(), offset: head }, member })
}

#[test]
fn rooms_are_asked_without_holding_what_those_who_hold_a_room_ask_for() {
    let state = SubscriptionState::default();
    state.open();
    state.joined(&joined("e", 9));
    let in_room = |_: &GroupId| {
        assert!(state.0.try_lock().is_some(), "the state is held");
        false
    };
    assert_eq!(state.due(&[joined("e", 5)], in_room).len(), 1);
}

#[test]
fn what_lies_between_an_end_and_a_listed_joining_is_read_too() {
    let state = SubscriptionState::default();
    state.open();
    assert!(state.changed(&group(), &entry("e", 21), false));
    assert_eq!(due(&state, &[joined("e", 24)]), Some(21));
    assert_eq!(due(&state, &[joined("e", 5024)]), Some(5023), "however long ago the end was");
    assert_eq!(due(&state, &[joined("another", 24)]), Some(23));
}

#[test]
fn late_news_of_a_joining_that_is_accounted_for_is_dropped() {
    let state = SubscriptionState::default();
    state.open();
    assert!(state.changed(&group(), &entry("e", 8), false));
    state.joined(&joined("e", 5));
    assert_eq!(due(&state, &[joined("e", 5)]), None);
    state.joined(&joined("e", 9));
    assert_eq!(due(&state, &[]), Some(8));
    let other = joined("another", 2);
    state.joined(&other);
    assert_eq!(due(&state, &[]), Some(1), "offsets of another history are others");
}

#[test]
fn the_first_of_several_joinings_is_where_reading_begins() {
    let state = SubscriptionState::default();
    state.joined(&joined("e", 5));
    state.joined(&joined("e", 11));
    assert_eq!(due(&state, &[]), None, "not before the log-in is done");
    assert!(state.open());
    assert_eq!(due(&state, &[joined("e", 11)]), Some(4));
    state.enter(&group());
    assert!(!state.entered(&group(), read("e", 9, false)).stays());
    assert_eq!(due(&state, &[]), Some(9), "the second is behind what was read");
}

#[test]
fn what_came_live_while_the_log_was_read_decides() {
    let state = SubscriptionState::default();
    state.open();
    state.joined(&joined("e", 5));
    state.enter(&group());
    for (offset, member) in [(6, false), (12, true), (15, false)] {
        assert!(!state.changed(&group(), &entry("e", offset), member), "it stays until the log is read");
    }
    let entered = state.entered(&group(), read("e", 10, false));
    let given: Vec<u64> = (1..20).filter(|offset| *offset > 10 && entered.gives("e", *offset)).collect();
    assert_eq!(given, [13, 14, 15]);
    assert!(!entered.stays() && !entered.gives("older", 13));
    state.joined(&joined("e", 12));
    assert_eq!(due(&state, &[]), None);
}

#[test]
fn a_fork_of_the_log_ends_no_membership_and_hides_no_joining() {
    let state = SubscriptionState::default();
    state.open();
    state.joined(&joined("e", 5));
    state.enter(&group());
    assert!(!state.changed(&group(), &entry("e.1.a", 8), false));
    assert!(!state.changed(&group(), &entry("e.1.a", 12), true));
    let entered = state.entered(&group(), read("e", 6, true));
    assert!(entered.stays() && entered.gives("e.1.a", 7) && !entered.gives("e.1.a", 9));
    assert!(state.is_over(&group(), "e", 20) && state.is_over(&group(), "e.1.a", 12));
    assert!(state.changed(&group(), &entry("e.1.a", 14), false));
    state.joined(&joined("e.1.a", 11));
    assert_eq!(due(&state, &[joined("e", 12)]), None, "a list names the history");
    state.joined(&joined("e.2.b", 16));
    let listed = state.due(&[joined("e", 16)], |_| false);
    assert_eq!(
        listed.iter().map(|due| due.after).collect::<Vec<_>>(),
        [14],
        "from where it is accounted for"
    );
    assert_eq!(due(&state, &[]), Some(15));
}

#[test]
fn a_log_that_could_not_be_read_is_still_due() {
    let state = SubscriptionState::default();
    state.open();
    state.joined(&joined("e", 5));
    state.enter(&group());
    let entered = state.entered(&group(), None);
    assert!(!entered.stays() && !entered.gives("e", 6));
    assert_eq!(due(&state, &[]), Some(4));
}
