//! What all clients of a run share, and how they get in.
//!
//! Invariant: nobody grabs before the release, which all see at the same moment.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chat_client::Http;
use chat_protocol::PacketId;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::net::door::{Door, Guest, Times};
use crate::phases::arrivals::{self, Arrived, Turn};
use crate::phases::opening::Opening;
use crate::phases::operator::Interrupt;
use crate::phases::stage::Stage;
use crate::scenario::redpacket::agenda::Agenda;
use crate::scenario::redpacket::claimant::Claimant;
use crate::scenario::redpacket::line::Line;
use crate::scenario::redpacket::record::Record;

/// What all clients share.
pub struct Room {
    /// The layout, and live counts.
    pub flow: Arc<Flow>,
    /// The packets, once they are created.
    pub packets: OnceLock<Vec<PacketId>>,
    /// Who grabs what.
    pub agenda: Agenda,
    /// How many packets there will be.
    pub count: u32,
    /// Whether each client is cut once.
    pub reconnect_during: bool,
    /// Seed of the cuts.
    pub seed: u64,
    /// The operator's wish to stop.
    pub interrupt: Interrupt,
    /// When the grabbing begins; 0 before that is known.
    pub release: watch::Receiver<u64>,
    /// How often each connection says that it lives.
    pub heartbeat: Duration,
    door: Arc<Door>,
    https: Option<Arc<[Http]>>,
}

/// The clients at work.
pub struct Claimants {
    tasks: Vec<JoinHandle<(Record, Option<Line>)>>,
    release: watch::Sender<u64>,
}

/// How a run is laid out.
pub struct Layout {
    /// Who grabs what.
    pub agenda: Agenda,
    /// Packets.
    pub packets: u32,
    /// Whether each client is cut once.
    pub reconnect_during: bool,
    /// Whether grabs go over HTTP.
    pub over_http: bool,
}

impl Room {
    /// Before the first client, with what releases them.
    pub fn new(stage: &Stage, layout: &Layout) -> (Arc<Self>, watch::Sender<u64>) {
        let (sender, release) = watch::channel(0);
        let room = Self {
            flow: Arc::clone(&stage.flow),
            packets: OnceLock::new(),
            agenda: layout.agenda,
            count: layout.packets,
            reconnect_during: layout.reconnect_during,
            seed: stage.seed,
            interrupt: stage.interrupt.clone(),
            release,
            heartbeat: stage.common.heartbeat,
            door: stage.door(),
            https: layout.over_http.then(|| stage.https.clone().into()),
        };
        (Arc::new(room), sender)
    }

    /// Lets client `number` in at server `number + turn`, counted around.
    ///
    /// # Errors
    /// The cause, in words that are the same for all clients that fail alike.
    pub async fn enter(&self, number: u32, turn: usize) -> Result<(Line, Option<Times>), String> {
        if let Some(https) = &self.https {
            let (servers, turn) = (Arc::clone(https), (number as usize).wrapping_add(turn));
            return Ok((Line::Http { servers, turn, under_way: FuturesUnordered::new() }, None));
        }
        let plan = &self.flow.plan;
        let user = plan.user(number).map_err(|error| error.to_string())?;
        let guest = Guest { user, app: plan.app, number, turn, recover: None };
        let entered = self.door.enter(guest, &mut |_| {}).await;
        entered.map(|(socket, times)| (Line::Ws(Box::new(socket)), Some(times)))
    }

    /// Counts a connection.
    pub fn entered(&self) {
        self.flow.open.fetch_add(u64::from(self.https.is_none()), Relaxed);
    }

    /// Counts a connection no more.
    pub fn left(&self) {
        self.flow.open.fetch_sub(u64::from(self.https.is_none()), Relaxed);
    }
}

impl Claimants {
    /// Lets all clients in.
    ///
    /// # Errors
    /// [`Failure`] when none got in.
    pub async fn open(
        stage: &mut Stage,
        room: &Arc<Room>,
        release: watch::Sender<u64>,
    ) -> Result<(Self, Opening), Failure> {
        let wanted = room.flow.plan.receivers;
        stage.begin("connect", u64::from(wanted));
        let Stage { common, progress, interrupt, .. } = stage;
        let claim = |place: usize, turn: Turn| {
            // A place is below the number of clients, a u32.
            let (room, number) = (Arc::clone(room), place as u32);
            async move {
                let line = Box::pin(turn.enter(room.enter(number, 0))).await;
                match line {
                    Some(line) => {
                        room.entered();
                        Claimant::new(room, number, line).run().await
                    }
                    None => (Record::default(), None),
                }
            }
        };
        let Arrived { tasks, opening, .. } =
            arrivals::all(wanted, common.connect_rate, &**progress, interrupt, claim).await;
        match opening.failure() {
            Some(failure) if opening.connected == 0 && !stage.interrupt.came() => Err(failure),
            _ => Ok((Self { tasks, release }, opening)),
        }
    }

    /// Releases all clients at `start_ns`.
    pub fn release(&self, start_ns: u64) {
        // Without a client nobody waits for it.
        let _ = self.release.send(start_ns);
    }

    /// Waits until all are through; gives what they saw, by number, and their connections.
    pub async fn finish(self, stage: &Stage) -> (Vec<Record>, Vec<Line>) {
        let (mut records, mut lines) = (Vec::with_capacity(self.tasks.len()), Vec::new());
        for task in self.tasks {
            // A client that failed inside the generator left no record: the server's books then say more than it.
            let (record, line) = task.await.unwrap_or_default();
            records.push(record);
            lines.extend(line);
            stage.progress.count(records.len() as u64);
        }
        (records, lines)
    }
}

/// Closes connections in order.
pub async fn close(stage: &Stage, lines: Vec<Line>) {
    stage.begin("close", lines.len() as u64);
    let mut closing = tokio::task::JoinSet::new();
    for line in lines {
        closing.spawn(line.close());
    }
    while closing.join_next().await.is_some() {}
    stage.flow.open.store(0, Relaxed);
}
