//! The command line: global flags, anywhere on it, and the tree of commands.
//!
//! Invariant: what stands here is understood before anything is done.

use clap::Parser;

use crate::command::Command;
use crate::flags::Flags;
use crate::style;

const AFTER: &str = "\
Exit codes:
  0    done                            5    no such thing, or offline
  1    refused, or the server failed   6    refused by a rule
  2    wrong command line              7    server or store unreachable
  3    part of a batch failed          8    no answer: it may have been done
  4    not authenticated               130  interrupted

Variables, each weaker than its flag: CHATCTL_SERVER CHATCTL_CA CHATCTL_APP
CHATCTL_AS CHATCTL_CONTEXT CHATCTL_OUTPUT CHATCTL_COLOR CHATCTL_TIMEOUT
CHATCTL_RETRIES; and NO_COLOR, CHATCTL_PAGER or PAGER, XDG_CONFIG_HOME. A user
and password in the URL of the server are sent to it and never shown; in
CHATCTL_SERVER other users of this host cannot see them either.

Examples:
  chatctl --app 101 list
  chatctl --app 101 online 黄帝 || echo offline
  chatctl --app 101 send 黄帝 'hello'
  chatctl state -o json
  chatctl --app 101 list --filter 'userId~李' -o template='{userId}'
  chatctl --server https://chat.example --ca ca.pem state

`chatctl COMMAND --help` tells more about a command.";

/// Administration of chatd: who is online, messages to one or all, the state of a node.
#[derive(Debug, Parser)]
#[command(name = "chatctl", version, after_help = AFTER, max_term_width = 100, styles = style::PARSER)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to do it.
    #[command(flatten)]
    pub flags: Flags,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
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
            "state --timeout 5d",
            "state -qv",
        ] {
            let words = std::iter::once("chatctl").chain(line.split_whitespace());
            assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
