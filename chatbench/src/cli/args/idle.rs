//! The options of `idle`.

use std::time::Duration;

use chat_protocol::Span;
use clap::Args as ClapArgs;

use crate::cli::args::CommonArgs;
use crate::ledger::plan::trouble::Chaos;

/// Options of `idle`.
#[derive(Debug, Clone, ClapArgs)]
pub struct IdleArgs {
    /// The common ones.
    #[command(flatten)]
    pub common: CommonArgs,
    /// How long to hold the connections
    #[arg(long, default_value = "10s", value_parser = Span::duration)]
    pub duration: Duration,
    /// Do not fail when the server closes connections
    #[arg(long)]
    pub allow_disconnects: bool,
    /// Trouble for the clients (repeatable): jitter, avalanche, churn or reconnect, as broadcast --help has them; nobody
    /// sends, so there is nothing for a slow-reader
    #[arg(long, value_name = "KIND")]
    pub chaos: Vec<Chaos>,
}
