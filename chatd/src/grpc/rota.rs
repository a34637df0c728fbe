//! Which of several senders has a conversation, and which of them rest because they did not answer.
//!
//! Invariant: of those that do not rest a conversation has one, the same at every node that knows them by the same
//! names; when one rests, only its own conversations go elsewhere (rendezvous hashing: Thaler and Ravishankar, IEEE/ACM
//! Transactions on Networking 6, 1998). What time it is and how the dice fall is told from outside.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chat_protocol::backoff::Backoff;
use tokio::time::Instant;

use crate::model::Conversation;

/// Longest rest after a first failure, and after any.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The senders, by their places in a list.
pub(super) struct Rota {
    seats: Vec<Seat>,
}

struct Seat {
    name: String,
    backoff: Backoff,
    /// Whether it ever answered.
    was_heard: bool,
    /// When it failed last; none since it answered.
    failed: Option<Instant>,
    /// Until when others are asked before it.
    rests: Option<Instant>,
}

impl Rota {
    /// Of senders with these names, which are asked as if all were well.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let backoff = Backoff::half(FIRST_REST, LONGEST_REST);
        let seat =
            |name| Seat { name, backoff: backoff.clone(), was_heard: false, failed: None, rests: None };
        Self { seats: names.into_iter().map(seat).collect() }
    }

    /// All of them, in the order in which to ask for this conversation; those that rest stand behind the others.
    pub(super) fn order(&self, conversation: &Conversation, now: Instant) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.seats.len()).collect();
        order.sort_by_cached_key(|at| {
            let Seat { name, rests, .. } = &self.seats[*at];
            (rests.is_some_and(|until| now < until), Reverse(weight(name, conversation)))
        });
        order
    }

    /// Whether one of them has answered, and has not failed since.
    pub(super) fn is_any_well(&self) -> bool {
        self.seats.iter().any(|seat| seat.was_heard && seat.failed.is_none())
    }

    /// It is asked from now on until `until` at the latest. Where it failed before, others pass it over until it
    /// answered: whether it is back one message is enough to see.
    pub(super) fn asked(&mut self, at: usize, until: Instant) {
        let seat = &mut self.seats[at];
        if seat.failed.is_some() {
            seat.rests = seat.rests.max(Some(until));
        }
    }

    /// It has answered.
    pub(super) fn answered(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        (seat.was_heard, seat.failed, seat.rests) = (true, None, None);
        seat.backoff.reset();
    }

    /// It did not answer what it was asked at `began`. Of many that wait together, one tells that it is away; the others
    /// say nothing new. `dice` is uniform in 0 … 1.
    pub(super) fn failed(&mut self, at: usize, began: Instant, now: Instant, dice: f64) {
        let seat = &mut self.seats[at];
        if seat.failed.is_none_or(|failed| failed <= began) {
            seat.failed = Some(now);
            seat.rests = Some(now + seat.backoff.pause(dice));
        }
    }
}

fn weight(name: &str, conversation: &Conversation) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, conversation).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::UserId;

    const SECOND: Duration = Duration::from_secs(1);

    fn rota(names: &[&str]) -> Rota {
        Rota::new(names.iter().map(|&name| name.to_owned()))
    }

    fn pair(number: usize) -> Conversation {
        let name = |text: &str| UserId::new(text).unwrap();
        Conversation::Pair(1, name("a"), name(&format!("u{number}")))
    }

    fn first<'a>(names: &[&'a str], rota: &Rota, conversation: &Conversation, now: Instant) -> &'a str {
        names[rota.order(conversation, now)[0]]
    }

    #[test]
    fn a_conversation_has_one_sender_whoever_asks_and_each_has_its_part() {
        let (now, names, others) = (Instant::now(), ["a:1", "b:1", "c:1"], ["c:1", "a:1", "b:1"]);
        let (rota, other) = (rota(&names), rota(&others));
        let mut counts = [0; 3];
        for number in 0..300 {
            let conversation = pair(number);
            let order = rota.order(&conversation, now);
            counts[order[0]] += 1;
            assert_eq!(order, rota.order(&conversation, now + SECOND));
            assert_eq!(first(&names, &rota, &conversation, now), first(&others, &other, &conversation, now));
        }
        assert!(counts.iter().all(|count| *count > 60), "{counts:?}");
    }

    #[test]
    fn who_rests_is_passed_over_and_nobody_elses_conversations_move() {
        let now = Instant::now();
        let mut rota = rota(&["a:1", "b:1", "c:1"]);
        let before: Vec<_> = (0..100).map(|number| rota.order(&pair(number), now)).collect();
        rota.failed(0, now, now, 1.0);
        for (number, before) in before.iter().enumerate() {
            let order = rota.order(&pair(number), now);
            let others: Vec<_> = before.iter().copied().filter(|at| *at != 0).collect();
            assert_eq!((&order[..2], order[2]), (&others[..], 0), "asked last, and asked");
            assert_eq!(rota.order(&pair(number), now + SECOND), *before, "it has rested");
        }
        // When all rest they are asked as if none did.
        assert!(!rota.is_any_well(), "nobody has said anything yet");
        rota.answered(1);
        assert!(rota.is_any_well());
        (1..3).for_each(|at| rota.failed(at, now, now, 1.0));
        assert!(!rota.is_any_well());
        assert!((0..100).all(|number| rota.order(&pair(number), now) == before[number]));
    }

    #[test]
    fn each_failure_makes_the_rest_longer_up_to_half_a_minute_and_an_answer_ends_it() {
        let mut rota = rota(&["a:1"]);
        let (mut now, mut rests) = (Instant::now(), Vec::new());
        for _ in 0..7 {
            rota.failed(0, now, now, 1.0);
            // Those that were asked before it was known to be away.
            (0..10).for_each(|_| rota.failed(0, now - SECOND / 2, now, 1.0));
            let rest = rota.seats[0].rests.unwrap() - now;
            rests.push(rest.as_secs());
            now += rest;
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30]);
        rota.answered(0);
        assert_eq!((rota.seats[0].rests, rota.seats[0].failed), (None, None));
        rota.failed(0, now, now, 0.0);
        assert_eq!(rota.seats[0].rests, Some(now + SECOND / 2), "from the beginning, by chance half of it");
    }

    #[test]
    fn one_message_sees_whether_a_sender_is_back() {
        let (names, now) = (["a:1", "b:1"], Instant::now());
        let mut rota = rota(&names);
        let of_first = (0..).map(pair).find(|pair| first(&names, &rota, pair, now) == "a:1").unwrap();
        rota.asked(0, now + 2 * SECOND);
        assert_eq!(first(&names, &rota, &of_first, now), "a:1", "who is well is asked by many at a time");
        rota.failed(0, now, now, 1.0);
        let later = now + SECOND;
        assert_eq!(first(&names, &rota, &of_first, later), "a:1");
        rota.asked(0, later + 2 * SECOND);
        assert_eq!(first(&names, &rota, &of_first, later), "b:1", "the others do not wait for it");
        assert_eq!(first(&names, &rota, &of_first, later + 2 * SECOND), "a:1", "nor does one who left");
        rota.answered(0);
        assert_eq!(first(&names, &rota, &of_first, later), "a:1");
    }
}
