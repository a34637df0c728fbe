//! How much anybody may ask of this node: connections and rates, by connection, user and address.
//!
//! Invariant: all that refuses reads the settings in force from one shared place, where they can be replaced at any
//! time; a limit that is off costs one comparison. A refusal names the setting and its value, in words and in members,
//! is counted, and says when to come back, if time helps.

mod bucket;
mod changing;
mod network;
mod showing;
mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chat_protocol::{AppId, Code, Refusal};
use parking_lot::Mutex;

pub use self::bucket::Bucket;
use self::bucket::Pace;
pub use self::changing::Changes;
use self::network::Network;
use self::table::{Passing, Table};
use crate::config::{Limits, Rate};
use crate::counters::{Counters, Limit};
use crate::model::Identity;
use crate::money::Allowance;

/// The limits in force, and what they are compared with.
#[derive(Debug)]
pub struct Quotas {
    started: Instant,
    counters: Arc<Counters>,
    /// For words; what is compared stands beside it.
    settings: Mutex<Arc<Limits>>,
    /// Whether there is a rate of connections or users.
    paces_sessions: AtomicBool,
    per_connection: Pace,
    per_user: Pace,
    connects: Pace,
    http: Pace,
    /// Open connections of an address; 0 for any number.
    connections_per_address: AtomicU32,
    /// Connections of a user; 0 for any number.
    connections_per_user: AtomicU32,
    /// Apps that there may be; 0 for any number.
    max_apps: AtomicU64,
    users: Table<Identity, User>,
    addresses: Table<Network, Address>,
}

/// What is remembered of a user who asked for something lately.
#[derive(Debug, Default)]
pub struct User {
    requests: Bucket,
    /// Connections that are logged in, or on their way in.
    connections: AtomicU32,
}

/// What is remembered of an address.
#[derive(Debug, Default)]
struct Address {
    connects: Bucket,
    http: Bucket,
    open: AtomicU32,
}

/// A connection of a user, until dropped.
#[derive(Debug)]
pub struct Device(Arc<User>);

/// An open connection of an address, until dropped.
#[derive(Debug)]
pub struct Visit(Arc<Address>);

impl Passing for User {
    fn is_as_new(&self, now_ns: u64) -> bool {
        self.requests.is_full(now_ns)
    }
}

impl Passing for Address {
    fn is_as_new(&self, now_ns: u64) -> bool {
        self.connects.is_full(now_ns) && self.http.is_full(now_ns)
    }
}

impl Device {
    /// Whose it is.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.0
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Quotas {
    /// These limits.
    #[must_use]
    pub fn new(settings: &Limits, counters: Arc<Counters>) -> Arc<Self> {
        let quotas = Self {
            started: Instant::now(),
            counters,
            settings: Mutex::new(Arc::new(settings.clone())),
            paces_sessions: AtomicBool::new(false),
            per_connection: Pace::default(),
            per_user: Pace::default(),
            connects: Pace::default(),
            http: Pace::default(),
            connections_per_address: AtomicU32::new(0),
            connections_per_user: AtomicU32::new(0),
            max_apps: AtomicU64::new(0),
            users: Table::default(),
            addresses: Table::default(),
        };
        quotas.set(settings);
        Arc::new(quotas)
    }

    /// From now on these limits are in force.
    pub fn set(&self, settings: &Limits) {
        *self.settings.lock() = Arc::new(settings.clone());
        self.per_connection.set(settings.rate_per_connection, settings.burst_per_connection);
        self.per_user.set(settings.rate_per_user, settings.burst_per_user);
        self.connects.set(settings.connect_rate_per_address, settings.connect_burst_per_address);
        self.http.set(settings.http_rate_per_address, settings.http_burst_per_address);
        self.connections_per_address.store(settings.connections_per_address, Relaxed);
        self.connections_per_user.store(settings.connections_per_user, Relaxed);
        self.max_apps.store(settings.max_apps, Relaxed);
        self.paces_sessions.store(self.per_connection.is_limit() || self.per_user.is_limit(), Relaxed);
    }

    /// The limits in force.
    #[must_use]
    pub fn settings(&self) -> Arc<Limits> {
        self.settings.lock().clone()
    }

    /// Whether requests of one connection, or of one user, have a rate.
    pub fn paces_sessions(&self) -> bool {
        self.paces_sessions.load(Relaxed)
    }

    /// Whether requests of one user have a rate.
    pub fn paces_users(&self) -> bool {
        self.per_user.is_limit()
    }

    /// Whether connections of one user are counted.
    pub fn counts_connections(&self) -> bool {
        self.connections_per_user.load(Relaxed) > 0
    }

    /// Whether a user has room for one more connection and so many others.
    pub fn has_room(&self, identity: &Identity, others: u64) -> bool {
        let here = self.user(identity, Instant::now()).connections.load(Relaxed);
        u64::from(here) + others < u64::from(self.connections_per_user.load(Relaxed))
    }

    /// One more connection of a user, who is on so many other nodes.
    ///
    /// # Errors
    /// [`Code::RefusedByRule`] when there are as many as may be.
    pub fn user_enters(&self, identity: &Identity, elsewhere: u64) -> Result<Device, Refusal> {
        let user = self.user(identity, Instant::now());
        let most = self.connections_per_user.load(Relaxed);
        let Err(here) = one_more(&user.connections, most, elsewhere) else { return Ok(Device(user)) };
        let limit = Limit::ConnectionsPerUser;
        let reason = format!(
            "the user has {here} connections on this node and some on {elsewhere} others (limits.{} = {most}); close one first",
            limit.name()
        );
        Err(self.refuse(limit, Refusal::new(Code::RefusedByRule, reason)))
    }

    /// What is remembered of a user.
    pub fn user(&self, identity: &Identity, now: Instant) -> Arc<User> {
        self.users.of(identity, self.ns(now))
    }

    /// A request over the connection whose bucket this is.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`] when there were too many.
    pub fn connection_asks(&self, bucket: &Bucket, now: Instant) -> Result<(), Refusal> {
        bucket.take(&self.per_connection, self.ns(now)).map_err(|wait_ns| {
            let settings = self.settings();
            let (rate, burst) = (settings.rate_per_connection, settings.burst_per_connection);
            self.too_fast(Limit::RatePerConnection, "over this connection", (rate, burst), wait_ns)
        })
    }

    /// A request of a user.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`] when there were too many.
    pub fn user_asks(&self, user: &User, now: Instant) -> Result<(), Refusal> {
        user.requests.take(&self.per_user, self.ns(now)).map_err(|wait_ns| {
            let settings = self.settings();
            let (rate, burst) = (settings.rate_per_user, settings.burst_per_user);
            self.too_fast(Limit::RatePerUser, "of this user", (rate, burst), wait_ns)
        })
    }

    /// An operation over HTTP, by whoever is not beyond these limits.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`] when there were too many.
    pub fn address_asks(&self, address: IpAddr) -> Result<(), Refusal> {
        if !self.http.is_limit() {
            return Ok(());
        }
        let (network, now_ns) = (Network::from(address), self.ns(Instant::now()));
        self.addresses.of(&network, now_ns).http.take(&self.http, now_ns).map_err(|wait_ns| {
            let settings = self.settings();
            let (rate, burst) = (settings.http_rate_per_address, settings.http_burst_per_address);
            let of = format!("over HTTP from {network}");
            self.too_fast(Limit::HttpRatePerAddress, &of, (rate, burst), wait_ns)
        })
    }

    /// Whether connections of one address are counted, or have a rate.
    pub fn counts_addresses(&self) -> bool {
        self.connections_per_address.load(Relaxed) > 0 || self.connects.is_limit()
    }

    /// A new connection of an address. None while such are not counted.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`] when there are too many, or were too many of late.
    pub fn address_enters(&self, address: IpAddr) -> Result<Option<Visit>, Refusal> {
        if !self.counts_addresses() {
            return Ok(None);
        }
        let most = self.connections_per_address.load(Relaxed);
        let (network, now_ns) = (Network::from(address), self.ns(Instant::now()));
        let entry = self.addresses.of(&network, now_ns);
        entry.connects.take(&self.connects, now_ns).map_err(|wait_ns| {
            let settings = self.settings();
            let (rate, burst) = (settings.connect_rate_per_address, settings.connect_burst_per_address);
            let of = format!("to connect from {network}");
            self.too_fast(Limit::ConnectRatePerAddress, &of, (rate, burst), wait_ns)
        })?;
        if let Err(open) = one_more(&entry.open, most, 0) {
            let limit = Limit::ConnectionsPerAddress;
            let reason = format!(
                "{network} has {open} connections open (limits.{} = {most}); close one first",
                limit.name()
            );
            return Err(self.refuse(limit, Refusal::new(Code::TooManyRequests, reason)));
        }
        Ok(Some(Visit(entry)))
    }

    /// Apps that there may be; none for any number.
    #[must_use]
    pub fn max_apps(&self) -> Option<u64> {
        Some(self.max_apps.load(Relaxed)).filter(|most| *most > 0)
    }

    /// The refusal of one more app.
    #[must_use]
    pub fn too_many_apps(&self, app: AppId) -> Refusal {
        let (limit, most) = (Limit::MaxApps, self.max_apps.load(Relaxed));
        let reason = format!(
            "there are as many apps as may be (limits.{} = {most}), and {app} is none of them",
            limit.name()
        );
        self.refuse(limit, Refusal::new(Code::RefusedByRule, reason))
    }

    /// Forgets whom nothing is known of that matters. Called every second or so.
    pub fn sweep(&self) {
        let now_ns = self.ns(Instant::now());
        self.users.sweep(now_ns);
        self.addresses.sweep(now_ns);
    }

    /// Counts that a limit refused something.
    pub fn count(&self, limit: Limit) {
        self.counters.refused.by(limit).add(1);
    }

    /// What an error is answered with, as [`Quotas::refuse`] has it if a limit made it.
    pub fn noted(&self, limit: Option<Limit>, error: impl Into<Refusal>) -> Refusal {
        match limit {
            Some(limit) => self.refuse(limit, error.into()),
            None => error.into(),
        }
    }

    /// Counts a refusal, which names its limit and what that allows from here on.
    pub fn refuse(&self, limit: Limit, refusal: Refusal) -> Refusal {
        self.count(limit);
        let reached = showing::reached(&self.settings(), limit);
        Refusal { limit: Some(Box::new(reached)), ..refusal }
    }

    fn too_fast(&self, limit: Limit, of: &str, (rate, burst): (Rate, u32), wait_ns: u64) -> Refusal {
        let wait_ms = wait_ns.div_ceil(1_000_000);
        let reason = format!(
            "too many requests {of} (limits.{} = {}); wait {wait_ms} ms",
            limit.name(),
            showing::rate(rate, burst)
        );
        let refusal = Refusal::new(Code::TooManyRequests, reason);
        self.refuse(limit, Refusal { retry_after_ms: Some(wait_ms), ..refusal })
    }

    /// Nanoseconds of this node's clock, which only goes forward.
    fn ns(&self, now: Instant) -> u64 {
        let since: Duration = now.saturating_duration_since(self.started);
        since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos()))
    }
}

impl Allowance for Quotas {
    fn most_open(&self) -> u64 {
        match self.settings().open_red_packets_per_user {
            0 => u64::MAX,
            most => most,
        }
    }

    fn too_many_open(&self, open: u64) -> Refusal {
        let (limit, most) = (Limit::OpenRedPacketsPerUser, self.settings().open_red_packets_per_user);
        let reason = format!(
            "{open} red packets of this user are open (limits.{} = {most}); one ends when all of it is taken, or what is \
             left of it has gone back",
            limit.name()
        );
        self.refuse(limit, Refusal::new(Code::RefusedByRule, reason))
    }
}

/// Counts one more unless there are, with these others, `most` already; 0 is any number.
fn one_more(count: &AtomicU32, most: u32, others: u64) -> Result<u32, u32> {
    let fits = |count: u32| most == 0 || u64::from(count).saturating_add(others) < u64::from(most);
    count.fetch_update(Relaxed, Relaxed, |count| fits(count).then(|| count + 1))
}
