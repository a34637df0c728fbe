//! What an operator asks of the dead letters: which there are, and to try them again.
//!
//! Invariant: every question has a channel of its own. A dead letter that was looked at returns to its queue when the
//! channel ends, however it ends; one is acknowledged only after it is confirmed in the queue of settlements.

use bytes::Bytes;
use chat_protocol::AppId;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::AMQPValue;

use super::consuming::Consuming;
use super::link::{ANSWER_TIMEOUT, Live};
use super::publishing::{Letter, Publishing, REASON};
use super::topology::Names;
use crate::money::settlement::{Dead, QueueError, Settlement};

/// Dead letters looked at for one question.
const MAX_LOOKS: u64 = 10_000;

/// The oldest dead letters of an app, and those that cannot be read.
pub(super) async fn list(
    live: &Live<Consuming>,
    names: &Names,
    app: AppId,
    limit: usize,
) -> Result<Vec<Dead>, QueueError> {
    let channel = open(live).await?;
    let mut found = Vec::new();
    for _ in 0..live.ready(&names.dead).await?.min(MAX_LOOKS) {
        if found.len() == limit {
            break;
        }
        let Some(delivery) = next(live, &channel, &names.dead).await? else { break };
        if app_of(&delivery).is_none_or(|of| of == app) {
            found.push(letter(delivery));
        }
    }
    close(live, &channel).await?;
    Ok(found)
}

/// Puts one dead letter, or all of an app that can be read, back into the queue of settlements.
pub(super) async fn replay(
    live: &Live<Consuming>,
    publishing: &Live<Publishing>,
    names: &Names,
    app: AppId,
    id: Option<&str>,
) -> Result<u64, QueueError> {
    let channel = open(live).await?;
    let mut replayed = 0;
    for _ in 0..live.ready(&names.dead).await?.min(MAX_LOOKS) {
        let Some(delivery) = next(live, &channel, &names.dead).await? else { break };
        let wanted = match (app_of(&delivery), id) {
            (Some(of), None) => of == app,
            (of, Some(id)) => of.is_none_or(|of| of == app) && id_of(&delivery) == id,
            (None, None) => false,
        };
        if wanted {
            let tag = delivery.delivery_tag;
            publishing.put(&names.queue, &[Letter::new(delivery.data.into())]).await?;
            live.answer(ANSWER_TIMEOUT, channel.basic_ack(tag, BasicAckOptions::default())).await?;
            replayed += 1;
        }
    }
    close(live, &channel).await?;
    Ok(replayed)
}

async fn open(live: &Live<Consuming>) -> Result<Channel, QueueError> {
    live.answer(ANSWER_TIMEOUT, live.connection.create_channel()).await
}

async fn close(live: &Live<Consuming>, channel: &Channel) -> Result<(), QueueError> {
    live.answer(ANSWER_TIMEOUT, channel.close(200, "done".into())).await
}

async fn next(
    live: &Live<Consuming>,
    channel: &Channel,
    queue: &str,
) -> Result<Option<Delivery>, QueueError> {
    let answer = channel.basic_get(queue.into(), BasicGetOptions::default());
    Ok(live.answer(ANSWER_TIMEOUT, answer).await?.map(|message| message.delivery))
}

fn app_of(delivery: &Delivery) -> Option<AppId> {
    serde_json::from_slice::<Settlement>(&delivery.data).ok().map(|settlement| settlement.app)
}

fn id_of(delivery: &Delivery) -> &str {
    delivery.properties.message_id().as_ref().map_or("unnamed", |id| id.as_str())
}

fn letter(delivery: Delivery) -> Dead {
    let headers = delivery.properties.headers().as_ref();
    let reason = headers.and_then(|headers| headers.inner().get(REASON));
    let reason = match reason {
        Some(AMQPValue::LongString(reason)) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        _ => "given up by RabbitMQ".to_owned(),
    };
    Dead { id: id_of(&delivery).to_owned(), reason, body: Bytes::from(delivery.data) }
}
