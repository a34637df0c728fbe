//! The commands, one file each.
//!
//! Invariant: every operation of the protocol has a command of its own; [`coverage`] says which.

use chat_protocol::{
    Operation, conversation as conversations, friend as friends, group as groups, message, red_packet,
    system, user, wallet as wallets,
};
use clap::Subcommand;

use crate::exit::Exit;
use crate::operator::Operator;

mod api;
mod broadcast;
mod conversation;
mod friend;
mod group;
mod history;
mod list;
mod message_id;
mod online;
mod page;
mod recall;
mod redpacket;
mod send;
mod state;
mod tail;
mod wallet;

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
    /// Messages of a conversation
    History(history::Args),
    /// Show messages as they come
    Tail(tail::Args),
    /// Take a message back
    Recall(recall::Args),
    /// Groups and their members
    #[command(subcommand, after_help = group::EXAMPLES)]
    Group(group::Verb),
    /// Friends, requests and blocks
    #[command(subcommand, after_help = friend::EXAMPLES)]
    Friend(friend::Verb),
    /// Conversations of a user, and what is unread
    #[command(subcommand, after_help = conversation::EXAMPLES)]
    Conversation(conversation::Verb),
    /// Money that a conversation shares out
    #[command(subcommand, after_help = redpacket::EXAMPLES)]
    Redpacket(redpacket::Verb),
    /// Wallets: balances, deposits, transfers
    #[command(subcommand, after_help = wallet::EXAMPLES)]
    Wallet(wallet::Verb),
    /// Address of the chat page
    Page(page::Args),
    /// State and counters of a node
    State(state::Args),
    /// Call any operation by its path
    Api(api::Args),
}

impl Command {
    /// Whether the command goes on until it is told to stop.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        matches!(self, Command::Tail(_))
    }
}

/// Runs a command; says on stderr why it failed.
pub async fn run(command: Command, operator: &Operator) -> Exit {
    let outcome = match command {
        Command::List(args) => list::run(args, operator).await,
        Command::Online(args) => online::run(args, operator).await,
        Command::Send(args) => send::run(args, operator).await,
        Command::Broadcast(args) => broadcast::run(args, operator).await,
        Command::History(args) => history::run(args, operator).await,
        Command::Tail(args) => tail::run(args, operator).await,
        Command::Recall(args) => recall::run(args, operator).await,
        Command::Group(verb) => group::run(verb, operator).await,
        Command::Friend(verb) => friend::run(verb, operator).await,
        Command::Conversation(verb) => conversation::run(verb, operator).await,
        Command::Redpacket(verb) => redpacket::run(verb, operator).await,
        Command::Wallet(verb) => wallet::run(verb, operator).await,
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
        (groups::Create::PATH, "group create"),
        (groups::Join::PATH, "group join"),
        (groups::Leave::PATH, "group leave"),
        (groups::Members::PATH, "group members"),
        (groups::List::PATH, "group list"),
        (groups::SendMessage::PATH, "group send"),
        (groups::Kick::PATH, "group kick"),
        (groups::Dismiss::PATH, "group dismiss"),
        (message::History::PATH, "history"),
        (message::Recall::PATH, "recall"),
        (conversations::List::PATH, "conversation list"),
        (conversations::Read::PATH, "conversation read"),
        (friends::Request::PATH, "friend request"),
        (friends::Requests::PATH, "friend requests"),
        (friends::Accept::PATH, "friend accept"),
        (friends::Reject::PATH, "friend reject"),
        (friends::Remove::PATH, "friend remove"),
        (friends::List::PATH, "friend list"),
        (friends::Block::PATH, "friend block"),
        (friends::Unblock::PATH, "friend unblock"),
        (red_packet::Create::PATH, "redpacket create"),
        (red_packet::Grab::PATH, "redpacket grab"),
        (red_packet::Detail::PATH, "redpacket show"),
        (red_packet::List::PATH, "redpacket list"),
        (red_packet::Audit::PATH, "redpacket audit"),
        (red_packet::DeadLetters::PATH, "redpacket dead-letters"),
        (red_packet::Replay::PATH, "redpacket replay"),
        (red_packet::Discard::PATH, "redpacket dead-letters discard"),
        (wallets::Balance::PATH, "wallet balance"),
        (wallets::Transfers::PATH, "wallet transfers"),
        (wallets::Deposit::PATH, "wallet deposit"),
        (wallets::Withdraw::PATH, "wallet withdraw"),
        (system::State::PATH, "state"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use chat_protocol::table::ALL;
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
