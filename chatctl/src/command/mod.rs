//! The commands, one file each.
//!
//! Invariant: every operation of the protocol's table has a command of its own, and every route one that asks for it;
//! [`coverage`] says which.

use chat_protocol::route::Place;
use chat_protocol::table::{ALL, ROUTES};
use chat_protocol::{Operation, group as groups, message, red_packet, user};
use clap::Subcommand;

use crate::exit::Exit;
use crate::operator::Operator;

mod access;
mod api;
mod audit;
mod broadcast;
mod bulk;
mod chat;
mod completion;
mod context;
mod conversation;
mod doctor;
mod drain;
pub(crate) mod explain;
mod file;
mod friend;
mod group;
mod history;
mod latency;
mod list;
mod man;
mod message_id;
mod nginx;
pub(crate) mod node;
mod online;
mod page;
mod ready;
mod recall;
mod redpacket;
mod reload;
mod send;
mod state;
mod tail;
mod top;
mod wallet;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Users of an app who are online
    #[command(visible_alias = "ls")]
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
    #[command(visible_alias = "watch")]
    Tail(tail::Args),
    /// A room in the terminal
    Chat(chat::Args),
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
    /// Pictures, sounds and films of a conversation
    #[command(subcommand, after_help = file::EXAMPLES)]
    File(file::Verb),
    /// Money that a conversation shares out
    #[command(subcommand, after_help = redpacket::EXAMPLES)]
    Redpacket(redpacket::Verb),
    /// Wallets: balances, deposits, transfers
    #[command(subcommand, after_help = wallet::EXAMPLES)]
    Wallet(wallet::Verb),
    /// Address of the chat page
    Page(page::Args),
    /// Whether a node can be given work
    Ready(ready::Args),
    /// State and counters of a node
    State(state::Args),
    /// Let a node read its keys again
    Reload(reload::Args),
    /// What all nodes do, on the whole screen
    Top(top::Args),
    /// The live nodes
    Nodes(node::NodesArgs),
    /// Who is connected to a node
    Connections(node::ConnectionsArgs),
    /// End the connections of a user
    Kick(access::KickArgs),
    /// Keep a user out for a time
    Ban(access::BanArgs),
    /// End a ban before its time
    Unban(access::UnbanArgs),
    /// Who is banned
    Bans(access::BansArgs),
    /// Why a user was disconnected, where a message went, where a packet's money is
    #[command(subcommand, after_help = explain::EXAMPLES)]
    Explain(explain::Verb),
    /// What operators did
    Audit(audit::Args),
    /// Let a node stop once its connections have left
    Drain(drain::Args),
    /// The same as nodes and drain
    #[command(subcommand, after_help = node::EXAMPLES)]
    Node(node::Verb),
    /// nginx in front of nodes
    #[command(subcommand, after_help = nginx::EXAMPLES)]
    Nginx(nginx::Verb),
    /// Call any operation by its path
    Api(api::Args),
    /// How long each node takes to answer
    Latency(latency::Args),
    /// What is wrong here or there, and what to do about it
    Doctor(doctor::Args),
    /// Completion of lines in your shell
    #[command(subcommand, after_help = completion::EXAMPLES)]
    Completion(completion::Verb),
    /// Candidates for the end of a line, for the scripts of completion
    #[command(hide = true)]
    Complete(completion::Args),
    /// The manual
    Man(man::Args),
    /// Named servers, with app, user and where the key is
    #[command(subcommand, after_help = context::EXAMPLES)]
    Context(context::Verb),
}

impl Command {
    /// Whether the command goes on until it is told to stop.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        matches!(self, Command::Tail(_) | Command::Top(_) | Command::Chat(_))
    }

    /// Whether the command speaks to the server of its line: only then a key is looked for.
    #[must_use]
    pub fn asks_a_server(&self) -> bool {
        // A half-written line names its server in the words that are to be completed.
        let is_apart = matches!(self, Command::Complete(_) | Command::Completion(_));
        !is_apart && !matches!(self, Command::Context(_) | Command::Man(_))
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
        Command::Chat(args) => chat::run(args, operator).await,
        Command::Recall(args) => recall::run(args, operator).await,
        Command::Group(verb) => group::run(verb, operator).await,
        Command::Friend(verb) => friend::run(verb, operator).await,
        Command::Conversation(verb) => conversation::run(verb, operator).await,
        Command::File(verb) => file::run(verb, operator).await,
        Command::Redpacket(verb) => redpacket::run(verb, operator).await,
        Command::Wallet(verb) => wallet::run(verb, operator).await,
        Command::Page(args) => page::run(args, operator).await,
        Command::Ready(args) => ready::run(args, operator).await,
        Command::State(args) => state::run(args, operator).await,
        Command::Reload(args) => reload::run(args, operator).await,
        Command::Top(args) => top::run(args, operator).await,
        Command::Nodes(args) => node::nodes(args, operator).await,
        Command::Connections(args) => node::connections(args, operator).await,
        Command::Kick(args) => access::kick(args, operator).await,
        Command::Ban(args) => access::ban(args, operator).await,
        Command::Unban(args) => access::unban(args, operator).await,
        Command::Bans(args) => access::bans(args, operator).await,
        Command::Explain(verb) => explain::run(verb, operator).await,
        Command::Audit(args) => audit::run(args, operator).await,
        Command::Drain(args) => drain::run(args, operator).await,
        Command::Node(verb) => node::run(verb, operator).await,
        Command::Nginx(verb) => nginx::run(verb, operator).await,
        Command::Api(args) => api::run(args, operator).await,
        Command::Latency(args) => latency::run(args, operator).await,
        Command::Doctor(args) => doctor::run(args, operator).await,
        Command::Completion(verb) => completion::run(&verb, operator),
        Command::Complete(args) => completion::complete(args, operator).await,
        Command::Man(args) => man::run(&args, operator),
        Command::Context(verb) => context::run(verb, operator),
    };
    outcome.unwrap_or_else(|failure| operator.console.failure(&failure))
}

/// Which command stands for which operation or route of the tables: path, words after `chatctl`.
#[must_use]
pub fn coverage() -> Vec<(&'static str, String)> {
    let operations = ALL.iter().map(|operation| (operation.path, words(operation.path)));
    operations.chain(ROUTES.iter().map(|route| (route.path, asking(route.place).to_owned()))).collect()
}

/// The command that asks for what is no operation, or leads there.
fn asking(place: Place) -> &'static str {
    match place {
        Place::WebSocket => "chat",
        Place::Root | Place::Page | Place::Asset | Place::VersionedAsset => "page",
        Place::Upload => "file upload",
        Place::File => "file get",
        Place::Livez => "latency",
        Place::Readyz => "ready",
        Place::Metrics => "top",
        Place::Document => "api",
    }
}

/// The words of the path, but for the commands that people give most: those have fewer.
fn words(path: &'static str) -> String {
    let shorter = match path {
        user::List::PATH => "list",
        user::Online::PATH => "online",
        user::SendMessage::PATH => "send",
        user::SendMessageAll::PATH => "broadcast",
        groups::SendMessage::PATH => "group send",
        message::History::PATH => "history",
        message::Recall::PATH => "recall",
        red_packet::Detail::PATH => "redpacket show",
        red_packet::Discard::PATH => "redpacket dead-letters discard",
        path => match path.strip_prefix("/system/") {
            Some(verb) => verb,
            None => return in_words(path),
        },
    };
    shorter.to_owned()
}

/// `/redPacket/deadLetters` is `redpacket dead-letters`.
fn in_words(path: &str) -> String {
    let (noun, verb) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let mut words = noun.to_ascii_lowercase() + " ";
    for letter in verb.chars() {
        if letter.is_ascii_uppercase() {
            words.push('-');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_operation_and_route_has_a_command() {
        for (path, words) in coverage() {
            let mut command = &Cli::command();
            for word in words.split(' ') {
                command =
                    command.find_subcommand(word).unwrap_or_else(|| panic!("{path}: no command {words:?}"));
            }
        }
    }
}
