//! The commands, one file each.
//!
//! Invariant: every operation of the protocol has a command of its own; [`coverage`] says which.

use chat_protocol::{Operation, system, user};
use clap::Subcommand;

use crate::exit::Exit;
use crate::operator::Operator;

mod api;
mod broadcast;
mod list;
mod message_id;
mod online;
mod page;
mod send;
mod state;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Users of an app who are online
    List(list::Args),
    /// Whether users are online
    Online(online::Args),
    /// Send a message to one user
    Send(send::Args),
    /// Send a message to everyone in an app
    Broadcast(broadcast::Args),
    /// Address of the chat page
    Page(page::Args),
    /// State and counters of a node
    State(state::Args),
    /// Call any operation by its path
    Api(api::Args),
}

/// Runs a command; says on stderr why it failed.
pub async fn run(command: Command, operator: &Operator) -> Exit {
    let outcome = match command {
        Command::List(args) => list::run(args, operator).await,
        Command::Online(args) => online::run(args, operator).await,
        Command::Send(args) => send::run(args, operator).await,
        Command::Broadcast(args) => broadcast::run(args, operator).await,
        Command::Page(args) => page::run(args, operator).await,
        Command::State(args) => state::run(args, operator).await,
        Command::Api(args) => api::run(args, operator).await,
    };
    outcome.unwrap_or_else(|failure| operator.console.failure(&failure))
}

/// Which command stands for which operation: path, words after `chatctl`.
#[must_use]
pub fn coverage() -> Vec<(&'static str, &'static str)> {
    vec![
        (user::List::PATH, "list"),
        (user::Online::PATH, "online"),
        (user::SendMessage::PATH, "send"),
        (user::SendMessageAll::PATH, "broadcast"),
        (system::State::PATH, "state"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use chat_protocol::operation::ALL;
    use clap::CommandFactory;

    #[test]
    fn every_operation_has_a_command() {
        for operation in ALL {
            assert!(
                coverage().iter().any(|(path, _)| *path == operation.path),
                "no command for {}",
                operation.path
            );
        }
        for (path, _) in coverage() {
            assert!(ALL.iter().any(|operation| operation.path == path), "{path} is no operation");
        }
    }

    #[test]
    fn every_named_command_exists() {
        for (path, words) in coverage() {
            let mut command = &Cli::command();
            for word in words.split(' ') {
                command =
                    command.find_subcommand(word).unwrap_or_else(|| panic!("{path}: no command {words:?}"));
            }
        }
    }
}
