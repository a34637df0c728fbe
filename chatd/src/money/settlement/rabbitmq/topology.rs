//! What chatd declares in RabbitMQ: a queue of settlements, and one of dead letters behind an exchange.
//!
//! Invariant: both queues survive a restart, are replicated where RabbitMQ is a cluster, drop nothing on their own, and
//! are refused rather than used when they exist with other arguments.
//!
//! RabbitMQ before 3.13.3 writes down that a new queue exists only half a second after it said so; killed before that, it
//! forgets the queue with all that was confirmed in it.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind, ExchangeKind};

use crate::keys::Keys;

/// Deliveries of one message after which RabbitMQ takes it for poison: in effect never. Its default, 20 from version
/// 4 on, would drop a dead letter that an operator looked at twenty times.
const DELIVERY_LIMIT: i32 = 1_000_000_000;

/// Names of the queues.
pub(super) struct Names {
    pub(super) queue: String,
    /// Of the exchange as well.
    pub(super) dead: String,
}

impl Names {
    pub(super) fn new(keys: &Keys) -> Self {
        Self { queue: keys.amqp_settlements(), dead: keys.amqp_dead_settlements() }
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
        Ok(())
    }

    /// The error of [`Names::declare`], with what to do about it where RabbitMQ does not say.
    pub(super) fn explain(&self, error: &lapin::Error) -> String {
        let other = AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
        match error.kind() {
            ErrorKind::ProtocolError(refusal) if *refusal.kind() == other => format!(
                "{} or {} exists with other arguments than this version of chatd declares: {}",
                self.queue,
                self.dead,
                refusal.get_message()
            ),
            _ => error.to_string(),
        }
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
