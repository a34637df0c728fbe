//! What an operator asks of the dead letters: which there are, to try them again, and to forget them.
//!
//! Invariant: a dead letter is acknowledged only after it is confirmed in the queue of settlements, and called replayed
//! only after it has left the dead ones.

use bytes::Bytes;
use chat_protocol::AppId;
use lapin::message::Delivery;
use lapin::types::AMQPValue;

use super::link::{Live, Server};
use super::looking::Look;
use super::publishing::{Letter, Publishing, REASON};
use crate::money::settlement::{Dead, QueueError, Settlement};

/// Dead letters looked at for one list.
const MAX_LOOKS: usize = 100_000;

/// The oldest dead letters of an app, and those that cannot be read.
pub(super) async fn list(server: &Server, app: AppId, limit: usize) -> Result<Vec<Dead>, QueueError> {
    find(server, limit, |delivery| app_of(delivery).is_none_or(|of| of == app)).await
}

/// Those of this id.
pub(super) async fn letters(server: &Server, app: AppId, id: &str) -> Result<Vec<Dead>, QueueError> {
    find(server, MAX_LOOKS, |delivery| is_named(delivery, app, id)).await
}

async fn find(
    server: &Server,
    limit: usize,
    wanted: impl Fn(&Delivery) -> bool,
) -> Result<Vec<Dead>, QueueError> {
    let mut look = Look::begin(server).await?;
    let (mut found, mut looked) = (Vec::new(), 0);
    while found.len() < limit && looked < MAX_LOOKS {
        let letters = look.more().await?;
        if letters.is_empty() {
            break;
        }
        looked += letters.len();
        found.extend(letters.into_iter().filter(&wanted).map(letter));
    }
    look.end().await;
    found.truncate(limit);
    Ok(found)
}

/// Puts one dead letter, or all of an app that can be read, back into the queue of settlements.
pub(super) async fn replay(
    server: &Server,
    publishing: &Live<Publishing>,
    app: AppId,
    id: Option<&str>,
) -> Result<u64, QueueError> {
    let wanted = |delivery: &Delivery| match id {
        None => app_of(delivery) == Some(app),
        Some(id) => is_named(delivery, app, id),
    };
    take_out(server, wanted, Some(publishing)).await
}

/// Forgets the dead letters of this id.
pub(super) async fn discard(server: &Server, app: AppId, id: &str) -> Result<u64, QueueError> {
    take_out(server, |delivery| is_named(delivery, app, id), None).await
}

/// Takes letters out of the dead ones, by way of the queue of settlements if there is one to publish.
async fn take_out(
    server: &Server,
    wanted: impl Fn(&Delivery) -> bool,
    publishing: Option<&Live<Publishing>>,
) -> Result<u64, QueueError> {
    let mut look = Look::begin(server).await?;
    let (mut taken, mut first_left) = (0, None);
    loop {
        let letters = look.more().await?;
        if letters.is_empty() {
            break;
        }
        let (wanted, left): (Vec<_>, Vec<_>) = letters.into_iter().partition(&wanted);
        first_left = first_left.or(left.first().map(|delivery| delivery.delivery_tag));
        let put_back = |delivery: Delivery| (delivery.delivery_tag, Letter::new(delivery.data.into()));
        let (ids, letters): (Vec<u64>, Vec<Letter>) = wanted.into_iter().map(put_back).unzip();
        if let Some(publishing) = publishing {
            publishing.put(&server.names.queue, &letters).await?;
        }
        look.acknowledge(ids, first_left).await?;
        taken += letters.len() as u64;
    }
    look.settle().await?;
    look.end().await;
    Ok(taken)
}

fn is_named(delivery: &Delivery, app: AppId, id: &str) -> bool {
    app_of(delivery).is_none_or(|of| of == app) && id_of(delivery) == id
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
