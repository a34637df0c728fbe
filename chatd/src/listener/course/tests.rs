//! How one HTTP connection goes, tested.

use futures_util::FutureExt;

use super::*;
use crate::listener::state::HELD_UP;

const TURNS: usize = 4;
const PATIENCE: Patience = Patience { idle: Duration::from_secs(75), stalled: Duration::from_secs(20) };

fn seconds_to_end(state: &State, start: Instant) -> Option<u64> {
    state.end(PATIENCE).map(|end| (end - start).as_secs())
}

#[test]
fn a_new_connection_has_ten_seconds_and_a_used_one_the_keep_alive_time() {
    let start = Instant::now();
    let mut state = State::new(start);
    assert_eq!(seconds_to_end(&state, start), Some(10));
    state.run(false);
    assert_eq!(seconds_to_end(&state, start), None);
    state.ran(start + Duration::from_secs(1000));
    assert_eq!(seconds_to_end(&state, start), Some(1075));
}

#[test]
fn a_request_that_has_begun_has_ten_seconds_from_its_first_byte() {
    let start = Instant::now();
    let mut state = State::new(start);
    state.run(false);
    state.heard(start);
    state.ran(start);
    assert_eq!(seconds_to_end(&state, start), Some(75), "what came while it ran was its own");
    for second in [74, 80, 83] {
        state.heard(start + Duration::from_secs(second));
        assert_eq!(seconds_to_end(&state, start), Some(84));
    }
}

#[test]
fn an_answer_has_twenty_seconds_from_the_last_of_it_that_was_taken() {
    let start = Instant::now();
    let mut state = State::new(start);
    state.run(false);
    state.sending = 1;
    for second in [0, 19, 1000] {
        state.taken = start + Duration::from_secs(second);
        assert_eq!(seconds_to_end(&state, start), Some(second + 20));
    }
    state.sending = 0;
    assert_eq!(seconds_to_end(&state, start), None, "the request runs");
}

#[tokio::test]
async fn nothing_more_is_done_for_who_leaves_its_answers_waiting() {
    let course = Course::new(PATIENCE, TURNS);
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        turns.push(course.turn().now_or_never().expect("a turn"));
    }
    assert!(course.turn().now_or_never().is_none(), "enough are worked on");
    course.sends(MARK + 1);
    turns.clear();
    let waiting = course.turn();
    tokio::pin!(waiting);
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    course.sent(MARK + 1, true);
    assert!(waiting.now_or_never().flatten().is_some());
}

#[test]
fn a_connection_may_go_once_it_was_idle_for_a_while() {
    let course = Arc::new(Course::new(PATIENCE, TURNS));
    assert!(!course.may_go(), "its first request may be on its way");
    course.age(FIRST_WORD);
    assert!(course.may_go());
    let running = course.run(false);
    assert!(!course.may_go() && !course.may_go());
    drop(running);
    assert!(course.may_go());
    drop(course.run(false));
    assert!(!course.may_go(), "it was used since");
    assert!(course.may_go());
}

#[test]
fn who_gives_way_first_answers_what_it_was_asked() {
    let course = Arc::new(Course::new(PATIENCE, TURNS));
    course.give_way();
    assert!(course.has_ceased());
    let running = course.run(false);
    assert!(!course.has_ceased());
    course.sends(1);
    drop(running);
    assert!(!course.has_ceased());
    course.sent(1, true);
    assert!(course.has_ceased() && !course.is_cut_off());
    course.heard();
    assert!(course.has_ceased() && course.is_cut_off(), "half a request keeps no place");
}

#[test]
fn what_http2_says_between_requests_begins_none() {
    let start = Instant::now();
    let mut state = State::new(start);
    state.heard(start);
    state.run(true);
    state.ran(start);
    state.heard(start + Duration::from_secs(1));
    assert_eq!(seconds_to_end(&state, start), Some(75));
}

/// Streams of HTTP/2 whose window the client keeps shut.
#[test]
fn another_answer_gives_no_more_time_for_those_that_nobody_takes() {
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let mut state = State::new(start);
    state.run(true);
    state.sends(3, start);
    state.run(true);
    state.sends(3, at(12));
    assert_eq!(seconds_to_end(&state, start), Some(20));
    // The older one is given up, and then the other, too.
    state.sent(3, false);
    assert_eq!(seconds_to_end(&state, start), Some(10), "the client has given one up");
    state.sent(3, false);
    state.sends(3, at(24));
    assert_eq!(seconds_to_end(&state, start), Some(24 + 5));
    state.took(at(26));
    assert_eq!(seconds_to_end(&state, start), Some(26 + 20));
}

#[test]
fn where_places_are_needed_who_is_waited_for_goes_at_once() {
    for wait in [|course: &Course| course.sends(1), |course: &Course| course.awaits(true)] {
        let course = Arc::new(Course::new(PATIENCE, TURNS));
        let _running = course.run(true);
        wait(&course);
        assert!(!course.may_go() && !course.may_go(), "it has a moment");
        course.age(HELD_UP + Duration::from_millis(1));
        assert!(course.may_go());
        course.give_way();
        assert!(course.is_dismissed() && course.has_ceased() && course.is_cut_off());
    }
    let course = Arc::new(Course::new(PATIENCE, TURNS));
    let _running = course.run(true);
    course.awaits(true);
    course.awaits(false);
    course.age(HELD_UP + Duration::from_millis(1));
    assert!(!course.may_go(), "the body is here, and something is done with it");
}

/// The library has taken the answer whole, and goes on with the next request, whose answer it asks for once this is gone.
#[test]
fn the_end_of_an_answer_that_nobody_takes_is_not_waited_for_longer() {
    let course = Arc::new(Course::new(PATIENCE, TURNS));
    let _running = course.run(false);
    course.blocked(true);
    assert!(course.is_sending() && !course.may_go());
    course.age(HELD_UP + Duration::from_millis(1));
    assert!(course.may_go() && !course.has_ceased(), "its place is taken where it is needed");
    course.blocked(true);
    course.age(PATIENCE.stalled);
    assert!(course.has_ceased());
    course.blocked(false);
    assert!(!course.has_ceased() && !course.is_sending(), "it took something");
}
