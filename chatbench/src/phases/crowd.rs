//! All connections of a run: opening them, keeping them alive, closing them.
//!
//! Invariant: every connection that was opened is closed and its ledger collected; only so many are on their way in or
//! out at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::ledger::Outcome;
use crate::ledger::flow::Flow;
use crate::ledger::sender::Sender;
use crate::net::control::Control;
use crate::net::door::Door;
use crate::phases::arrivals::{self, Arrived, Turn};
use crate::phases::client::task::Client;
use crate::phases::opening::Opening;
use crate::phases::operator::Interrupt;
use crate::phases::progress::Progress;

/// Longest wait for the server to have told all of the log-ins.
const SETTLING: Duration = Duration::from_secs(60);
/// Closes under way at once.
const CLOSES: u64 = 256;
/// How long the server may go without answering any close, and how long the operator waits who wants to stop.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long all closes together may take.
const FAREWELL_OF_ALL: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(2);

/// The open connections.
#[derive(Debug)]
pub struct Crowd {
    flow: Arc<Flow>,
    controls: Vec<(u32, Arc<Control>)>,
    /// Those of [`Crowd::controls`] whose clients got in.
    present: Vec<(u32, Arc<Control>)>,
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

impl Crowd {
    /// Opens all connections of the plan. Those that are not in afterwards are in [`Opening::missing`].
    pub async fn open(
        flow: &Arc<Flow>,
        door: &Arc<Door>,
        rate: Option<f64>,
        heartbeat: Duration,
        progress: &dyn Progress,
        interrupt: &mut Interrupt,
    ) -> (Self, Opening) {
        let numbers = flow.share.connections(&flow.plan);
        let controls: Vec<(u32, Arc<Control>)> = numbers.map(|number| (number, Arc::default())).collect();
        let share = controls.len().max(1) as f64 / f64::from(flow.plan.connections().max(1));
        let rate = rate.map(|rate| rate * share);
        let count = flow.share.count(&flow.plan);
        let enter = |place: usize, turn: Turn| {
            let (number, control) = &controls[place];
            enter(Client::new(Arc::clone(flow), Arc::clone(control), Arc::clone(door), *number), turn)
        };
        let Arrived { tasks, mut opening, is_in } =
            arrivals::all(count, rate, progress, interrupt, enter).await;
        let (present, missing): (Vec<_>, Vec<_>) = controls.iter().cloned().zip(is_in).partition(|it| it.1);
        let present: Vec<_> = present.into_iter().map(|(control, _)| control).collect();
        opening.missing = missing.into_iter().map(|((number, _), _)| number).collect();
        let heartbeats_sent = Arc::new(AtomicU64::new(0));
        let heartbeats = tokio::spawn(beat(present.clone(), heartbeat, Arc::clone(&heartbeats_sent)));
        (Self { flow: Arc::clone(flow), controls, present, tasks, heartbeats, heartbeats_sent }, opening)
    }

    /// The controls of all connections with their numbers, also of those that are not in.
    pub fn controls(&self) -> &[(u32, Arc<Control>)] {
        &self.controls
    }

    /// The controls of the connections that got in, with their numbers.
    pub fn present(&self) -> &[(u32, Arc<Control>)] {
        &self.present
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

    /// Closes all connections in order and collects their ledgers. Nothing that comes from now on is in them.
    pub async fn close(self, progress: &dyn Progress, interrupt: &Interrupt) -> Farewell {
        self.flow.over.store(true, Relaxed);
        self.part(progress, interrupt).await;
        let unanswered_closes = self.flow.live.load(Relaxed);
        self.heartbeats.abort();
        for (_, control) in &self.controls {
            control.abort();
        }
        let (mut outcomes, mut senders) = (Vec::with_capacity(self.tasks.len()), Vec::new());
        for task in self.tasks {
            let Some(mut outcome) = task.await.ok().flatten() else { continue };
            senders.extend(outcome.sender.take());
            outcomes.push(outcome);
        }
        Farewell { outcomes, senders, unanswered_closes, heartbeats: self.heartbeats_sent.load(Relaxed) }
    }

    /// Tells the clients to close, only so many at once while the server answers, and waits for the answers.
    async fn part(&self, progress: &dyn Progress, interrupt: &Interrupt) {
        let open = self.controls.iter().zip(&self.tasks).filter(|(_, task)| !task.is_finished());
        let open: Vec<&Control> = open.map(|((_, control), _)| &**control).collect();
        let count = open.len() as u64;
        let (mut untold, mut closed) = (open.into_iter(), 0);
        let limit = Instant::now() + FAREWELL_OF_ALL;
        let (mut patience, mut end) = (Instant::now() + FAREWELL, None);
        loop {
            let (now, live) = (Instant::now(), self.flow.live.load(Relaxed));
            if live == 0 || end.is_some_and(|end| now >= end) {
                break;
            }
            let now_closed = count.saturating_sub(live);
            if now_closed > closed {
                closed = now_closed;
                patience = now + FAREWELL;
                progress.count(closed);
            }
            if end.is_none() && (interrupt.came() || now >= patience.min(limit)) {
                // Who was not told yet has a chance to be answered too.
                let in_vain = untold.len() == 0 && !interrupt.came();
                end = Some(if in_vain { now } else { now + FAREWELL });
            }
            let told = count - untold.len() as u64;
            let room = if end.is_some() { count } else { (closed + CLOSES).saturating_sub(told) };
            // Both are at most the number of clients, a u32.
            untold.by_ref().take(room as usize).for_each(Control::stop);
            tokio::time::sleep(TICK).await;
        }
    }
}

/// Lets a client in and run. Who is still on the way in when the operator stops stays outside.
async fn enter(mut client: Client, turn: Turn) -> Option<Outcome> {
    // In a box, so that what entering needs is not kept for the life of the connection.
    let entering = Box::pin(turn.enter(async { client.enter().await.map(|times| ((), Some(times))) }));
    entering.await?;
    Some(client.run().await)
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
