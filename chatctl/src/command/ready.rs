//! `chatctl ready`: whether a node can be given work, which it tells anybody.
//!
//! Invariant: it succeeds only when the node itself said yes.

use std::time::Duration;

use chat_client::{Error, Http};
use chat_protocol::Span;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::{Operator, Rehearsed};
use crate::report::Report;

const PATH: &str = "/readyz";
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
A node is ready while messages and money can be written and it does not drain.
No key is needed. What is not ready ends with exit code 1 and says why, and what
cannot be reached with 7.

Examples:
  chatctl ready
  chatctl ready --server http://10.0.0.7:8080 --wait 1m";

/// Arguments of `ready`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Wait so long at most until it is
    #[arg(long, value_name = "DURATION")]
    wait: Option<Span>,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    if operator.settings.dry_run {
        let url = operator.settings.server.url(PATH).into();
        return operator.rehearse(&[Rehearsed { method: "GET", url, body: Value::Null }]);
    }
    let (http, until) = (operator.http()?, Instant::now() + args.wait.unwrap_or(Span::seconds(0)).get());
    loop {
        match ask(&http).await {
            Ok(()) => break,
            Err(failure) if Instant::now() >= until => return Err(failure),
            Err(failure) => operator.console.detail(&failure.to_string()),
        }
        sleep(LOOK_AGAIN).await;
    }
    operator.print(&Report::record([("ready", "ready", true.into())]))?;
    Ok(Exit::Done)
}

/// Whether the node at this address says that it is ready.
///
/// # Errors
/// Why it is not, or cannot be asked.
pub(super) async fn ask(http: &Http) -> Result<(), Failure> {
    match http.get(PATH, &[]).await? {
        (200, _) => Ok(()),
        (503, why) => Err(Failure::Undone(format!("{} is not ready: {}", http.server(), why.trim()))),
        (status, _) => {
            let cause = format!("HTTP status {status} at {PATH}");
            Err(Error::NotChatd { server: http.server().to_string(), cause }.into())
        }
    }
}
