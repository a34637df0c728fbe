//! The file of a message: one that its sender uploaded for this conversation, or something at an origin of the settings.
//!
//! Invariant: a message carries the bare address of a file, which opens nothing by itself.

use chat_protocol::content::Content;
use chat_protocol::file::{FILE_PATH, id_in};
use chat_protocol::{Code, Refusal, Target};

use super::address::{Whom, place};
use super::{FileId, Files};
use crate::model::{Conversation, Identity};

impl Files {
    /// The content as it may be sent, with what is known of its file.
    ///
    /// # Errors
    /// [`Code::RefusedByRule`] for a file that is not the sender's, not for this conversation, or of another kind; for an
    /// address that is none of a listed origin.
    pub async fn attached(
        &self,
        sender: &Identity,
        target: &Target,
        content: Content,
    ) -> Result<Content, Refusal> {
        let Some(url) = content.url.as_deref() else { return Ok(content) };
        let refused = |why: &str| Refusal::new(Code::RefusedByRule, why);
        let Some(id) = id_in(url) else {
            return match self.is_listed(url) {
                true => Ok(content),
                false => Err(refused(
                    "url: a message carries a file of this server, or an address of an origin in the setting \
                     files.media_origins",
                )),
            };
        };
        let not_here = || refused("url: no file that you uploaded for this conversation");
        let id = FileId::parse(id).ok_or_else(not_here)?;
        let (app, user) = (sender.app, &sender.user);
        let conversation = Whom { app, user, target }.conversation();
        let record = self.parts.records.find(app, &id).await?.ok_or_else(not_here)?;
        if record.owner != *user || record.place != place(&conversation) {
            return Err(not_here());
        }
        if content.secret.as_ref().is_some_and(|secret| *secret != record.secret) {
            return Err(refused("secret: not that of the file"));
        }
        if !carries(&content.kind, &record.about.kind) {
            let (kind, content_type) = (&record.about.kind, &record.about.content_type);
            return Err(refused(&format!("type: the file is {content_type}, which is {kind}")));
        }
        let ends_ms = (self.parts.max_age_ms > 0).then(|| self.parts.clock.now_ms() + self.parts.max_age_ms);
        if !self.parts.records.keep(app, &id, ends_ms).await? {
            return Err(not_here());
        }
        let size = record.about.size.map(|size| serde_json::json!(size));
        Ok(Content {
            url: Some(format!("{FILE_PATH}{}", id.as_str())),
            secret: Some(record.secret),
            size: size.or(content.size),
            ..content
        })
    }

    fn is_listed(&self, url: &str) -> bool {
        let origins = self.parts.origins.read();
        if origins.allow_all() {
            return true;
        }
        let Some((scheme, rest)) = url.split_once("://") else { return false };
        let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        !host.contains('@') && origins.allow(&format!("{scheme}://{host}"))
    }

    /// Ends the file that a message of a conversation carries, whoever asks for the message to go.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_of(&self, conversation: &Conversation, content: &Content) -> Result<(), Refusal> {
        let id = content.url.as_deref().and_then(id_in).and_then(FileId::parse);
        let Some(id) = id else { return Ok(()) };
        let app = conversation.app();
        let found = self.parts.records.find(app, &id).await?;
        if found.is_some_and(|record| record.place == place(conversation)) {
            self.parts.records.end(app, &id).await?;
            self.due.notify_one();
        }
        Ok(())
    }
}

/// Whether a message of this type carries a file of that one. Sound alone often comes in what can hold a film.
fn carries(message: &str, file: &str) -> bool {
    message == file || (message == "audio" && file == "video")
}
