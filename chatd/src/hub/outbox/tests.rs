//! What an outbox takes, keeps back, and gives up.

use super::*;

fn outbox(frames: usize, bytes: usize) -> Outbox {
    Outbox::new(Limits { frames, bytes }, Rope::default())
}

fn delivery(text: &'static str) -> Delivery<'static> {
    Delivery { frame: Bytes::from_static(text.as_bytes()), message: None }
}

fn entry(epoch: &str, offset: u64) -> Entry {
    let (msg_id, members) = (chat_protocol::MsgId::new("m").unwrap(), Bytes::new());
    let (skip, effect) = (crate::model::Skip::Nobody, crate::model::Effect::None);
    Entry { offset, epoch: epoch.into(), time: 0, msg_id, members, skip, effect }
}

fn at(offset: u64) -> Position {
    Position { epoch: "e".into(), offset }
}

fn taken(outbox: &Outbox) -> Vec<Bytes> {
    let mut writing = Frames::default();
    outbox.take(&mut writing, 100);
    writing.iter().cloned().collect()
}

#[test]
fn frames_leave_in_the_order_they_came() {
    let outbox = outbox(10, 100);
    for text in ["a", "b", "c"] {
        assert_eq!(outbox.push(&delivery(text)), Pushed::Queued);
    }
    let mut writing = Frames::default();
    outbox.take(&mut writing, 2);
    assert!(writing.iter().eq(["a", "b"]));
    outbox.take(&mut writing, 2);
    assert!(writing.iter().eq(["a", "b", "c"]));
    assert_eq!(outbox.state.lock().bytes, 0);
}

#[test]
fn a_full_queue_closes_once_with_4001() {
    for outbox in [outbox(2, 100), outbox(100, 2)] {
        outbox.push(&delivery("a"));
        outbox.push(&delivery("b"));
        assert_eq!(outbox.push(&delivery("c")), Pushed::TooSlow);
        assert_eq!(outbox.push(&delivery("d")), Pushed::Closing);
        assert!(taken(&outbox).is_empty());
        assert_eq!(outbox.closing().unwrap().code, 4001);
    }
}

#[test]
fn held_pushes_follow_the_answer_and_known_ones_are_dropped() {
    let outbox = outbox(10, 100);
    let world = Conversation::World(1);
    outbox.hold();
    for (offset, text) in [(4, "4"), (5, "5")] {
        let frame = Bytes::from_static(text.as_bytes());
        outbox.push(&Delivery { frame, message: Some((&world, &entry("e", offset))) });
    }
    outbox.push(&delivery("notice"));
    outbox.answer(Bytes::from_static(b"answer"));
    outbox.release([(world, at(4))]);
    assert_eq!(taken(&outbox), ["answer", "5", "notice"]);
    assert_eq!(outbox.state.lock().bytes, 0);
    assert!(outbox.state.lock().catching_up.is_none());
}

#[test]
fn a_live_message_behind_the_log_is_dropped_after_the_release_too() {
    let outbox = outbox(10, 100);
    let world = Conversation::World(1);
    outbox.hold();
    outbox.release([(world.clone(), at(4))]);
    for (offset, pushed) in [(3, Pushed::Known), (4, Pushed::Known), (5, Pushed::Queued), (6, Pushed::Queued)]
    {
        let frame = Bytes::from_static(b"m");
        let entry = entry("e", offset);
        assert_eq!(outbox.push(&Delivery { frame, message: Some((&world, &entry)) }), pushed);
    }
    assert!(outbox.state.lock().catching_up.is_none());
    assert_eq!(taken(&outbox).len(), 2);
}

/// What becomes of live messages, by epoch and offset, for a connection that has the log up to there.
fn pushed(conversation: &Conversation, has: (&str, u64), live: &[(&str, u64)]) -> Vec<Pushed> {
    let outbox = outbox(100, 100);
    outbox.hold();
    outbox.release([(conversation.clone(), Position { epoch: has.0.into(), offset: has.1 })]);
    let push = |(epoch, offset): &(&str, u64)| {
        let (frame, entry) = (Bytes::from_static(b"m"), entry(epoch, *offset));
        outbox.push(&Delivery { frame, message: Some((conversation, &entry)) })
    };
    live.iter().map(push).collect()
}

#[test]
fn a_log_that_forked_goes_on_and_what_came_before_the_fork_lies_behind_it() {
    let name = |name: &str| chat_protocol::UserId::new(name).unwrap();
    let group = Conversation::Group(1, chat_protocol::GroupId::new("g").unwrap());
    for of in [group, Conversation::World(1), Conversation::Pair(1, name("a"), name("b"))] {
        let behind_the_fork = pushed(&of, ("e", 4), &[("e", 4), ("e.1.a", 5), ("e.1.a", 6)]);
        assert_eq!(behind_the_fork, [Pushed::Known, Pushed::Queued, Pushed::Queued]);
        let lost_end = pushed(&of, ("e", 9), &[("e.1.a", 5)]);
        assert_eq!(lost_end, [Pushed::Queued], "another message stands there now");
        let late = pushed(&of, ("e.1.a", 5), &[("e", 4), ("e", 5), ("e.1.a", 5), ("e.2.b", 6)]);
        assert_eq!(late, [Pushed::Known, Pushed::Known, Pushed::Known, Pushed::Queued]);
    }
}

#[test]
fn what_is_left_of_a_group_that_was_dismissed_is_dropped() {
    let group = Conversation::Group(1, chat_protocol::GroupId::new("g").unwrap());
    let left = pushed(&group, ("new", 2), &[("old", 7), ("old.1.a", 9), ("new", 3)]);
    assert_eq!(left, [Pushed::Known, Pushed::Known, Pushed::Queued]);
}

#[test]
fn the_last_of_several_holders_releases() {
    let outbox = outbox(10, 100);
    outbox.hold();
    outbox.hold();
    outbox.push(&delivery("a"));
    outbox.release([]);
    assert!(taken(&outbox).is_empty());
    outbox.release([]);
    assert_eq!(taken(&outbox), ["a"]);
}

#[test]
fn what_was_held_for_a_refused_log_in_is_forgotten() {
    let outbox = outbox(1, 100);
    outbox.hold();
    outbox.push(&delivery("for the one refused"));
    outbox.abandon();
    assert_eq!(outbox.answer(Bytes::from_static(b"refused")), Pushed::Queued);
    assert_eq!(taken(&outbox), ["refused"]);
    outbox.hold();
    outbox.release([]);
    assert!(taken(&outbox).is_empty());
    assert_eq!(outbox.state.lock().bytes, 0);
}

#[test]
fn who_gives_up_holding_leaves_the_others_theirs() {
    let outbox = outbox(10, 100);
    (0..2).for_each(|_| outbox.hold());
    outbox.abandon();
    outbox.push(&delivery("a"));
    assert!(taken(&outbox).is_empty());
    outbox.release([]);
    assert_eq!(taken(&outbox), ["a"]);
}

#[test]
fn a_close_comes_after_what_was_queued() {
    let outbox = outbox(10, 100);
    outbox.push(&delivery("a"));
    outbox.close(Close::new(4500, "kicked"));
    assert_eq!(outbox.push(&delivery("late")), Pushed::Closing);
    assert_eq!(taken(&outbox), ["a"]);
    assert_eq!(outbox.closing().unwrap().code, 4500);
}

#[test]
fn a_reader_who_is_behind_has_no_room_until_it_has_read() {
    let outbox = outbox(100, 40);
    assert!(outbox.has_room());
    for _ in 0..11 {
        outbox.push(&delivery("a"));
    }
    assert!(!outbox.has_room(), "a quarter waits");
    taken(&outbox);
    assert!(!outbox.has_room(), "it is on its way");
    taken(&outbox);
    assert!(outbox.has_room());
}

#[test]
fn a_large_answer_finds_room_behind_little() {
    let outbox = outbox(100, 40);
    (0..5).for_each(|_| _ = outbox.push(&delivery("a")));
    assert_eq!(outbox.answer(Bytes::from(vec![0; 40])), Pushed::Queued);
    assert_eq!(outbox.answer(Bytes::from(vec![0; 40])), Pushed::TooSlow);
}

#[test]
fn what_is_on_its_way_to_the_socket_still_waits() {
    let outbox = outbox(100, 1 << 20);
    let frame = Bytes::from(vec![0; MAX_TAKEN]);
    for _ in 0..3 {
        outbox.answer(frame.clone());
    }
    let mut writing = Frames::default();
    outbox.take(&mut writing, 100);
    assert_eq!((writing.len(), outbox.waiting()), (1, 3 * MAX_TAKEN));
    outbox.take(&mut writing, 100);
    assert_eq!((writing.len(), outbox.waiting()), (2, 2 * MAX_TAKEN));
    assert_eq!(outbox.shed(), 2 * MAX_TAKEN);
    assert_eq!((outbox.waiting(), outbox.shed()), (MAX_TAKEN, MAX_TAKEN), "until the socket ends");
    assert_eq!((outbox.closing().unwrap().code, taken(&outbox).len()), (4001, 0));
}
