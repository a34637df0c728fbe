//! How a client's grabs reach the server: over its WebSocket, or over HTTP.
//!
//! Invariant: a grab whose answer did not come is named when the line breaks, never forgotten.

use std::sync::Arc;
use std::task::Poll;

use chat_client::{Error, Http};
use chat_protocol::envelope::{Incoming, RefusalData};
use chat_protocol::red_packet::{Grab, GrabRequest, GrabResponse};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::json;

use crate::net::request;
use crate::net::scan;
use crate::net::socket::{End, Socket};

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The server said what came of the grab.
    Said(GrabResponse),
    /// The server refused: code, its words, milliseconds to wait.
    Refused(u16, String, Option<u64>),
    /// Of no request: the server lets the client go, and says after how many milliseconds it may come back.
    Parting(u64),
    /// No answer came, or none that can be read: the grab may have been carried out.
    Gone(String),
}

/// A way to the server.
pub enum Line {
    /// A connection.
    Ws(Box<Socket>),
    /// Requests under way.
    Http {
        /// All servers.
        servers: Arc<[Http]>,
        /// Which of them is asked, counted around.
        turn: usize,
        /// What was not answered yet.
        under_way: FuturesUnordered<BoxFuture<'static, (u32, Answer)>>,
    },
}

/// The name of a grab's request.
fn name(sequence: u32) -> String {
    format!("g{sequence}")
}

impl Line {
    /// Sends a grab; its answer comes from [`Line::hear`] under the same number.
    pub fn send(&mut self, sequence: u32, grab: &GrabRequest) {
        match self {
            Line::Ws(socket) => {
                let data = json!({"packetId": grab.packet_id});
                let frame = json!({"seq": name(sequence), "cmd": "redPacket/grab", "data": data});
                socket.queue_text(&frame.to_string());
            }
            Line::Http { servers, turn, under_way } => {
                let (http, grab) = (servers[*turn % servers.len()].clone(), grab.clone());
                under_way.push(Box::pin(async move { (sequence, post(&http, &grab).await) }));
            }
        }
    }

    /// Asks the next server from now on, where that needs no log-in.
    pub fn turn(&mut self) {
        if let Line::Http { turn, .. } = self {
            *turn = turn.wrapping_add(1);
        }
    }

    /// Queues a sign of life.
    pub fn heartbeat(&mut self) {
        if let Line::Ws(socket) = self {
            socket.queue_text(&request::heartbeat());
        }
    }

    /// Waits for the next answers. Cancel safe.
    ///
    /// # Errors
    /// [`End`] when the connection is over; whatever was not answered is lost with it.
    pub async fn hear(&mut self) -> Result<Vec<(u32, Answer)>, End> {
        match self {
            Line::Ws(socket) => hear(socket).await,
            Line::Http { under_way, .. } => match under_way.next().await {
                Some(answer) => Ok(vec![answer]),
                None => std::future::pending().await,
            },
        }
    }

    /// Hands over to the system what was sent. Cancel safe.
    ///
    /// # Errors
    /// As [`Line::hear`].
    pub async fn flush(&mut self) -> Result<(), End> {
        match self {
            Line::Ws(socket) => std::future::poll_fn(|cx| socket.poll_flush(cx)).await,
            Line::Http { .. } => Ok(()),
        }
    }

    /// Ends the connection in order, without waiting for the server's part.
    pub async fn close(mut self) {
        if let Line::Ws(socket) = &mut self {
            socket.queue_close();
            // A connection that breaks now was to end anyway.
            let _ = std::future::poll_fn(|cx| socket.poll_flush(cx)).await;
            // Spares this host the minute that it would keep the port.
            let farewell = async { while hear(socket).await.is_ok() {} };
            let _ = tokio::time::timeout(std::time::Duration::from_secs(3), farewell).await;
        }
    }
}

async fn post(http: &Http, grab: &GrabRequest) -> Answer {
    match http.call::<Grab>(grab).await {
        Ok(said) => Answer::Said(said),
        Err(Error::Refused { code, reason, retry_after_ms }) => Answer::Refused(code, reason, retry_after_ms),
        Err(error) => Answer::Gone(error.to_string()),
    }
}

async fn hear(socket: &mut Socket) -> Result<Vec<(u32, Answer)>, End> {
    let mut heard = Vec::new();
    let ended = std::future::poll_fn(|cx| {
        loop {
            match socket.poll_exchange(cx, |text| heard.extend(answer(text))) {
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                Poll::Ready(Ok(())) => {}
                Poll::Pending if heard.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    })
    .await;
    // What came before the end counts; the end is met again by the next call.
    if heard.is_empty() { ended.map(|()| heard) } else { Ok(heard) }
}

/// The answer to a grab in a frame, or the farewell of the server; other pushes and answers are none.
pub fn answer(frame: &[u8]) -> Option<(u32, Answer)> {
    if let Some(ms) = scan::parting(frame) {
        return Some((0, Answer::Parting(ms)));
    }
    // Most frames of a crowd are pushes: they need no look inside.
    if frame.starts_with(br#"{"seq":""#) && frame.get(8) != Some(&b'g') {
        return None;
    }
    let incoming: Incoming<'_> = serde_json::from_slice(frame).ok()?;
    let sequence = incoming.seq.strip_prefix('g')?.parse().ok().filter(|_| !incoming.is_push())?;
    let response = incoming.response;
    let data = response.data.map_or("null", |data| data.get());
    Some(match response.code {
        200 => match serde_json::from_str(data) {
            Ok(said) => (sequence, Answer::Said(said)),
            Err(error) => (sequence, Answer::Gone(format!("the answer cannot be read: {error}"))),
        },
        code => {
            let pause = serde_json::from_str::<RefusalData>(data).ok().and_then(|data| data.retry_after_ms);
            (sequence, Answer::Refused(code, response.code_msg.into_owned(), pause))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::red_packet::Outcome;

    #[test]
    fn answers_are_told_from_pushes() {
        let read = |frame: &str| answer(frame.as_bytes());
        let said = |outcome, amount| Some((12, Answer::Said(GrabResponse { outcome, amount })));
        let won = r#"{"seq":"g12","cmd":"redPacket/grab","response":{"code":200,"codeMsg":"Success","data":{"outcome":"won","amount":7}}}"#;
        assert_eq!(read(won), said(Outcome::Won, 7));
        let moved = r#"{"cmd":"redPacket/grab","seq":"g12","response":{"code":200,"codeMsg":"Success","data":{"outcome":"empty","amount":0}}}"#;
        assert_eq!(read(moved), said(Outcome::Empty, 0));
        let refused = r#"{"seq":"g3","cmd":"redPacket/grab","response":{"code":1011,"codeMsg":"slow","data":{"retryAfterMs":5}}}"#;
        assert_eq!(read(refused), Some((3, Answer::Refused(1011, "slow".to_owned(), Some(5)))));
        let full = r#"{"seq":"g3","cmd":"redPacket/grab","response":{"code":1009,"codeMsg":"full","data":{"limit":"max_apps","bound":1}}}"#;
        assert_eq!(read(full), Some((3, Answer::Refused(1009, "full".to_owned(), None))));
        let odd = r#"{"seq":"g3","cmd":"redPacket/grab","response":{"code":200,"codeMsg":"Success","data":{"outcome":"half"}}}"#;
        assert!(matches!(read(odd), Some((3, Answer::Gone(_)))));
        let parting = r#"{"seq":"","cmd":"system/drain","response":{"code":200,"codeMsg":"Ok","data":{"reconnectInMs":420}}}"#;
        assert_eq!(read(parting), Some((0, Answer::Parting(420))));
        for other in [
            r#"{"seq":"g12","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{}}}"#,
            r#"{"seq":"heartbeat","cmd":"heartbeat","response":{"code":200,"codeMsg":"Success","data":null}}"#,
            "{",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
