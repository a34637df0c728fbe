//! What two looks at the nodes mean: one line a node, and all of them together.
//!
//! Invariant: a rate is of the time between the two looks at that node; one that was not there before, or counts anew,
//! has none.

use std::collections::BTreeMap;

use chat_protocol::node::Node;

use super::gather::Told;
use super::samples::{Buckets, Samples};

/// What one node does.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is.
    pub node: Node,
    /// Why it tells nothing more; none when it does.
    pub silent: Option<String>,
    /// Connections.
    pub open: f64,
    /// Connections at most.
    pub room: f64,
    /// Users.
    pub users: f64,
    /// Messages into a log, a second.
    pub messages: Option<f64>,
    /// Frames into queues, a second.
    pub deliveries: Option<f64>,
    /// Requests over HTTP and WebSocket, a second.
    pub requests: Option<f64>,
    /// Lag of a delivery, the 99th percentile, in seconds.
    pub lag: Option<f64>,
    /// Bytes that wait for readers.
    pub waiting: f64,
    /// Readers given up since the node began.
    pub slow: f64,
    /// Time of Redis, the 99th percentile, in seconds.
    pub redis: Option<f64>,
    /// What limits refused, a second.
    pub refused: Option<f64>,
    /// Cores that are busy.
    pub cpu: Option<f64>,
    /// Bytes of memory.
    pub memory: f64,
}

/// What all nodes do together.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Nodes, and how many of them tell nothing.
    pub nodes: (usize, usize),
    /// Connections, and how many there may be.
    pub open: (f64, f64),
    /// Users, counted on each node they are on.
    pub users: f64,
    /// As of a [`Row`].
    pub messages: f64,
    /// As of a [`Row`].
    pub deliveries: f64,
    /// As of a [`Row`].
    pub requests: f64,
    /// As of a [`Row`].
    pub lag: Option<f64>,
    /// As of a [`Row`].
    pub waiting: f64,
    /// Readers given up since the nodes began.
    pub slow: f64,
    /// Settlements not done, of all nodes; none without a ledger.
    pub settlements: Option<f64>,
    /// The age of the oldest of them, in seconds.
    pub oldest: f64,
    /// Settlements given up.
    pub dead_letters: f64,
    /// Whether the engine is Redis.
    pub has_redis: bool,
    /// As of a [`Row`].
    pub redis: Option<f64>,
    /// Commands that failed since the nodes began.
    pub redis_failures: f64,
    /// Connections to Redis that are being restored.
    pub redis_down: f64,
    /// What each limit refuses a second, if anything.
    pub limits: BTreeMap<String, f64>,
}

const CLOSES: [&str; 3] =
    ["chatd_slow_closes_total", "chatd_stalled_closes_total", "chatd_shed_closes_total"];

/// A line for each node, in the order of their names, and what they do together.
#[must_use]
pub fn rows(now: &[Told], before: &[Told]) -> (Vec<Row>, Totals) {
    let mut totals = Totals::default();
    let (mut lag, mut redis) = (Buckets::default(), Buckets::default());
    let rows = now.iter().map(|told| {
        let earlier = before.iter().find(|earlier| earlier.node.node_id == told.node.node_id);
        let earlier = earlier.and_then(|earlier| Some((earlier.samples.as_ref().ok()?, earlier.at)));
        let row = match (&told.samples, earlier) {
            (Err(why), _) => silent(told, why),
            (Ok(samples), None) => row(&told.node, samples, None),
            (Ok(samples), Some((earlier, at))) => {
                let seconds = told.at.saturating_duration_since(at).as_secs_f64();
                lag.join(&samples.delivery.since(&earlier.delivery));
                redis.join(&samples.redis.since(&earlier.redis));
                totals.refuse(samples, earlier, seconds);
                row(&told.node, samples, Some((earlier, seconds)))
            }
        };
        totals.add(&row, told.samples.as_deref().ok());
        row
    });
    let rows = rows.collect();
    (totals.lag, totals.redis) = (lag.p99(), redis.p99());
    (rows, totals)
}

/// All that is known of it is what it told the others.
fn silent(told: &Told, why: &str) -> Row {
    #[expect(clippy::cast_precision_loss, reason = "no node has 2^52 connections")]
    let (open, users) = (told.node.connections as f64, told.node.users as f64);
    let row = row(&told.node, &Samples::default(), None);
    Row { silent: Some(why.to_owned()), open, users, ..row }
}

fn row(node: &Node, now: &Samples, before: Option<(&Samples, f64)>) -> Row {
    let sum = |samples: &Samples, names: &[&str]| names.iter().map(|name| samples.of(name)).sum::<f64>();
    let rate = |names: &[&str]| {
        let (before, seconds) = before?;
        let more = sum(now, names) - sum(before, names);
        (more >= 0.0 && seconds > 0.0).then(|| more / seconds)
    };
    let refused = before.filter(|(_, seconds)| *seconds > 0.0);
    let refused = refused.map(|(before, seconds)| (limits(now) - limits(before)).max(0.0) / seconds);
    Row {
        node: node.clone(),
        silent: None,
        open: now.of("chatd_connections"),
        room: now.of("chatd_max_connections"),
        users: now.of("chatd_users_online"),
        messages: rate(&["chatd_messages_total"]),
        deliveries: rate(&["chatd_deliveries_total"]),
        requests: rate(&["chatd_http_requests_total", "chatd_websocket_requests_total"]),
        lag: before.and_then(|(before, _)| now.delivery.since(&before.delivery).p99()),
        waiting: now.of("chatd_queued_bytes"),
        slow: sum(now, &CLOSES),
        redis: before.and_then(|(before, _)| now.redis.since(&before.redis).p99()),
        refused,
        cpu: rate(&["process_cpu_seconds_total"]),
        memory: now.of("process_resident_memory_bytes"),
    }
}

fn limits(samples: &Samples) -> f64 {
    samples.limits.values().sum()
}

impl Totals {
    fn add(&mut self, row: &Row, samples: Option<&Samples>) {
        self.nodes.0 += 1;
        self.nodes.1 += usize::from(row.silent.is_some());
        self.open.0 += row.open;
        self.open.1 += row.room;
        self.users += row.users;
        self.messages += row.messages.unwrap_or_default();
        self.deliveries += row.deliveries.unwrap_or_default();
        self.requests += row.requests.unwrap_or_default();
        self.waiting += row.waiting;
        self.slow += row.slow;
        let Some(samples) = samples else { return };
        if samples.has("chatd_settlements_waiting") {
            // Each node tells it of all.
            let waiting = samples.of("chatd_settlements_waiting");
            self.settlements = Some(self.settlements.map_or(waiting, |known| known.max(waiting)));
        }
        self.oldest = self.oldest.max(samples.of("chatd_settlement_oldest_seconds"));
        self.dead_letters = self.dead_letters.max(samples.of("chatd_dead_letters"));
        self.has_redis |= samples.has("chatd_redis_connections_down");
        self.redis_failures += samples.of("chatd_redis_failures_total");
        self.redis_down += samples.of("chatd_redis_connections_down");
    }

    fn refuse(&mut self, now: &Samples, before: &Samples, seconds: f64) {
        for (limit, count) in &now.limits {
            let more = count - before.limits.get(limit).copied().unwrap_or_default();
            if more > 0.0 && seconds > 0.0 {
                *self.limits.entry(limit.clone()).or_default() += more / seconds;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    /// A node that told this so many seconds after the first look.
    pub fn told(name: &str, begun: Instant, seconds: u64, metrics: Result<&str, &str>) -> Told {
        let node = Node {
            node_id: name.to_owned(),
            host: "host".to_owned(),
            address: "127.0.0.1:8080".to_owned(),
            version: "0.1.0".to_owned(),
            since: 0,
            connections: 7,
            users: 6,
            draining: false,
            last_heard: 0,
        };
        let samples = metrics.map(|page| Arc::new(Samples::read(page))).map_err(ToOwned::to_owned);
        Told { node, samples, at: begun + Duration::from_secs(seconds) }
    }

    #[test]
    fn a_rate_is_of_the_time_between_two_looks() {
        let begun = Instant::now();
        let page = |messages: u32, refused: u32| {
            format!(
                "chatd_connections 5\nchatd_messages_total {messages}\n\
                 chatd_limit_refusals_total{{limit=\"max_connections\"}} {refused}\n\
                 chatd_settlements_waiting 3\nchatd_redis_connections_down 1\n"
            )
        };
        let before = [told("a", begun, 0, Ok(&page(10, 0))), told("b", begun, 0, Ok(&page(90, 0)))];
        let now = [told("a", begun, 2, Ok(&page(30, 4))), told("b", begun, 4, Ok(&page(10, 0)))];
        let (rows, totals) = rows(&now, &before);
        assert_eq!((rows[0].messages, rows[0].refused), (Some(10.0), Some(2.0)));
        assert_eq!(rows[1].messages, None, "it counts anew");
        assert_eq!((totals.messages, totals.open.0, totals.settlements), (10.0, 10.0, Some(3.0)));
        assert_eq!((totals.redis_down, totals.limits["max_connections"]), (2.0, 2.0));
    }

    #[test]
    fn who_says_nothing_keeps_its_line() {
        let begun = Instant::now();
        let (rows, totals) = rows(&[told("a", begun, 0, Err("gone"))], &[]);
        assert_eq!((rows[0].silent.as_deref(), rows[0].open, rows[0].users), (Some("gone"), 7.0, 6.0));
        assert_eq!((totals.nodes, totals.settlements, totals.has_redis), ((1, 1), None, false));
    }
}
