//! `chatctl completion` prints or installs what a shell needs; `chatctl complete` is what that asks.
//!
//! Invariant: nothing is written over but what was written here before.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use chat_client::Http;
use clap::{CommandFactory, Parser, Subcommand};

use crate::arguments::Cli;
use crate::completion::Candidate;
use crate::completion::scripts::Shell;
use crate::completion::words::place;
use crate::completion::{contexts, live, nushell};
use crate::exit::Exit;
use crate::failure::{Failure, plain};
use crate::operator::Operator;
use crate::settings::Settings;

/// Longest wait for the server: a person waits for the shell.
const LONGEST_WAIT: Duration = Duration::from_millis(1500);

/// Examples of all verbs.
pub const EXAMPLES: &str = "\
Commands, flags and contexts are completed, and who is online, conversations
(with --as), groups, nodes and red packets, as the server named on the line, by
CHATCTL_SERVER or by the context has them.

Examples:
  chatctl completion install
  chatctl completion install zsh
  chatctl completion bash > /etc/bash_completion.d/chatctl
  source <(chatctl completion bash)";

const COMPLETE: &str = "\
What the scripts of `chatctl completion` ask: one candidate a line, a tab, what it is.

Examples:
  chatctl complete -- --app 101 send ''";

/// What to do for a shell.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write it where the shell looks for it
    #[command(after_help = EXAMPLES)]
    Install {
        /// For which shell; the one you use when absent
        shell: Option<Shell>,
    },
    /// Print it for bash
    #[command(after_help = EXAMPLES)]
    Bash,
    /// Print it for zsh
    #[command(after_help = EXAMPLES)]
    Zsh,
    /// Print it for fish
    #[command(after_help = EXAMPLES)]
    Fish,
    /// Print it for Nushell
    #[command(after_help = EXAMPLES)]
    Nushell,
}

/// Arguments of `complete`.
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETE)]
pub struct Args {
    /// Words come and go with the quotes of Nushell
    #[arg(long)]
    nushell: bool,
    /// The words behind the program's name, the last one half-written
    #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs `completion …`.
pub fn run(verb: &Verb, operator: &Operator) -> Result<Exit, Failure> {
    let shell = match verb {
        Verb::Install { shell } => return install(*shell, operator),
        Verb::Bash => Shell::Bash,
        Verb::Zsh => Shell::Zsh,
        Verb::Fish => Shell::Fish,
        Verb::Nushell => Shell::Nushell,
    };
    operator.console.data(shell.script())?;
    Ok(Exit::Done)
}

fn install(shell: Option<Shell>, operator: &Operator) -> Result<Exit, Failure> {
    let environment = &*operator.environment;
    let shell = shell.or_else(|| Shell::own(environment)).ok_or_else(|| {
        Failure::usage("SHELL names no shell that this is known for", "give bash, zsh, fish or nushell")
    })?;
    let file = shell.file(environment).ok_or_else(|| {
        Failure::usage("there is no home to write to", "set HOME, or print it and put it in place")
    })?;
    let name = file.display();
    if operator.settings.dry_run {
        operator.console.data(&format!("would write {name}\n"))?;
        return Ok(Exit::Done);
    }
    write(&file, shell.script())
        .map_err(|error| Failure::Undone(format!("cannot write {name}: {}", plain(&error.to_string()))))?;
    operator.console.data(&format!("{name}\n"))?;
    operator.console.note(shell.next_step());
    Ok(Exit::Done)
}

fn write(file: &Path, script: &str) -> io::Result<()> {
    if fs::read_to_string(file).is_ok_and(|there| !there.contains("Completion of chatctl")) {
        return Err(io::Error::other("another file is there, which this did not write"));
    }
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(file, script)
}

/// Runs `complete`.
pub async fn complete(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let mut root = Cli::command();
    root.build();
    let words = match args.nushell {
        true => args.words.iter().map(|word| nushell::unquoted(word)).collect(),
        false => args.words,
    };
    let place = place(&root, &words);
    let mut found = place.known;
    let begun = |candidate: &Candidate| candidate.word.starts_with(&place.begun);
    if place.value.as_deref() == Some(contexts::VALUE) {
        found.extend(contexts::candidates(&*operator.environment).into_iter().filter(begun));
    } else if let Some(value) = &place.value
        && let Some((settings, http)) = asked(&place.globals, operator)
    {
        let live = tokio::time::timeout(LONGEST_WAIT, live::candidates(value, &settings, &http)).await;
        found.extend(live.unwrap_or_default().into_iter().filter(begun));
    }
    let line = |found: &Candidate| {
        let about = chat_client::escape::escape(&found.about);
        let word = format!("{}{}", place.before, found.word);
        let word = if args.nushell { nushell::quoted(&word).into_owned() } else { word };
        format!("{word}\t{about}\n")
    };
    operator.console.data(&found.iter().map(line).collect::<String>())?;
    Ok(Exit::Done)
}

/// The server that the half-written line names.
fn asked(globals: &[String], operator: &Operator) -> Option<(Settings, Http)> {
    let line = ["chatctl"].into_iter().chain(globals.iter().map(String::as_str)).chain(["state"]);
    let cli = Cli::try_parse_from(line).ok()?;
    let settings = Settings::resolve(&cli.flags, &*operator.environment).ok()?;
    let http = Http::new(settings.server.clone(), LONGEST_WAIT).ok()?;
    Some((settings, http))
}
