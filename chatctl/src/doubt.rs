//! Whether what was asked may have been done although nobody said so, and how to repeat it without harm.
//!
//! Invariant: only what changes something is ever in doubt.

use std::sync::{Mutex, PoisonError};

use chat_client::Error;
use chat_protocol::Code;

/// What a run has asked for and not yet heard about.
#[derive(Debug, Default)]
pub struct Doubt(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_open: bool,
    /// Many requests go out at a time: only the end of the run says what became of them.
    is_held: bool,
    repeat_with: Option<String>,
}

impl Doubt {
    /// What to add to the line so that a repeat of it is recognised: `--msg-id X`.
    pub fn repeatable_with(&self, words: String) {
        self.inner(|inner| inner.repeat_with = Some(words));
    }

    /// As [`Doubt::repeatable_with`], for many requests at a time: until the run ends something may always have been done.
    pub fn hold(&self, words: String) {
        self.inner(|inner| (inner.is_held, inner.repeat_with) = (true, Some(words)));
    }

    /// The words of [`Doubt::repeatable_with`].
    #[must_use]
    pub fn repeat_with(&self) -> Option<String> {
        self.inner(|inner| inner.repeat_with.clone())
    }

    /// From now on, or no longer, something may be done without being told.
    pub fn set(&self, is_open: bool) {
        self.inner(|inner| inner.is_open = is_open);
    }

    /// Whether something may have been done.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.inner(|inner| inner.is_open || inner.is_held)
    }

    /// The next step of a person who does not know whether it was done.
    #[must_use]
    pub fn next_step(repeat_with: Option<&str>) -> String {
        match repeat_with {
            Some(words) => format!("repeat it with {words}: what did arrive is not done twice"),
            None => "see whether it was done before you repeat it".to_owned(),
        }
    }

    fn inner<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a request that changes something may have been carried out, for all that this error says.
#[must_use]
pub fn may_be_done(error: &Error) -> bool {
    match error {
        Error::Timeout { .. } | Error::Interrupted { .. } | Error::Closed { .. } | Error::NotChatd { .. } => {
            true
        }
        // A store may have applied what it did not confirm.
        Error::Refused { .. } => error.code() == Some(Code::StoreUnreachable) && !has_no_ledger(error),
        Error::BadServer(_)
        | Error::Unreachable { .. }
        | Error::Untrusted { .. }
        | Error::Redirected { .. } => false,
    }
}

/// Whether the node said that it was started without a ledger: no waiting helps.
#[must_use]
pub fn has_no_ledger(error: &Error) -> bool {
    matches!(error, Error::Refused { reason, .. } if reason == chat_protocol::wallet::NO_LEDGER)
}
