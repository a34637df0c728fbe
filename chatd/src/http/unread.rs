//! What a request still sends when its answer is known.
//!
//! Invariant: a connection that will not be kept says so in its answer, so that nobody sends the next request on it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

/// How long the rest of a small body is waited for. Mostly it is on its way.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// Gives the body for the one who handles the request, and what will be left of it.
pub fn lend(body: Body) -> (Body, Unread) {
    let unread = Unread::default();
    (Body::new(Lent { body: Some(body), unread: unread.0.clone() }), unread)
}

/// What nobody read of a body.
#[derive(Default)]
pub struct Unread(Arc<Mutex<Option<Body>>>);

impl Unread {
    /// Reads the rest of a body if it has no more than `max_bytes`. False: it has more, or it does not come.
    pub async fn drain(self, max_bytes: usize) -> bool {
        let Some(body) = self.0.lock().take() else { return true };
        if body.size_hint().lower() > max_bytes as u64 {
            return false;
        }
        let mut rest = Limited::new(body, max_bytes);
        let drained = async {
            while let Some(frame) = rest.frame().await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(REST_TIMEOUT, drained).await.unwrap_or(false)
    }
}

/// A body that comes back when it is let go before its end.
struct Lent {
    /// None after its end.
    body: Option<Body>,
    unread: Arc<Mutex<Option<Body>>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            *self.unread.lock() = self.body.take();
        }
    }
}
