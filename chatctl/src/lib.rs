//! The admin command line of chatd: understands a line, calls operations over HTTP, prints the answers.
//!
//! Invariants: data goes to stdout and everything else to stderr; a line written to a terminal never holds a raw
//! control character that came from a server; a repeated request is never carried out twice.
//!
//! | module | holds |
//! |---|---|
//! | [`arguments`] | the command line: the tree of commands |
//! | [`flags`] | the global flags of the line |
//! | [`settings`] | flags and environment merged into what a command works with |
//! | [`command`] | one file a command, and the table of operations they cover |
//! | [`calendar`] | when a message was logged and how long something took, for people |
//! | [`money`] | amounts, without rounding |
//! | [`browser`] | opening a page in the browser of whoever asks |
//! | [`message`] | how a logged message looks |
//! | [`pages`] | the messages of a conversation, page by page |
//! | [`roster`] | a list in the order of its names, page by page |
//! | [`operator`] | calls with retries, and their rehearsal for `--dry-run` |
//! | [`doubt`] | whether what was asked may have been done all the same |
//! | [`text`] | where a message's text comes from |
//! | [`report`] | the answer of a command, before it has a format |
//! | [`output`] | the formats, one file each |
//! | [`pager`] | what is longer than the screen |
//! | [`style`] | how things stand out: all colours |
//! | [`plural`] | numbers of things in words |
//! | [`console`] | the two output streams, colour, quiet and verbose |
//! | [`completion`] | what may stand at the end of a half-written line, for shells |
//! | [`chat`] | a room in the terminal, as a view |
//! | [`screen`] | the terminal while a view has all of it |
//! | [`surroundings`] | streams, environment, time of day and Ctrl-C, of the process or of a test |
//! | [`failure`] | why a command did not do what was asked, and the next step |
//! | [`watching`] | one command again and again, for `--watch` |
//! | [`exit`] | exit codes |

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};

use crate::arguments::Cli;
use crate::calendar::Times;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::output::Format;
use crate::settings::Settings;
use crate::surroundings::{Environment, Surroundings};

pub mod arguments;
pub mod browser;
pub mod calendar;
pub mod chat;
pub mod command;
pub mod completion;
pub mod console;
pub mod doubt;
pub mod exit;
pub mod failure;
pub mod flags;
pub mod message;
pub mod money;
pub mod operator;
pub mod output;
pub mod pager;
pub mod pages;
pub mod plural;
pub mod report;
pub mod roster;
pub mod screen;
pub mod settings;
pub mod style;
pub mod surroundings;
pub mod text;
pub mod watching;

pub use command::coverage;

/// How long a command may take to end after Ctrl-C.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);

/// What a command line asks for. The tree of commands, of thousands of pieces, stays until the process ends: to take it
/// apart takes a fifth of the time of a short command.
fn parsed(line: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = ManuallyDrop::new(Cli::command());
    let mut matches = command.try_get_matches_from_mut(line)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|refused| refused.format(&mut command))
}

/// Runs one command line, the program's name first, and gives the exit code.
pub async fn run(args: impl IntoIterator<Item = OsString>, surroundings: Surroundings) -> u8 {
    let Surroundings { stdin, stdout, stderr, terminals, environment, clock, zone, interrupt, reader_gone } =
        surroundings;
    let line: Vec<OsString> = args.into_iter().collect();
    let mut console = Console::new(stdout, stderr, &terminals, &*environment);
    if asks_for_json(&line, &*environment) {
        console.tell_in_json();
    }
    let exit = match parsed(&line) {
        Err(refused) => console.usage(&refused),
        Ok(cli) => match settings(&cli, &*environment) {
            Err(failure) => console.failure(&failure),
            Ok(settings) => {
                let times = match (settings.ages, settings.utc) {
                    (true, _) => Times::Ages(clock()),
                    (false, true) => Times::Utc,
                    (false, false) if settings.format == Format::Table => Times::within(zone),
                    (false, false) => Times::Utc,
                };
                console.configure(&settings, times);
                let watch = settings.watch;
                let operator = Operator::new(settings, console, clock, stdin, terminals, environment);
                let is_endless = watch.is_some() || cli.command.is_endless();
                // On the heap: it has room for whichever command needs most.
                let work = Box::pin(async {
                    match watch {
                        None => command::run(cli.command, &operator).await,
                        Some(every) => watching::run(cli.command, &line, every, &operator).await,
                    }
                });
                until_interrupted(work, is_endless, &operator, interrupt, reader_gone).await
            }
        },
    };
    exit.code()
}

fn settings(cli: &Cli, environment: &Environment) -> Result<Settings, Failure> {
    match cli.command.asks_a_server() {
        true => Settings::resolve(&cli.flags, environment),
        false => Settings::without_server(&cli.flags, environment),
    }
}

/// Whether errors are to be told in JSON, as far as that is known of a line that may be wrong.
fn asks_for_json(args: &[OsString], environment: &Environment) -> bool {
    let is_json = |word: &str| ["json", "jsonl"].contains(&word);
    let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
    let on_line = words.iter().enumerate().any(|(at, word)| match word.as_ref() {
        "--json" => true,
        "-o" | "--output" => words.get(at + 1).is_some_and(|next| is_json(next)),
        word => word.strip_prefix("--output=").or(word.strip_prefix("-o")).is_some_and(is_json),
    });
    on_line
        || environment("CHATCTL_OUTPUT")
            .and_then(|value| value.into_string().ok())
            .is_some_and(|v| is_json(&v))
}

/// A command that goes on until it is told to stop ends in order when it is, and when nobody reads any more what comes;
/// so does one that sends to many. Any other one is cut off.
async fn until_interrupted(
    work: impl Future<Output = Exit>,
    is_endless: bool,
    operator: &Operator,
    interrupt: impl Future<Output = ()>,
    reader_gone: impl Future<Output = ()>,
) -> Exit {
    let mut work = pin!(work);
    tokio::select! {
        exit = &mut work => exit,
        () = reader_gone, if is_endless => {
            operator.stop.notify_one();
            let _ = tokio::time::timeout(LONGEST_FAREWELL, work).await;
            Exit::Done
        }
        () = interrupt => {
            let mut is_over = false;
            if is_endless || operator.ends_in_order.load(Ordering::Relaxed) {
                operator.stop.notify_one();
                // What came so far is shown to its end.
                is_over = tokio::time::timeout(LONGEST_FAREWELL, work).await.is_ok();
            }
            if !is_over && !is_endless {
                operator.interrupted();
            }
            Exit::Interrupted
        }
    }
}
