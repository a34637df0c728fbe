//! `chatctl node`: the nodes, and what is done with one.

use clap::Subcommand;

use super::drain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;

/// Examples of all verbs.
pub const EXAMPLES: &str = "\
Examples:
  chatctl node drain --server http://10.0.0.7:8080 --over 2m";

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Let a node stop once its connections have left
    Drain(drain::Args),
}

/// Runs the verb.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    match verb {
        Verb::Drain(args) => drain::run(args, operator).await,
    }
}
