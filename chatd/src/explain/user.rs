//! What happened to a user.

use chat_protocol::Refusal;
use serde_json::{Value, json};

use super::{Explainer, Told};
use crate::hub::Connection;
use crate::model::Identity;

/// Conversations that are told of.
const CONVERSATIONS: usize = 20;

impl Explainer {
    /// What happened to a user.
    ///
    /// # Errors
    /// When a store does not answer.
    pub async fn user(&self, identity: &Identity) -> Result<Told, Refusal> {
        let (app, user) = (identity.app, &identity.user);
        let about = identity.clone();
        let (events, since) = self.remembered(move |event| event.is_about(&about)).await?;
        let mut told =
            Told { events: events.iter().map(|event| self.shown(event)).collect(), since, ..Told::default() };
        self.presence_of(identity, &mut told).await?;
        let groups = self.sources.groups.of_user(app, user).await?;
        told.is("groups", groups.len());
        let conversations = self.sources.conversations.list(app, user, None, CONVERSATIONS).await?;
        let said = conversations.iter().filter(|state| state.head.last_offset > 0);
        let shown: Vec<Value> = said
            .map(|state| {
                json!({
                    "target": state.head.conversation.named_by(user),
                    "lastOffset": state.head.last_offset,
                    "readOffset": state.read_offset,
                    "unread": state.unread.count,
                })
            })
            .collect();
        if shown.iter().any(|state| state["unread"] != 0) {
            told.next.push("/conversation/list");
        }
        told.is("conversations", shown);
        Ok(told)
    }

    /// Whether the user is here, anywhere, or kept out.
    pub(super) async fn presence_of(&self, identity: &Identity, told: &mut Told) -> Result<(), Refusal> {
        let (app, user) = (identity.app, &identity.user);
        let online = self.sources.presence.is_online(app, user).await?;
        let here = self.sources.hub.connections_of(identity);
        let shown = |connection: &std::sync::Arc<Connection>| {
            json!({
                "connection": connection.id.number,
                "address": connection.peer().to_string(),
                "waitingBytes": connection.outbox.waiting(),
            })
        };
        told.is("userId", user.as_str());
        told.is("online", online);
        told.is("connectionsHere", here.iter().map(shown).collect::<Vec<Value>>());
        if online {
            told.next.push("/system/connections");
        }
        if let Some(ban) = self.sources.bans.find(app, user).await? {
            told.is("banned", json!({"until": ban.until, "since": ban.since, "reason": ban.reason}));
            told.next.push("/system/unban");
        }
        Ok(())
    }
}
