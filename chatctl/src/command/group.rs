//! `chatctl group`: groups and their members.
//!
//! Invariants: a message always carries an id, so that repeating the command with it never delivers twice; what
//! cannot be undone is asked for first.

use std::ffi::OsString;

use chat_client::Error;
use chat_protocol::group::{
    Create, CreateRequest, Dismiss, Group, GroupRequest, Join, Kick, KickRequest, Leave, List, ListRequest,
    ListResponse, MAX_GROUPS_PAGE, MAX_MEMBERS_PAGE, Members, MembersRequest, MembershipResponse,
    SendMessage, SendMessageRequest,
};
use chat_protocol::{AppId, GroupId, MsgId, UserId};
use clap::Subcommand;

use crate::command::message_id;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::plural::counted;
use crate::report::{Cell, Report};
use crate::roster::{Roster, walk};

/// Shown below the help of the noun.
pub const EXAMPLES: &str = "\
Only members read, send or receive. --as names who acts.

Examples:
  chatctl --app 101 --as 黄帝 group create 'Tea house' --id tea
  chatctl --app 101 --as 马超 group join tea
  chatctl --app 101 --as 马超 group send tea 'hello'
  chatctl --app 101 group members tea";

const CREATE: &str = "\
Repeating it with the same --id by the same owner is harmless.

Examples:
  chatctl --app 101 --as 黄帝 group create 'Tea house'
  chatctl --app 101 --as 黄帝 group create 'Tea house' --id tea -o name";

const SEND: &str = "\
@FILE and - lose one newline at the end. A text that begins with @ is written
with two (@@all); before one that begins with - stands --.

Examples:
  chatctl --app 101 --as 马超 group send tea 'hello'
  date | chatctl --app 101 --as 马超 group send tea -";

/// A group.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The group
    #[arg(value_name = "GROUP")]
    group: GroupId,
}

/// What to send.
#[derive(Debug, clap::Args)]
#[command(after_help = SEND)]
pub struct SendArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    group: GroupId,
    /// The message, - for standard input, or @FILE
    #[arg(value_name = "TEXT|-|@FILE")]
    text: OsString,
    /// Your own id for the message: a repeat with the same id is not delivered again
    #[arg(long, value_name = "ID")]
    msg_id: Option<MsgId>,
}

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create a group with yourself as owner and only member
    #[command(after_help = CREATE)]
    Create {
        /// What to call it
        #[arg(value_name = "NAME")]
        name: String,
        /// Its id; made up when absent
        #[arg(long, value_name = "GROUP")]
        id: Option<GroupId>,
    },
    /// Join a group
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 马超 group join tea")]
    Join(Which),
    /// Leave a group; its owner dismisses it instead
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 马超 group leave tea")]
    Leave(Which),
    /// Members of a group
    #[command(
        after_help = "Examples:\n  chatctl --app 101 group members tea\n  chatctl --app 101 group members tea -o name"
    )]
    Members {
        /// The group
        #[arg(value_name = "GROUP")]
        group: GroupId,
        /// Show at most so many members
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Groups you are a member of
    #[command(visible_alias = "ls", after_help = "Examples:\n  chatctl --app 101 --as 马超 group list")]
    List {
        /// Show at most so many groups
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
    /// Send a message to a group
    Send(SendArgs),
    /// Remove a member; owner only
    #[command(after_help = "Examples:\n  chatctl --app 101 --as 黄帝 group kick tea 蚩尤")]
    Kick {
        /// The group
        #[arg(value_name = "GROUP")]
        group: GroupId,
        /// Whom to remove
        #[arg(value_name = "USER")]
        member: UserId,
    },
    /// End a group for everyone; owner only; its history is gone
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  chatctl --app 101 --as 黄帝 group dismiss tea\n  chatctl --app 101 --as 黄帝 group dismiss tea -y"
    )]
    Dismiss(Which),
}

/// Runs the command.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    if let Verb::Members { group, limit } = verb {
        let user_id = operator.settings.acting.clone();
        let request = MembersRequest { app_id, user_id, group_id: group, limit: None, cursor: None };
        return members(request, limit, operator).await;
    }
    let user_id = operator.settings.acting()?;
    let on = |which: Which| GroupRequest { app_id, user_id: user_id.clone(), group_id: which.group };
    match verb {
        Verb::Members { .. } => Ok(Exit::Done),
        Verb::Create { name, id } => {
            let request = CreateRequest { app_id, user_id, name, group_id: id };
            operator.carry_out::<Create>(&request, |group| created(&group)).await
        }
        Verb::Join(which) => operator.carry_out::<Join>(&on(which), |c| change("joined", &c)).await,
        Verb::Leave(which) => operator.carry_out::<Leave>(&on(which), |c| change("left", &c)).await,
        Verb::List { limit } => {
            let mut mine = Mine { app_id, user_id, found: Vec::new() };
            if operator.settings.dry_run {
                return operator.rehearse(&[operator.rehearsed::<List>(&mine.first(limit))]);
            }
            walk(&mut mine, limit, operator, &operator.http()?).await?;
            operator.print(&Report::list(&COLUMNS, mine.found.iter().map(row).collect()))?;
            if mine.found.is_empty() {
                operator.footer(&format!("{} is in no group", mine.user_id));
            }
            Ok(Exit::Done)
        }
        Verb::Send(args) => send(args, user_id, operator).await,
        Verb::Kick { group, member } => {
            let request = KickRequest { app_id, user_id, group_id: group, member_id: member };
            operator.carry_out::<Kick>(&request, |c| change("removed", &c)).await
        }
        Verb::Dismiss(which) => {
            if operator.asks() {
                let request = on(which.clone());
                let members = operator.concerned(concerned(&request, operator)).await?;
                let members = members.unwrap_or_else(|| "its members".to_owned());
                let group = &which.group;
                operator.confirm(&format!("end group {group} and its history for {members}?")).await?;
            }
            operator.carry_out::<Dismiss>(&on(which), |c| change("dismissed", &c)).await
        }
    }
}

async fn send(args: SendArgs, user_id: UserId, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    let message = operator.read_text(&args.text).await?;
    let msg_id = message_id::given_or_new(args.msg_id)?;
    let (group_id, group) = (args.group.clone(), args.group);
    let request =
        SendMessageRequest { app_id, user_id, group_id, message, msg_id: Some(msg_id.clone()), kind: None };
    operator.doubt.repeatable_with(format!("--msg-id {msg_id}"));
    let report = |sent: chat_protocol::user::SendMessageAllResponse| {
        let words = if sent.duplicate { "already sent, not sent again," } else { "sent" };
        Report::record([
            ("msgId", "message", sent.msg_id.as_str().into()),
            ("sendResults", "sent", sent.send_results.into()),
            ("offset", "offset", sent.offset.into()),
            ("duplicate", "duplicate", sent.duplicate.into()),
        ])
        .in_words(vec![format!("{words} to group {group} (message {})", sent.msg_id)])
    };
    operator.carry_out::<SendMessage>(&request, report).await
}

/// How many members a group has, in words.
async fn concerned(on: &GroupRequest, operator: &Operator) -> Result<String, Failure> {
    let GroupRequest { app_id, group_id, .. } = on.clone();
    let request = MembersRequest { app_id, user_id: None, group_id, limit: Some(1), cursor: None };
    let count = operator.call::<Members>(&operator.http()?, &request).await?.group.member_count;
    Ok(if count == 1 { "its only member".to_owned() } else { format!("its {}", counted(count, "member")) })
}

async fn members(
    mut request: MembersRequest,
    limit: Option<u32>,
    operator: &Operator,
) -> Result<Exit, Failure> {
    let wanted = limit.unwrap_or(u32::MAX);
    request.limit = Some(wanted.min(MAX_MEMBERS_PAGE));
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Members>(&request)]);
    }
    let http = operator.http()?;
    let mut found: Vec<UserId> = Vec::new();
    let group = loop {
        let page = operator.call::<Members>(&http, &request).await?;
        found.extend(page.members);
        let left = wanted.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let Some(cursor) = page.cursor.filter(|_| left > 0) else { break page.group };
        if request.cursor.as_ref().is_some_and(|before| cursor <= *before) {
            let (server, cause) =
                (http.server().to_string(), "its list of members does not come to an end".to_owned());
            return Err(Error::NotChatd { server, cause }.into());
        }
        request.limit = Some(left.min(MAX_MEMBERS_PAGE));
        request.cursor = Some(cursor);
    };
    found.truncate(wanted as usize);
    let rows = found.iter().map(|user| vec![user.as_str().into(), (*user == group.owner).into()]).collect();
    operator.print(&Report::list(&[("userId", "MEMBER"), ("owner", "OWNER")], rows))?;
    let (count, of) = (found.len(), group.member_count);
    operator.footer(&format!("{count} of {of} in group {} ({})", group.group_id, group.name));
    Ok(Exit::Done)
}

/// Groups of a user.
struct Mine {
    app_id: AppId,
    user_id: UserId,
    found: Vec<Group>,
}

impl Roster for Mine {
    type Of = List;
    type Cursor = GroupId;
    const MOST: u32 = MAX_GROUPS_PAGE;

    fn request(&self, limit: u32, after: Option<GroupId>) -> ListRequest {
        ListRequest { app_id: self.app_id, user_id: self.user_id.clone(), limit: Some(limit), cursor: after }
    }

    fn take(&mut self, page: ListResponse) -> (usize, Option<GroupId>) {
        let got = page.groups.len();
        self.found.extend(page.groups);
        (got, page.cursor)
    }
}

const COLUMNS: [(&str, &str); 4] =
    [("groupId", "GROUP"), ("name", "NAME"), ("owner", "OWNER"), ("memberCount", "MEMBERS")];

fn row(group: &Group) -> Vec<Cell> {
    vec![
        group.group_id.as_str().into(),
        group.name.as_str().into(),
        group.owner.as_str().into(),
        group.member_count.into(),
    ]
}

fn created(group: &Group) -> Report {
    Report::record([
        ("groupId", "group", group.group_id.as_str().into()),
        ("name", "name", group.name.as_str().into()),
        ("owner", "owner", group.owner.as_str().into()),
        ("memberCount", "members", group.member_count.into()),
    ])
}

fn change(done: &str, change: &MembershipResponse) -> Report {
    let words = if change.changed { done.to_owned() } else { "nothing to do: it was so already".to_owned() };
    let members = change.member_count;
    Report::record([
        ("changed", "changed", change.changed.into()),
        ("memberCount", "members", members.into()),
        ("offset", "offset", change.offset.into()),
        ("epoch", "history", change.epoch.as_str().into()),
    ])
    .in_words(vec![format!("{words}; {}", counted(members, "member"))])
}
