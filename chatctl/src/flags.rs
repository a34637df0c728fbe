//! The global flags, as they stand on the line.
//!
//! Invariant: flags that have a variable stay optional here; [`crate::settings`] alone merges the two.

use std::path::PathBuf;

use chat_client::Server;
use chat_protocol::{AppId, Span, UserId};
use clap::Args;

use crate::output::Format;
use crate::settings::Color;

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
    /// Key or token to show the chatd; other users of this host see it on the line, but not in CHATCTL_TOKEN
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File with that key or token
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
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
    /// Ask again and again, with this pause, such as 2s; for commands that change nothing
    #[arg(long, global = true, value_name = "DURATION")]
    pub watch: Option<Span>,
    /// Print the requests instead of sending them
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
}
