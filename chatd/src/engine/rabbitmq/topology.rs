//! What chatd declares in RabbitMQ: a queue of settlements, one of those that wait a few seconds before they come into
//! it again, and one of dead letters behind an exchange.
//!
//! Invariant: the queues survive a restart, are replicated where RabbitMQ is a cluster, drop nothing on their own, and
//! are refused rather than used when they exist with other arguments.
//!
//! RabbitMQ before 3.13.3 writes down that a new queue exists only half a second after it said so; killed before that, it
//! forgets the queue with all that was confirmed in it.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind, ExchangeKind};

use crate::engine::redis::keys::Keys;
use crate::money::settlement::LATER;

/// Deliveries of one message after which RabbitMQ takes it for poison: in effect never. Its default, 20 from version
/// 4 on, would drop a dead letter that an operator looked at twenty times.
const DELIVERY_LIMIT: i32 = 1_000_000_000;

/// Names of the queues.
pub(super) struct Names {
    pub(super) queue: String,
    pub(super) later: String,
    /// Of the exchange as well.
    pub(super) dead: String,
    turn: String,
}

impl Names {
    pub(super) fn new(keys: &Keys) -> Self {
        let (queue, dead) = (keys.amqp_settlements(), keys.amqp_dead_settlements());
        Self { queue, dead, later: keys.amqp_later_settlements(), turn: keys.amqp_dead_turn() }
    }

    /// Whether there is a queue of settlements. After a no the channel is closed.
    pub(super) async fn exists(&self, channel: &Channel) -> lapin::Result<bool> {
        let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        match channel.queue_declare(self.queue.as_str().into(), look, FieldTable::default()).await {
            Ok(_) => Ok(true),
            Err(error) if refusal(&error, AMQPSoftError::NOTFOUND).is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let (queue, dead) = (self.queue.as_str(), self.dead.as_str());
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(dead.into(), ExchangeKind::Fanout, durable, FieldTable::default()).await?;
        let arguments = arguments(&[]);
        channel.queue_declare(dead.into(), QueueDeclareOptions::durable(), arguments).await?;
        let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(dead.into(), dead.into(), "".into(), bind, none).await?;
        let arguments = self::arguments(&[
            ("x-dead-letter-exchange", dead),
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-overflow", "reject-publish"),
        ]);
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await?;
        let mut arguments = self::arguments(&[
            ("x-dead-letter-exchange", ""),
            ("x-dead-letter-routing-key", queue),
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-overflow", "reject-publish"),
        ]);
        let wait_ms = i32::try_from(LATER.as_millis()).unwrap_or(i32::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(wait_ms));
        channel.queue_declare(self.later.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
        Ok(())
    }

    /// Whether the connection of this channel may look at the dead letters until it ends, or else another one may. RabbitMQ
    /// deletes the queue that tells with the connection it belongs to. After a no the channel is closed.
    pub(super) async fn take_turn(&self, channel: &Channel) -> lapin::Result<bool> {
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let mut kind = FieldTable::default();
        kind.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        match channel.queue_declare(self.turn.as_str().into(), own, kind).await {
            Ok(_) => Ok(true),
            Err(error) if refusal(&error, AMQPSoftError::RESOURCELOCKED).is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The error of [`Names::declare`], with what to do about it where RabbitMQ does not say.
    pub(super) fn explain(&self, error: &lapin::Error) -> String {
        match refusal(error, AMQPSoftError::PRECONDITIONFAILED) {
            Some(refusal) => format!(
                "{}, {} or {} exists with other arguments than this version of chatd declares: {}",
                self.queue,
                self.later,
                self.dead,
                refusal.get_message()
            ),
            None => error.to_string(),
        }
    }
}

/// What RabbitMQ says when it refuses for this reason.
fn refusal(error: &lapin::Error, reason: AMQPSoftError) -> Option<&AMQPError> {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) if *refusal.kind() == AMQPErrorKind::Soft(reason) => Some(refusal),
        _ => None,
    }
}

fn arguments(more: &[(&str, &str)]) -> FieldTable {
    let mut arguments = FieldTable::default();
    for (name, value) in [("x-queue-type", "quorum")].iter().chain(more) {
        arguments.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    arguments
}
