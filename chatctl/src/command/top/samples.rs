//! What a view needs of a node's `/metrics`, read from the text format 0.0.4.
//!
//! Invariant: a line that is not understood is left out, and a name that is not there counts as 0.

use std::collections::BTreeMap;

/// The families that are read, but for histograms; those with labels are summed up.
const NAMES: [&str; 21] = [
    "chatd_connections",
    "chatd_crowded_out_total",
    "chatd_dead_letters",
    "chatd_deliveries_total",
    "chatd_gap_fills_total",
    "chatd_http_requests_total",
    "chatd_max_connections",
    "chatd_messages_total",
    "chatd_queued_bytes",
    "chatd_queued_max_bytes",
    "chatd_redis_connections_down",
    "chatd_redis_failures_total",
    "chatd_settlement_oldest_seconds",
    "chatd_settlements_waiting",
    "chatd_shed_closes_total",
    "chatd_slow_closes_total",
    "chatd_stalled_closes_total",
    "chatd_users_online",
    "chatd_websocket_requests_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
];
const LIMITS: &str = "chatd_limit_refusals_total";
const DELIVERY: &str = "chatd_delivery_lag_seconds_bucket";
const REDIS: &str = "chatd_redis_command_duration_seconds_bucket";

/// How many were at most so long, by that length in seconds, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets(Vec<(f64, f64)>);

/// What one node told at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    values: BTreeMap<&'static str, f64>,
    /// Refusals by the limit that made them.
    pub limits: BTreeMap<String, f64>,
    /// From the time of a message to its fan-out.
    pub delivery: Buckets,
    /// How long Redis took.
    pub redis: Buckets,
}

impl Samples {
    /// Reads a page.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut samples = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            samples.take(line);
        }
        samples
    }

    /// The value of a family.
    #[must_use]
    pub fn of(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or(0.0)
    }

    /// Whether the node has the family at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (head, value) = line.rsplit_once(' ')?;
        let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite())?;
        let (name, labels) = head.split_once('{').unwrap_or((head, ""));
        match name {
            LIMITS => {
                *self.limits.entry(label(labels, "limit")?.to_owned()).or_default() += value;
            }
            DELIVERY => self.delivery.add(bound(labels)?, value),
            REDIS => self.redis.add(bound(labels)?, value),
            _ => {
                let index = NAMES.binary_search(&name).ok()?;
                *self.values.entry(NAMES[index]).or_default() += value;
            }
        }
        Some(())
    }
}

/// A label's value; chatd's have nothing in them that is escaped.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let found =
        labels.split(',').find_map(|label| label.trim_end_matches('}').strip_prefix(name)?.strip_prefix('='));
    found.map(|value| value.trim_matches('"'))
}

fn bound(labels: &str) -> Option<f64> {
    match label(labels, "le")? {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

impl Buckets {
    fn add(&mut self, bound: f64, count: f64) {
        match self.0.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
            Ok(at) => self.0[at].1 += count,
            Err(at) => self.0.insert(at, (bound, count)),
        }
    }

    /// The same of several nodes.
    pub fn join(&mut self, other: &Buckets) {
        other.0.iter().for_each(|(bound, count)| self.add(*bound, *count));
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Buckets) -> Buckets {
        let of =
            |bound: f64| before.0.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
        Buckets(self.0.iter().map(|(bound, count)| (*bound, (count - of(*bound)).max(0.0))).collect())
    }

    /// How long all but one in a hundred took at most, in seconds, between the bounds of a bucket by its share; none
    /// where nothing was counted.
    #[must_use]
    pub fn p99(&self) -> Option<f64> {
        let wanted = self.0.last().map(|(_, count)| count * 0.99).filter(|wanted| *wanted > 0.0)?;
        let (mut bound_before, mut count_before) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted {
                let share = (wanted - count_before) / (count - count_before);
                let is_open = bound.is_infinite();
                return Some(if is_open {
                    bound_before
                } else {
                    bound_before + (bound - bound_before) * share
                });
            }
            (bound_before, count_before) = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_stand_in_order() {
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn a_page_is_read() {
        let page = "# HELP chatd_connections WebSocket connections open.\n\
            chatd_connections 17\n\
            chatd_http_requests_total{path=\"/user/list\",code=\"200\"} 3\n\
            chatd_http_requests_total{path=\"/livez\",code=\"200\"} 4\n\
            chatd_limit_refusals_total{limit=\"rate_per_user\"} 5\n\
            chatd_delivery_lag_seconds_bucket{le=\"0.001\"} 90\n\
            chatd_delivery_lag_seconds_bucket{le=\"0.01\"} 100\n\
            chatd_delivery_lag_seconds_bucket{le=\"+Inf\"} 100\n\
            chatd_redis_command_duration_seconds_bucket{le=\"0.1\",kind=\"read\"} 1\n\
            chatd_redis_command_duration_seconds_bucket{le=\"0.1\",kind=\"write\"} 2\n\
            nonsense\n\
            chatd_messages_total NaN\n";
        let samples = Samples::read(page);
        assert_eq!((samples.of("chatd_connections"), samples.of("chatd_http_requests_total")), (17.0, 7.0));
        assert_eq!(samples.limits["rate_per_user"], 5.0);
        assert!(!samples.has("chatd_messages_total") && samples.of("chatd_messages_total") == 0.0);
        assert_eq!(samples.redis, Buckets(vec![(0.1, 3.0)]));
        let p99 = samples.delivery.p99().unwrap();
        assert!((p99 - 0.0091).abs() < 1e-9, "{p99}");
    }

    #[test]
    fn only_what_came_since_counts() {
        let before = Buckets(vec![(0.1, 5.0), (f64::INFINITY, 50.0)]);
        let after = Buckets(vec![(0.1, 15.0), (f64::INFINITY, 60.0)]);
        assert!(after.since(&before).p99().unwrap() <= 0.1);
        assert_eq!(after.p99(), Some(0.1), "beyond the last bound there is none");
        assert_eq!(after.since(&after).p99(), None);
        assert_eq!(Buckets::default().p99(), None);
    }
}
