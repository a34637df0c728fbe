//! What the node tells a Prometheus about itself.
//!
//! Invariant: nothing is counted here. A scrape reads what the node counts anyway, asks no store, and names no user,
//! room or app. Names are in base units, and each family is there from the start, but for what depends on settings.

mod money;
mod page;
#[cfg(target_os = "linux")]
mod process;
mod requests;
mod tls;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::page::Form;
use self::page::{NONE, Page};
use crate::auth::Auth;
use crate::counters::links::Links;
use crate::counters::{Counters, Limit};
use crate::hub::Hub;
use crate::log;
use crate::money::audit::Results;
use crate::money::settlement::worker::Worker;
use crate::money::watch::Watch;
use crate::tls::Keeper;
use crate::transport::queued;

/// Scrapes at once: each takes a thread that others wait for too.
const AT_ONCE: usize = 2;

/// What is measured, and where it is read.
#[derive(Debug)]
pub struct Metrics {
    plain: Registry,
    open: Registry,
    turns: Arc<Semaphore>,
}

/// What tells of itself.
pub struct Sources {
    /// Name of the engine.
    pub engine: &'static str,
    /// WebSocket connections at most; 0 on a node that takes no clients.
    pub max_connections: usize,
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// What was counted.
    pub counters: Arc<Counters>,
    /// Who was refused.
    pub auth: Arc<Auth>,
    /// The connections to Redis; none without it.
    pub redis: Option<&'static Links>,
    /// None where nothing is settled.
    pub worker: Option<Arc<Worker>>,
    /// None without a ledger.
    pub audits: Option<Arc<Results>>,
    /// None without a ledger.
    pub watch: Option<Arc<Watch>>,
    /// None where no TLS is spoken.
    pub keeper: Option<Arc<Keeper>>,
}

impl Metrics {
    /// Of a node with these parts.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let sources = Arc::new(Told {
            sources,
            #[cfg(target_os = "linux")]
            process: process::Process::default(),
        });
        let registry = |form| {
            let mut registry = Registry::default();
            registry.register_collector(Box::new(Text { told: sources.clone(), form }));
            registry
        };
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { plain: registry(Form::Plain), open: registry(Form::OpenMetrics), turns }
    }

    /// The right to one scrape; none while others are under way.
    #[must_use]
    pub fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().try_acquire_owned().ok()
    }

    /// All of it. Reads /proc, so not for a thread that serves connections.
    #[must_use]
    pub fn text(&self, form: Form) -> String {
        let mut text = String::new();
        // Cannot fail: a string takes everything, and no number here exceeds an i64.
        let _ = match form {
            Form::Plain => encode_registry(&mut text, &self.plain),
            Form::OpenMetrics => encode(&mut text, &self.open),
        };
        text
    }
}

struct Told {
    sources: Sources,
    #[cfg(target_os = "linux")]
    process: process::Process,
}

struct Text {
    told: Arc<Told>,
    form: Form,
}

impl Collector for Text {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder, form: self.form };
        let Told { sources, .. } = &*self.told;
        let build = [("version", env!("CARGO_PKG_VERSION")), ("engine", sources.engine)];
        page.gauges("chatd_build_info", "Which chatd this is.", [(build, 1_u64)])?;
        page.node(sources)?;
        page.requests(&sources.counters)?;
        page.logins(&sources.counters, &sources.auth)?;
        page.refused(&sources.counters)?;
        page.passed_on(&sources.counters)?;
        page.log()?;
        page.audit(&sources.counters)?;
        if let Some(keeper) = &sources.keeper {
            page.tls(&sources.counters, keeper)?;
        }
        if let Some(redis) = sources.redis {
            page.redis(redis)?;
        }
        if let Some(worker) = &sources.worker {
            page.settlements(worker)?;
        }
        if let Some(audits) = &sources.audits {
            page.audits(audits)?;
        }
        if let Some(watch) = &sources.watch {
            page.road(watch.seen())?;
        }
        #[cfg(target_os = "linux")]
        page.process(&self.told.process)?;
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Page<'_> {
    fn node(&mut self, Sources { hub, counters, max_connections, .. }: &Sources) -> fmt::Result {
        self.gauge("chatd_connections", "WebSocket connections open.", hub.connections())?;
        self.gauge("chatd_max_connections", "WebSocket connections open at most.", *max_connections)?;
        self.gauge("chatd_sessions", "Connections logged in.", hub.sessions())?;
        self.gauge("chatd_users_online", "Users with a connection logged in on this node.", hub.users())?;
        let drains = hub.drain().has_begun();
        self.gauge(
            "chatd_draining",
            "Whether the node lets its connections go, to stop then.",
            u64::from(drains),
        )?;
        let left = if drains { hub.connections() } else { 0 };
        self.gauge("chatd_draining_connections", "WebSocket connections that are still to leave it.", left)?;
        self.gauge("chatd_queued_bytes", "Bytes that wait for readers to take them.", queued::bytes())?;
        let help = "Bytes that wait at most, before readers are given up.";
        self.gauge("chatd_queued_max_bytes", help, queued::limit().min(i64::MAX as usize))?;
        for (name, help, counter) in [
            ("chatd_connections_opened_total", "WebSocket connections accepted.", &counters.connections),
            ("chatd_messages_total", "Messages put into a log.", &counters.messages),
            ("chatd_deliveries_total", "Frames put into the queue of a connection.", &counters.deliveries),
            (
                "chatd_slow_closes_total",
                "Connections closed because they read too slowly.",
                &counters.slow_closes,
            ),
            (
                "chatd_stalled_closes_total",
                "Connections closed because their socket took nothing of what waited; HTTP too.",
                &counters.stalled,
            ),
            (
                "chatd_shed_closes_total",
                "Connections closed because most waited for them when too much waited in all; HTTP too.",
                &counters.shed,
            ),
            (
                "chatd_crowded_out_total",
                "Connections refused, or ended while idle, because their descriptors were needed.",
                &counters.crowded_out,
            ),
            ("chatd_pings_total", "Pings sent to quiet connections.", &counters.pings),
            (
                "chatd_gap_fills_total",
                "Messages fetched from the log because the bus had lost them.",
                &counters.gap_fills,
            ),
            (
                "chatd_losses_total",
                "Times that messages were gone from the log too; the readers of the topic were sent to recover.",
                &counters.losses,
            ),
        ] {
            self.counter(name, help, counter.get())?;
        }
        self.histograms(
            "chatd_delivery_lag_seconds",
            "From the time of a message to its fan-out on this node, once for each topic.",
            [(NONE, counters.delivery_lag.snapshot())],
        )
    }

    fn refused(&mut self, counters: &Counters) -> fmt::Result {
        self.counters(
            "chatd_limit_refusals_total",
            "Requests and connections that were refused or ended by a limit, by the setting in [limits].",
            Limit::ALL.map(|limit| ([("limit", limit.name())], counters.refused.by(limit).get())),
        )
    }

    fn passed_on(&mut self, Counters { passed_on, .. }: &Counters) -> fmt::Result {
        let outcomes = [
            ("stored", &passed_on.stored),
            ("refused", &passed_on.refused),
            ("unanswered", &passed_on.unanswered),
        ];
        self.counters(
            "chatd_sender_messages_total",
            "Messages that nodes of the role sender were to store, by what became of them.",
            outcomes.map(|(outcome, count)| ([("outcome", outcome)], count.get())),
        )?;
        let help = "Attempts to have a message stored by a sender, after a first one without an answer.";
        self.counter("chatd_sender_retries_total", help, passed_on.retries.get())
    }

    fn log(&mut self) -> fmt::Result {
        let dropped = "Lines of the log that were lost because nobody read them.";
        self.counter("chatd_log_lines_dropped_total", dropped, log::dropped())?;
        let gathered = "Repeated lines of the log that were counted instead of written.";
        self.counter("chatd_log_lines_gathered_total", gathered, log::gathered())
    }

    fn audit(&mut self, Counters { audit, .. }: &Counters) -> fmt::Result {
        let help = "Records written to the audit log.";
        self.counter("chatd_audit_log_records_total", help, audit.records.get())?;
        let help = "Records that the audit log did not take; what they tell stands in the log.";
        self.counter("chatd_audit_log_failures_total", help, audit.failures.get())?;
        let help = "Refused attempts without a record in the audit log, because there were too many.";
        self.counter("chatd_audit_log_left_out_total", help, audit.left_out.get())
    }

    fn redis(&mut self, links: &Links) -> fmt::Result {
        self.histograms(
            "chatd_redis_command_duration_seconds",
            "From the sending of a command, pipeline or script to its answer, or to the end of waiting for it.",
            links.times().map(|(kind, times)| ([("kind", kind)], times.snapshot())),
        )?;
        let failures = [("unreachable", &links.unreachable), ("corrupt", &links.corrupt)];
        self.counters(
            "chatd_redis_failures_total",
            "Commands without a usable answer: none in time or refused for now, or one that cannot be.",
            failures.map(|(reason, count)| ([("reason", reason)], count.get())),
        )?;
        self.counter(
            "chatd_redis_connections_lost_total",
            "Connections to Redis that were lost.",
            links.lost.get(),
        )?;
        self.gauge(
            "chatd_redis_connections_down",
            "Connections to Redis that are being restored.",
            links.down(),
        )
    }

    #[cfg(target_os = "linux")]
    fn process(&mut self, process: &process::Process) -> fmt::Result {
        let Some(usage) = process.usage() else { return Ok(()) };
        self.counter("process_cpu_seconds_total", "User and system CPU time spent.", usage.cpu_s)?;
        self.gauge("process_resident_memory_bytes", "Resident memory.", usage.resident_bytes)?;
        self.gauge("process_virtual_memory_bytes", "Address space.", usage.virtual_bytes)?;
        self.gauge("process_threads", "Threads.", usage.threads)?;
        self.gauge("process_open_fds", "Open file descriptors.", usage.open_files)?;
        self.gauge("process_max_fds", "Open file descriptors at most.", usage.max_files)?;
        self.gauge("process_start_time_seconds", "When it started, Unix time.", usage.started_s)
    }
}
