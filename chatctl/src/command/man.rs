//! `chatctl man`: the manual, page by page, made of the same words as `--help`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::arguments::Cli;
use crate::exit::Exit;
use crate::failure::{Failure, plain};
use crate::operator::Operator;

const EXAMPLES: &str = "\
Examples:
  chatctl man | man -l -
  chatctl man group create | man -l -
  chatctl man --dir ~/.local/share/man/man1      # all of them, then: man chatctl";

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The command whose page is printed; chatctl's own when absent
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write all pages into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, operator: &Operator) -> Result<Exit, Failure> {
    let mut root = Cli::command();
    root.build();
    if let Some(directory) = &args.dir {
        let written = write_all(&root, directory).map_err(|error| {
            Failure::Undone(format!("cannot write to {}: {}", directory.display(), plain(&error.to_string())))
        })?;
        operator.console.note(&format!("{written} pages in {}", directory.display()));
        return Ok(Exit::Done);
    }
    let mut command = &root;
    for word in &args.command {
        command = command.find_subcommand(word).ok_or_else(|| {
            Failure::usage(format!("there is no command {word:?}"), "`chatctl --help` lists them")
        })?;
    }
    let page = page(command).map_err(Failure::Output)?;
    operator.console.data(&page)?;
    Ok(Exit::Done)
}

fn page(command: &Command) -> std::io::Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone()).manual("chatctl").render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A page for the command and each below it, named with hyphens as the tree was built; gives how many.
fn write_all(command: &Command, directory: &Path) -> std::io::Result<usize> {
    fs::create_dir_all(directory)?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(directory.join(format!("{name}.1")), page(command)?)?;
    let mut written = 1;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        written += write_all(sub, directory)?;
    }
    Ok(written)
}
