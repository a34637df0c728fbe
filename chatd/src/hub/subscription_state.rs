//! How far one connection is with the groups of its user: joins in flight, and memberships that are over.
//!
//! Nothing is decided here: [`crate::hub::Connection`] keeps it, and whoever puts connections into rooms asks it.
//!
//! Invariant: each time of membership that begins while the connection is open is accounted for once: by the live
//! stream while the connection is in the group's room, and by reading the log from the joining on otherwise.

use std::collections::HashSet;
use std::sync::Arc;

use chat_protocol::GroupId;
use parking_lot::Mutex;

use crate::model::epoch::history;
use crate::model::{Entry, Joined, Position};

/// Ends of memberships remembered; news of a joining is late by milliseconds, so it meets one of the last ends.
const ENDS: usize = 64;
/// Entries of a group that a list may be ahead of the news of joinings, which are late by milliseconds.
const AHEAD: u64 = 1000;

/// Joins and leaves of one connection's user, as far as the connection has heard of them.
#[derive(Debug, Default)]
pub struct SubscriptionState(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether the log-in is done.
    open: bool,
    /// None until the user joins or leaves a group while the connection is open, which few ever do.
    moves: Option<Box<Moves>>,
}

#[derive(Debug, Default)]
struct Moves {
    entering: Option<Entering>,
    /// Joinings heard of and not yet accounted for, one for each group.
    joins: Vec<PendingJoin>,
    /// Up to where groups are accounted for, the latest last.
    ends: Vec<End>,
}

#[derive(Debug)]
struct Entering {
    group: GroupId,
    /// Where what the live stream told meanwhile stands, and whether the user was a member after it.
    changes: Vec<(Position, bool)>,
}

#[derive(Debug)]
struct PendingJoin {
    group: GroupId,
    /// What stands after this offset is not yet accounted for.
    after: u64,
    /// Position of the last joining heard of.
    last: Position,
}

#[derive(Debug)]
struct End {
    group: GroupId,
    position: Position,
}

/// A group whose log must be read for the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub group: GroupId,
    /// The reading begins behind this offset.
    pub after: u64,
    /// An epoch of the history the offset belongs to, when another one under the same name is of no interest.
    pub only: Option<Arc<str>>,
}

/// What reading a group's log gave.
#[derive(Debug, Clone)]
pub struct Read {
    /// How far it was read.
    pub position: Position,
    /// Whether the user was a member there.
    pub member: bool,
}

/// How a connection has entered a group.
#[derive(Debug)]
pub struct Entered {
    read: Option<Read>,
    /// What came live and stands behind what was read.
    changes: Vec<(Position, bool)>,
}

impl Entered {
    /// Whether an entry that came live meanwhile is for the connection.
    #[must_use]
    pub fn gives(&self, epoch: &str, offset: u64) -> bool {
        let same_history = |read: &Read| read.position.covers(epoch, offset).is_some();
        self.read.as_ref().is_some_and(same_history) && self.member_before(offset)
    }

    /// Whether the user is still a member.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.read.is_some() && self.member_before(u64::MAX)
    }

    fn member_before(&self, offset: u64) -> bool {
        let before = self.changes.iter().rev().find(|(at, _)| at.offset < offset);
        before.map_or(self.read.as_ref().is_some_and(|read| read.member), |(_, member)| *member)
    }

    fn reached(&self) -> Option<&Position> {
        let read = self.read.as_ref()?;
        Some(self.changes.last().map_or(&read.position, |(position, _)| position))
    }
}

impl SubscriptionState {
    /// Forgets everything: a log-in begins.
    pub fn begin(&self) {
        *self.0.lock() = State::default();
    }

    /// The log-in is done. True: joinings were heard of meanwhile.
    pub fn open(&self) -> bool {
        let mut state = self.0.lock();
        state.open = true;
        state.moves.as_ref().is_some_and(|moves| !moves.joins.is_empty())
    }

    /// Notes a joining that a notice told of.
    pub fn joined(&self, joined: &Joined) {
        let mut state = self.0.lock();
        let moves = state.moves.get_or_insert_default();
        if moves.is_over(&joined.group, &joined.epoch, joined.since) {
            return;
        }
        match moves.joins.iter_mut().find(|join| join.group == joined.group) {
            Some(join) => match join.last.covers(&joined.epoch, joined.since) {
                Some(true) => {}
                Some(false) => join.last = Position { epoch: joined.epoch.clone(), offset: joined.since },
                None => *join = PendingJoin::new(joined),
            },
            None => moves.joins.push(PendingJoin::new(joined)),
        }
    }

    /// Notes that the live stream told of a joining or removal of the user. True: the connection leaves the room.
    pub fn changed(&self, group: &GroupId, entry: &Entry, member: bool) -> bool {
        let mut state = self.0.lock();
        let moves = state.moves.get_or_insert_default();
        match &mut moves.entering {
            Some(entering) if entering.group == *group => {
                entering.changes.push((entry.position(), member));
                false
            }
            _ if member => false,
            _ => {
                moves.end(group, &entry.position());
                true
            }
        }
    }

    /// Whether a membership that began there is accounted for to its end, as far as is known.
    #[must_use]
    pub fn is_over(&self, group: &GroupId, epoch: &str, since: u64) -> bool {
        self.0.lock().moves.as_ref().is_some_and(|moves| moves.is_over(group, epoch, since))
    }

    /// The groups whose rooms the connection is not in and whose logs must be read for it; nothing before the log-in
    /// is done. `listed`: the groups the store lists, perhaps some time ago;
    /// only for when joinings may not have been heard of, because the list may be ahead of what was told. A joining that is
    /// heard of meanwhile, or a room that is left, is for the next time.
    #[must_use]
    pub fn due(&self, listed: &[Joined], in_room: impl Fn(&GroupId) -> bool) -> Vec<Due> {
        let Some(joins) = self.joins() else { return Vec::new() };
        // Asked without the lock of this state: who takes a connection out of a room holds the room's, and asks for this.
        let groups = listed.iter().map(|joined| &joined.group).chain(&joins);
        let outside: HashSet<_> = groups.filter(|group| !in_room(group)).collect();
        let state = self.0.lock();
        let none = Moves::default();
        let moves = state.moves.as_deref().unwrap_or(&none);
        let mut due = Vec::new();
        for joined in listed {
            if outside.contains(&joined.group) && !moves.is_listed_over(joined) {
                let of_it = |join: &&PendingJoin| history(&join.last.epoch) == history(&joined.epoch);
                let join = moves.join(&joined.group).filter(of_it);
                let since = joined.since.saturating_sub(1);
                let known = join.map(|join| join.after).into_iter().chain(moves.left(joined));
                let after = known.fold(since, u64::min);
                due.push(Due { group: joined.group.clone(), after, only: None });
            }
        }
        for PendingJoin { group, after, last } in &moves.joins {
            if outside.contains(group) && due.iter().all(|due| due.group != *group) {
                due.push(Due { group: group.clone(), after: *after, only: Some(last.epoch.clone()) });
            }
        }
        due
    }

    /// The groups whose joinings are not yet accounted for; none before the log-in is done.
    fn joins(&self) -> Option<Vec<GroupId>> {
        let state = self.0.lock();
        let joins = state.moves.iter().flat_map(|moves| &moves.joins);
        state.open.then(|| joins.map(|join| join.group.clone()).collect())
    }

    /// The log of a group is going to be read: what comes live is kept back until [`SubscriptionState::entered`].
    pub fn enter(&self, group: &GroupId) {
        self.0.lock().moves.get_or_insert_default().entering =
            Some(Entering { group: group.clone(), changes: Vec::new() });
    }

    /// The log was read, or could not be.
    pub fn entered(&self, group: &GroupId, read: Option<Read>) -> Entered {
        let mut state = self.0.lock();
        let moves = state.moves.get_or_insert_default();
        let changes = moves.entering.take().map(|entering| entering.changes).unwrap_or_default();
        let is_behind = |(position, _): &(Position, bool)| {
            read.as_ref()
                .is_some_and(|read| read.position.covers(&position.epoch, position.offset) == Some(false))
        };
        let changes = changes.into_iter().filter(is_behind).collect();
        let entered = Entered { read, changes };
        if let Some(reached) = entered.reached() {
            moves.end(group, reached);
        }
        entered
    }

    /// Nothing under this name is of interest any more in that history.
    pub fn forget(&self, group: &GroupId, epoch: &str) {
        if let Some(moves) = &mut self.0.lock().moves {
            moves.joins.retain(|join| join.group != *group || *join.last.epoch != *epoch);
        }
    }
}

impl PendingJoin {
    fn new(joined: &Joined) -> Self {
        let Joined { group, since, epoch } = joined.clone();
        Self { group, after: since.saturating_sub(1), last: Position { epoch, offset: since } }
    }
}

impl Moves {
    fn join(&self, group: &GroupId) -> Option<&PendingJoin> {
        self.joins.iter().find(|join| join.group == *group)
    }

    fn is_over(&self, group: &GroupId, epoch: &str, since: u64) -> bool {
        let over = |end: &End| end.group == *group && end.position.covers(epoch, since) == Some(true);
        self.ends.iter().any(over)
    }

    /// The same for what a list says, which names the history and not the epoch of the joining.
    fn is_listed_over(&self, joined: &Joined) -> bool {
        let over = |end: &End| {
            let same = end.group == joined.group && history(&end.position.epoch) == history(&joined.epoch);
            same && joined.since <= end.position.offset
        };
        self.ends.iter().any(over)
    }

    /// Where a group of a list is accounted for to, if that is a little before the joining that the list tells of: the user
    /// may have been in and out between the two, of which news is on its way.
    fn left(&self, joined: &Joined) -> Option<u64> {
        let same =
            |end: &&End| end.group == joined.group && history(&end.position.epoch) == history(&joined.epoch);
        let end = self.ends.iter().find(same)?;
        joined
            .since
            .checked_sub(end.position.offset)
            .is_some_and(|ahead| ahead <= AHEAD)
            .then_some(end.position.offset)
    }

    /// Everything up to the position is accounted for.
    fn end(&mut self, group: &GroupId, position: &Position) {
        self.ends.retain(|end| end.group != *group);
        if self.ends.len() == ENDS {
            self.ends.remove(0);
        }
        self.ends.push(End { group: group.clone(), position: position.clone() });
        self.joins.retain_mut(|join| {
            let covered = position.covers(&join.last.epoch, join.last.offset);
            if join.group == *group && covered.is_some() {
                join.after = join.after.max(position.offset);
                return covered == Some(false);
            }
            true
        });
    }
}

#[cfg(test)]
mod tests;
