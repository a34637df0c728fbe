//! Friendships over Redis: per user a hash of standings and a set of blocked users.
//!
//! Invariant: one script changes both sides, so the two hashes mirror each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::friend::{Asked, Standing};
use chat_protocol::{AppId, UserId};

use super::broker::RedisBroker;
use super::link::{LinkError, Script};
use super::log::Logs;
use crate::friends::{Action, Changed, Circle, FriendError, Friends, Full, Limits, Part};

/// Attempts of a request whose room others take who ask at the same moment.
const MOST_TRIES: usize = 32;

/// The port over Redis.
pub struct RedisFriends {
    logs: Arc<Logs>,
    limits: Limits,
    act: Script,
}

impl RedisFriends {
    /// Over the connections of the broker.
    #[must_use]
    pub fn new(broker: &RedisBroker, limits: Limits) -> Arc<Self> {
        Arc::new(Self { logs: broker.logs.clone(), limits, act: Script::promising(include_str!("act.lua")) })
    }
}

#[async_trait]
impl Friends for RedisFriends {
    /// A request for which another gives way is two steps: a node that dies between them has taken the oldest back for
    /// nothing, and a repeat does the rest.
    async fn act(
        &self,
        app: AppId,
        user: &UserId,
        other: &UserId,
        action: &Action,
    ) -> Result<Changed, FriendError> {
        for _ in 0..MOST_TRIES {
            if let Some(changed) = self.step(app, user, other, action).await? {
                return Ok(changed);
            }
        }
        Err(FriendError::TooMany(Full::TheirRequests, self.limits.requests))
    }

    async fn circle(
        &self,
        app: AppId,
        user: &UserId,
        part: Part,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Circle, FriendError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("HGETALL").arg(self.logs.keys.standings(app, user));
        pipeline.cmd("SMEMBERS").arg(self.logs.keys.blocked(app, user));
        // Both are bounded by the limits, and of no order, so a page needs them whole.
        let (standings, blocked): (Vec<(String, String)>, Vec<String>) =
            self.logs.others.run_all(&pipeline).await?;
        let mut whole = circle(&standings, &blocked, part);
        whole.cut(after, limit);
        Ok(whole)
    }
}

impl RedisFriends {
    /// One step of it; none when another's oldest request has to give way first, which it does now.
    async fn step(
        &self,
        app: AppId,
        user: &UserId,
        other: &UserId,
        action: &Action,
    ) -> Result<Option<Changed>, FriendError> {
        let (outcome, standing, blocked, oldest) = self.ask(app, user, other, action).await?;
        let changed = match outcome.as_str() {
            "changed" => true,
            "unchanged" => false,
            "no request" => return Err(FriendError::NoRequest),
            "blocking" => return Err(FriendError::Blocking),
            "blocked" => return Err(FriendError::Blocked),
            "full: their requests" => {
                let oldest = UserId::new(&oldest).map_err(|_| foreign(&oldest))?;
                // Another may have been faster.
                self.ask(app, other, &oldest, &Action::Reject).await?;
                return Ok(None);
            }
            full if full.starts_with("full") => return Err(self.full(full)),
            other => return Err(foreign(other)),
        };
        let standing = match standing.as_str() {
            "none" => Standing::None,
            "requested" => Standing::Requested,
            "asked" => Standing::Asked,
            "friends" => Standing::Friends,
            other => return Err(foreign(other)),
        };
        Ok(Some(Changed { standing, blocked, changed }))
    }

    async fn ask(
        &self,
        app: AppId,
        user: &UserId,
        other: &UserId,
        action: &Action,
    ) -> Result<(String, String, bool, String), FriendError> {
        let keys = &self.logs.keys;
        let mut call = self.act.call(&[
            keys.standings(app, user),
            keys.standings(app, other),
            keys.blocked(app, user),
            keys.blocked(app, other),
        ]);
        let kept = match action {
            Action::Request { greeting, time } => request(greeting.as_deref(), *time),
            _ => String::new(),
        };
        call.arg(name(action)).arg(user.as_str()).arg(other.as_str()).arg(kept);
        call.arg(self.limits.requests).arg(self.limits.friends);
        Ok(self.logs.others.call(&self.act, &call).await?)
    }

    fn full(&self, outcome: &str) -> FriendError {
        let Limits { requests, friends } = self.limits;
        match outcome {
            "full: my requests" => FriendError::TooMany(Full::MyRequests, requests),
            "full: my friends" => FriendError::TooMany(Full::MyFriends, friends),
            "full: their friends" => FriendError::TooMany(Full::TheirFriends, friends),
            "full: my blocks" => FriendError::TooMany(Full::MyBlocks, friends),
            other => foreign(other),
        }
    }
}

/// Only chatd writes here; what it cannot have written is left out.
fn circle(standings: &[(String, String)], blocked: &[String], part: Part) -> Circle {
    let id = |name: &String| UserId::new(name).ok();
    let mut circle = Circle::default();
    for (name, standing) in standings {
        let Some(user) = id(name) else { continue };
        match (part, standing.as_str()) {
            (Part::Others, "friends") => circle.friends.push(user),
            (Part::Others, "requested") => circle.requested.push(user),
            (Part::Asked, other) => circle.asked.extend(asked(user, other)),
            (Part::Others, _) => {}
        }
    }
    if part == Part::Others {
        circle.blocked.extend(blocked.iter().filter_map(id));
    }
    circle
}

impl Circle {
    /// Sorts a whole circle and leaves the page of it that begins after `after`.
    fn cut(&mut self, after: Option<&UserId>, limit: usize) {
        self.asked.sort_by(|a, b| a.from.cmp(&b.from));
        let lists = [&mut self.friends, &mut self.requested, &mut self.blocked];
        let names: BTreeSet<UserId> = lists.iter().flat_map(|list| list.iter().cloned()).collect();
        let names = names.into_iter().chain(self.asked.iter().map(|asked| asked.from.clone()));
        let mut names =
            names.filter(|name| after.is_none_or(|after| name > after)).skip(limit.saturating_sub(1));
        let last = names.next();
        self.more = last.clone().filter(|_| names.next().is_some());
        let within = |name: &UserId| {
            after.is_none_or(|after| name > after) && last.as_ref().is_none_or(|last| name <= last)
        };
        for list in lists {
            list.sort();
            list.retain(|name| within(name));
        }
        self.asked.retain(|asked| within(&asked.from));
    }
}

/// What the asked side keeps: time, then the greeting behind a line feed if there is one.
fn request(greeting: Option<&str>, time: u64) -> String {
    greeting.map_or_else(|| time.to_string(), |greeting| format!("{time}\n{greeting}"))
}

fn asked(from: UserId, standing: &str) -> Option<Asked> {
    let kept = standing.strip_prefix("asked\n")?;
    let (time, greeting) = match kept.split_once('\n') {
        Some((time, greeting)) => (time, Some(greeting.to_owned())),
        None => (kept, None),
    };
    Some(Asked { from, greeting, time: time.parse().ok()? })
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::Request { .. } => "request",
        Action::Accept => "accept",
        Action::Reject => "reject",
        Action::Remove => "remove",
        Action::Block => "block",
        Action::Unblock => "unblock",
    }
}

fn foreign(answer: &str) -> FriendError {
    FriendError::Corrupt(format!("an answer {answer:?}"))
}

impl From<LinkError> for FriendError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(detail) => FriendError::Unreachable(detail),
            LinkError::Corrupt(detail) => FriendError::Corrupt(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, standing: &str) -> (String, String) {
        (name.to_owned(), standing.to_owned())
    }

    #[test]
    fn a_request_keeps_any_greeting_and_its_absence() {
        let user = UserId::new("u").unwrap();
        for greeting in [None, Some(""), Some("a\nb\n"), Some("\u{5e1d}\0")] {
            let kept = format!("asked\n{}", request(greeting, 7));
            let wanted = Asked { from: user.clone(), greeting: greeting.map(str::to_owned), time: 7 };
            assert_eq!(asked(user.clone(), &kept), Some(wanted));
        }
    }

    #[test]
    fn lists_are_in_order_and_without_what_is_not_chatds() {
        let standings = [
            pair("b", "asked\n5"),
            pair("a", "asked\n9\nhello"),
            pair("z", "friends"),
            pair("y", "friends"),
            pair("x", "requested"),
            pair("bad", "asked\n-1"),
            pair("bad", "asked"),
            pair("bad", ""),
            pair("", "friends"),
        ];
        let read = |part, after: Option<&str>, limit| {
            let mut circle = circle(&standings, &["q".to_owned(), "p".to_owned(), "\n".to_owned()], part);
            circle.cut(after.map(|name| UserId::new(name).unwrap()).as_ref(), limit);
            circle
        };
        let circle = read(Part::Others, None, 9);
        let names = |users: &[UserId]| users.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&circle.friends), ["y", "z"]);
        assert_eq!(names(&circle.requested), ["x"]);
        assert_eq!(names(&circle.blocked), ["p", "q"]);
        let asked = read(Part::Asked, None, 9).asked;
        let asked: Vec<_> = asked.iter().map(|asked| (asked.from.as_str(), asked.time)).collect();
        assert_eq!(asked, [("a", 9), ("b", 5)]);
        let page = read(Part::Others, Some("p"), 2);
        assert_eq!(
            (names(&page.requested), names(&page.blocked)),
            (vec!["x".to_owned()], vec!["q".to_owned()])
        );
        assert_eq!(page.more.as_ref().map(UserId::as_str), Some("x"));
        assert_eq!(read(Part::Others, Some("x"), 2).more, None);
    }
}
