//! The options of `idle`.

use std::time::Duration;

use chat_protocol::Span;
use clap::Args as ClapArgs;

use crate::args::{CommonArgs, traffic};
use crate::chaos::{Chaos, Trouble};
use crate::failure::Failure;

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

impl IdleArgs {
    /// All `--chaos` together.
    ///
    /// # Errors
    /// [`Failure::Usage`] when two of them contradict each other, or make no sense without messages.
    pub fn trouble(&self) -> Result<Trouble, Failure> {
        let trouble = traffic::trouble(&self.chaos, self.duration)?;
        if trouble.slow_permille > 0 {
            let words =
                "--chaos slow-reader: nobody sends in an idle run, so there is nothing to read; leave it out";
            return Err(Failure::Usage(words.to_owned()));
        }
        Ok(trouble)
    }
}
