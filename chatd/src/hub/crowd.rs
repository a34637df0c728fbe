//! Comings and goings in a world room, thinned for the connections of this node: a few singly, the others together once
//! a second at most, and in a large room more seldom.
//!
//! Invariant: of a user who waits to be told of, nothing is told singly, so nobody hears of them out of order; whoever
//! was told to be gone and is back is named, however many others are. After the last one who came or went among many,
//! a count is told that knows of them. A room in which nobody moves for a while has no state. It is done here and not
//! before the bus because only here it is bounded for all that a reader hears, whatever number of nodes its users are
//! on.

mod pace;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_protocol::session::{ENTER, EXIT, MAX_NAMED, PRESENCE, Presence};
use chat_protocol::{AppId, Target, UserId};
use parking_lot::Mutex;

use self::pace::Audience;
use super::outbox::Delivery;
use super::{Hub, frame};
use crate::model::{Notice, Skip, Topic};

/// Time in which at most [`Audience::singles`] go singly.
const WINDOW: Duration = Duration::from_secs(1);
/// Users of one room who wait to be told of at most; of others only the count tells.
const MAX_WAITING: usize = 4_096;
/// Users of one room at most of whom it is known that they were told to be gone: more than a room has that is told of
/// anybody, so that nobody is forgotten who may come back soon.
const MAX_GONE: usize = 4_096;
/// Ticks without a movement after which a room has no state any more, if all was told.
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
    /// When somebody moved last.
    moved: Option<Instant>,
    /// Since when the last count that was told is known to be so: it knows of all before. None while all are told
    /// singly.
    counted: Option<Instant>,
    audience: Audience,
    /// Seconds since many were told together.
    waited: u64,
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
    /// Of a room in which nobody moved yet and that so many of this node's connections are in.
    fn before(here: u64) -> Self {
        Self { audience: Audience { here, users: 0 }, ..Self::default() }
    }

    /// Takes a movement in. True: it is told singly, now.
    fn moved(&mut self, user: &UserId, came: bool, now: Instant) -> bool {
        self.moved = Some(now);
        self.quiet = 0;
        if self.waiting.is_empty() {
            while self.singles.front().is_some_and(|then| now.saturating_duration_since(*then) >= WINDOW) {
                self.singles.pop_front();
            }
            if self.singles.len() < self.audience.singles() {
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

    /// Whether something is still to be told together, be it only a count.
    fn owes(&self) -> bool {
        !self.waiting.is_empty()
            || self.counted.is_some_and(|since| self.moved.is_some_and(|moved| moved > since))
    }

    /// A second has passed, and so many of this node's connections are in the room. Whether users are to be counted,
    /// and it is to be told now.
    fn tick(&mut self, here: u64) -> bool {
        self.quiet = self.quiet.saturating_add(1);
        self.waited = self.waited.saturating_add(1);
        self.audience.here = here;
        if !self.owes() {
            self.counted = None;
            return false;
        }
        self.waited >= self.audience.seconds()
    }

    /// What is told together: `count` are online, and whoever moved before `since` is counted as they ended. Nothing
    /// when that is no news.
    fn together(&mut self, count: u64, since: Instant) -> Option<Presence> {
        if self.waiting.is_empty() && self.counted.is_none_or(|told| since <= told) {
            return None;
        }
        self.counted = Some(since);
        self.audience.users = count;
        self.waited = 0;
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
        Some(Presence { target: Target::World, count, entered, exited })
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
        let crowd = self.crowd(app);
        // Held until all have it, so that nothing older comes behind it.
        let mut crowd = crowd.lock();
        if crowd.moved(user, came, Instant::now()) {
            self.fan_out(topic, &Delivery { frame: frame::notice(notice), message: None }, &notice.skip);
        }
        true
    }

    /// Rooms in which more came and went than is told singly, of which that is to be told now. Called once a second.
    #[must_use]
    pub fn crowded(&self) -> Vec<AppId> {
        let mut crowds = self.crowds.0.lock();
        crowds.retain(|_, crowd| {
            Arc::strong_count(crowd) > 1 || {
                let crowd = crowd.lock();
                crowd.quiet < QUIET_TICKS || crowd.owes()
            }
        });
        let found: Vec<_> = crowds.iter().map(|(app, crowd)| (*app, crowd.clone())).collect();
        drop(crowds);
        let is_due = |(app, crowd): &(AppId, Arc<Mutex<Crowd>>)| {
            let here = self.in_world(*app);
            crowd.lock().tick(here)
        };
        found.into_iter().filter(is_due).map(|(app, _)| app).collect()
    }

    /// Tells a room what it was not told singly: `count` users are online, and whoever moved before `since` is counted
    /// as they ended.
    pub fn tell_crowd(&self, app: AppId, count: u64, since: Instant) {
        let Some(crowd) = self.crowds.0.lock().get(&app).cloned() else { return };
        let mut crowd = crowd.lock();
        let Some(together) = crowd.together(count, since) else { return };
        // Cannot fail: the members have text keys and no failing serializer.
        let data = serde_json::to_vec(&together).unwrap_or_default();
        let notice = Notice { cmd: PRESENCE.into(), data: Bytes::from(data), skip: Skip::Nobody };
        let delivery = Delivery { frame: frame::notice(&notice), message: None };
        self.fan_out(&Topic::World(app), &delivery, &Skip::Nobody);
    }

    fn crowd(&self, app: AppId) -> Arc<Mutex<Crowd>> {
        let known = self.crowds.0.lock().get(&app).cloned();
        known.unwrap_or_else(|| {
            let new = Arc::new(Mutex::new(Crowd::before(self.in_world(app))));
            self.crowds.0.lock().entry(app).or_insert(new).clone()
        })
    }

    /// Connections of this node in the world of an app.
    fn in_world(&self, app: AppId) -> u64 {
        let (topic, mut connections) = (Topic::World(app), 0);
        self.for_each_shard_of(&topic, |shard| connections += shard.lock().members(&topic).len() as u64);
        connections
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chat_protocol::session::MAX_SINGLE;

    use super::*;

    fn user(number: usize) -> UserId {
        UserId::new(&format!("u{number:04}")).unwrap()
    }

    fn names(users: &[UserId]) -> Vec<&str> {
        users.iter().map(UserId::as_str).collect()
    }

    /// What is told when all who moved until `now` are counted.
    fn told(crowd: &mut Crowd, count: u64, now: Instant) -> Presence {
        crowd.together(count, now).expect("news")
    }

    #[test]
    fn twenty_go_singly_in_any_second_and_the_others_together() {
        let (mut crowd, start) = (Crowd::default(), Instant::now());
        let at = |ms: usize| start + Duration::from_millis(ms as u64);
        // Ten a second are below the bound for ever.
        assert!((0..50).all(|number| crowd.moved(&user(number), true, at(100 * number))));
        assert!(!crowd.tick(9));
        let singly: Vec<_> =
            (0..1000).filter(|n| crowd.moved(&user(100 + n), true, at(60_000 + n))).collect();
        assert_eq!(singly, (0..20).collect::<Vec<_>>());
        assert!(crowd.tick(9));
        let told = told(&mut crowd, 1_050, at(61_000));
        assert_eq!((told.count, told.entered.len(), told.exited.len()), (1_050, 20, 0));
        assert!(!crowd.tick(9), "nobody moved since the count");
        assert!(crowd.moved(&user(7), false, at(61_020)));
        assert!(!crowd.tick(9), "told singly again, and that was all");
    }

    #[test]
    fn a_large_room_is_told_the_less_often_the_larger_it_is() {
        let (mut crowd, start) = (Crowd::before(35_000), Instant::now());
        let mut tellings = Vec::new();
        for second in 0..20_u32 {
            let now = start + Duration::from_secs(second.into());
            // One comes each second, nobody is told singly, and the room grows beyond this node.
            assert!(!crowd.moved(&user(second as usize), true, now));
            if crowd.tick(35_000) {
                let users = if second < 10 { 35_000 } else { 300_000 };
                assert!(!told(&mut crowd, users, now).entered.is_empty());
                tellings.push(second);
            }
        }
        assert_eq!(tellings, [3, 7, 11, 17], "every 4 s, then every 6 s");
        assert_eq!(Crowd::before(5_000).audience.singles(), 4);
        assert_eq!(Crowd::before(1_000).audience.singles(), MAX_SINGLE);
    }

    #[test]
    fn who_moves_while_others_are_counted_is_counted_once_more() {
        let (mut crowd, start) = (Crowd::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        (0..21).for_each(|number| _ = crowd.moved(&user(number), true, start));
        assert!(crowd.tick(9));
        assert!(!crowd.moved(&user(21), true, at(10)));
        assert_eq!(names(&told(&mut crowd, 21, at(5)).entered), ["u0020", "u0021"]);
        assert!(crowd.tick(9), "the count did not know of the last one");
        assert!(told(&mut crowd, 22, at(20)).entered.is_empty());
        assert!(!crowd.tick(9));
    }

    #[test]
    fn the_last_count_of_a_burst_knows_of_the_last_who_moved() {
        let (mut crowd, start) = (Crowd::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        (0..40).for_each(|number| _ = crowd.moved(&user(number), true, at(number as u64 * 10)));
        assert!(crowd.tick(9));
        // What another node counted a moment ago: better than none for the names, and not the last word.
        assert_eq!(told(&mut crowd, 12, at(100)).count, 12);
        for _ in 0..2 {
            assert!(crowd.tick(9));
            assert_eq!(crowd.together(12, at(100)), None, "the same count is no news");
        }
        assert!(crowd.tick(9), "and it is asked for another one all the same");
        assert_eq!(told(&mut crowd, 31, at(300)).count, 31);
        assert!(crowd.tick(9));
        assert_eq!(told(&mut crowd, 40, at(390)).count, 40);
        assert!(!crowd.tick(9), "nobody moved after the fortieth");
        assert_eq!(crowd.together(99, at(500)), None);
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
        let told = told(&mut crowd, 20, now);
        assert_eq!((names(&told.entered), names(&told.exited)), (vec!["u0030"], vec!["u0001"]));
    }

    #[test]
    fn nobody_who_is_back_stays_told_to_be_gone() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        (0..20).for_each(|number| assert!(crowd.moved(&user(number), false, now)));
        (20..60).for_each(|number| assert!(!crowd.moved(&user(number), false, now)));
        let mut gone: Vec<_> = (0..20).map(user).collect();
        gone.extend(told(&mut crowd, 0, now).exited);
        assert_eq!(gone.len(), 40);
        // They come back among many others whose names stand before theirs.
        (1000..1100)
            .for_each(|number| _ = crowd.moved(&UserId::new(&format!("a{number}")).unwrap(), true, now));
        (0..60).for_each(|number| _ = crowd.moved(&user(number), true, now));
        let mut back = Vec::new();
        while crowd.tick(9) {
            let told = told(&mut crowd, 160, now);
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
        while crowd.tick(9) {
            back.extend(told(&mut crowd, 1000, at(1000)).entered);
        }
        assert!((0..1000).all(|number| back.contains(&user(number))));
    }

    #[test]
    fn what_a_room_keeps_is_bounded_and_goes_when_all_is_told() {
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
        // However long the store does not say how many there are.
        (0..2 * QUIET_TICKS).for_each(|_| assert_eq!(hub.crowded(), [1]));
        hub.tell_crowd(1, 0, Instant::now());
        (0..=QUIET_TICKS).for_each(|_| assert!(hub.crowded().is_empty()));
        assert!(hub.crowds.0.lock().is_empty());
    }
}
