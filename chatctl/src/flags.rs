//! The global flags, as they stand on the line.
//!
//! Invariant: flags that have a variable stay optional here; [`crate::settings`] alone merges the two.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

use chat_client::Server;
use chat_protocol::{AppId, Span, UserId};
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Args, Command, ValueEnum};

use crate::output::Format;
use crate::output::view::{Filter, SortBy};

/// Heading of the flags about what is shown of an answer.
const SHAPE: &str = "What is shown";

/// When to write colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

impl FromStr for Color {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false).map_err(|_| "must be auto, always or never".to_owned())
    }
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
    /// The context to use, see `chatctl context`
    #[arg(long, global = true, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// How to write data: table, json, jsonl, yaml, csv, tsv, name, template='{KEY} …' [default: table]
    #[arg(short, long, global = true, value_name = "FORMAT", value_parser = AFormat, hide_possible_values = true)]
    pub output: Option<Format>,
    /// The same as -o json
    #[arg(long, global = true)]
    pub json: bool,
    /// Only these columns, by the names that -o json shows
    #[arg(long, global = true, value_name = "KEY,…", value_delimiter = ',', help_heading = SHAPE)]
    pub columns: Vec<String>,
    /// Order of the rows of a list; -KEY begins with the greatest
    #[arg(long, global = true, value_name = "KEY", allow_hyphen_values = true, help_heading = SHAPE)]
    pub sort_by: Option<SortBy>,
    /// Only rows of a list for which this holds: =, !=, ~ (holds), <, <=, >, >= (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE", help_heading = SHAPE)]
    pub filter: Vec<Filter>,
    /// No titles in tables, csv and tsv
    #[arg(long, global = true, help_heading = SHAPE)]
    pub no_headers: bool,
    /// Cut, break and leave out nothing for the width of the terminal
    #[arg(long, global = true, help_heading = SHAPE)]
    pub wide: bool,
    /// Times of tables in UTC instead of the zone of this host
    #[arg(long, global = true, conflicts_with = "ages", help_heading = SHAPE)]
    pub utc: bool,
    /// Times of tables as how long ago they are
    #[arg(long, global = true, help_heading = SHAPE)]
    pub ages: bool,
    /// Do not turn pages
    #[arg(long, global = true, help_heading = SHAPE)]
    pub no_pager: bool,
    /// Only data and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Tell of each request, its status, time and size, and of retries, on stderr
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
    /// Print the requests as command lines of curl instead of sending them
    #[arg(long, global = true)]
    pub curl: bool,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
}

/// Reads a format; its names are known to the completion of lines, and any form of a template is taken.
#[derive(Debug, Clone)]
struct AFormat;

impl TypedValueParser for AFormat {
    type Value = Format;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Format, clap::Error> {
        let reader = StringValueParser::new().try_map(|text| text.parse::<Format>());
        reader.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Format::NAMES.into_iter().map(PossibleValue::new)))
    }
}
