//! Taking a file: from its first byte to its address.
//!
//! Invariant: what is refused, or given up, leaves nothing behind; what is answered is in the store.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::file::{About, UploadRequest, Uploaded};
use chat_protocol::{AppId, Code, Refusal};
use futures_util::Stream;

use super::address::{Whom, hex, place};
use super::picture::{self, Picture};
use super::spool::{self, Patience, Spooled, blocking};
use super::{FileError, FileId, Files, Record, Store, Usage, name_of, sweeping, thumbnail_of};
use crate::counters::Limit;
use crate::model::Identity;

/// What a file without a name is called.
const NAMELESS: &str = "file";
/// How long after an upload that failed something may still come of it.
const LATE_MS: u64 = 10 * 60 * 1000;

/// An upload under way.
struct Turn<'a> {
    files: &'a Files,
    identity: Identity,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut uploads = self.files.uploads.lock();
        if let Some(count) = uploads.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                uploads.remove(&self.identity);
            }
        }
    }
}

/// A file that came whole and is what it says.
struct Whole {
    content: std::fs::File,
    thumbnail: Option<std::fs::File>,
    record: Record,
}

impl Files {
    /// Takes a file, of which the client says that it has so many bytes.
    ///
    /// # Errors
    /// When there is no place for it, the user is no member, or the file is not what may be sent.
    pub async fn upload<E: std::fmt::Display>(
        self: &Arc<Self>,
        request: UploadRequest,
        said: Option<u64>,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Uploaded, Refusal> {
        self.store()?;
        let UploadRequest { app_id: app, user_id: user, target, name } = request;
        let whom = Whom { app, user: &user, target: &target };
        let conversation = whom.conversation();
        self.check_bytes(said.unwrap_or(0))?;
        let incarnation = self.incarnation(&conversation, &user).await?;
        let _turn = self.turn(&Identity { app, user: user.clone() })?;
        self.check_room(app, &user, said.unwrap_or(1)).await?;
        let mut kind = None;
        let judge = |head: &[u8]| self.judge(head).map(|found| kind = Some(found));
        let limit = |bytes| self.check_bytes(bytes);
        let spooled = spool::receive(&self.parts.spool, self.patience(), body, judge, limit).await?;
        let content_type = kind.ok_or(Code::ServerError)?;
        let about = About {
            name: name.unwrap_or_else(|| NAMELESS.to_owned()),
            kind: kind_of(content_type).to_owned(),
            content_type: content_type.to_owned(),
            bytes: spooled.bytes,
            sha256: hex(&spooled.sha256),
            size: None,
            thumbnail: false,
        };
        let record = Record {
            owner: user.clone(),
            place: place(&conversation),
            incarnation,
            secret: FileId::random().as_str().to_owned(),
            about,
            thumbnail_bytes: 0,
        };
        let whole = self.prepared(spooled, record).await?;
        let id = FileId::random();
        let (secret, about) = (whole.record.secret.clone(), whole.record.about.clone());
        // Goes on to its end though the client leaves, so that a file is known as long as anything of it lies there.
        let (files, named) = (self.clone(), id.clone());
        let keeping = tokio::spawn(async move { files.put(app, &named, whole).await });
        keeping.await.map_err(|error| FileError::Unreachable(error.to_string()))??;
        let expires = self.expires();
        let url = self.parts.signer.sign(whom, &id, expires)?;
        Ok(Uploaded { file_id: id.as_str().to_owned(), url, secret, expires, about })
    }

    /// When an address that is made now ends.
    pub(super) fn expires(&self) -> u64 {
        self.parts.clock.now_ms() + self.parts.settings.url_life.millis()
    }

    fn patience(&self) -> Patience {
        let piece = self.parts.quotas.settings().stall_timeout.get();
        Patience { piece, whole: self.parts.settings.upload_timeout.get() }
    }

    fn check_bytes(&self, bytes: u64) -> Result<(), Refusal> {
        let (limit, most) = (Limit::FileBytes, self.parts.quotas.settings().file_bytes);
        if bytes <= most {
            return Ok(());
        }
        let reason = format!("a file may hold at most {most} bytes (limits.{})", limit.name());
        Err(self.parts.quotas.refuse(limit, Refusal::new(Code::TooLarge, reason)))
    }

    fn turn(&self, identity: &Identity) -> Result<Turn<'_>, Refusal> {
        let (limit, most) = (Limit::UploadsPerUser, self.parts.quotas.settings().uploads_per_user);
        let mut uploads = self.uploads.lock();
        let count = uploads.entry(identity.clone()).or_default();
        if *count < most {
            *count += 1;
            return Ok(Turn { files: self, identity: identity.clone() });
        }
        let reason = format!("{count} uploads of this user are under way (limits.{} = {most})", limit.name());
        let refusal = Refusal { retry_after_ms: Some(1000), ..Refusal::new(Code::TooManyRequests, reason) };
        Err(self.parts.quotas.refuse(limit, refusal))
    }

    /// How much there may be.
    fn most(&self) -> Usage {
        let settings = self.parts.quotas.settings();
        Usage { user: settings.file_bytes_per_user, app: settings.file_bytes_per_app }
    }

    /// Whether a file would fit as it is now; it is asked again when the file is added.
    async fn check_room(&self, app: AppId, user: &chat_protocol::UserId, bytes: u64) -> Result<(), Refusal> {
        let (held, most) = (self.parts.records.usage(app, user).await?, self.most());
        held.check(bytes, most).map_err(|error| self.noted(error))
    }

    fn noted(&self, error: FileError) -> Refusal {
        self.parts.quotas.noted(error.limit(), error)
    }

    /// What a file is that begins so.
    fn judge(&self, head: &[u8]) -> Result<&'static str, Refusal> {
        if head.is_empty() {
            return Err(Refusal::new(Code::BadParameter, "the file is empty"));
        }
        let found = infer::get(head).map(|found| found.mime_type());
        let settings = self.parts.quotas.settings();
        if let Some(found) = found
            && settings.file_types.iter().any(|allowed| allowed == found)
        {
            return Ok(found);
        }
        let limit = Limit::FileTypes;
        let reason = format!(
            "the file is {}; it may be {} (limits.{})",
            found.unwrap_or("nothing that is known here"),
            settings.file_types.join(", "),
            limit.name()
        );
        Err(self.parts.quotas.refuse(limit, Refusal::new(Code::RefusedByRule, reason)))
    }

    /// The file as it will be sent: of a picture without what it says about its maker, with its size and a smaller one.
    async fn prepared(&self, spooled: Spooled, mut record: Record) -> Result<Whole, Refusal> {
        let content_type = record.about.content_type.clone();
        if !content_type.starts_with("image/") {
            return Ok(Whole { content: spooled.file, thumbnail: None, record });
        }
        let turn = self.painter.clone().acquire_owned().await.map_err(|_| Code::ServerError)?;
        let (most, place) = (self.parts.quotas.settings().picture_pixels, self.parts.spool.clone());
        let painted = blocking(move || {
            let painted = picture::paint(spooled.file, &content_type, most, &place);
            drop(turn);
            painted
        });
        let painted = painted.await?.map_err(|bad| match bad {
            picture::Bad::Unreadable => Refusal::new(Code::BadParameter, bad.to_string()),
            picture::Bad::TooLarge { .. } => {
                let refusal = Refusal::new(Code::TooLarge, bad.to_string());
                self.parts.quotas.refuse(Limit::PicturePixels, refusal)
            }
        })?;
        let Picture { content, bytes, sha256, size, thumbnail } = painted;
        let about = &mut record.about;
        (about.bytes, about.sha256, about.size) = (bytes, hex(&sha256), Some(size));
        about.thumbnail = thumbnail.is_some();
        record.thumbnail_bytes = thumbnail.as_ref().map_or(0, |(_, bytes)| *bytes);
        Ok(Whole { content, thumbnail: thumbnail.map(|(file, _)| file), record })
    }

    /// Notes that there is a file, and then keeps it: one that was not kept ends by itself.
    async fn put(&self, app: AppId, id: &FileId, whole: Whole) -> Result<(), Refusal> {
        let Whole { content, thumbnail, record } = whole;
        let added = self.parts.records.add(app, id, &record, self.unsent_ends_ms(), self.most()).await;
        added.map_err(|error| self.noted(error))?;
        let store = self.store()?;
        let storing = async {
            if let Some(thumbnail) = thumbnail {
                store.put(&thumbnail_of(app, id), thumbnail).await?;
            }
            store.put(&name_of(app, id), content).await
        };
        let failed = match storing.await {
            // It may have ended meanwhile, and have been swept before it was there. Else its time begins now.
            Ok(()) => match self.parts.records.keep(app, id, Some(self.unsent_ends_ms())).await {
                Ok(true) => return Ok(()),
                Ok(false) => FileError::Gone,
                Err(error) => error,
            },
            Err(error) => error,
        };
        if matches!(failed, FileError::Busy(_)) && sweeping::remove(&**store, app, id).await.is_ok() {
            // Nothing of it was written that could come late.
            self.parts.records.forget(app, id).await?;
            return Err(failed.into());
        }
        self.give_up(app, id, &**store).await;
        Err(failed.into())
    }

    /// When a file ends that comes now and is not sent.
    fn unsent_ends_ms(&self) -> u64 {
        self.parts.clock.now_ms() + self.parts.settings.unsent_life.millis()
    }

    /// What came of an upload that failed goes. The file ends only later, as the store may still do what it did not
    /// answer; of a file that has ended already it goes at once.
    async fn give_up(&self, app: AppId, id: &FileId, store: &dyn Store) {
        let ends_ms = self.parts.clock.now_ms() + LATE_MS;
        if matches!(self.parts.records.keep(app, id, Some(ends_ms)).await, Ok(true)) {
            return;
        }
        if let Err(error) = sweeping::remove(store, app, id).await {
            tracing::warn!(%error, "removing what came of an upload");
        }
    }
}

impl Usage {
    /// Whether so many bytes more are within what there may be; 0 there is any number.
    ///
    /// # Errors
    /// [`FileError::Full`].
    pub fn check(self, bytes: u64, most: Self) -> Result<(), FileError> {
        for (limit, held, most) in
            [(Limit::FileBytesPerUser, self.user, most.user), (Limit::FileBytesPerApp, self.app, most.app)]
        {
            if most > 0 && held.saturating_add(bytes) > most {
                return Err(FileError::Full { limit, held, most });
            }
        }
        Ok(())
    }
}

/// The `type` of a message that carries such a file.
fn kind_of(content_type: &str) -> &'static str {
    match content_type.split_once('/') {
        Some(("image", _)) => "img",
        Some(("audio", _)) => "audio",
        _ => "video",
    }
}
