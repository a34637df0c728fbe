//! What lives at the server: users, conversations, groups, nodes, packets.
//!
//! Invariant: one or two requests, none of which changes anything or is repeated; a name that a shell or a terminal
//! could take for more than letters is left out.

use chat_client::Http;
use chat_client::escape::is_dangerous;
use chat_protocol::conversation::{self, MAX_CONVERSATIONS_PAGE};
use chat_protocol::group::{self, MAX_GROUPS_PAGE};
use chat_protocol::node::{Nodes, NodesRequest};
use chat_protocol::red_packet;
use chat_protocol::user::{List, ListRequest};
use chat_protocol::{AppId, Target, UserId};

use super::Candidate;
use crate::settings::Settings;

/// Users that are asked for.
const USERS: u32 = 1000;

/// What there is of this kind of value.
pub async fn candidates(value: &str, settings: &Settings, http: &Http) -> Vec<Candidate> {
    let (app, acting) = (settings.app_if_named(), settings.acting.as_ref());
    let found = match (value, app, acting) {
        ("NODE", ..) => nodes(http).await,
        ("USER", Some(app), _) => users(app, http).await,
        ("GROUP", Some(app), Some(acting)) => groups(app, acting, http).await,
        ("TARGET", Some(app), acting) => targets(app, acting, http).await,
        ("PACKET", Some(app), _) => packets(app, http).await,
        _ => None,
    };
    let mut found = found.unwrap_or_default();
    found.retain(|candidate| !candidate.word.is_empty() && !candidate.word.contains(is_dangerous));
    found
}

async fn users(app_id: AppId, http: &Http) -> Option<Vec<Candidate>> {
    let request = ListRequest { app_id, limit: Some(USERS), cursor: None };
    let users = http.call::<List>(&request).await.ok()?.user_list;
    Some(users.iter().map(|user| Candidate::new(user.as_str(), "online")).collect())
}

async fn nodes(http: &Http) -> Option<Vec<Candidate>> {
    let nodes = http.call::<Nodes>(&NodesRequest {}).await.ok()?.nodes;
    Some(nodes.into_iter().map(|node| Candidate::new(node.node_id, node.address)).collect())
}

async fn groups(app_id: AppId, user: &UserId, http: &Http) -> Option<Vec<Candidate>> {
    let request =
        group::ListRequest { app_id, user_id: user.clone(), limit: Some(MAX_GROUPS_PAGE), cursor: None };
    let groups = http.call::<group::List>(&request).await.ok()?.groups;
    Some(groups.into_iter().map(|group| Candidate::new(group.group_id.as_str(), group.name)).collect())
}

/// Conversations of the acting user, and everybody who is online.
async fn targets(app_id: AppId, acting: Option<&UserId>, http: &Http) -> Option<Vec<Candidate>> {
    let mut found = Vec::new();
    if let Some(user) = acting {
        let request = conversation::ListRequest {
            app_id,
            user_id: user.clone(),
            limit: Some(MAX_CONVERSATIONS_PAGE),
            cursor: None,
        };
        if let Ok(answer) = http.call::<conversation::List>(&request).await {
            let unread = |unread: u64| if unread == 0 { String::new() } else { format!("{unread} unread") };
            let own = answer.conversations.into_iter().filter(|known| known.target != Target::World);
            found.extend(own.map(|known| Candidate::new(known.target.to_string(), unread(known.unread))));
        }
    }
    for user in users(app_id, http).await.unwrap_or_default() {
        let word = format!("user:{}", user.word);
        if found.iter().all(|known: &Candidate| known.word != word) {
            found.push(Candidate::new(word, user.about));
        }
    }
    Some(found)
}

async fn packets(app_id: AppId, http: &Http) -> Option<Vec<Candidate>> {
    let request = red_packet::ListRequest { app_id, state: None, limit: None, cursor: None };
    let packets = http.call::<red_packet::List>(&request).await.ok()?.packets;
    Some(
        packets
            .into_iter()
            .map(|packet| Candidate::new(packet.packet_id.as_str(), packet.from.as_str()))
            .collect(),
    )
}
