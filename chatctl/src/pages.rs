//! The messages of a conversation from one offset on, page by page.
//!
//! Invariant: every page begins behind the one before, so that the walk ends whatever the server answers; only one
//! page is held at a time.

use chat_client::{Error, Http};
use chat_protocol::message::{History, HistoryRequest, MAX_HISTORY_PAGE};
use chat_protocol::session::Push;

use crate::failure::Failure;
use crate::operator::Operator;

/// A walk from older to newer messages.
#[derive(Debug)]
pub struct Pages {
    request: HistoryRequest,
    until: u64,
    left: u64,
    is_over: bool,
}

impl Pages {
    /// Messages behind `after` and before `until`, at most `limit`, of the conversation of `request`.
    #[must_use]
    pub fn new(request: &HistoryRequest, after: u64, until: Option<u64>, limit: Option<u64>) -> Self {
        let request = HistoryRequest { before: None, after: Some(after), limit: None, ..request.clone() };
        Self { request, until: until.unwrap_or(u64::MAX), left: limit.unwrap_or(u64::MAX), is_over: false }
    }

    /// What the next call asks for.
    #[must_use]
    pub fn request(&self) -> HistoryRequest {
        let limit = self.left.min(u64::from(MAX_HISTORY_PAGE));
        HistoryRequest { limit: u32::try_from(limit).ok(), ..self.request.clone() }
    }

    /// The next messages; `None` at the end.
    ///
    /// # Errors
    /// As [`Operator::call`].
    pub async fn next(&mut self, operator: &Operator, http: &Http) -> Result<Option<Vec<Push>>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        let mut page = operator.call::<History>(http, &self.request()).await?;
        let got = page.messages.len() as u64;
        page.messages.retain(|message| message.offset < self.until);
        self.left = self.left.saturating_sub(got);
        let Some(next) = page.next.filter(|next| self.left > 0 && *next + 1 < self.until) else {
            self.is_over = true;
            return Ok(Some(page.messages));
        };
        if self.request.after.is_some_and(|after| next <= after) {
            let (server, cause) =
                (http.server().to_string(), "its history does not come to an end".to_owned());
            return Err(Error::NotChatd { server, cause }.into());
        }
        self.request.after = Some(next);
        Ok(Some(page.messages))
    }
}
