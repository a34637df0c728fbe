//! What is spoken on a port, and how much of it at a time.
//!
//! Invariant: whatever a client asks at once over one connection, the node holds little of the answers.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;

use super::MAX_HEAD_BYTES;

/// Bytes of a head over HTTP/2 that are read, so that there are words for one that is too large; a larger one gets none.
const MOST_HEAD_BYTES: u32 = 64 * 1024;
/// Pause between two questions whether a client of gRPC is still there, whose streams may have nothing to say for long.
const PING: Duration = Duration::from_secs(30);

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1 and HTTP/2, for people and programs that ask one thing at a time.
    Web,
    /// HTTP/2 alone, for programs that ask much at a time over one connection.
    Grpc,
}

impl Speech {
    /// Requests that one connection of HTTP/2 may have under way.
    fn streams(self) -> u32 {
        match self {
            Speech::Web => 16,
            Speech::Grpc => 100,
        }
    }

    /// Bytes the HTTP library may hold of each of their answers.
    fn stream_buffer(self) -> usize {
        match self {
            Speech::Web => 64 * 1024,
            Speech::Grpc => 16 * 1024,
        }
    }

    /// Requests of one connection that are worked on at a time.
    pub(super) fn turns(self) -> usize {
        match self {
            Speech::Web => 4,
            Speech::Grpc => 32,
        }
    }

    pub(super) fn builder(self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        // The library's own time-out for a head would run while nothing is asked, too.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.streams())
            .max_header_list_size(MOST_HEAD_BYTES)
            .max_send_buf_size(self.stream_buffer());
        if self == Speech::Grpc {
            builder.http2().keep_alive_interval(PING).keep_alive_timeout(PING);
            builder = builder.http2_only();
        }
        builder
    }
}
