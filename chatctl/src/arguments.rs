//! The command line: global flags, anywhere on it, and the tree of commands.
//!
//! Invariant: flags that have a variable stay optional here; [`crate::settings`] alone merges the two.

use std::path::PathBuf;

use chat_client::Server;
use chat_protocol::{AppId, UserId};
use clap::{Args, Parser};

use crate::command::Command;
use crate::duration::Span;
use crate::output::Format;
use crate::settings::Color;

const AFTER: &str = "\
Exit codes:
  0    done                            5    no such thing, or offline
  1    refused, or the server failed   6    refused by a rule
  2    wrong command line              7    server or store unreachable
  3    part of a batch failed          8    no answer: it may have been done
  4    not authenticated               130  interrupted

Variables, each weaker than its flag: CHATCTL_SERVER CHATCTL_CA CHATCTL_APP
CHATCTL_AS CHATCTL_OUTPUT CHATCTL_COLOR CHATCTL_TIMEOUT CHATCTL_RETRIES; and
NO_COLOR. A user and password in the URL of the server are sent to it and never
shown; in CHATCTL_SERVER other users of this host cannot see them either.

Examples:
  chatctl --app 101 list
  chatctl --app 101 online 黄帝 || echo offline
  chatctl --app 101 send 黄帝 'hello'
  chatctl state -o json
  chatctl --server https://chat.example --ca ca.pem state

`chatctl COMMAND --help` tells more about a command.";

/// Administration of chatd: who is online, messages to one or all, the state of a node.
#[derive(Debug, Parser)]
#[command(name = "chatctl", version, after_help = AFTER, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to do it.
    #[command(flatten)]
    pub flags: Flags,
}

/// Flags that every command takes, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global flags")]
pub struct Flags {
    /// The chatd to ask [default: http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<Server>,
    /// Certificates (PEM) to believe at https instead of those this host knows
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Believe any certificate at https
    #[arg(long, global = true, conflicts_with = "ca")]
    pub insecure: bool,
    /// The app (world) it is about
    #[arg(long, global = true, value_name = "N")]
    pub app: Option<AppId>,
    /// The user to act as, where a command acts as one
    #[arg(long = "as", global = true, value_name = "USER")]
    pub acting: Option<UserId>,
    /// How to write data: table, json, jsonl, yaml, csv, tsv, name [default: table]
    #[arg(short, long, global = true, value_name = "FORMAT", hide_possible_values = true)]
    pub output: Option<Format>,
    /// The same as -o json
    #[arg(long, global = true)]
    pub json: bool,
    /// Only data and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Tell of requests, retries and message ids on stderr
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// auto, always or never [default: auto]
    #[arg(long, global = true, value_name = "WHEN", hide_possible_values = true)]
    pub color: Option<Color>,
    /// Longest wait for each answer, such as 500ms, 5s, 1m [default: 5s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub timeout: Option<Span>,
    /// Repeat a request at most so often, where that is safe [default: 2]
    #[arg(long, global = true, value_name = "N")]
    pub retries: Option<u32>,
    /// Print the requests instead of sending them
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_anywhere() {
        for line in ["--app 5 list -o csv", "list --app 5 -o csv", "-ocsv list --app=5"] {
            let words = std::iter::once("chatctl").chain(line.split(' '));
            let cli = Cli::try_parse_from(words).unwrap();
            assert_eq!((cli.flags.app, cli.flags.output), (Some(5), Some(Format::Csv)), "{line}");
        }
    }

    #[test]
    fn every_command_shows_examples() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  chatctl "), "{}: {help:?}", command.get_name());
            command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn wrong_lines_are_refused() {
        for line in [
            "",
            "lsit",
            "online",
            "send 黄帝",
            "list --app -1",
            "list --limit 0",
            "state --timeout 5",
            "state -qv",
        ] {
            let words = std::iter::once("chatctl").chain(line.split_whitespace());
            assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
