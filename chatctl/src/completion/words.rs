//! A half-written line, word by word, against the tree of commands.
//!
//! Invariant: a word that is understood by the parser of whole lines is understood the same way here.

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};

use super::Candidate;

/// What stands at the end of a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Candidates that are known without asking anybody.
    pub known: Vec<Candidate>,
    /// The name of the value that belongs there, as help calls it: `USER`, `TARGET` …
    pub value: Option<String>,
    /// What is written of it, without a `--flag=` before it.
    pub begun: String,
    /// That `--flag=`.
    pub before: String,
    /// The global flags that stand on the line with their values, as the parser takes them.
    pub globals: Vec<String>,
}

/// Understands the words behind the program's name, the last of them half-written or empty.
#[must_use]
pub fn place(root: &Command, words: &[String]) -> Place {
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut walk = Walk { command: root, position: 0, pending: None, is_plain: false, globals: Vec::new() };
    before.iter().for_each(|word| walk.pass(word));
    let (known, value, flag) = walk.end(last);
    let begun = last.strip_prefix(flag.as_str()).unwrap_or(last).to_owned();
    let known = known.into_iter().filter(|candidate| candidate.word.starts_with(&begun)).collect();
    Place { known, value, begun, before: flag, globals: walk.globals }
}

struct Walk<'a> {
    command: &'a Command,
    /// Arguments without a name so far.
    position: usize,
    /// A flag whose value is the next word.
    pending: Option<&'a Arg>,
    /// Behind `--`.
    is_plain: bool,
    globals: Vec<String>,
}

impl<'a> Walk<'a> {
    fn pass(&mut self, word: &str) {
        if let Some(flag) = self.pending.take() {
            self.note(flag, word);
        } else if self.is_plain || !word.starts_with('-') || word == "-" {
            match self.command.find_subcommand(word).filter(|_| !self.is_plain && self.position == 0) {
                Some(command) => (self.command, self.position) = (command, 0),
                None => self.position += 1,
            }
        } else if word == "--" {
            self.is_plain = true;
        } else if let Some((name, value)) = word.split_once('=') {
            if let Some(flag) = self.flag(name) {
                self.note(flag, value);
            }
        } else if let Some(flag) = self.flag(word) {
            match takes_value(flag) {
                true => self.pending = Some(flag),
                false if flag.is_global_set() => self.globals.push(word.to_owned()),
                false => {}
            }
        }
    }

    fn note(&mut self, flag: &Arg, value: &str) {
        if let Some(long) = flag.get_long().filter(|_| flag.is_global_set()) {
            self.globals.push(format!("--{long}={value}"));
        }
    }

    /// The flag of this name; of short ones written together the last.
    fn flag(&self, word: &str) -> Option<&'a Arg> {
        let is_meant = |arg: &&Arg| match word.strip_prefix("--") {
            Some(long) => {
                arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|all| all.contains(&long))
            }
            None => arg.get_short().is_some_and(|short| word.ends_with(short)),
        };
        self.command.get_arguments().find(is_meant)
    }

    /// Candidates for the last word, the value that belongs there, and what stands before it in the word.
    fn end(&self, last: &str) -> (Vec<Candidate>, Option<String>, String) {
        if let Some(flag) = self.pending {
            return (values(flag), value_name(flag), String::new());
        }
        if !self.is_plain && last.starts_with('-') {
            if let Some((name, _)) = last.split_once('=') {
                let flag = self.flag(name);
                let values = flag.map(values).unwrap_or_default();
                return (values, flag.and_then(value_name), format!("{name}="));
            }
            let flags =
                self.command.get_arguments().filter(|flag| !flag.is_positional() && !flag.is_hide_set());
            let long =
                |flag: &Arg| Some(Candidate::new(format!("--{}", flag.get_long()?), about(flag.get_help())));
            return (flags.filter_map(long).collect(), None, String::new());
        }
        let commands =
            self.command.get_subcommands().filter(|command| !command.is_hide_set() && self.position == 0);
        let mut known: Vec<_> =
            commands.map(|command| Candidate::new(command.get_name(), about(command.get_about()))).collect();
        let mut positional = self.command.get_positionals();
        let last = self
            .command
            .get_positionals()
            .last()
            .filter(|arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1));
        let argument = positional.nth(self.position).or(last);
        known.extend(argument.map(values).unwrap_or_default());
        (known, argument.and_then(value_name), String::new())
    }
}

fn takes_value(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append)
}

fn values(arg: &Arg) -> Vec<Candidate> {
    let possible = if takes_value(arg) { arg.get_possible_values() } else { Vec::new() };
    let shown = possible.iter().filter(|value| !value.is_hide_set());
    shown.map(|value| Candidate::new(value.get_name(), about(value.get_help()))).collect()
}

fn value_name(arg: &Arg) -> Option<String> {
    Some(arg.get_value_names()?.first()?.to_string())
}

/// One line.
fn about(help: Option<&StyledStr>) -> String {
    help.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use clap::CommandFactory;

    fn at(line: &str) -> Place {
        let mut root = Cli::command();
        root.build();
        let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        place(&root, &words)
    }

    fn known(line: &str) -> Vec<String> {
        at(line).known.into_iter().map(|candidate| candidate.word).collect()
    }

    #[test]
    fn commands_flags_and_their_values_are_known() {
        assert_eq!(known("li"), ["list"]);
        assert_eq!(known("--app 7 group mem"), ["members"]);
        assert_eq!(known("list --lim"), ["--limit"]);
        assert_eq!(known("list -o js"), ["json", "jsonl"]);
        assert_eq!(known("list --output=ya"), ["yaml"]);
        assert_eq!(known("--color n"), ["never"]);
        assert!(known("").contains(&"tail".to_owned()) && !known("").contains(&"complete".to_owned()));
    }

    #[test]
    fn what_the_server_knows_has_a_name() {
        let value = |line: &str| at(line).value;
        assert_eq!(value("online a b ").as_deref(), Some("USER"));
        assert_eq!(value("--as 黄").as_deref(), Some("USER"));
        assert_eq!(value("history ").as_deref(), Some("TARGET"));
        assert_eq!(value("tail user:a gr").as_deref(), Some("TARGET"));
        assert_eq!(value("connections --node ").as_deref(), Some("NODE"));
        assert_eq!(value("send 黄帝 hello "), None);
        assert_eq!(at("history --server=x --before=1").value.as_deref(), Some("OFFSET"));
    }

    #[test]
    fn the_line_says_which_server_is_asked() {
        let place = at("--app 7 -q list --server=http://x --limit 5 --as 马");
        assert_eq!(place.globals, ["--app=7", "-q", "--server=http://x"]);
        assert_eq!((place.begun.as_str(), place.before.as_str()), ("马", ""));
        assert_eq!(at("list --server=ht").before, "--server=");
    }
}
