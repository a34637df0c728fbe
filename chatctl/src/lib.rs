//! The admin command line of chatd: understands a line, calls operations over HTTP, prints the answers.
//!
//! Invariants: data goes to stdout and everything else to stderr; a line written to a terminal never holds a raw
//! control character that came from a server; a repeated request is never carried out twice.
//!
//! | module | holds |
//! |---|---|
//! | [`arguments`] | the command line: global flags and the tree of commands |
//! | [`settings`] | flags and environment merged into what a command works with |
//! | [`duration`] | `500ms`, `5s`, `1m` |
//! | [`command`] | one file a command, and the table of operations they cover |
//! | [`operator`] | calls with retries, and their rehearsal for `--dry-run` |
//! | [`text`] | where a message's text comes from |
//! | [`report`] | the answer of a command, before it has a format |
//! | [`output`] | the formats, one file each |
//! | [`console`] | the two output streams, colour, quiet and verbose |
//! | [`surroundings`] | streams, environment and Ctrl-C, of the process or of a test |
//! | [`failure`] | why a command did not do what was asked, and the next step |
//! | [`exit`] | exit codes |

use std::ffi::OsString;

use clap::Parser;

use crate::arguments::Cli;
use crate::console::Console;
use crate::exit::Exit;
use crate::operator::Operator;
use crate::settings::Settings;
use crate::surroundings::Surroundings;

pub mod arguments;
pub mod command;
pub mod console;
pub mod duration;
pub mod exit;
pub mod failure;
pub mod operator;
pub mod output;
pub mod report;
pub mod settings;
pub mod surroundings;
pub mod text;

pub use command::coverage;

/// Runs one command line, the program's name first, and gives the exit code.
pub async fn run(args: impl IntoIterator<Item = OsString>, surroundings: Surroundings) -> u8 {
    let Surroundings { stdin, stdout, stderr, terminals, environment, interrupt } = surroundings;
    let mut console = Console::new(stdout, stderr, &terminals, &*environment);
    let exit = match Cli::try_parse_from(args) {
        Err(refused) => console.usage(&refused),
        Ok(cli) => match Settings::resolve(&cli.flags, &*environment) {
            Err(failure) => console.failure(&failure),
            Ok(settings) => {
                console.configure(&settings);
                let operator = Operator::new(settings, console, stdin, terminals.stdin);
                tokio::select! {
                    exit = command::run(cli.command, &operator) => exit,
                    () = interrupt => {
                        operator.console.error("interrupted");
                        Exit::Interrupted
                    }
                }
            }
        },
    };
    exit.code()
}
