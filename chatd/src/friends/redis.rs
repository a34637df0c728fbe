//! Friendships over Redis: per user a hash of standings and a set of blocked users.
//!
//! Invariant: one script changes both sides, so the two hashes mirror each other.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::friend::{Asked, Standing};
use chat_protocol::{AppId, UserId};

use super::{Action, Circle, FriendError, Friends, Outcome};
use crate::broker::redis::RedisBroker;
use crate::broker::redis::link::{LinkError, Script};
use crate::broker::redis::log::Logs;

/// The port over Redis.
pub struct RedisFriends {
    logs: Arc<Logs>,
    act: Script,
}

impl RedisFriends {
    /// Over the connections of the broker.
    #[must_use]
    pub fn new(broker: &RedisBroker) -> Arc<Self> {
        Arc::new(Self { logs: broker.logs.clone(), act: Script::new(include_str!("act.lua")) })
    }
}

#[async_trait]
impl Friends for RedisFriends {
    async fn act(
        &self,
        app: AppId,
        user: &UserId,
        other: &UserId,
        action: &Action,
    ) -> Result<Outcome, FriendError> {
        let keys = &self.logs.keys;
        let mut call = self.act.call(&[
            keys.standings(app, user),
            keys.standings(app, other),
            keys.blocked(app, user),
            keys.blocked(app, other),
        ]);
        call.arg(name(action)).arg(user.as_str()).arg(other.as_str());
        if let Action::Request { greeting, time } = action {
            call.arg(request(greeting.as_deref(), *time));
        }
        let (outcome, standing, blocked): (String, String, bool) =
            self.logs.others.call(&self.act, &call).await?;
        let changed = match outcome.as_str() {
            "changed" => true,
            "unchanged" => false,
            "no request" => return Err(FriendError::NoRequest),
            "blocking" => return Err(FriendError::Blocking),
            "blocked" => return Err(FriendError::Blocked),
            other => return Err(foreign(other)),
        };
        let standing = match standing.as_str() {
            "none" => Standing::None,
            "requested" => Standing::Requested,
            "asked" => Standing::Asked,
            "friends" => Standing::Friends,
            other => return Err(foreign(other)),
        };
        Ok(Outcome { standing, blocked, changed })
    }

    async fn circle(&self, app: AppId, user: &UserId) -> Result<Circle, FriendError> {
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("HGETALL").arg(self.logs.keys.standings(app, user));
        pipeline.cmd("SMEMBERS").arg(self.logs.keys.blocked(app, user));
        let (standings, blocked): (Vec<(String, String)>, Vec<String>) =
            self.logs.others.run_all(&pipeline).await?;
        Ok(circle(&standings, &blocked))
    }
}

/// Only chatd writes here; what it cannot have written is left out.
fn circle(standings: &[(String, String)], blocked: &[String]) -> Circle {
    let id = |name: &String| UserId::new(name).ok();
    let mut circle = Circle { blocked: blocked.iter().filter_map(id).collect(), ..Circle::default() };
    for (name, standing) in standings {
        let Some(user) = id(name) else { continue };
        match standing.as_str() {
            "friends" => circle.friends.push(user),
            "requested" => circle.requested.push(user),
            other => circle.asked.extend(asked(user, other)),
        }
    }
    circle.friends.sort();
    circle.requested.sort();
    circle.blocked.sort();
    circle.asked.sort_by(|a, b| (a.time, &a.from).cmp(&(b.time, &b.from)));
    circle
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
        let circle = circle(&standings, &["q".to_owned(), "p".to_owned(), "\n".to_owned()]);
        let names = |users: &[UserId]| users.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&circle.friends), ["y", "z"]);
        assert_eq!(names(&circle.requested), ["x"]);
        assert_eq!(names(&circle.blocked), ["p", "q"]);
        let asked: Vec<_> = circle.asked.iter().map(|asked| (asked.from.as_str(), asked.time)).collect();
        assert_eq!(asked, [("b", 5), ("a", 9)]);
    }
}
