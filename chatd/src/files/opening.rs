//! Opening a file: who may have an address, and what it leads to.
//!
//! Invariant: whoever opens a file is a member of its conversation at that moment.

use std::ops::Range;
use std::sync::Arc;

use chat_protocol::file::{About, Address, UrlRequest, UrlResponse};
use chat_protocol::{AppId, Refusal, UserId};

use super::address::{Whom, place};
use super::{FileError, FileId, Files, Pieces, Record, Store, name_of, thumbnail_of};

/// Which part of a file is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    File,
    /// A smaller picture.
    Thumbnail,
}

/// A file that may be read.
pub struct Opened {
    /// What it is.
    pub about: About,
    /// Bytes of the part that is meant.
    pub bytes: u64,
    /// Which.
    pub part: Part,
    name: String,
    store: Arc<dyn Store>,
}

impl Opened {
    /// Reads bytes of it.
    ///
    /// # Errors
    /// When they are not there, or the store does not answer.
    pub async fn read(&self, range: Range<u64>) -> Result<Pieces, FileError> {
        self.store.read(&self.name, range).await
    }
}

impl Files {
    /// A fresh address, for a member.
    ///
    /// # Errors
    /// When the user is none, or there is no such file in that conversation.
    pub async fn fresh(&self, request: UrlRequest) -> Result<UrlResponse, Refusal> {
        let UrlRequest { app_id: app, user_id: user, target, file_id } = request;
        let (whom, id) =
            (Whom { app, user: &user, target: &target }, FileId::parse(&file_id).ok_or(FileError::Gone)?);
        let record = self.find(whom, &id).await?;
        let expires = self.expires();
        let url = self.parts.signer.sign(whom, &id, expires)?;
        Ok(UrlResponse { url, expires, about: record.about })
    }

    /// What an address leads to.
    ///
    /// # Errors
    /// When it is not signed, has ended, or is of somebody who may not read the conversation any more.
    pub async fn open(&self, id: &str, address: &Address) -> Result<Opened, Refusal> {
        let id = FileId::parse(id).ok_or(FileError::Gone)?;
        self.parts.signer.check(address, &id, self.parts.clock.now_ms())?;
        let (app, user) = (address.app_id, &address.user_id);
        self.check_ban(app, user).await?;
        let record = self.find(Whom { app, user, target: &address.target }, &id).await?;
        let part = address.part.as_ref().map_or(Part::File, |_| Part::Thumbnail);
        let (name, bytes) = match part {
            Part::File => (name_of(app, &id), record.about.bytes),
            Part::Thumbnail if record.about.thumbnail => (thumbnail_of(app, &id), record.thumbnail_bytes),
            Part::Thumbnail => return Err(FileError::Gone.into()),
        };
        Ok(Opened { about: record.about, bytes, part, name, store: self.store()?.clone() })
    }

    async fn check_ban(&self, app: AppId, user: &UserId) -> Result<(), Refusal> {
        match self.parts.bans.find(app, user).await? {
            Some(ban) => Err(ban.refusal()),
            None => Ok(()),
        }
    }

    /// A file of a conversation, for a member. Whether there is one, others are not told.
    async fn find(&self, whom: Whom<'_>, id: &FileId) -> Result<Record, Refusal> {
        let conversation = whom.conversation();
        let incarnation = self.incarnation(&conversation, whom.user).await?;
        let found = self.parts.records.find(whom.app, id).await?;
        let place = place(&conversation);
        let is_of_it = |record: &Record| record.place == place && record.incarnation == incarnation;
        Ok(found.filter(is_of_it).ok_or(FileError::Gone)?)
    }
}
