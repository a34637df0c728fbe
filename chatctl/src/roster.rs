//! A list in the order of its names, however many pages that takes.
//!
//! Invariant: every page begins behind the one before, so that the walk ends whatever the server answers.

use chat_client::{Error, Http};
use chat_protocol::operation::Operation;

use crate::failure::Failure;
use crate::operator::Operator;

/// How one operation is asked for a page, and what is taken from it.
pub trait Roster {
    /// The operation.
    type Of: Operation;
    /// The name behind which the next page begins.
    type Cursor: Ord + Clone;

    /// Entries in one page at most.
    const MOST: u32;

    /// The request for at most `limit` entries behind `after`.
    fn request(&self, limit: u32, after: Option<Self::Cursor>) -> <Self::Of as Operation>::Request;

    /// Takes the entries of a page; gives how many they were and where the next page begins.
    fn take(&mut self, page: <Self::Of as Operation>::Response) -> (usize, Option<Self::Cursor>);

    /// The first request, for `--dry-run`.
    fn first(&self, wanted: Option<u32>) -> <Self::Of as Operation>::Request {
        self.request(wanted.unwrap_or(u32::MAX).min(Self::MOST), None)
    }
}

/// Takes `wanted` entries, or all.
///
/// # Errors
/// As [`Operator::call`]; and when the list does not come to an end.
pub async fn walk<R: Roster>(
    roster: &mut R,
    wanted: Option<u32>,
    operator: &Operator,
    http: &Http,
) -> Result<(), Failure> {
    let (mut left, mut request) = (wanted.unwrap_or(u32::MAX), roster.first(wanted));
    let mut before: Option<R::Cursor> = None;
    loop {
        let (got, cursor) = roster.take(operator.call::<R::Of>(http, &request).await?);
        left = left.saturating_sub(u32::try_from(got).unwrap_or(u32::MAX));
        let Some(cursor) = cursor.filter(|_| left > 0) else { return Ok(()) };
        if before.as_ref().is_some_and(|before| cursor <= *before) {
            let cause = "its list does not come to an end".to_owned();
            return Err(Error::NotChatd { server: http.server().to_string(), cause }.into());
        }
        request = roster.request(left.min(R::MOST), Some(cursor.clone()));
        before = Some(cursor);
    }
}
