//! The link that puts messages into queues.
//!
//! Invariant: one batch is in the air at a time. The driver hands a returned message to whichever confirmation comes
//! next, so only all of them together tell whether all messages of a batch are in their queue.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Mutex;

use super::link::{Live, Purpose};
use crate::money::settlement::{QueueError, Settlement};

/// Longest wait for the confirmation of a batch: RabbitMQ confirms what a majority of its nodes has on disk.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages in the air at once.
const IN_THE_AIR: usize = 1000;
/// Header of a dead letter that says why it is one.
pub(super) const REASON: &str = "reason";
/// All headers of a message fit into one frame.
const MAX_REASON_CHARS: usize = 1000;
const PERSISTENT: u8 = 2;

/// A channel whose messages are confirmed.
pub(super) struct Publishing {
    channel: Channel,
    turn: Mutex<()>,
}

impl Purpose for Publishing {
    async fn begin(connection: &Connection) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, turn: Mutex::new(()) })
    }
}

/// A message to be put into a queue.
pub(super) struct Letter {
    body: Bytes,
    properties: BasicProperties,
}

impl Letter {
    /// Named by its transfer, or else by chance.
    pub(super) fn new(body: Bytes) -> Self {
        let transfer =
            serde_json::from_slice::<Settlement>(&body).ok().map(|settlement| settlement.transfer_id());
        let id = transfer.and_then(|id| ShortString::try_new(id).ok());
        let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string().into());
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(id);
        Self { body, properties }
    }

    /// A dead letter.
    pub(super) fn dead(body: Bytes, reason: &str) -> Self {
        let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        let mut headers = FieldTable::default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        let letter = Self::new(body);
        Self { properties: letter.properties.with_headers(headers), ..letter }
    }
}

impl Live<Publishing> {
    /// Returns once RabbitMQ has confirmed that the queue holds them all.
    pub(super) async fn put(&self, queue: &str, letters: &[Letter]) -> Result<(), QueueError> {
        let _turn = self.purpose.turn.lock().await;
        for batch in letters.chunks(IN_THE_AIR) {
            let confirmed = async {
                let sent = batch.iter().map(|letter| self.purpose.send(queue, letter));
                join_all(sent).await.into_iter().collect::<Result<(), String>>()
            };
            self.answer(CONFIRM_TIMEOUT, confirmed).await?;
        }
        Ok(())
    }
}

impl Publishing {
    async fn send(&self, queue: &str, letter: &Letter) -> Result<(), String> {
        let or_return = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (body, properties) = (&letter.body, letter.properties.clone());
        let sent = self.channel.basic_publish("".into(), queue.into(), or_return, body, properties).await;
        let confirmation = async { sent?.await }.await.map_err(|error: lapin::Error| error.to_string())?;
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(format!("there is no queue {queue}")),
            Confirmation::Nack(_) => Err(format!("the queue {queue} takes no more")),
            Confirmation::NotRequested => Err("it confirms nothing".to_owned()),
        }
    }
}
