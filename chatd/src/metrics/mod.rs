//! What the node tells a Prometheus about itself.
//!
//! Invariant: nothing is counted here. A scrape reads what the node counts anyway, asks no store, and names no user,
//! room or app.

#[cfg(target_os = "linux")]
mod process;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::counters::Counters;
use crate::hub::Hub;
use crate::log;
use crate::money::audit::Results;
use crate::money::settlement::worker::{Counts, Worker};
use crate::money::watch::{Seen, Watch};
use crate::transport::queued;

/// Media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Scrapes at once: each takes a thread that others wait for too.
const AT_ONCE: usize = 2;

/// What is measured, and where it is read.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    turns: Arc<Semaphore>,
}

struct Sources {
    engine: &'static str,
    hub: Arc<Hub>,
    counters: Arc<Counters>,
    /// None where nothing is settled.
    worker: Option<Arc<Worker>>,
    /// None without a ledger.
    audits: Option<Arc<Results>>,
    /// None without a ledger.
    watch: Option<Arc<Watch>>,
    #[cfg(target_os = "linux")]
    process: process::Process,
}

impl Metrics {
    /// Of a node with these parts.
    #[must_use]
    pub fn new(
        engine: &'static str,
        hub: Arc<Hub>,
        counters: Arc<Counters>,
        worker: Option<Arc<Worker>>,
        audits: Option<Arc<Results>>,
        watch: Option<Arc<Watch>>,
    ) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Sources {
            engine,
            hub,
            counters,
            worker,
            audits,
            watch,
            #[cfg(target_os = "linux")]
            process: process::Process::default(),
        }));
        Self { registry, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The right to one scrape; none while others are under way.
    #[must_use]
    pub fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().try_acquire_owned().ok()
    }

    /// All of it. Reads /proc, so not for a thread that serves connections.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Cannot fail: a string takes everything, and no number here exceeds an i64.
        let _ = encode_registry(&mut text, &self.registry);
        text
    }
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let build = [("version", env!("CARGO_PKG_VERSION")), ("engine", self.engine)];
        page.family("chatd_build_info", "Which chatd this is.", MetricType::Gauge, [(build, 1_u64)])?;
        page.gauge("chatd_connections", "WebSocket connections open.", self.hub.connections())?;
        page.gauge("chatd_sessions", "Connections logged in.", self.hub.sessions())?;
        page.gauge("chatd_queued_bytes", "Bytes that wait for readers to take them.", queued::bytes())?;
        let counted = &self.counters;
        for (name, help, counter) in [
            ("chatd_connections_total", "WebSocket connections accepted.", &counted.connections),
            ("chatd_messages_total", "Messages put into a log.", &counted.messages),
            ("chatd_deliveries_total", "Frames put into the queue of a connection.", &counted.deliveries),
            (
                "chatd_slow_closes_total",
                "Connections closed because they read too slowly.",
                &counted.slow_closes,
            ),
            (
                "chatd_stalled_closes_total",
                "Connections closed because their socket took nothing of what waited; HTTP too.",
                &counted.stalled,
            ),
            (
                "chatd_shed_closes_total",
                "Connections closed because most waited for them when too much waited in all; HTTP too.",
                &counted.shed,
            ),
            (
                "chatd_crowded_out_total",
                "Connections refused, or ended while idle, because their descriptors were needed.",
                &counted.crowded_out,
            ),
            ("chatd_pings_total", "Pings sent to quiet connections.", &counted.pings),
            (
                "chatd_gap_fills_total",
                "Messages fetched from the log because the bus had lost them.",
                &counted.gap_fills,
            ),
        ] {
            page.counter(name, help, counter.get())?;
        }
        page.log()?;
        if let Some(worker) = &self.worker {
            page.settlements(&worker.counts())?;
        }
        if let Some(audits) = &self.audits {
            page.audits(audits)?;
        }
        if let Some(watch) = &self.watch {
            page.road(watch.seen())?;
        }
        #[cfg(target_os = "linux")]
        page.process(&self.process)?;
        Ok(())
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// What is being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Counter, [([], value)])
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, [([], value)])
    }

    /// The library speaks OpenMetrics, where the `_total` of a counter is no part of its family's name and is added to
    /// each sample. In the text format 0.0.4, which every scraper reads, it is; written like a gauge it comes out so.
    fn family<const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = ([(&'static str, &'static str); LABELS], impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            if LABELS == 0 {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn log(&mut self) -> fmt::Result {
        let dropped = "Lines of the log that were lost because nobody read them.";
        self.counter("chatd_log_lines_dropped_total", dropped, log::dropped())?;
        let gathered = "Repeated lines of the log that were counted instead of written.";
        self.counter("chatd_log_lines_gathered_total", gathered, log::gathered())
    }

    fn road(&mut self, seen: &Seen) -> fmt::Result {
        let waiting = seen.waiting.load(Relaxed);
        self.gauge("chatd_settlements_waiting", "Settlements that are not done, of all nodes.", waiting)?;
        let dead = seen.dead.load(Relaxed);
        self.gauge("chatd_dead_letters", "Settlements that were given up, of all nodes.", dead)?;
        self.gauge(
            "chatd_settlement_oldest_seconds",
            "Age of the oldest settlement that is not done, as far as a queue can tell.",
            seen.oldest_ms.load(Relaxed) as f64 / 1e3,
        )?;
        let stores = [("packets", &seen.packets_ahead_ms), ("ledger", &seen.ledger_ahead_ms)];
        self.family(
            "chatd_clock_error_seconds",
            "By how much the clock of this node is off from that of a store.",
            MetricType::Gauge,
            stores
                .map(|(store, ahead)| ([("store", store)], ahead.load(Relaxed).unsigned_abs() as f64 / 1e3)),
        )
    }

    fn settlements(&mut self, counts: &Counts) -> fmt::Result {
        let Counts { settled, repeated, buried, lag_sum_ms, .. } = *counts;
        let outcomes = [("settled", settled), ("repeated", repeated), ("buried", buried)];
        self.family(
            "chatd_settlements_total",
            "Settlements the worker of this node took: applied, applied before, made dead letters.",
            MetricType::Counter,
            outcomes.map(|(outcome, count)| ([("outcome", outcome)], count)),
        )?;
        self.counter(
            "chatd_settlement_lag_seconds_total",
            "Sum over the applied settlements of the time from the grab, or the close, to the ledger.",
            lag_sum_ms as f64 / 1e3,
        )
    }

    fn audits(&mut self, audits: &Results) -> fmt::Result {
        self.family(
            "chatd_audits_total",
            "Audits of whole apps that ended on this node: all held, a rule was broken; and pages of one that failed.",
            MetricType::Counter,
            audits.counts().map(|(outcome, count)| ([("outcome", outcome)], count)),
        )?;
        let Some(last) = audits.last() else { return Ok(()) };
        self.gauge("chatd_audit_broken_rules", "Broken rules that the last audit found.", last.found)?;
        let (took_s, ended_s) = (last.took_ms as f64 / 1e3, last.ended_ms as f64 / 1e3);
        self.gauge(
            "chatd_audit_duration_seconds",
            "From the first page of the last audit to its end.",
            took_s,
        )?;
        self.gauge("chatd_audit_end_time_seconds", "When the last audit ended, Unix time.", ended_s)
    }

    #[cfg(target_os = "linux")]
    fn process(&mut self, process: &process::Process) -> fmt::Result {
        let Some(usage) = process.usage() else { return Ok(()) };
        self.counter("process_cpu_seconds_total", "User and system CPU time spent.", usage.cpu_s)?;
        self.gauge("process_resident_memory_bytes", "Resident memory.", usage.resident_bytes)?;
        self.gauge("process_open_fds", "Open file descriptors.", usage.open_files)?;
        self.gauge("process_max_fds", "Open file descriptors at most.", usage.max_files)?;
        self.gauge("process_start_time_seconds", "When it started, Unix time.", usage.started_s)
    }
}
