//! The time series of a run: once a second everything is looked at together.
//!
//! Invariant: it looks from a task of its own, so a busy run costs it points and never the run its time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::watch::process::{self, Sample};
use crate::watch::pulse::Pulse;
use crate::watch::{Watch, percent};
use chatbench_result::model::{Point, Series};

const INTERVAL: Duration = Duration::from_secs(1);
/// What is left at the end is a point of its own when it is at least this long, or something was counted in it. A share of
/// the CPU says nothing below.
const SHORTEST: Duration = Duration::from_millis(50);

/// Where a run is, for all who tell of it.
#[derive(Debug, Clone)]
pub struct Phase {
    name: Arc<Mutex<&'static str>>,
    /// 0 without a delivery.
    p99_us: Arc<AtomicU64>,
}

/// A running sampler.
#[derive(Debug)]
pub struct Sampler {
    task: Option<JoinHandle<Series>>,
    over: Arc<Notify>,
}

/// Clients whose doings go into the time series.
pub trait Source: Send {
    /// What they did since the last look.
    fn pulse(&mut self) -> BoxFuture<'_, Pulse>;

    /// How many messages have fallen due; `None` without a schedule.
    fn offered(&self) -> Option<u64>;
}

struct Taker {
    sources: Vec<Box<dyn Source>>,
    watch: Watch,
    phase: Phase,
    start: Instant,
    last: Instant,
    offered: u64,
    own: Option<Sample>,
    series: Series,
}

impl Phase {
    /// Before the first.
    pub fn new() -> Self {
        Self { name: Arc::new(Mutex::new("prepare")), p99_us: Arc::default() }
    }

    /// Another part of the run begins.
    pub fn begin(&self, name: &'static str) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// The response time at p99 at the last look, in microseconds.
    pub fn p99(&self) -> Option<u64> {
        Some(self.p99_us.load(Relaxed)).filter(|us| *us > 0)
    }

    /// The part of the run.
    pub fn now(&self) -> &'static str {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler {
    /// Starts to look.
    pub fn start(sources: Vec<Box<dyn Source>>, watch: Watch, phase: Phase) -> Self {
        let over = Arc::new(Notify::new());
        let ended = Arc::clone(&over);
        let now = Instant::now();
        let series = Series { interval_ms: 1000, ..Series::default() };
        let mut taker = Taker { sources, watch, phase, start: now, last: now, offered: 0, own: None, series };
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval_at(now + INTERVAL, INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            taker.begin().await;
            loop {
                tokio::select! {
                    _ = ticks.tick() => taker.take(Duration::ZERO).await,
                    () = ended.notified() => break,
                }
            }
            taker.take(SHORTEST).await;
            taker.series
        });
        Self { task: Some(task), over }
    }

    /// Ends it and gives what it saw.
    pub async fn end(mut self) -> Series {
        self.over.notify_one();
        match self.task.take() {
            Some(task) => task.await.unwrap_or_default(),
            None => Series::default(),
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // A run that failed has no end; what it looked at, and its workers, would be held for ever.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Taker {
    /// The look that the first point is compared with. Nobody is asked who answers late: the connections do not wait for
    /// it, and workers that were just started have used no CPU.
    async fn begin(&mut self) {
        self.own = process::own().ok();
        self.series.host_before = self.watch.look(Duration::ZERO, false).await.host;
    }

    async fn pulse(&mut self) -> Pulse {
        let mut sum = Pulse { own: process::own().ok(), ..Pulse::none() };
        for source in &mut self.sources {
            sum.merge(&source.pulse().await);
        }
        sum
    }

    async fn take(&mut self, shortest: Duration) {
        let now = Instant::now();
        let since = now - self.last;
        let pulse = self.pulse().await;
        if since < shortest && pulse.sent + pulse.accepted + pulse.delivered == 0 {
            return;
        }
        self.last = now;
        let is_calm = !["connect", "close"].contains(&self.phase.now());
        let mut sight = self.watch.look(since, is_calm).await;
        let offered =
            self.sources.iter().filter_map(|source| source.offered()).reduce(|sum, more| sum + more);
        let offered = offered.map(|offered| {
            let before = std::mem::replace(&mut self.offered, offered);
            offered.saturating_sub(before)
        });
        let is_short = since < SHORTEST;
        sight.servers.iter_mut().filter(|_| is_short).for_each(|server| server.cpu_percent = None);
        let own = self.own.zip(pulse.own).filter(|_| !is_short);
        let cpu = own.map(|(before, now)| percent(now.cpu_us.saturating_sub(before.cpu_us), since));
        self.own = pulse.own.or(self.own);
        let Pulse { clients, sent, accepted, delivered, response, delay_max_us, own } = pulse;
        let quantile = |quantile| (!response.is_empty()).then(|| response.value_at_quantile(quantile));
        self.phase.p99_us.store(quantile(0.99).unwrap_or(0), Relaxed);
        self.series.points.push(Point {
            t_ms: u64::try_from((now - self.start).as_millis()).unwrap_or(u64::MAX),
            phase: self.phase.now().to_owned(),
            clients,
            offered,
            sent,
            accepted,
            delivered,
            response_p50_us: quantile(0.5),
            response_p99_us: quantile(0.99),
            response_max_us: quantile(1.0),
            generator_cpu_percent: cpu,
            generator_rss_kib: own.map(|own| own.rss_bytes / 1024),
            generator_delay_max_us: delay_max_us,
            servers: sight.servers,
            redis: sight.redis,
            host: sight.host,
        });
    }
}
