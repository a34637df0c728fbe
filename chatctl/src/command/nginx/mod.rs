//! `chatctl nginx`: nginx in front of nodes, its configuration and whether a running one does what it should.

mod check;
mod print;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;

/// Examples of all verbs.
pub const EXAMPLES: &str = "\
Examples:
  chatctl nginx print --node 10.0.0.7:8080 --node 10.0.0.8:8080 > chatd.conf
  chatctl nginx check --server http://chat.example --node 10.0.0.7:8080 --app 101";

/// What to do with nginx.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a configuration for these nodes
    Print(print::Args),
    /// Ask a running one whether it passes on what chatd needs
    Check(check::Args),
}

/// Runs `nginx …`.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    match verb {
        Verb::Print(args) => print::run(&args, operator),
        Verb::Check(args) => check::run(args, operator).await,
    }
}
