//! `chatctl page`: the address of the chat page, after a look whether it is served; on request in the browser.
//!
//! Invariant: an address is only printed, or opened, when a page came from it, except by `--dry-run`.

use chat_client::{Error, Http};
use chat_protocol::envelope::HttpAnswer;
use chat_protocol::operation::Effect;
use serde_json::Value;

use crate::browser;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::{Operator, Rehearsed};
use crate::report::Report;

const PATH: &str = "/home/index";

const EXAMPLES: &str = "\
With --as USER the page enters with that name; without, it asks for one. --open
shows it in the browser: $BROWSER, or what xdg-open or open has for pages.
Without one the address is printed all the same, and the exit code is 1.

Examples:
  chatctl --app 101 page
  chatctl --app 101 --as 黄帝 page
  chatctl --app 101 --as 黄帝 page --open";

/// Arguments of `page`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Open it in the browser.
    #[arg(long)]
    open: bool,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?.to_string();
    let mut query = vec![("appId", app_id.as_str())];
    if let Some(user) = &operator.settings.acting {
        query.push(("userId", user.as_str()));
    }
    let mut url = operator.settings.server.url(PATH);
    url.query_pairs_mut().extend_pairs(&query);
    if operator.settings.dry_run {
        return operator.rehearse(&[Rehearsed { method: "GET", url: url.into(), body: Value::Null }]);
    }
    let http = operator.http()?;
    operator.insist(PATH, Effect::Reads, || check(&http, &query)).await?;
    let report = Report::record([("url", "url", url.as_str().into())]);
    operator.print(&report.in_words(vec![url.to_string()]))?;
    if args.open {
        let wanted = (operator.environment)(browser::VARIABLE);
        let opened = browser::open(url.as_str(), wanted.as_deref()).await;
        opened.map_err(|why| Failure::Undone(format!("no browser opens it ({why})")))?;
    }
    Ok(Exit::Done)
}

async fn check(http: &Http, query: &[(&str, &str)]) -> Result<(), Error> {
    let (status, body) = http.get(PATH, query).await?;
    if status == 200 && body.to_ascii_lowercase().contains("<html") {
        return Ok(());
    }
    match serde_json::from_str::<HttpAnswer<Value>>(&body) {
        Ok(answer) if answer.code != 200 => {
            Err(Error::Refused { code: answer.code, reason: answer.msg, retry_after_ms: None })
        }
        _ => {
            let cause = format!("HTTP status {status} without a page at {PATH}");
            Err(Error::NotChatd { server: http.server().to_string(), cause })
        }
    }
}
