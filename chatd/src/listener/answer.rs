//! The body of an answer on its way: given out in pieces, so that it is known whether its reader takes any.
//!
//! Invariant: the request runs until its answer is taken or given up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body as AxumBody, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::course::{Course, Running};

/// Bytes given to the HTTP library at a time.
const PIECE: usize = 16 * 1024;

/// The body of an answer, given out in pieces.
pub struct Answer {
    body: AxumBody,
    /// What is not yet given of a piece of the body.
    rest: Bytes,
    size: usize,
    /// Over HTTP/2, where each answer waits for its own window.
    multiplexed: bool,
    /// Whether a piece was given that may wait for the client.
    given: bool,
    /// Whether the library waits for more of it, which there is not yet.
    parked: bool,
    /// Whether the library has asked for more than there is, so that all of it was taken.
    ended: bool,
    course: Arc<Course>,
    _running: Running,
}

impl Answer {
    /// The answer to a request that runs, `multiplexed` over HTTP/2.
    pub fn new(body: AxumBody, course: Arc<Course>, running: Running, multiplexed: bool) -> Self {
        let size = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        course.sends(size);
        let ended = body.is_end_stream();
        Self {
            body,
            rest: Bytes::new(),
            size,
            multiplexed,
            given: false,
            parked: false,
            ended,
            course,
            _running: running,
        }
    }
}

impl Answer {
    fn park(&mut self, is_parked: bool) {
        if self.parked != is_parked {
            self.parked = is_parked;
            self.course.parks(is_parked);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // The library takes a piece before the client has room for it, and the next one only after that.
        if self.given {
            self.course.took();
        }
        while self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            // Over HTTP/2 the library asks for more only when the client has room for it.
            let is_parked = self.multiplexed && polled.is_pending();
            self.park(is_parked);
            match ready!(polled).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
        self.given = true;
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        // Over HTTP/2 it is asked once more, which is how an answer that was taken differs from one that was given up.
        self.ended || (!self.multiplexed && self.rest.is_empty() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.park(false);
        self.course.sent(self.size, self.ended || !self.multiplexed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Patience;
    use std::time::Duration;

    #[tokio::test]
    async fn an_answer_comes_whole_and_counts_until_it_is_gone() {
        let patience = Patience { idle: Duration::from_secs(75), stalled: Duration::from_secs(20) };
        let course = Arc::new(Course::new(patience, 4));
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut answer = Answer::new(AxumBody::from(sent.clone()), course.clone(), course.run(false), false);
        let mut received = Vec::new();
        while !answer.is_end_stream() {
            assert_eq!(answer.size_hint().exact(), Some((sent.len() - received.len()) as u64));
            assert_eq!((course.held(), course.is_sending(), course.may_go()), (sent.len(), true, false));
            let frame = std::future::poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await;
            let piece = frame.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            received.extend_from_slice(&piece);
        }
        assert!(received == sent);
        drop(answer);
        assert_eq!((course.held(), course.is_sending()), (0, false));
    }
}
