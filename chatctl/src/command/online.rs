//! `chatctl online`: whether users are online, several at a time.
//!
//! Invariant: rows stand in the order asked, and a question that fails leaves the exit code to the failure.

use chat_protocol::UserId;
use chat_protocol::user::{Online, OnlineRequest, OnlineResponse};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::output::Format;
use crate::report::Report;

/// Questions on their way at a time.
const AT_ONCE: usize = 16;

const ABOUT: &str = "\
Exit code: 0 when all of them are online, 3 when some are, 5 when none is.
-o name prints only those who are online.

Examples:
  chatctl --app 101 online 黄帝
  chatctl --app 101 online 黄帝 马超 李白
  chatctl --app 101 online 黄帝 -q >/dev/null && echo here
  chatctl --app 101 online 黄帝 马超 -o name";

/// Arguments of `online`.
#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT)]
pub struct Args {
    /// Whom to look for
    #[arg(value_name = "USER", required = true)]
    users: Vec<UserId>,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    let requests: Vec<_> = args.users.into_iter().map(|user_id| OnlineRequest { app_id, user_id }).collect();
    if operator.settings.dry_run {
        let rehearsed: Vec<_> = requests.iter().map(|r| operator.rehearsed::<Online>(r)).collect();
        return operator.rehearse(&rehearsed);
    }
    let http = operator.http()?;
    let http = &http;
    let answers: Vec<OnlineResponse> = stream::iter(requests)
        .map(|request| async move { operator.call::<Online>(http, &request).await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let online = answers.iter().filter(|answer| answer.online).count();
    let row = |answer: &OnlineResponse| vec![answer.user_id.as_str().into(), answer.online.into()];
    let only_online = operator.settings.format == Format::Name;
    let rows = answers.iter().filter(|answer| answer.online || !only_online).map(row).collect();
    operator.print(&Report::list(&[("userId", "USER"), ("online", "ONLINE")], rows))?;
    if answers.len() > 1 {
        operator.footer(&format!("{online} of {} online in app {app_id}", answers.len()));
    }
    Ok(exit(online, answers.len()))
}

fn exit(online: usize, asked: usize) -> Exit {
    match online {
        all if all == asked => Exit::Done,
        0 => Exit::NotFound,
        _ => Exit::Partly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_tells_all_some_and_none() {
        assert_eq!([exit(1, 1), exit(0, 1)], [Exit::Done, Exit::NotFound]);
        assert_eq!([exit(2, 2), exit(1, 2), exit(0, 2)], [Exit::Done, Exit::Partly, Exit::NotFound]);
    }
}
