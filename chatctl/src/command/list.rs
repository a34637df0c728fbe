//! `chatctl list`: the users of an app who are online, however many pages that takes.
//!
//! Invariant: the cursor moves forward with every page, so that the command ends whatever the server answers; one page is
//! held at a time.

use chat_client::{Error, Http};
use chat_protocol::user::{List, ListRequest};
use chat_protocol::{AppId, UserId};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;

/// Users asked for in one request.
const PAGE: u32 = 1000;

const EXAMPLES: &str = "\
Examples:
  chatctl --app 101 list
  chatctl --app 101 list --limit 20
  chatctl --app 101 list -o name | grep 李
  chatctl --app 101 list -o csv > online.csv
  chatctl --app 101 list -o name | chatctl --app 101 send --to - 'hello'";

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Show at most so many users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    let wanted = args.limit.unwrap_or(u32::MAX);
    let mut request = ListRequest { app_id, limit: Some(wanted.min(PAGE)), cursor: None };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<List>(&request)]);
    }
    let (http, mut flow) = (operator.http()?, operator.flow());
    let mut left = wanted;
    let total = loop {
        let mut page = operator.call::<List>(&http, &request).await?;
        page.user_list.truncate(left as usize);
        if !operator.flows(&mut flow, listed(&page.user_list))? {
            return Ok(Exit::Done);
        }
        left = left.saturating_sub(u32::try_from(page.user_list.len()).unwrap_or(u32::MAX));
        let Some(cursor) = page.cursor.filter(|_| left > 0) else { break page.user_count };
        if request.cursor.as_ref().is_some_and(|before| cursor <= *before) {
            let (server, cause) =
                (http.server().to_string(), "its list of users does not come to an end".to_owned());
            return Err(Error::NotChatd { server, cause }.into());
        }
        request.limit = Some(left.min(PAGE));
        request.cursor = Some(cursor);
    };
    operator.end(flow, &listed(&[]))?;
    operator.footer(&count((wanted - left).into(), total, app_id));
    Ok(Exit::Done)
}

/// How many users of an app are online.
pub async fn count_online(app_id: AppId, operator: &Operator, http: &Http) -> Result<u64, Failure> {
    let request = ListRequest { app_id, limit: Some(1), cursor: None };
    Ok(operator.call::<List>(http, &request).await?.user_count)
}

fn listed(users: &[UserId]) -> Report {
    let rows = users.iter().map(|user| vec![user.as_str().into()]).collect();
    Report::list(&[("userId", "USER")], rows)
}

fn count(shown: u64, total: u64, app_id: u32) -> String {
    match (shown, total) {
        (0, 0) => format!("nobody is online in app {app_id}"),
        (1, 0..=1) => format!("1 user online in app {app_id}"),
        // The total is as old as the last page: users who left meanwhile may still be among those shown.
        (shown, total) if shown >= total => format!("{shown} users online in app {app_id}"),
        (shown, total) => format!("{shown} of {total} users online in app {app_id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn the_footer_counts() {
        assert_eq!(count(0, 0, 7), "nobody is online in app 7");
        assert_eq!(count(1, 1, 7), "1 user online in app 7");
        assert_eq!(count(3, 2, 7), "3 users online in app 7");
        assert_eq!(count(1, 2500, 7), "1 of 2500 users online in app 7");
    }
}
