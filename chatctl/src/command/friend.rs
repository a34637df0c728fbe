//! `chatctl friend`: friendships, requests and blocks of a user.
//!
//! Invariant: what is printed is how the two stand after the call, as the server says; a list is whole, however many
//! pages that takes.

use chat_protocol::friend::{
    Accept, Asked, Block, FriendRequest, List, ListRequest, ListResponse, MAX_FRIENDS_PAGE,
    MAX_REQUESTS_PAGE, Reject, Remove, Request, RequestRequest, Requests, RequestsRequest, RequestsResponse,
    Standing, StandingResponse, Unblock,
};
use chat_protocol::{AppId, UserId};
use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Cell, Report};
use crate::roster::{Roster, walk};

/// Shown below the help of the noun.
pub const EXAMPLES: &str = "\
A friendship exists when the other side has accepted. --as names whose it is.

Examples:
  chatctl --app 101 --as 马超 friend request 黄帝 'we met in Xinzheng'
  chatctl --app 101 --as 黄帝 friend requests
  chatctl --app 101 --as 黄帝 friend accept 马超";

/// The other user.
#[derive(Debug, clap::Args)]
pub struct Other {
    /// The other user
    #[arg(value_name = "USER")]
    friend: UserId,
}

/// What to do with friends.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Ask a user to be a friend
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 马超 friend request 黄帝 'hello, it is me'")]
    Request {
        /// Whom to ask
        #[arg(value_name = "USER")]
        friend: UserId,
        /// A word to go with it
        #[arg(value_name = "GREETING")]
        greeting: Option<String>,
    },
    /// Requests that wait for an answer
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend requests")]
    Requests {
        /// Show at most so many requests
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Accept a request
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend accept 马超")]
    Accept(Other),
    /// Decline a request; the other side is not told
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend reject 马超")]
    Reject(Other),
    /// End a friendship, or take an own request back
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend remove 马超"
    )]
    Remove(Other),
    /// Friends, own requests and blocked users
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend list -o csv"
    )]
    List {
        /// Show at most so many users
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Refuse a user's messages and requests; ends a friendship
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend block 蚩尤")]
    Block(Other),
    /// Lift a block
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend unblock 蚩尤")]
    Unblock(Other),
}

/// Runs the command.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting()?);
    let mine = (app_id, user_id.clone());
    let with = |other: Other| FriendRequest { app_id, user_id: user_id.clone(), friend_id: other.friend };
    match verb {
        Verb::Request { friend, greeting } => {
            let request = RequestRequest { app_id, user_id, friend_id: friend, greeting };
            operator.carry_out::<Request>(&request, |s| standing(&s)).await
        }
        Verb::Requests { limit } => {
            let mut waiting = Waiting { mine, found: Vec::new() };
            if operator.settings.dry_run {
                return operator.rehearse(&[operator.rehearsed::<Requests>(&waiting.first(limit))]);
            }
            walk(&mut waiting, limit, operator, &operator.http()?).await?;
            operator.print(&asked(&waiting.found))?;
            if waiting.found.is_empty() {
                operator.footer("no request waits for an answer");
            }
            Ok(Exit::Done)
        }
        Verb::List { limit } => {
            let mut circle = Circle { mine, found: Vec::new() };
            if operator.settings.dry_run {
                return operator.rehearse(&[operator.rehearsed::<List>(&circle.first(limit))]);
            }
            walk(&mut circle, limit, operator, &operator.http()?).await?;
            let is_empty = circle.found.is_empty();
            operator.print(&listed(circle.found))?;
            if is_empty {
                operator.footer("nobody: no friends, no requests, no blocks");
            }
            Ok(Exit::Done)
        }
        Verb::Accept(other) => operator.carry_out::<Accept>(&with(other), |s| standing(&s)).await,
        Verb::Reject(other) => operator.carry_out::<Reject>(&with(other), |s| standing(&s)).await,
        Verb::Remove(other) => operator.carry_out::<Remove>(&with(other), |s| standing(&s)).await,
        Verb::Block(other) => operator.carry_out::<Block>(&with(other), |s| standing(&s)).await,
        Verb::Unblock(other) => operator.carry_out::<Unblock>(&with(other), |s| standing(&s)).await,
    }
}

fn standing(found: &StandingResponse) -> Report {
    let friend = &found.friend_id;
    let mut words = match found.standing {
        Standing::None => format!("nothing between you and {friend}"),
        Standing::Requested => format!("{friend} is asked and has not answered"),
        Standing::Asked => format!("{friend} has asked and waits for an answer"),
        Standing::Friends => format!("{friend} is a friend"),
    };
    if found.blocked {
        words.push_str("; blocked");
    }
    if !found.changed {
        words.push_str(" (as before)");
    }
    Report::record([
        ("friendId", "user", friend.as_str().into()),
        // Plain data: there is nothing in it that JSON cannot hold.
        ("standing", "standing", serde_json::to_value(found.standing).unwrap_or_default().into()),
        ("blocked", "blocked", found.blocked.into()),
        ("changed", "changed", found.changed.into()),
    ])
    .in_words(vec![words])
}

/// Requests that wait for an answer.
struct Waiting {
    mine: (AppId, UserId),
    found: Vec<Asked>,
}

impl Roster for Waiting {
    type Of = Requests;
    type Cursor = UserId;
    const MOST: u32 = MAX_REQUESTS_PAGE;

    fn request(&self, limit: u32, after: Option<UserId>) -> RequestsRequest {
        let (app_id, user_id) = self.mine.clone();
        RequestsRequest { app_id, user_id, limit: Some(limit), cursor: after }
    }

    fn take(&mut self, page: RequestsResponse) -> (usize, Option<UserId>) {
        let got = page.requests.len();
        self.found.extend(page.requests);
        (got, page.cursor)
    }
}

/// Users of a circle with how they stand.
struct Circle {
    mine: (AppId, UserId),
    found: Vec<(&'static str, UserId)>,
}

impl Roster for Circle {
    type Of = List;
    type Cursor = UserId;
    const MOST: u32 = MAX_FRIENDS_PAGE;

    fn request(&self, limit: u32, after: Option<UserId>) -> ListRequest {
        let (app_id, user_id) = self.mine.clone();
        ListRequest { app_id, user_id, limit: Some(limit), cursor: after }
    }

    fn take(&mut self, page: ListResponse) -> (usize, Option<UserId>) {
        let before = self.found.len();
        let ListResponse { friends, requested, blocked, cursor } = page;
        for (standing, users) in [("friends", friends), ("requested", requested), ("blocked", blocked)] {
            self.found.extend(users.into_iter().map(|user| (standing, user)));
        }
        (self.found.len() - before, cursor)
    }
}

fn asked(found: &[Asked]) -> Report {
    let rows = found.iter().map(|asked| {
        let greeting = asked.greeting.as_deref().map_or(Cell::from(serde_json::Value::Null), Cell::from);
        vec![asked.from.as_str().into(), Cell::moment(asked.time), greeting]
    });
    Report::list(&[("from", "FROM"), ("time", "TIME"), ("greeting", "GREETING")], rows.collect())
}

fn listed(mut found: Vec<(&'static str, UserId)>) -> Report {
    // Friends first, then own requests, then blocked users; of each kind by name, as they came.
    let rank = |standing: &str| ["friends", "requested", "blocked"].iter().position(|kind| *kind == standing);
    found.sort_by_key(|(standing, _)| rank(standing));
    let rows = found.iter().map(|(standing, user)| vec![user.as_str().into(), (*standing).into()]);
    Report::list(&[("userId", "USER"), ("standing", "STANDING")], rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_how_they_stand() {
        let friend_id: UserId = "马超".parse().unwrap();
        let words = |standing_now, blocked, changed| {
            let friend_id = friend_id.clone();
            let found = StandingResponse { friend_id, standing: standing_now, blocked, changed };
            standing(&found).words.unwrap().concat()
        };
        assert_eq!(words(Standing::Friends, false, true), "马超 is a friend");
        assert_eq!(
            words(Standing::Requested, false, false),
            "马超 is asked and has not answered (as before)"
        );
        assert_eq!(words(Standing::None, true, true), "nothing between you and 马超; blocked");
    }
}
