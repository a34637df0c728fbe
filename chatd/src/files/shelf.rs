//! The files of all apps: what they need, and who belongs to their conversations.
//!
//! Invariant: where there is no store, no file is taken and none is opened.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use chat_protocol::{Code, Refusal, UserId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore};

use super::address::Signer;
use super::{FileError, Records, Store};
use crate::bans::Bans;
use crate::clock::Clock;
use crate::config::{self, Origins};
use crate::groups::{GroupError, Groups};
use crate::model::{Conversation, Identity};
use crate::quota::Quotas;

/// What files need.
pub struct Parts {
    /// What there is.
    pub records: Arc<dyn Records>,
    /// Where it lies; none where no file is taken.
    pub store: Option<Arc<dyn Store>>,
    /// Who belongs to a conversation.
    pub groups: Arc<dyn Groups>,
    /// Who may not come in.
    pub bans: Arc<dyn Bans>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How much anybody may have.
    pub quotas: Arc<Quotas>,
    /// Who signs addresses.
    pub signer: Signer,
    /// Addresses of others that messages may carry.
    pub origins: RwLock<Origins>,
    /// How long.
    pub settings: config::Files,
    /// Age at which a message is gone, and its file with it; 0 for never.
    pub max_age_ms: u64,
    /// Where uploads lie until they are whole; nobody else sees them there.
    pub spool: PathBuf,
}

/// The files of all apps.
pub struct Files {
    pub(super) parts: Parts,
    /// Uploads under way of each user.
    pub(super) uploads: Mutex<HashMap<Identity, u32>>,
    /// Of which there is one, because of the memory that a picture takes.
    pub(super) painter: Arc<Semaphore>,
    /// Rings when a file is due.
    pub(super) due: Notify,
}

impl Files {
    /// Of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let painter = Arc::new(Semaphore::new(1));
        Self { parts, uploads: Mutex::default(), painter, due: Notify::new() }
    }

    /// Addresses are signed with other secrets from now on.
    pub fn signs_with(&self, secrets: Vec<Vec<u8>>) {
        self.parts.signer.replace(secrets);
    }

    /// Messages may carry addresses of these origins from now on, and of no others.
    pub fn relist(&self, origins: Origins) {
        *self.parts.origins.write() = origins;
    }

    /// Where pictures of messages may come from, besides this server, as a content security policy says it.
    #[must_use]
    pub fn picture_sources(&self) -> String {
        self.parts.origins.read().sources()
    }

    /// Whether the store answers right now; there is nothing to ask where there is none.
    ///
    /// # Errors
    /// [`FileError::Unreachable`] when it does not.
    pub async fn ready(&self) -> Result<(), FileError> {
        match &self.parts.store {
            Some(store) => store.ready().await,
            None => Ok(()),
        }
    }

    /// The store, where there is one.
    pub(super) fn store(&self) -> Result<&Arc<dyn Store>, Refusal> {
        self.parts.store.as_ref().ok_or_else(|| {
            let why = "no files here: the setting files.place names no place for them that all nodes share";
            Refusal::new(Code::RefusedByRule, why)
        })
    }

    /// Which group it is, if the user belongs to the conversation; nothing for other conversations.
    pub(super) async fn incarnation(
        &self,
        conversation: &Conversation,
        user: &UserId,
    ) -> Result<Option<String>, Refusal> {
        let Conversation::Group(app, group) = conversation else { return Ok(None) };
        let membership = self.parts.groups.membership(*app, group, user).await?;
        match membership.member {
            true => Ok(Some(membership.incarnation.to_string())),
            false => Err(GroupError::NotMember.into()),
        }
    }
}
