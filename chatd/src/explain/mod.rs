//! Why: what happened to a user, a message or a red packet, as this node remembers it and the stores know it now.
//!
//! Invariant: what the node remembers and what the stores know now are told together; what is not known is not guessed.

mod message;
mod packet;
mod user;
mod words;

use std::sync::Arc;

use chat_protocol::explain::Event;
use chat_protocol::{Code, Refusal};
use serde_json::{Map, Value};

use crate::bans::Bans;
use crate::broker::Log;
use crate::conversations::Conversations;
use crate::friends::Friends;
use crate::groups::Groups;
use crate::hub::Hub;
use crate::journal;
use crate::presence::Presence;

/// Events that are told at most.
pub const MAX_EVENTS: usize = 200;

/// What knows something.
pub struct Sources {
    /// Who is connected, and what happened of late.
    pub hub: Arc<Hub>,
    /// The messages.
    pub log: Arc<dyn Log>,
    /// Who is online.
    pub presence: Arc<dyn Presence>,
    /// Who belongs to which group.
    pub groups: Arc<dyn Groups>,
    /// Who blocks whom.
    pub friends: Arc<dyn Friends>,
    /// Who has read what.
    pub conversations: Arc<dyn Conversations>,
    /// Who may not come in.
    pub bans: Arc<dyn Bans>,
}

/// Finds out.
pub struct Explainer {
    node_id: String,
    sources: Sources,
}

/// What was found out.
#[derive(Debug, Default)]
pub struct Told {
    /// What happened, in no order.
    pub events: Vec<Event>,
    /// How it is now, by name.
    pub now: Map<String, Value>,
    /// Operations that tell more.
    pub next: Vec<&'static str>,
    /// Since when the node remembers all; none where it remembers nothing.
    pub since: Option<u64>,
}

impl Told {
    fn is(&mut self, name: &str, value: impl Into<Value>) {
        self.now.insert(name.to_owned(), value.into());
    }
}

impl Explainer {
    /// Of the node with this name.
    #[must_use]
    pub fn new(node_id: String, sources: Sources) -> Self {
        Self { node_id, sources }
    }

    /// The name of the node.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// What the node remembers of this, and since when; nothing where it keeps no journal.
    async fn remembered(
        &self,
        wanted: impl Fn(&journal::Event) -> bool + Send + 'static,
    ) -> Result<(Vec<journal::Event>, Option<u64>), Refusal> {
        let hub = self.sources.hub.clone();
        // It looks through some megabytes.
        let looked = tokio::task::spawn_blocking(move || {
            hub.journal().map(|journal| journal.find(MAX_EVENTS, wanted)).unzip()
        });
        let (found, since) = looked.await.map_err(|error| {
            tracing::error!(%error, "looking through the journal");
            Refusal::from(Code::ServerError)
        })?;
        Ok((found.unwrap_or_default(), since))
    }

    fn event(&self, time: u64, what: &str, text: String) -> Event {
        Event { time, node: self.node_id.clone(), what: what.to_owned(), text }
    }

    fn shown(&self, event: &journal::Event) -> Event {
        self.event(event.time, words::what(event), words::text(event))
    }
}
