//! Operations on files: a fresh address. Taking one, and opening it, is HTTP's alone.

use std::sync::Arc;

use chat_protocol::file::Url;
use futures_util::FutureExt;

use super::Table;
use crate::files::Files;

/// Puts the operation into the table.
pub fn bind(table: &mut Table, files: &Arc<Files>) {
    table.bind::<Url, _>(files, |files, _, request| files.fresh(request).boxed());
}
