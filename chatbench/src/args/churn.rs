//! The options of `churn`.

use std::time::Duration;

use chat_protocol::Span;
use clap::Args as ClapArgs;

use crate::args::{TrafficArgs, traffic};
use crate::chaos::{Chaos, Trouble};
use crate::failure::Failure;
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

impl ChurnArgs {
    /// The comings and goings together with `--chaos`.
    ///
    /// # Errors
    /// [`Failure::Usage`] when that cuts connections too.
    pub fn trouble(&self) -> Result<Trouble, Failure> {
        let cuts = |chaos: &&Chaos| !matches!(chaos, Chaos::SlowReader { .. } | Chaos::Reconnect);
        if let Some(cuts) = self.traffic.chaos.iter().find(cuts) {
            let words = format!(
                "--chaos {cuts}: churn lets the clients come and go itself; only slow-reader and reconnect go with it"
            );
            return Err(Failure::Usage(words));
        }
        let churn = Chaos::Churn { rate: self.churn_rate, offline: self.away };
        let all: Vec<Chaos> = std::iter::once(churn).chain(self.traffic.chaos.iter().copied()).collect();
        traffic::trouble(&all, self.traffic.time())
    }
}
