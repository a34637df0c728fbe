//! What one connection knows of its user's comings and goings in groups.
//!
//! Invariant: each time of membership that begins while the connection is open is accounted for once: by the live
//! stream while the connection is in the group's room, and by reading the log from the joining on otherwise.

use std::sync::Arc;

use chat_protocol::GroupId;
use parking_lot::Mutex;

use crate::broker::Entry;
use crate::groups::Joined;

/// Ends of memberships remembered; news of a joining is late by milliseconds, so it meets one of the last ends.
const ENDS: usize = 64;

/// See the file's head.
#[derive(Debug, Default)]
pub struct Comings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether the log-in is done.
    open: bool,
    entering: Option<Entering>,
    /// Joinings heard of and not yet accounted for, one for each group.
    told: Vec<Told>,
    /// Up to where groups are accounted for, the latest last.
    ends: Vec<End>,
}

#[derive(Debug)]
struct Entering {
    group: GroupId,
    /// Epoch and offset of what the live stream told meanwhile, and whether the user was a member after it.
    changes: Vec<(Arc<str>, u64, bool)>,
}

#[derive(Debug)]
struct Told {
    group: GroupId,
    epoch: Arc<str>,
    /// What stands after this offset is not yet accounted for.
    after: u64,
    /// Offset of the last joining heard of.
    last: u64,
}

#[derive(Debug)]
struct End {
    group: GroupId,
    epoch: Arc<str>,
    offset: u64,
}

/// A group whose log must be read for the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub group: GroupId,
    /// The reading begins behind this offset.
    pub after: u64,
    /// Which history the offset belongs to, when another one under the same name is of no interest.
    pub only: Option<Arc<str>>,
}

/// What reading a group's log gave.
#[derive(Debug, Clone)]
pub struct Read {
    /// Which history it was.
    pub epoch: Arc<str>,
    /// How far it was read.
    pub head: u64,
    /// Whether the user was a member there.
    pub member: bool,
}

/// How a connection has entered a group.
#[derive(Debug)]
pub struct Entered {
    read: Option<Read>,
    changes: Vec<(u64, bool)>,
}

impl Entered {
    /// Whether an entry that came live meanwhile is for the connection.
    #[must_use]
    pub fn gives(&self, epoch: &str, offset: u64) -> bool {
        self.read.as_ref().is_some_and(|read| *read.epoch == *epoch && self.member_before(offset))
    }

    /// Whether the user is still a member.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.read.is_some() && self.member_before(u64::MAX)
    }

    fn member_before(&self, offset: u64) -> bool {
        let before = self.changes.iter().rev().find(|(at, _)| *at < offset);
        before.map_or(self.read.as_ref().is_some_and(|read| read.member), |(_, member)| *member)
    }

    fn reached(&self) -> Option<(Arc<str>, u64)> {
        let read = self.read.as_ref()?;
        let last = self.changes.last().map_or(0, |(offset, _)| *offset);
        Some((read.epoch.clone(), last.max(read.head)))
    }
}

impl Comings {
    /// Forgets everything: a log-in begins.
    pub fn begin(&self) {
        *self.0.lock() = State::default();
    }

    /// The log-in is done. True: joinings were heard of meanwhile.
    pub fn open(&self) -> bool {
        let mut state = self.0.lock();
        state.open = true;
        !state.told.is_empty()
    }

    /// Notes what a notice told.
    pub fn tell(&self, joined: &Joined) {
        let mut state = self.0.lock();
        if state.is_over(&joined.group, &joined.epoch, joined.since) {
            return;
        }
        match state.told.iter_mut().find(|told| told.group == joined.group) {
            Some(told) if told.epoch == joined.epoch => told.last = told.last.max(joined.since),
            Some(told) => *told = Told::new(joined),
            None => state.told.push(Told::new(joined)),
        }
    }

    /// Notes that the live stream told of a joining or removal of the user. True: the connection leaves the room.
    pub fn changed(&self, group: &GroupId, entry: &Entry, member: bool) -> bool {
        let mut state = self.0.lock();
        match &mut state.entering {
            Some(entering) if entering.group == *group => {
                entering.changes.push((entry.epoch.clone(), entry.offset, member));
                false
            }
            _ if member => false,
            _ => {
                state.end(group, &entry.epoch, entry.offset);
                true
            }
        }
    }

    /// Whether a membership that began there is accounted for to its end, as far as is known.
    #[must_use]
    pub fn is_over(&self, group: &GroupId, epoch: &str, since: u64) -> bool {
        self.0.lock().is_over(group, epoch, since)
    }

    /// The groups whose rooms the connection is not in and whose logs must be read for it; nothing before the log-in
    /// is done. `listed`: the groups the store lists, perhaps some time ago;
    /// only for when joinings may not have been heard of, because the list may be ahead of what was told.
    #[must_use]
    pub fn due(&self, listed: &[Joined], in_room: impl Fn(&GroupId) -> bool) -> Vec<Due> {
        let state = self.0.lock();
        if !state.open {
            return Vec::new();
        }
        let mut due = Vec::new();
        for joined in listed {
            if !in_room(&joined.group) && !state.is_over(&joined.group, &joined.epoch, joined.since) {
                let told = state.told(&joined.group).filter(|told| told.epoch == joined.epoch);
                let since = joined.since.saturating_sub(1);
                let after = told.map_or(since, |told| told.after.min(since));
                due.push(Due { group: joined.group.clone(), after, only: None });
            }
        }
        for Told { group, epoch, after, .. } in &state.told {
            if !in_room(group) && due.iter().all(|due| due.group != *group) {
                due.push(Due { group: group.clone(), after: *after, only: Some(epoch.clone()) });
            }
        }
        due
    }

    /// The log of a group is going to be read: what comes live is kept back until [`Comings::entered`].
    pub fn enter(&self, group: &GroupId) {
        self.0.lock().entering = Some(Entering { group: group.clone(), changes: Vec::new() });
    }

    /// The log was read, or could not be.
    pub fn entered(&self, group: &GroupId, read: Option<Read>) -> Entered {
        let mut state = self.0.lock();
        let changes = state.entering.take().map(|entering| entering.changes).unwrap_or_default();
        let of_it = |(epoch, offset, member): (Arc<str>, u64, bool)| {
            let read = read.as_ref()?;
            (epoch == read.epoch && offset > read.head).then_some((offset, member))
        };
        let changes = changes.into_iter().filter_map(of_it).collect();
        let entered = Entered { read, changes };
        if let Some((epoch, reached)) = entered.reached() {
            state.end(group, &epoch, reached);
        }
        entered
    }

    /// Nothing under this name is of interest any more in that history.
    pub fn forget(&self, group: &GroupId, epoch: &str) {
        self.0.lock().told.retain(|told| told.group != *group || *told.epoch != *epoch);
    }
}

impl Told {
    fn new(joined: &Joined) -> Self {
        let Joined { group, since, epoch } = joined.clone();
        Self { group, epoch, after: since.saturating_sub(1), last: since }
    }
}

impl State {
    fn told(&self, group: &GroupId) -> Option<&Told> {
        self.told.iter().find(|told| told.group == *group)
    }

    fn is_over(&self, group: &GroupId, epoch: &str, since: u64) -> bool {
        let over = |end: &End| end.group == *group && *end.epoch == *epoch && since <= end.offset;
        self.ends.iter().any(over)
    }

    /// Everything up to the offset is accounted for.
    fn end(&mut self, group: &GroupId, epoch: &Arc<str>, offset: u64) {
        self.ends.retain(|end| end.group != *group);
        if self.ends.len() == ENDS {
            self.ends.remove(0);
        }
        self.ends.push(End { group: group.clone(), epoch: epoch.clone(), offset });
        self.told.retain_mut(|told| {
            if told.group == *group && told.epoch == *epoch {
                told.after = told.after.max(offset);
                return told.last > offset;
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::broker::{Effect, Skip};

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
    fn due(comings: &Comings, listed: &[Joined]) -> Option<u64> {
        comings.due(listed, |_| false).first().map(|due| due.after)
    }

    fn read(epoch: &str, head: u64, member: bool) -> Option<Read> {
        Some(Read { epoch: epoch.into(), head, member })
    }

    #[test]
    fn late_news_of_a_joining_that_is_accounted_for_is_dropped() {
        let comings = Comings::default();
        comings.open();
        assert!(comings.changed(&group(), &entry("e", 8), false));
        comings.tell(&joined("e", 5));
        assert_eq!(due(&comings, &[joined("e", 5)]), None);
        comings.tell(&joined("e", 9));
        assert_eq!(due(&comings, &[]), Some(8));
        let other = joined("another", 2);
        comings.tell(&other);
        assert_eq!(due(&comings, &[]), Some(1), "offsets of another history are others");
    }

    #[test]
    fn the_first_of_several_joinings_is_where_reading_begins() {
        let comings = Comings::default();
        comings.tell(&joined("e", 5));
        comings.tell(&joined("e", 11));
        assert_eq!(due(&comings, &[]), None, "not before the log-in is done");
        assert!(comings.open());
        assert_eq!(due(&comings, &[joined("e", 11)]), Some(4));
        comings.enter(&group());
        assert!(!comings.entered(&group(), read("e", 9, false)).stays());
        assert_eq!(due(&comings, &[]), Some(9), "the second is behind what was read");
    }

    #[test]
    fn what_came_live_while_the_log_was_read_decides() {
        let comings = Comings::default();
        comings.open();
        comings.tell(&joined("e", 5));
        comings.enter(&group());
        for (offset, member) in [(6, false), (12, true), (15, false)] {
            assert!(
                !comings.changed(&group(), &entry("e", offset), member),
                "it stays until the log is read"
            );
        }
        let entered = comings.entered(&group(), read("e", 10, false));
        let given: Vec<u64> = (1..20).filter(|offset| *offset > 10 && entered.gives("e", *offset)).collect();
        assert_eq!(given, [13, 14, 15]);
        assert!(!entered.stays() && !entered.gives("older", 13));
        comings.tell(&joined("e", 12));
        assert_eq!(due(&comings, &[]), None);
    }

    #[test]
    fn a_log_that_could_not_be_read_is_still_due() {
        let comings = Comings::default();
        comings.open();
        comings.tell(&joined("e", 5));
        comings.enter(&group());
        let entered = comings.entered(&group(), None);
        assert!(!entered.stays() && !entered.gives("e", 6));
        assert_eq!(due(&comings, &[]), Some(4));
    }
}
