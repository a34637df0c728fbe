//! Streams of messages, what was answered to them, and what of it readers saw.
//!
//! Invariant: a message counts as answered only when its receipt arrived; its text is its own id.

use std::sync::Arc;
use std::time::Duration;

use chat_client::{Error, Http, Session};
use chat_protocol::session::Receipt;
use chat_protocol::user::{SendMessageAll, SendMessageAllRequest};
use chat_protocol::{AppId, MsgId, UserId};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::node::Node;
use crate::talk::next_message;
use crate::wait::{SOON, pace, until};

/// Longest time a sender goes on repeating one message.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who sent what, and the receipts, in the order they arrived.
#[derive(Debug, Clone, Default)]
pub struct Answered(Arc<Mutex<Vec<(String, Receipt)>>>);

impl Answered {
    /// Notes a receipt.
    pub fn add(&self, user: &str, receipt: Receipt) {
        self.0.lock().push((user.to_owned(), receipt));
    }

    /// All so far.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Receipt)> {
        self.0.lock().clone()
    }

    /// How many so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Waits for so many more.
    ///
    /// # Panics
    /// When they do not come soon.
    pub async fn grows_by(&self, more: usize) {
        let enough = self.count() + more;
        until(&format!("{enough} answers"), SOON, async || self.count() >= enough).await;
    }
}

/// Sends one message to the world, with its id as its text.
///
/// # Errors
/// As [`Session::request`].
pub async fn say(session: &mut Session, msg_id: &str) -> Result<Receipt, Error> {
    let data = session.request("msg", &json!({"msg": msg_id, "msgId": msg_id})).await?;
    serde_json::from_value(data)
        .map_err(|error| Error::NotChatd { server: String::new(), cause: error.to_string() })
}

/// Sends as a user over WebSocket, message after message, until the connection ends; gives the last error.
pub async fn send_until_closed(
    mut session: Session,
    user: String,
    prefix: String,
    answered: Answered,
) -> Error {
    for index in 0.. {
        match say(&mut session, &format!("{prefix}-{user}-{index}")).await {
            Ok(receipt) => answered.add(&user, receipt),
            Err(error) => return error,
        }
    }
    unreachable!("the loop has no other end")
}

/// Sends one message over HTTP and repeats it with the same id until it is answered.
///
/// # Panics
/// When it is not answered for a minute.
pub async fn insist(http: &Http, app_id: AppId, user: &str, msg_id: &str) -> u64 {
    let request = SendMessageAllRequest {
        app_id,
        user_id: UserId::new(user).expect("a valid name"),
        msg_id: MsgId::new(msg_id).expect("a valid id"),
        message: msg_id.to_owned(),
        kind: None,
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match http.call::<SendMessageAll>(&request).await {
            Ok(response) => return response.offset,
            Err(error) => assert!(Instant::now() < deadline, "{msg_id} is never answered: {error}"),
        }
        pace(Duration::from_millis(20)).await;
    }
}

/// Reads so many messages, checks that their offsets are 1, 2, 3 … and gives their ids.
///
/// # Panics
/// When one is missing, comes twice or out of order, or the connection ends.
pub async fn read_in_order(session: &mut Session, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    for offset in 1..=count as u64 {
        let message = next_message(session).await;
        assert_eq!(message.offset, offset, "{message:?} after {:?}", ids.last());
        assert!(message.content.msg.as_deref().is_some_and(|text| text.starts_with(message.msg_id.as_str())));
        ids.push(message.msg_id.to_string());
    }
    ids
}

/// Checks that every answered message is in the log: each repeat gets its first receipt again, and a new message
/// comes behind all of them in the same history.
///
/// # Panics
/// When one is not.
pub async fn all_are_in_the_log(node: &Node, app: AppId, answered: &Answered, fresh: &str) {
    let mut prober = node.login(app, "prober").await;
    let last = say(&mut prober, fresh).await.expect("a fresh message is taken");
    assert!(!last.duplicate);
    let mut answered = answered.all();
    answered.sort_by(|(one, _), (other, _)| one.cmp(other));
    for same_user in answered.chunk_by(|(one, _), (other, _)| one == other) {
        let mut session = node.login(app, &same_user[0].0).await;
        for (_, first) in same_user {
            assert!(first.offset < last.offset && first.epoch == last.epoch, "{first:?} {last:?}");
            let again = say(&mut session, first.msg_id.as_str()).await.expect("a repeat is answered");
            assert!(again.duplicate, "{first:?} was lost");
            assert_eq!((again.offset, &again.epoch, again.time), (first.offset, &first.epoch, first.time));
        }
    }
}
