//! Settlements over RabbitMQ.
//!
//! Invariant: a settlement is published when RabbitMQ confirmed it in a durable quorum queue, and gone when it was
//! acknowledged on the channel it came by. Two connections: RabbitMQ stops reading from one that publishes while it
//! is short of memory or disk, and acknowledgements must not wait behind that. Neither connection is trusted to
//! recover: see [`link`]. A question about dead letters has one of its own: see [`looking`].

mod consuming;
mod dead;
mod link;
mod looking;
mod publishing;
mod topology;
mod url;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::AppId;
use tokio::sync::OnceCell;

use self::consuming::Consuming;
use self::link::{Link, Live, Server};
use self::publishing::{Letter, Publishing};
use self::topology::Names;
pub use self::url::check_url;
use crate::engine::redis::keys::Keys;
use crate::money::settlement::{
    Backlog, Dead, DeadLetters, Deliveries, Delivery, Depth, Publish, QueueError, Tag,
};

/// Whether a server that refuses like this may take the same connection later: not when it knows better who may, or
/// holds a queue of this name with other arguments.
#[must_use]
pub fn passes(refused: &str) -> bool {
    !["ACCESS_REFUSED", "ACCESS-REFUSED", "NOT_ALLOWED", "NOT-ALLOWED", "PRECONDITION"]
        .iter()
        .any(|text| refused.contains(text))
}

/// The queues of settlements on one RabbitMQ.
pub struct RabbitQueue {
    server: Arc<Server>,
    publishing: Link<Publishing>,
    /// Opened when somebody reads, so that a node that only publishes holds no deliveries back from the others.
    consuming: OnceCell<Link<Consuming>>,
}

impl RabbitQueue {
    /// Connects and declares the queues.
    ///
    /// # Errors
    /// When the URL is wrong, RabbitMQ cannot be reached, or a queue exists with other arguments.
    pub async fn open(url: &str, keys: &Keys) -> Result<Self, QueueError> {
        let uris = url::parse(url).map_err(QueueError::Unreachable)?;
        let server = Arc::new(Server::new(uris, Names::new(keys)));
        let publishing = Link::open(server.clone()).await?;
        Ok(Self { server, publishing, consuming: OnceCell::new() })
    }

    async fn reading(&self) -> Result<Arc<Live<Consuming>>, QueueError> {
        let link = self.consuming.get_or_try_init(|| Link::open(self.server.clone())).await?;
        link.live().await
    }

    /// By which deliveries came that are not done yet; none while it is being restored.
    fn receiving(&self) -> Option<Arc<Live<Consuming>>> {
        self.consuming.get().and_then(Link::current)
    }
}

#[async_trait]
impl Publish for RabbitQueue {
    async fn publish(&self, bodies: &[Bytes]) -> Result<(), QueueError> {
        let letters: Vec<Letter> = bodies.iter().cloned().map(Letter::new).collect();
        self.publishing.live().await?.put(&self.server.names.queue, &letters).await
    }
}

#[async_trait]
impl Deliveries for RabbitQueue {
    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.reading().await?.receive(&self.server.names.queue, max).await
    }

    /// What came by a channel that has ended is delivered again, and done then.
    async fn done(&self, tags: &[Tag]) -> Result<(), QueueError> {
        match self.receiving() {
            Some(receiving) => receiving.acknowledge(tags).await,
            None => Ok(()),
        }
    }

    /// What came by a channel that has ended is delivered again, and buried then.
    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let receiving = self.receiving().filter(|receiving| receiving.holds(&delivery.tag));
        let Some(receiving) = receiving else { return Ok(()) };
        let letter = Letter::dead(delivery.body.clone(), reason);
        self.publishing.live().await?.put(&self.server.names.dead, &[letter]).await?;
        receiving.acknowledge(std::slice::from_ref(&delivery.tag)).await
    }

    /// What came by a channel that has ended is delivered again anyway.
    async fn later(&self, deliveries: &[Delivery]) -> Result<(), QueueError> {
        let Some(receiving) = self.receiving() else { return Ok(()) };
        let held: Vec<_> = deliveries.iter().filter(|delivery| receiving.holds(&delivery.tag)).collect();
        let letters: Vec<_> = held.iter().map(|delivery| Letter::new(delivery.body.clone())).collect();
        self.publishing.live().await?.put(&self.server.names.later, &letters).await?;
        let tags: Vec<_> = held.into_iter().map(|delivery| delivery.tag.clone()).collect();
        receiving.acknowledge(&tags).await
    }
}

#[async_trait]
impl Backlog for RabbitQueue {
    /// RabbitMQ shows nothing without handing it out.
    async fn waiting(
        &self,
        _: AppId,
        _: Option<&str>,
        _: usize,
    ) -> Result<Option<Vec<(String, Bytes)>>, QueueError> {
        Ok(None)
    }

    /// Received ones are counted where this process received them; dead letters, when nobody looks at them.
    async fn depth(&self) -> Result<Depth, QueueError> {
        let reading = self.reading().await?;
        let dead = looking::untouched(&reading, &self.server.names.dead).await?;
        // In the order of their way: what goes on meanwhile is not missed.
        let later = reading.ready(&self.server.names.later).await?;
        let ready = reading.ready(&self.server.names.queue).await?;
        Ok(Depth { waiting: later + ready + reading.unacknowledged(), dead })
    }
}

#[async_trait]
impl DeadLetters for RabbitQueue {
    async fn dead(&self, app: AppId, limit: usize) -> Result<Vec<Dead>, QueueError> {
        dead::list(&self.server, app, limit).await
    }

    async fn letters(&self, app: AppId, id: &str) -> Result<Vec<Dead>, QueueError> {
        dead::letters(&self.server, app, id).await
    }

    async fn discard(&self, app: AppId, id: &str) -> Result<u64, QueueError> {
        dead::discard(&self.server, app, id).await
    }

    async fn replay(&self, app: AppId, id: Option<&str>) -> Result<u64, QueueError> {
        let publishing = self.publishing.live().await?;
        dead::replay(&self.server, &publishing, app, id).await
    }
}
