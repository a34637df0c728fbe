//! The options of `churn`.

use std::time::Duration;

use chat_protocol::Span;
use clap::Args as ClapArgs;

use crate::cli::args::TrafficArgs;
use chatbench_result::units;

/// Options of `churn`.
#[derive(Debug, Clone, ClapArgs)]
pub struct ChurnArgs {
    /// Clients that leave each second, and come back
    #[arg(long, default_value = "10/s", value_parser = units::rate)]
    pub churn_rate: f64,
    /// How long who left stays away
    #[arg(long, default_value = "1s", value_parser = Span::duration)]
    pub away: Duration,
    /// Those of all scenarios that send; of --chaos only slow-reader and reconnect.
    #[command(flatten)]
    pub traffic: TrafficArgs,
}
