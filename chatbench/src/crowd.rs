//! All connections of a run: opening them, keeping them alive, closing them.
//!
//! Invariant: every connection that was opened is closed and its ledger collected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::control::Control;
use crate::client::sender::Sender;
use crate::client::task::{Client, Outcome};
use crate::clock::micros;
use crate::failure::Failure;
use crate::flow::Flow;
use crate::hdr;
use crate::interrupt::Interrupt;
use crate::login::{self, Door, Entrance};
use crate::progress::Progress;
use crate::recorder::histogram;

/// Log-ins under way at once when no rate is asked for.
const CONCURRENT: usize = 128;
/// Log-ins under way at once at a given rate: enough that a slow server shows as slow log-ins, not as a lower rate.
const CONCURRENT_AT_RATE: usize = 4096;
/// Longest wait for the server to have told all of the log-ins.
const SETTLING: Duration = Duration::from_secs(60);
/// How long the server may take to answer a close.
const FAREWELL: Duration = Duration::from_secs(3);
/// Connections told to close before the others get a turn.
const CLOSE_AT_ONCE: usize = 200;

/// How the connections were opened.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opening {
    /// Connections asked for.
    pub wanted: u32,
    /// Connections logged in.
    pub connected: u32,
    /// TCP and handshake, in microseconds.
    #[serde(with = "hdr")]
    pub connect: Histogram<u64>,
    /// Log-in, in microseconds.
    #[serde(with = "hdr")]
    pub login: Histogram<u64>,
    /// Failed ones by cause.
    pub failures: BTreeMap<String, u64>,
    /// From the first attempt to the last result.
    pub wall: Duration,
}

/// The open connections.
#[derive(Debug)]
pub struct Crowd {
    flow: Arc<Flow>,
    controls: Vec<(u32, Arc<Control>)>,
    tasks: Vec<JoinHandle<Option<Outcome>>>,
    heartbeats: JoinHandle<()>,
    heartbeats_sent: Arc<AtomicU64>,
}

/// What the crowd leaves behind.
#[derive(Debug)]
pub struct Farewell {
    /// The ledgers of all connections that were logged in.
    pub outcomes: Vec<Outcome>,
    /// What the senders among them did.
    pub senders: Vec<Sender>,
    /// Connections the server did not close in time.
    pub unanswered_closes: u64,
    /// Signs of life sent.
    pub heartbeats: u64,
}

struct Paces {
    every: Option<Duration>,
    permits: Arc<Semaphore>,
}

impl Crowd {
    /// Opens all connections of the plan. Those that fail are in [`Opening::failures`].
    pub async fn open(
        flow: &Arc<Flow>,
        door: &Arc<Door>,
        rate: Option<f64>,
        heartbeat: Duration,
        progress: &Progress,
        interrupt: &mut Interrupt,
    ) -> (Self, Opening) {
        let wanted = flow.share.count(&flow.plan);
        let controls: Vec<(u32, Arc<Control>)> =
            flow.share.connections(&flow.plan).map(|number| (number, Arc::default())).collect();
        let concurrent = if rate.is_some() { CONCURRENT_AT_RATE } else { CONCURRENT };
        let paces = Paces {
            every: rate.map(|rate| {
                Duration::from_secs_f64(f64::from(flow.plan.connections()) / f64::from(wanted.max(1)) / rate)
            }),
            permits: Arc::new(Semaphore::new(concurrent)),
        };
        let (report, mut reports) = mpsc::channel(1024);
        let start = Instant::now();
        let mut tasks = Vec::with_capacity(controls.len());
        let mut opening = Opening::new(wanted);
        for (position, (number, control)) in (0..).zip(&controls) {
            let deadline = paces.every.map_or(start, |every| start + every * position);
            let number = *number;
            if interrupt.came() || (deadline > Instant::now() && interrupt.within(deadline).await) {
                break;
            }
            let Ok(permit) = Arc::clone(&paces.permits).acquire_owned().await else { break };
            let (flow, door, report) = (Arc::clone(flow), Arc::clone(door), report.clone());
            let control = Arc::clone(control);
            tasks.push(tokio::spawn(async move {
                let mut client = Client::new(flow, control, door, number);
                // In a box, so that what entering needs is not kept for the life of the connection.
                let entered = Box::pin(client.enter()).await;
                drop(permit);
                let times = match entered {
                    Ok(times) => times,
                    Err(cause) => {
                        let _ = report.send(Err(cause)).await;
                        return None;
                    }
                };
                let _ = report.send(Ok(times)).await;
                drop(report);
                Some(client.run().await)
            }));
            while let Ok(result) = reports.try_recv() {
                opening.note(result, progress);
            }
        }
        drop(report);
        while let Some(result) = reports.recv().await {
            opening.note(result, progress);
        }
        opening.wall = start.elapsed();
        let heartbeats_sent = Arc::new(AtomicU64::new(0));
        let heartbeats = tokio::spawn(beat(controls.clone(), heartbeat, Arc::clone(&heartbeats_sent)));
        (Self { flow: Arc::clone(flow), controls, tasks, heartbeats, heartbeats_sent }, opening)
    }

    /// The controls of all connections with their numbers.
    pub fn controls(&self) -> &[(u32, Arc<Control>)] {
        &self.controls
    }

    /// Waits until the server has said all it had to say about the log-ins: nothing came for a while. Gives a warning
    /// when the server did not come to an end.
    pub async fn settle(&self, interrupt: &mut Interrupt) -> Option<String> {
        let quiet = Duration::from_millis(300);
        let deadline = Instant::now() + SETTLING;
        let mut before = self.flow.pushes();
        while Instant::now() < deadline && !interrupt.within(Instant::now() + quiet).await {
            let now = self.flow.pushes();
            if now == before {
                return None;
            }
            before = now;
        }
        (!interrupt.came()).then(|| {
            let seconds = SETTLING.as_secs();
            format!("the server still sent news of the log-ins after {seconds} s; the run began into them")
        })
    }

    /// Closes all connections in order and collects their ledgers.
    pub async fn close(self, progress: &Progress) -> Farewell {
        self.heartbeats.abort();
        for (position, (_, control)) in self.controls.iter().enumerate() {
            control.stop();
            if position % CLOSE_AT_ONCE == CLOSE_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        let deadline = Instant::now() + FAREWELL;
        while self.flow.live.load(Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let unanswered_closes = self.flow.live.load(Relaxed);
        for (_, control) in &self.controls {
            control.abort();
        }
        let (mut outcomes, mut senders) = (Vec::with_capacity(self.tasks.len()), Vec::new());
        for task in self.tasks {
            let Some(mut outcome) = task.await.ok().flatten() else { continue };
            senders.extend(outcome.sender.take());
            outcomes.push(outcome);
            progress.at(outcomes.len() as u64, "");
        }
        Farewell { outcomes, senders, unanswered_closes, heartbeats: self.heartbeats_sent.load(Relaxed) }
    }
}

impl Opening {
    /// Of a run without connections.
    pub fn none() -> Self {
        Self::new(0)
    }

    /// Before the first attempt.
    pub fn new(wanted: u32) -> Self {
        Self {
            wanted,
            connected: 0,
            connect: histogram(),
            login: histogram(),
            failures: BTreeMap::new(),
            wall: Duration::ZERO,
        }
    }

    /// Counts an attempt.
    pub fn note(&mut self, result: Result<login::Times, String>, progress: &Progress) {
        match result {
            Ok(times) => {
                self.connected += 1;
                self.connect.saturating_record(micros(times.connect).max(1));
                self.login.saturating_record(micros(times.login).max(1));
                progress.at(u64::from(self.connected), "");
            }
            Err(cause) => *self.failures.entry(cause).or_default() += 1,
        }
    }

    /// Adds the connections of another process, which were opened at the same time.
    pub fn merge(&mut self, other: Opening) {
        self.wanted += other.wanted;
        self.connected += other.connected;
        // All have the same bounds.
        let _ = self.connect.add(&other.connect);
        let _ = self.login.add(&other.login);
        for (cause, count) in other.failures {
            *self.failures.entry(cause).or_default() += count;
        }
        self.wall = self.wall.max(other.wall);
    }

    /// What went wrong, when something did.
    pub fn failure(&self) -> Option<Failure> {
        let failed: u64 = self.failures.values().sum();
        let (cause, _) = self.failures.iter().max_by_key(|(_, count)| **count)?;
        let next = match cause.as_str() {
            cause if cause.contains("refused (os error") => {
                "start chatd there, or name its address with --server"
            }
            cause if cause.contains("log-in refused") => {
                "see what the server's configuration asks of a log-in"
            }
            cause if cause.contains("503") => "the server is full: fewer --clients, or raise its limit",
            _ => "look at the server's log, or try fewer --clients or a lower --connect-rate",
        };
        let cause = format!("{failed} of {} clients did not get in; most often: {cause}", self.wanted);
        Some(Failure::could_not_run(cause, next))
    }
}

/// Asks each connection in turn for a sign of life, spread evenly over the interval.
async fn beat(controls: Vec<(u32, Arc<Control>)>, interval: Duration, sent: Arc<AtomicU64>) {
    let tick = Duration::from_millis(50).min(interval / 2);
    let mut ticks = tokio::time::interval(tick);
    let per_tick = controls.len() as f64 * tick.as_secs_f64() / interval.as_secs_f64();
    let (mut owed, mut next) = (0.0, 0);
    while !controls.is_empty() {
        ticks.tick().await;
        owed += per_tick;
        while owed >= 1.0 {
            owed -= 1.0;
            controls[next].1.ask_heartbeat();
            sent.fetch_add(1, Relaxed);
            next = (next + 1) % controls.len();
        }
    }
}

/// The servers with their addresses, looked up once for all connections.
///
/// # Errors
/// [`Failure::CouldNotRun`] when a name has none.
pub async fn door(servers: &[chat_client::Server]) -> Result<Door, Failure> {
    let mut entrances = Vec::with_capacity(servers.len());
    for server in servers {
        let (authority, path) = (server.authority(), server.socket_path());
        entrances.push(Entrance { address: address(server).await?, authority, path });
    }
    Ok(Door::new(entrances))
}

async fn address(server: &chat_client::Server) -> Result<SocketAddr, Failure> {
    let unknown = |cause: String| {
        Failure::could_not_run(
            format!("{server} has no address: {cause}"),
            "check the name given with --server",
        )
    };
    let mut found =
        tokio::net::lookup_host(server.authority()).await.map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("the name is empty".to_owned()))
}
