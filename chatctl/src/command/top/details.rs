//! What `top` shows of one node, one user, one conversation: the tables that other commands print, line by line.
//!
//! Invariant: connections stand in the same order where they are drawn and where one is chosen.

use chat_protocol::node::Connection;

use super::gather::{Detail, Subject};
use super::state::State;
use crate::command::{explain, node};
use crate::message;
use crate::output::{Look, table};

/// Who is waited for most stands first, then who was there first.
#[must_use]
pub fn in_order(connections: &[Connection]) -> Vec<&Connection> {
    let mut connections: Vec<_> = connections.iter().collect();
    connections
        .sort_by_key(|connection| (std::cmp::Reverse(connection.waiting_bytes), connection.connection));
    connections
}

/// What stands above it.
#[must_use]
pub fn title(state: &State) -> String {
    match state.path.last() {
        None | Some(Subject::Nodes) => String::new(),
        Some(Subject::Node(id)) => {
            let found = state.rows.iter().find(|row| row.node.node_id == *id);
            let place =
                found.map_or("gone".to_owned(), |row| format!("{} on {}", row.node.address, row.node.host));
            format!("node {id}, {place}")
        }
        Some(Subject::User(app, user)) => format!("user {user} in app {app}"),
        Some(Subject::Conversation(app, target, _)) => format!("{} in app {app}", message::name(target)),
    }
}

/// The lines below it in a window of this width; the first so many are titles and stay, and whether one of the others can
/// be chosen.
#[must_use]
pub fn lines(detail: Option<&Detail>, columns: usize, now_ms: u64) -> (Vec<String>, usize, bool) {
    let look = Look { columns: Some(columns), ..Look::default() };
    let of = |text: String| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>();
    match detail {
        None => (vec!["asking …".to_owned()], 0, false),
        Some(Detail::Failed(why)) => {
            (vec![chat_client::escape::escape(&format!("nothing came: {why}")).into_owned()], 0, false)
        }
        Some(Detail::Connections(found)) if found.connections.is_empty() => {
            (vec!["nobody is connected".to_owned()], 0, false)
        }
        Some(Detail::Connections(found)) => {
            let connections: Vec<_> = in_order(&found.connections).into_iter().cloned().collect();
            // One line each, so that a line is a connection.
            let text = table::render(&node::shown(&connections, now_ms), &Look::default());
            (of(text), 1, true)
        }
        Some(Detail::User(told)) => {
            let now = of(table::render(&explain::now::page(&told.now, now_ms), &look));
            let events = of(table::render(&explain::listed(&told.events), &look));
            ([now, vec![String::new()], events].concat(), 0, false)
        }
        Some(Detail::Conversation(found)) if found.messages.is_empty() => {
            (vec!["nothing was said".to_owned()], 0, false)
        }
        Some(Detail::Conversation(found)) => {
            (of(table::render(&message::report(&found.messages), &look)), 1, false)
        }
    }
}
