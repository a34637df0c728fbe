//! `chatctl friend`: friendships, requests and blocks of a user.
//!
//! Invariant: what is printed is how the two stand after the call, as the server says.

use chat_protocol::UserId;
use chat_protocol::friend::{
    Accept, Block, FriendRequest, List, ListResponse, MineRequest, Reject, Remove, Request, RequestRequest,
    Requests, RequestsResponse, Standing, StandingResponse, Unblock,
};
use clap::Subcommand;

use crate::calendar::moment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Cell, Report};

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
    Requests,
    /// Accept a request
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend accept 马超")]
    Accept(Other),
    /// Decline a request; the other side is not told
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend reject 马超")]
    Reject(Other),
    /// End a friendship, or take an own request back
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend remove 马超")]
    Remove(Other),
    /// Friends, own requests and blocked users
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 friend list -o csv")]
    List,
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
    let mine = MineRequest { app_id, user_id: user_id.clone() };
    let with = |other: Other| FriendRequest { app_id, user_id: user_id.clone(), friend_id: other.friend };
    match verb {
        Verb::Request { friend, greeting } => {
            let request = RequestRequest { app_id, user_id, friend_id: friend, greeting };
            operator.carry_out::<Request>(&request, |s| standing(&s)).await
        }
        Verb::Requests => operator.carry_out::<Requests>(&mine, |found| asked(&found)).await,
        Verb::List => operator.carry_out::<List>(&mine, |found| listed(&found)).await,
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

fn asked(found: &RequestsResponse) -> Report {
    let rows = found.requests.iter().map(|asked| {
        let greeting = asked.greeting.as_deref().map_or(Cell::from(serde_json::Value::Null), Cell::from);
        vec![asked.from.as_str().into(), Cell::from(asked.time).shown_as(moment(asked.time)), greeting]
    });
    Report::list(&[("from", "FROM"), ("time", "TIME"), ("greeting", "GREETING")], rows.collect())
}

fn listed(found: &ListResponse) -> Report {
    let with = |users: &[UserId], standing: &'static str| -> Vec<Vec<Cell>> {
        users.iter().map(|user| vec![user.as_str().into(), standing.into()]).collect()
    };
    let rows = [
        with(&found.friends, "friends"),
        with(&found.requested, "requested"),
        with(&found.blocked, "blocked"),
    ];
    Report::list(&[("userId", "USER"), ("standing", "STANDING")], rows.concat())
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
