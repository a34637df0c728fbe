//! `chatctl doctor`: looks at what commonly goes wrong between people, proxies, nodes and stores.
//!
//! Invariant: nothing is changed; what is not in order is told with what to do about it, and what could not be looked at
//! is told too, never taken for healthy.

mod checks;
mod redis;
mod way;

use chat_client::Http;
use chat_client::escape::escape;
use chat_protocol::node::{Node, Nodes, NodesRequest};
use chat_protocol::system::{State, StateRequest, StateResponse};

use crate::command::top::samples::Samples;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::output::wrap::{NARROWEST, wrapped};
use crate::report::{Cell, Report};

/// Characters before what was found.
const BESIDE: usize = 22;

const EXAMPLES: &str = "\
Looks at the way to the server (proxy headers and WebSockets as a browser opens
them, certificate), versions, clocks, limits, stores and nodes; ends with 1 when
something has to be done. Redis is asked for its policy only where --redis names
it.

Examples:
  chatctl doctor
  chatctl --server https://chat.example doctor
  chatctl doctor --redis 127.0.0.1:6379
  chatctl doctor -o json | jq '.[] | select(.state != \"ok\")'";

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Ask this Redis as well, the one of the nodes; a password stands in CHATCTL_REDIS_PASSWORD
    #[arg(long, value_name = "HOST:PORT")]
    redis: Option<String>,
}

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// In order.
    Fine,
    /// Could not be looked at.
    Unknown,
    /// Works, but not well or not for long.
    Warning,
    /// Does not work.
    Bad,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub health: Health,
    /// The same in words.
    pub words: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Health {
    fn word(self) -> &'static str {
        match self {
            Health::Fine => "ok",
            Health::Unknown => "unknown",
            Health::Warning => "warning",
            Health::Bad => "bad",
        }
    }
}

impl Finding {
    /// In order.
    pub fn fine(what: &'static str, words: impl Into<String>) -> Self {
        Self { what, health: Health::Fine, words: words.into(), remedy: None }
    }

    /// Not in order, or not known.
    pub fn of(
        what: &'static str,
        health: Health,
        words: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { what, health, words: words.into(), remedy: Some(remedy.into()) }
    }

    /// A call failed.
    pub fn failed(what: &'static str, error: chat_client::Error) -> Self {
        let failure = Failure::from(crate::failure::plain_error(error));
        let remedy = failure.next_step();
        Self { what, health: Health::Bad, words: failure.to_string(), remedy }
    }
}

/// What the server told of itself.
pub struct Told {
    /// Its state.
    pub state: StateResponse,
    /// The nodes it knows.
    pub nodes: Vec<Node>,
    /// Its metrics.
    pub samples: Samples,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<State>(&StateRequest {})]);
    }
    let http = operator.http()?;
    let mut found = way::look(&http, operator).await;
    // Without a way there is nothing else to look at.
    if found.iter().all(|finding| finding.what != "reach" || finding.health != Health::Bad) {
        match told(&http).await {
            Ok(told) => found.extend(checks::look(&told, operator).await),
            Err(error) => found.push(Finding::failed("state", error)),
        }
    }
    if let Some(address) = &args.redis {
        let password =
            (operator.environment)("CHATCTL_REDIS_PASSWORD").and_then(|word| word.into_string().ok());
        found.push(redis::look(address, password.as_deref(), operator.settings.timeout.get()).await);
    }
    operator.print(&report(&found, operator.console.look().room()))?;
    let bad = found.iter().filter(|finding| finding.health == Health::Bad).count();
    let warnings = found.iter().filter(|finding| finding.health == Health::Warning).count();
    operator.footer(&match (bad, warnings) {
        (0, 0) => "nothing has to be done".to_owned(),
        (0, warnings) => format!("it works; {warnings} to look at"),
        (bad, _) => format!("{bad} to be mended"),
    });
    Ok(if bad > 0 { Exit::Refused } else { Exit::Done })
}

async fn told(http: &Http) -> Result<Told, chat_client::Error> {
    let state = http.call::<State>(&StateRequest {}).await?;
    let nodes = http.call::<Nodes>(&NodesRequest {}).await?.nodes;
    let samples = match http.get("/metrics", &[]).await? {
        (200, text) => Samples::read(&text),
        _ => Samples::default(),
    };
    Ok(Told { state, nodes, samples })
}

/// The findings, for people in lines that fit into this room.
fn report(found: &[Finding], room: Option<usize>) -> Report {
    let row = |finding: &Finding| {
        let remedy = finding.remedy.as_deref();
        vec![
            finding.what.into(),
            finding.health.word().into(),
            finding.words.as_str().into(),
            remedy.map_or(Cell::from(serde_json::Value::Null), Cell::from),
        ]
    };
    let columns = [("check", "CHECK"), ("state", "STATE"), ("found", "FOUND"), ("remedy", "WHAT TO DO")];
    let lines = found.iter().flat_map(|finding| lines(finding, room)).collect();
    Report::list(&columns, found.iter().map(row).collect()).in_words(lines)
}

/// What was found beside how it is, and below it what to do.
fn lines(finding: &Finding, room: Option<usize>) -> Vec<String> {
    let texts = finding.words.lines().chain(finding.remedy.iter().flat_map(|text| text.lines()));
    let texts: Vec<_> = texts.map(escape).collect();
    let pieces = texts.iter().flat_map(|text| match room {
        Some(columns) => wrapped(text, columns.saturating_sub(BESIDE).max(NARROWEST)),
        None => vec![&**text],
    });
    let beside = |(at, piece): (usize, &str)| match at {
        0 => format!("{:<8} {:<12} {piece}", finding.health.word(), finding.what),
        _ => format!("{:BESIDE$}{piece}", ""),
    };
    pieces.enumerate().map(beside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Look, table};

    #[test]
    fn what_to_do_stands_below_what_was_found() {
        let found = [
            Finding::fine("reach", "it answers"),
            Finding::of("clock", Health::Warning, "5 s ahead", "one\ntwo"),
        ];
        let text = table::render(&report(&found, None), &Look::default());
        let wanted = "ok       reach        it answers\n\
            warning  clock        5 s ahead\n\
            \u{20}                     one\n\
            \u{20}                     two\n";
        assert_eq!(text, wanted);
        let found = [Finding::of("clock", Health::Warning, "five seconds ahead of it", "look\u{202e} there")];
        let narrow = table::render(&report(&found, Some(36)), &Look::default());
        let wanted = "warning  clock        five seconds\n\
            \u{20}                     ahead of it\n\
            \u{20}                     look\\u{202e}\n\
            \u{20}                     there\n";
        assert_eq!(narrow, wanted);
    }
}
