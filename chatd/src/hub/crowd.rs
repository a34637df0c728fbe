//! SubscriptionState and goings in a world room, thinned for the connections of this node: a few singly, the others together once
//! a second.
//!
//! Invariant: of a user who waits to be told of, nothing is told singly, so nobody hears of them out of order; whoever
//! was told to be gone and is back is named, however many others are. A room in which nobody moves for a while has no
//! state. It is done here and not before the bus because only here it is bounded for all that a reader hears, whatever
//! number of nodes its users are on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_protocol::session::{ENTER, EXIT, MAX_NAMED, MAX_SINGLE, PRESENCE, Presence};
use chat_protocol::{AppId, Target, UserId};
use parking_lot::Mutex;

use super::outbox::Delivery;
use super::{Hub, frame};
use crate::model::{Notice, Skip, Topic};

/// Time in which at most [`MAX_SINGLE`] go singly.
const WINDOW: Duration = Duration::from_secs(1);
/// Users of one room who wait to be told of at most; of others only the count tells.
const MAX_WAITING: usize = 4_096;
/// Users of one room at most of whom it is known that they were told to be gone: more than a room has that is told of
/// anybody, so that nobody is forgotten who may come back soon.
const MAX_GONE: usize = 4_096;
/// Ticks without a movement after which a room has no state any more.
const QUIET_TICKS: u32 = 60;

/// The rooms in which somebody moved a while ago.
#[derive(Debug, Default)]
pub(super) struct Crowds(Mutex<HashMap<AppId, Arc<Mutex<Crowd>>>>);

#[derive(Debug, Default)]
struct Crowd {
    /// When the last ones were told singly.
    singles: VecDeque<Instant>,
    waiting: BTreeMap<UserId, Moves>,
    /// Who was told to be gone and not since to be back, and as the how manyth.
    gone: HashMap<UserId, u64>,
    told_gone: u64,
    movements: u64,
    /// Movements that the last count knew of; none while all are told singly.
    counted: Option<u64>,
    quiet: u32,
}

/// Movements of a user that wait: whether the user came with the first of them, and with the last.
#[derive(Debug, Clone, Copy)]
struct Moves {
    first: bool,
    last: bool,
}

/// Who moves in which world, if the notice tells of that, and whether they come.
fn movement<'a>(topic: &Topic, notice: &'a Notice) -> Option<(AppId, &'a UserId, bool)> {
    let (Topic::World(app), Skip::User(user)) = (topic, &notice.skip) else { return None };
    let came = match &*notice.cmd {
        ENTER => true,
        EXIT => false,
        _ => return None,
    };
    Some((*app, user, came))
}

impl Crowd {
    /// Takes a movement in. True: it is told singly, now.
    fn moved(&mut self, user: &UserId, came: bool, now: Instant) -> bool {
        self.movements += 1;
        self.quiet = 0;
        if self.waiting.is_empty() {
            while self.singles.front().is_some_and(|then| now.saturating_duration_since(*then) >= WINDOW) {
                self.singles.pop_front();
            }
            if self.singles.len() < MAX_SINGLE {
                self.singles.push_back(now);
                self.tell(user, came);
                return true;
            }
        }
        if let Some(moves) = self.waiting.get_mut(user) {
            moves.last = came;
        } else if self.waiting.len() < MAX_WAITING || (came && self.gone.contains_key(user)) {
            self.waiting.insert(user.clone(), Moves { first: came, last: came });
        }
        false
    }

    /// A second has passed. The movements so far, if they are to be counted and told of.
    fn tick(&mut self) -> Option<u64> {
        self.quiet += 1;
        if self.waiting.is_empty() && self.counted.is_none_or(|counted| counted == self.movements) {
            self.counted = None;
            return None;
        }
        Some(self.movements)
    }

    /// What is told together: `count` are online, as was found after so many `movements`.
    fn together(&mut self, count: u64, movements: u64) -> Presence {
        self.counted = Some(movements);
        // Who is again as they were before is no news.
        let moved =
            std::mem::take(&mut self.waiting).into_iter().filter(|(_, moves)| moves.first == moves.last);
        let (entered, exited): (Vec<_>, Vec<_>) = moved.partition(|(_, moves)| moves.last);
        let (back, new): (Vec<_>, Vec<_>) =
            entered.into_iter().partition(|(user, _)| self.gone.contains_key(user));
        self.waiting.extend(back.iter().skip(MAX_NAMED).cloned());
        let names = |users: Vec<(UserId, Moves)>| users.into_iter().map(|(user, _)| user);
        let entered: Vec<_> = names(back).chain(names(new)).take(MAX_NAMED).collect();
        let exited: Vec<_> = names(exited).take(MAX_NAMED).collect();
        entered.iter().for_each(|user| self.tell(user, true));
        exited.iter().for_each(|user| self.tell(user, false));
        Presence { target: Target::World, count, entered, exited }
    }

    /// Notes what is told of a user.
    fn tell(&mut self, user: &UserId, came: bool) {
        self.gone.remove(user);
        if came {
            return;
        }
        if self.gone.len() == MAX_GONE {
            let first = self.gone.iter().min_by_key(|(_, number)| **number).map(|(user, _)| user.clone());
            first.map(|first| self.gone.remove(&first));
        }
        self.told_gone += 1;
        self.gone.insert(user.clone(), self.told_gone);
    }
}

impl Hub {
    /// Delivers a notice about somebody who comes or goes, or lets it wait. False: it is about something else.
    pub(super) fn thin(&self, topic: &Topic, notice: &Notice) -> bool {
        let Some((app, user, came)) = movement(topic, notice) else { return false };
        let crowd = self.crowds.0.lock().entry(app).or_default().clone();
        // Held until all have it, so that nothing older comes behind it.
        let mut crowd = crowd.lock();
        if crowd.moved(user, came, Instant::now()) {
            self.fan_out(topic, &Delivery { frame: frame::notice(notice), message: None }, &notice.skip);
        }
        true
    }

    /// Rooms in which more came and went than is told singly, each with how many did so far. Called once a second.
    #[must_use]
    pub fn crowded(&self) -> Vec<(AppId, u64)> {
        let mut crowds = self.crowds.0.lock();
        crowds.retain(|_, crowd| Arc::strong_count(crowd) > 1 || crowd.lock().quiet < QUIET_TICKS);
        let crowds: Vec<_> = crowds.iter().map(|(app, crowd)| (*app, crowd.clone())).collect();
        crowds.into_iter().filter_map(|(app, crowd)| Some((app, crowd.lock().tick()?))).collect()
    }

    /// Tells a room what it was not told singly; `count` users were online when so many `movements` had been.
    pub fn tell_crowd(&self, app: AppId, count: u64, movements: u64) {
        let Some(crowd) = self.crowds.0.lock().get(&app).cloned() else { return };
        let mut crowd = crowd.lock();
        // Cannot fail: the members have text keys and no failing serializer.
        let data = serde_json::to_vec(&crowd.together(count, movements)).unwrap_or_default();
        let notice = Notice { cmd: PRESENCE.into(), data: Bytes::from(data), skip: Skip::Nobody };
        let delivery = Delivery { frame: frame::notice(&notice), message: None };
        self.fan_out(&Topic::World(app), &delivery, &Skip::Nobody);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn user(number: usize) -> UserId {
        UserId::new(&format!("u{number:04}")).unwrap()
    }

    fn names(users: &[UserId]) -> Vec<&str> {
        users.iter().map(UserId::as_str).collect()
    }

    #[test]
    fn twenty_go_singly_in_any_second_and_the_others_together() {
        let (mut crowd, start) = (Crowd::default(), Instant::now());
        let at = |ms: usize| start + Duration::from_millis(ms as u64);
        // Ten a second are below the bound for ever.
        assert!((0..50).all(|number| crowd.moved(&user(number), true, at(100 * number))));
        assert_eq!(crowd.tick(), None);
        let singly: Vec<_> =
            (0..1000).filter(|n| crowd.moved(&user(100 + n), true, at(60_000 + n))).collect();
        assert_eq!(singly, (0..20).collect::<Vec<_>>());
        assert_eq!(crowd.tick(), Some(1_050));
        let told = crowd.together(1_050, 1_050);
        assert_eq!((told.count, told.entered.len(), told.exited.len()), (1_050, 20, 0));
        assert_eq!(crowd.tick(), None, "nobody moved since the count");
        assert!(crowd.moved(&user(7), false, at(61_020)));
        assert_eq!(crowd.tick(), None, "told singly again, and that was all");
    }

    #[test]
    fn who_moves_while_others_are_counted_is_counted_once_more() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        (0..21).for_each(|number| _ = crowd.moved(&user(number), true, now));
        assert_eq!(crowd.tick(), Some(21));
        assert!(!crowd.moved(&user(21), true, now));
        assert_eq!(names(&crowd.together(21, 21).entered), ["u0020", "u0021"]);
        assert_eq!(crowd.tick(), Some(22), "the count did not know of the last one");
        assert!(crowd.together(22, 22).entered.is_empty());
        assert_eq!(crowd.tick(), None);
    }

    #[test]
    fn the_last_state_wins_and_who_is_as_before_is_no_news() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        (0..20).for_each(|number| assert!(crowd.moved(&user(number), true, now)));
        for (number, came) in
            [(0, false), (0, true), (1, false), (30, true), (31, true), (31, false), (1, true), (1, false)]
        {
            assert!(!crowd.moved(&user(number), came, now));
        }
        let told = crowd.together(20, 28);
        assert_eq!((names(&told.entered), names(&told.exited)), (vec!["u0030"], vec!["u0001"]));
    }

    #[test]
    fn nobody_who_is_back_stays_told_to_be_gone() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        (0..20).for_each(|number| assert!(crowd.moved(&user(number), false, now)));
        (20..60).for_each(|number| assert!(!crowd.moved(&user(number), false, now)));
        let mut gone: Vec<_> = (0..20).map(user).collect();
        gone.extend(crowd.together(0, 60).exited);
        assert_eq!(gone.len(), 40);
        // They come back among many others whose names stand before theirs.
        (1000..1100)
            .for_each(|number| _ = crowd.moved(&UserId::new(&format!("a{number}")).unwrap(), true, now));
        (0..60).for_each(|number| _ = crowd.moved(&user(number), true, now));
        let mut back = Vec::new();
        while let Some(movements) = crowd.tick() {
            let told = crowd.together(160, movements);
            assert!(told.entered.len() <= MAX_NAMED && told.exited.is_empty());
            back.extend(told.entered);
        }
        assert!(gone.iter().all(|user| back.contains(user)), "{back:?}");
    }

    #[test]
    fn a_thousand_who_go_one_by_one_and_come_back_at_once_are_all_named() {
        let (mut crowd, start) = (Crowd::default(), Instant::now());
        let at = |number: usize| start + Duration::from_millis(60 * number as u64);
        assert!((0..1000).all(|number| crowd.moved(&user(number), false, at(number))));
        let mut back = BTreeSet::new();
        for number in 0..MAX_WAITING {
            crowd.moved(&UserId::new(&format!("a{number}")).unwrap(), true, at(1000));
        }
        for number in 0..1000 {
            if crowd.moved(&user(number), true, at(1000)) {
                back.insert(user(number));
            }
        }
        while let Some(movements) = crowd.tick() {
            back.extend(crowd.together(1000, movements).entered);
        }
        assert!((0..1000).all(|number| back.contains(&user(number))));
    }

    #[test]
    fn what_a_room_keeps_is_bounded_and_goes() {
        let hub = Hub::new(1, super::super::outbox::Limits { frames: 1, bytes: 1 }, Arc::default());
        let notice = |number: usize, cmd: &str| Notice {
            cmd: cmd.into(),
            data: Bytes::from_static(b"{}"),
            skip: Skip::User(user(number)),
        };
        for number in 0..2 * MAX_WAITING {
            for cmd in [EXIT, ENTER, EXIT] {
                assert!(hub.thin(&Topic::World(1), &notice(number, cmd)));
            }
        }
        assert!(!hub.thin(&Topic::World(1), &notice(1, "other")));
        let crowd = hub.crowds.0.lock()[&1].clone();
        assert!(crowd.lock().waiting.len() == MAX_WAITING && crowd.lock().gone.len() <= MAX_GONE);
        drop(crowd);
        for (app, movements) in hub.crowded() {
            hub.tell_crowd(app, 0, movements);
        }
        (0..=QUIET_TICKS).for_each(|_| assert!(hub.crowded().is_empty()));
        assert!(hub.crowds.0.lock().is_empty());
    }
}
