//! `chatctl kick`, `ban`, `unban` and `bans`: who may be here.

use chat_protocol::access::{
    Ban, BanRequest, Banned, Bans, BansRequest, BansResponse, Kick, KickRequest, KickResponse, MAX_BAN_S,
    MAX_BANS_PAGE, Unban, UnbanRequest, UnbanResponse,
};
use chat_protocol::{AppId, Span, UserId};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Cell, Report};
use crate::roster::{Roster, walk};

const KICK: &str = "\
Ends all connections of the user, on every node, with close code 4500: clients
do not come back by themselves. The user may log in again; `chatctl ban`
prevents it.

Examples:
  chatctl --app 101 kick 马超
  chatctl --app 101 kick 马超 --reason 'the gate closes at six'";

const BAN: &str = "\
Until then the user cannot log in or use a token over HTTP, and is told the
reason and the time. Given again it replaces the ban there is. It ends by
itself.

Examples:
  chatctl --app 101 ban 马超 --for 2h --reason spam
  chatctl --app 101 ban 马超 --for 720h";

const UNBAN: &str = "\
Examples:
  chatctl --app 101 unban 马超";

const BANS: &str = "\
Examples:
  chatctl --app 101 bans
  chatctl --app 101 bans -o name | xargs -n 1 chatctl --app 101 unban";

/// Arguments of `kick`.
#[derive(Debug, clap::Args)]
#[command(after_help = KICK)]
pub struct KickArgs {
    /// Whom
    #[arg(value_name = "USER")]
    user: UserId,
    /// What they are told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Arguments of `ban`.
#[derive(Debug, clap::Args)]
#[command(after_help = BAN)]
pub struct BanArgs {
    /// Whom
    #[arg(value_name = "USER")]
    user: UserId,
    /// For how long from now, in whole seconds
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    length: Span,
    /// What they are told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Arguments of `unban`.
#[derive(Debug, clap::Args)]
#[command(after_help = UNBAN)]
pub struct UnbanArgs {
    /// Whom
    #[arg(value_name = "USER")]
    user: UserId,
}

/// Arguments of `bans`.
#[derive(Debug, clap::Args)]
#[command(after_help = BANS)]
pub struct BansArgs {
    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

fn length(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error: chat_protocol::span::BadSpan| error.to_string())?;
    match span.is_zero() || span > Span::seconds(MAX_BAN_S) {
        true => Err(format!("must be more than 0 and at most {}", Span::seconds(MAX_BAN_S))),
        false => Ok(span),
    }
}

/// Runs `kick`.
pub async fn kick(args: KickArgs, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, KickArgs { user: user_id, reason }) = (operator.settings.app()?, args);
    operator.carry_out::<Kick>(&KickRequest { app_id, user_id, reason }, kicked).await
}

/// Runs `ban`.
pub async fn ban(args: BanArgs, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, BanArgs { user: user_id, length, reason }) = (operator.settings.app()?, args);
    let request = BanRequest { app_id, user_id, seconds: length.whole_seconds(), reason };
    operator.carry_out::<Ban>(&request, |banned| listed(&[banned])).await
}

/// Runs `unban`.
pub async fn unban(args: UnbanArgs, operator: &Operator) -> Result<Exit, Failure> {
    let request = UnbanRequest { app_id: operator.settings.app()?, user_id: args.user };
    operator.carry_out::<Unban>(&request, unbanned).await
}

/// Runs `bans`.
pub async fn bans(args: BansArgs, operator: &Operator) -> Result<Exit, Failure> {
    let mut all = All { app_id: operator.settings.app()?, found: Vec::new() };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Bans>(&all.first(args.limit))]);
    }
    walk(&mut all, args.limit, operator, &operator.http()?).await?;
    operator.print(&listed(&all.found))?;
    if all.found.is_empty() {
        operator.footer("none");
    }
    Ok(Exit::Done)
}

/// Everybody who is banned.
struct All {
    app_id: AppId,
    found: Vec<Banned>,
}

impl Roster for All {
    type Of = Bans;
    type Cursor = UserId;
    const MOST: u32 = MAX_BANS_PAGE;

    fn request(&self, limit: u32, after: Option<UserId>) -> BansRequest {
        BansRequest { app_id: self.app_id, limit: Some(limit), cursor: after }
    }

    fn take(&mut self, page: BansResponse) -> (usize, Option<UserId>) {
        let got = page.bans.len();
        self.found.extend(page.bans);
        (got, page.cursor)
    }
}

fn kicked(answer: KickResponse) -> Report {
    let user = answer.user_id.to_string();
    let words = match answer.online {
        true => format!("{user} is sent away"),
        false => format!("{user} was not online"),
    };
    Report::record([("userId", "user", user.into()), ("online", "was online", answer.online.into())])
        .in_words(vec![words])
}

fn unbanned(answer: UnbanResponse) -> Report {
    let user = answer.user_id.to_string();
    let words = match answer.changed {
        true => format!("{user} may come in again"),
        false => format!("{user} was not banned"),
    };
    Report::record([("userId", "user", user.into()), ("changed", "was banned", answer.changed.into())])
        .in_words(vec![words])
}

fn listed(bans: &[Banned]) -> Report {
    let time = |ms: u64| Cell::moment(ms);
    let rows = bans.iter().map(|ban| {
        let reason = ban.reason.as_deref().map_or(Cell::from(Value::Null), Cell::from);
        vec![ban.user_id.as_str().into(), time(ban.until), time(ban.since), reason]
    });
    let columns = [("userId", "USER"), ("until", "UNTIL"), ("since", "SINCE"), ("reason", "REASON")];
    Report::list(&columns, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_has_an_end_and_is_more_than_nothing() {
        assert_eq!(length("2h"), Ok(Span::seconds(7200)));
        assert!(length("0").is_err() && length("forever").is_err() && length("100000h").is_err());
    }
}
