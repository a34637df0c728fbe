//! `chatctl reload`: lets a node read its keys again, and what else may change while it runs.
//!
//! Invariant: it shows which keys count from then on, and which limits are others, by name.

use chat_protocol::system::{Reload, ReloadRequest, ReloadResponse};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Cell, Report};

const EXAMPLES: &str = "\
A node reads the file of its --config and the files of keys that it names: keys,
allowed_hosts, allowed_origins, log and most limits, all or none. A key that is
gone ends the sessions it let in. Each node has its own: name it.

Examples:
  chatctl reload
  chatctl reload --server http://10.0.0.7:8080 --token-file ~/.chatd-key";

/// Arguments of `reload`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Runs the command.
pub async fn run(_: Args, operator: &Operator) -> Result<Exit, Failure> {
    operator.carry_out::<Reload>(&ReloadRequest {}, report).await
}

fn report(known: ReloadResponse) -> Report {
    let exact = serde_json::to_value(&known).unwrap_or_default();
    let listed = |names: &[String]| match names {
        [] => Cell::from("").shown_as("none"),
        names => Cell::from(names.join(", ")),
    };
    Report::record([
        ("keys", "keys of operators", listed(&known.keys)),
        ("tokenKeys", "keys of tokens", known.token_keys.into()),
        ("limits", "changed limits", listed(&known.limits)),
        ("restart", "limits that need a start", listed(&known.restart)),
    ])
    .exactly(exact)
}
