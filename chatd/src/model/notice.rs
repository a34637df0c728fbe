//! A push that is in no log.
//!
//! Invariant: it is one line of JSON, so that it travels as it will be shown.

use std::sync::Arc;

use bytes::Bytes;

use super::Skip;

/// A push that is in no log: delivered at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Command of the push, such as `enter`; one line.
    pub cmd: Arc<str>,
    /// Its `data` as JSON, in one line.
    pub data: Bytes,
    /// Who gets no copy.
    pub skip: Skip,
}
