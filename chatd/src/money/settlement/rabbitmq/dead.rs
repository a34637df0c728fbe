//! What an operator asks of the dead letters: which there are, and to try them again.
//!
//! Invariant: every question has a channel of its own. A dead letter that was looked at returns to its queue when the
//! channel ends, however it ends; one is acknowledged only after it is confirmed in the queue of settlements.

use std::time::Duration;

use bytes::Bytes;
use chat_protocol::AppId;
use futures_util::future::try_join_all;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::BasicGetOptions;
use lapin::types::AMQPValue;
use tokio::time::sleep;

use super::consuming::{Consuming, acknowledgements};
use super::link::{ANSWER_TIMEOUT, Live};
use super::publishing::{Letter, Publishing, REASON};
use super::topology::Names;
use crate::money::settlement::{BATCH, Dead, QueueError, Settlement};

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
    let held = live.ready(&names.dead).await?;
    let mut found = Vec::new();
    for _ in 0..held.min(MAX_LOOKS) {
        if found.len() == limit {
            break;
        }
        let Some(delivery) = next(live, &channel, &names.dead).await? else { break };
        if app_of(&delivery).is_none_or(|of| of == app) {
            found.push(letter(delivery));
        }
    }
    give_back(live, &channel, &names.dead, held).await?;
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
    let held = live.ready(&names.dead).await?;
    let (mut replayed, mut batch, mut first_left) = (0, Vec::new(), None);
    for _ in 0..held.min(MAX_LOOKS) {
        let Some(delivery) = next(live, &channel, &names.dead).await? else { break };
        let wanted = match (app_of(&delivery), id) {
            (Some(of), None) => of == app,
            (of, Some(id)) => of.is_none_or(|of| of == app) && id_of(&delivery) == id,
            (None, None) => false,
        };
        if wanted {
            batch.push((delivery.delivery_tag, Letter::new(delivery.data.into())));
        } else {
            first_left = first_left.or(Some(delivery.delivery_tag));
        }
        if batch.len() == BATCH {
            let batch = std::mem::take(&mut batch);
            replayed += put_back(live, publishing, &channel, names, batch, first_left).await?;
        }
    }
    replayed += put_back(live, publishing, &channel, names, batch, first_left).await?;
    give_back(live, &channel, &names.dead, held - replayed).await?;
    Ok(replayed)
}

async fn put_back(
    live: &Live<Consuming>,
    publishing: &Live<Publishing>,
    channel: &Channel,
    names: &Names,
    batch: Vec<(u64, Letter)>,
    first_left: Option<u64>,
) -> Result<u64, QueueError> {
    let (ids, letters): (Vec<u64>, Vec<Letter>) = batch.into_iter().unzip();
    publishing.put(&names.queue, &letters).await?;
    let acks = acknowledgements(ids, first_left).into_iter();
    let acks = acks.map(|(id, options)| channel.basic_ack(id, options));
    live.answer(ANSWER_TIMEOUT, try_join_all(acks)).await?;
    Ok(letters.len() as u64)
}

async fn open(live: &Live<Consuming>) -> Result<Channel, QueueError> {
    live.answer(ANSWER_TIMEOUT, live.connection.create_channel()).await
}

/// Ends the channel and waits a little until what it had looked at is in the queue again, for the next question.
async fn give_back(
    live: &Live<Consuming>,
    channel: &Channel,
    queue: &str,
    held: u64,
) -> Result<(), QueueError> {
    live.answer(ANSWER_TIMEOUT, channel.close(200, "done".into())).await?;
    for _ in 0..100 {
        if live.ready(queue).await? >= held {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
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
