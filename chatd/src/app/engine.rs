//! The engines: which adapters stand together.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::task::JoinHandle;

use super::Base;
use crate::bans::Bans;
use crate::broker::{Broker, BrokerError, Retention};
use crate::config::{Config, LedgerPlace};
use crate::conversations::Conversations;
use crate::counters::links::Links;
use crate::engine::redis::bans::RedisBans;
use crate::engine::redis::broker::RedisBroker;
use crate::engine::redis::conversations::RedisConversations;
use crate::engine::redis::files::RedisFiles;
use crate::engine::redis::friends::RedisFriends;
use crate::engine::redis::groups::RedisGroups;
use crate::engine::redis::keys::Keys;
use crate::engine::redis::link;
use crate::engine::redis::packets::RedisPackets;
use crate::engine::redis::presence::RedisPresence;
use crate::engine::redis::queue::{RedisQueue, TAKEN_OVER_AFTER};
use crate::engine::redis::site::{self, Address};
use crate::engine::redis::worlds::RedisWorlds;
use crate::engine::sqlite::Place;
use crate::engine::sqlite::bans::EmbeddedBans;
use crate::engine::sqlite::broker::Embedded;
use crate::engine::sqlite::conversations::EmbeddedConversations;
use crate::engine::sqlite::files::EmbeddedFiles;
use crate::engine::sqlite::friends::EmbeddedFriends;
use crate::engine::sqlite::groups::EmbeddedGroups;
use crate::engine::sqlite::money_file::MoneyFile;
use crate::engine::sqlite::packets::EmbeddedPackets;
use crate::engine::sqlite::presence::EmbeddedPresence;
use crate::engine::sqlite::queue::EmbeddedQueue;
use crate::engine::sqlite::worlds::EmbeddedWorlds;
use crate::files::Records;
use crate::friends::{self, Friends};
use crate::groups::{self, Groups};
use crate::money::packets::Packets;
use crate::money::settlement::Queue;
use crate::presence::{Announcer, Presence};
use crate::worlds::Worlds;

/// The adapters of one engine.
pub(super) struct Engine {
    pub(super) name: &'static str,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) presence: Arc<dyn Presence>,
    pub(super) groups: Arc<dyn Groups>,
    pub(super) friends: Arc<dyn Friends>,
    pub(super) conversations: Arc<dyn Conversations>,
    pub(super) bans: Arc<dyn Bans>,
    pub(super) files: Arc<dyn Records>,
    pub(super) worlds: Arc<dyn Worlds>,
    /// None without a ledger.
    pub(super) purse: Option<Purse>,
    /// Looks at the server behind it.
    pub(super) watch: Option<JoinHandle<()>>,
    /// How its connections do, where it has any.
    pub(super) links: Option<&'static Links>,
}

/// The part of an engine that is about money.
pub(super) struct Purse {
    pub(super) packets: Arc<dyn Packets>,
    pub(super) outbox: Arc<dyn Queue>,
}

/// Opens the engine that is asked for.
///
/// # Errors
/// For the operator: what could not be opened.
pub(super) async fn open(config: &Config, base: &Base) -> anyhow::Result<Engine> {
    if config.serve.redis.is_empty() { embedded(config, base) } else { redis(config, base).await }
}

fn embedded(config: &Config, base: &Base) -> anyhow::Result<Engine> {
    let place = place(config);
    let (clock, sink) = (base.clock.clone(), base.router.clone());
    let broker = Embedded::open(&place, config.storage.sync, retention(config), clock, sink);
    let broker = broker.map_err(|error| anyhow!(error))?;
    base.files.add(broker.clone());
    let groups: Arc<dyn Groups> = Arc::new(EmbeddedGroups::new(broker.clone(), groups(config)));
    let file = MoneyFile::open(&place, base.clock.clone()).map_err(|error| anyhow!(error))?;
    base.files.add(file.clone());
    let purse = Purse {
        packets: Arc::new(EmbeddedPackets::new(file.clone(), groups.clone())),
        outbox: Arc::new(EmbeddedQueue::new(file)),
    };
    Ok(Engine {
        name: "embedded",
        broker: broker.clone(),
        presence: Arc::new(EmbeddedPresence::new(broker.clone(), announcer(config, base))),
        groups,
        purse: Some(purse),
        friends: Arc::new(EmbeddedFriends::new(broker.clone(), friends(config))),
        bans: Arc::new(EmbeddedBans::new(broker.clone(), base.clock.clone())),
        files: Arc::new(EmbeddedFiles::new(broker.clone(), base.clock.clone())),
        worlds: Arc::new(EmbeddedWorlds::new(broker.clone())),
        conversations: Arc::new(EmbeddedConversations::new(broker)),
        watch: None,
        links: None,
    })
}

async fn redis(config: &Config, base: &Base) -> anyhow::Result<Engine> {
    let address = Address::new(config.serve.redis.expose(), config.serve.redis_wait);
    let waiting = base.waiting;
    let place = format!("Redis at {}", config.serve.redis);
    let unreachable = || format!("cannot use {place}; is it running?");
    let keys = keys(config)?;
    let (clock, counters, sink) = (base.clock.clone(), base.counters.clone(), base.router.clone());
    let connect = async || {
        let (clock, counters, sink) = (clock.clone(), counters.clone(), sink.clone());
        let broker = RedisBroker::connect(
            address.clone(),
            keys.clone(),
            base.node,
            retention(config),
            clock,
            counters,
            sink,
        );
        let broker = broker.await?;
        let manner = broker.manner().await?;
        Ok((broker, manner))
    };
    let passes = |error: &BrokerError| matches!(error, BrokerError::Unreachable(why) if link::passes(why));
    let (broker, manner) = waiting.open(&place, connect, passes).await.with_context(unreachable)?;
    if let Some(policy) = manner.drops().filter(|_| !config.serve.allow_eviction) {
        return Err(anyhow!(
            "{place} drops keys when it is full (maxmemory-policy {policy}): messages would go without a word; \
             set maxmemory-policy noeviction, or say --allow-eviction if that is meant"
        ));
    }
    manner.warn();
    let purse = match config.ledger().map_err(|error| anyhow!(error))? {
        LedgerPlace::None => None,
        _ => Some(Purse {
            packets: RedisPackets::new(&broker),
            outbox: waiting
                .open(
                    &place,
                    async || RedisQueue::connect(address.clone(), keys.clone(), TAKEN_OVER_AFTER).await,
                    |_| true,
                )
                .await
                .with_context(unreachable)?,
        }),
    };
    let present = async || {
        RedisPresence::connect(address.clone(), keys.clone(), base.node, announcer(config, base)).await
    };
    let presence = waiting.open(&place, present, |_| true).await.with_context(unreachable)?;
    Ok(Engine {
        name: "redis",
        purse,
        presence,
        groups: RedisGroups::new(&broker, groups(config)),
        friends: RedisFriends::new(&broker, friends(config)),
        bans: Arc::new(RedisBans::new(&broker)),
        files: Arc::new(RedisFiles::new(&broker)),
        worlds: Arc::new(RedisWorlds::new(&broker)),
        conversations: RedisConversations::new(&broker),
        watch: Some(broker.watch_manner(manner)),
        links: Some(link::links()),
        broker,
    })
}

/// Names in Redis and RabbitMQ.
pub(super) fn keys(config: &Config) -> anyhow::Result<Keys> {
    let (keys, url) = (Keys::new(&config.serve.redis_prefix)?, config.serve.redis.expose());
    if url.is_empty() {
        return Ok(keys);
    }
    let site = site::read(&url.into()).map_err(|error| anyhow!(error))?;
    Ok(keys.in_database(site.database()))
}

/// Where the embedded engine keeps its files.
pub(super) fn place(config: &Config) -> Place {
    let directory = config.serve.data_dir.clone();
    if config.serve.ephemeral { Place::Memory } else { Place::Directory(directory) }
}

fn groups(config: &Config) -> groups::Limits {
    let members = match config.limits.members_per_group {
        0 => u64::MAX,
        members => members,
    };
    groups::Limits { groups: config.limits.groups_per_user, members }
}

fn friends(config: &Config) -> friends::Limits {
    friends::Limits { requests: config.limits.requests_per_user, friends: config.limits.friends_per_user }
}

fn announcer(config: &Config, base: &Base) -> Announcer {
    Announcer { limit: config.presence.announce_limit, clock: base.clock.clone() }
}

fn retention(config: &Config) -> Retention {
    Retention { max_messages: config.history.max_messages, max_age_ms: config.history.max_age.millis() }
}
