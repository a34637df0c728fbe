//! Readers who page through a conversation in both directions while it is written to.
//!
//! Invariant: every page that was read is timed and checked; a hole or a repeat breaks the run.

mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use chat_client::{Error, Http};
use chat_protocol::message::{History, HistoryRequest};
use chat_protocol::user::{SendMessageAll, SendMessageAllRequest};
use chat_protocol::{MsgId, Target};
use chatbench_result::model::Pages;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::{micros, now_ns};
use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::net::payload::{Payload, Stamp};
use crate::net::request;
use crate::phases::identity::Identity;
use crate::phases::opening::Opening;
use crate::phases::operator::{Interrupt, Operator};
use crate::phases::spec::Common;
use crate::phases::stage::Stage;
use crate::scenario::kind::{Asked, Scenario, silent_flow};
use crate::scenario::report::result::Report;
use crate::scenario::run::alone;
use chatbench_result::hdr::histogram;
use chatbench_result::units::count_text;
use chatbench_result::verdict::Verdict;
use walk::{Direction, Walk};

/// Messages posted at once before the reading begins, and at most at once later.
const CONCURRENT: usize = 32;
/// Longest time without a page before a reader gives up: servers that are restarted are back by then.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it is asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Paging {
    /// What every run is asked for; the clients read.
    pub common: Common,
    /// Messages in the conversation before the reading begins.
    pub messages: u32,
    /// Messages per second written meanwhile.
    pub rate: f64,
    /// Messages in a page.
    pub page: u32,
    /// Bytes of text in each message.
    pub payload: usize,
    /// How long to read; a walk that has begun is finished.
    pub duration: Duration,
}

/// What a reader brings in, or all together.
struct Read {
    pages: Pages,
    /// Of single pages.
    times: Histogram<u64>,
    /// Readers that gave up: no page came for 10 s.
    given_up: u64,
}

/// What the writer and the readers share.
struct Room {
    flow: Arc<Flow>,
    interrupt: Interrupt,
    page: u32,
    until: Instant,
    /// The greatest number accepted so far.
    newest: AtomicU64,
    accepted: AtomicU64,
    next: AtomicU32,
    over: Notify,
}

impl Scenario for Paging {
    fn name(&self) -> &'static str {
        "history"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Silent(&self.common)
    }

    fn flow(&self, identity: &Identity) -> Result<Flow, Failure> {
        let mut flow = silent_flow(&self.common, identity);
        flow.plan.payload = Payload::new(&flow.plan.run, self.payload, identity.seed);
        Ok(flow)
    }

    fn run_apart(&self, operator: Operator) -> Option<LocalBoxFuture<'_, Result<Report, Failure>>> {
        Some(Box::pin(run(self, operator)))
    }
}

async fn run(wanted: &Paging, operator: Operator) -> Result<Report, Failure> {
    let mut stage = alone(wanted, &operator).await?;
    let readers = stage.flow.plan.receivers;
    let mut room = Room {
        flow: Arc::clone(&stage.flow),
        interrupt: stage.interrupt.clone(),
        page: wanted.page,
        until: Instant::now(),
        newest: AtomicU64::new(0),
        accepted: AtomicU64::new(0),
        next: AtomicU32::new(0),
        over: Notify::new(),
    };
    let filled = stage.interrupt.unless(room.fill(stage.http(0), wanted.messages)).await;
    if let Err(failure) = filled {
        // What is written before the reading is no measurement yet.
        return Ok(Report::cut_short(&mut stage, Verdict::CouldNotRun, &failure).await);
    }
    room.until = Instant::now() + wanted.duration;
    let Read { pages, times, given_up } =
        read_while_written(&stage, Arc::new(room), readers, wanted.rate).await;

    let mut report = Report::new(&stage, &Opening::none());
    judge(&mut report, &pages, given_up);
    report.add_pages(pages, times);
    report.finish(&mut stage).await;
    Ok(report)
}

async fn read_while_written(stage: &Stage, room: Arc<Room>, readers: u32, rate: f64) -> Read {
    stage.begin("read", u64::from(readers));
    let (shared, http) = (Arc::clone(&room), stage.http(0).clone());
    let writer = tokio::spawn(async move { shared.write(&http, rate).await });
    let mut tasks = Vec::with_capacity(readers as usize);
    for number in 0..readers {
        let (room, http) = (Arc::clone(&room), stage.http(number).clone());
        tasks.push(tokio::spawn(async move { room.read(&http, number).await }));
    }
    let mut all = Read::new();
    all.pages.readers = readers;
    for (position, task) in (1..).zip(tasks) {
        if let Ok(part) = task.await {
            all.add(part);
        }
        stage.progress.count(position);
    }
    // Kept until the writer asks, so it cannot be missed.
    room.over.notify_one();
    if let Ok(failed) = writer.await {
        all.pages.add(Pages { failed, ..Pages::default() });
    }
    all.pages.written = room.accepted.load(Relaxed);
    all
}

fn judge(report: &mut Report, pages: &Pages, given_up: u64) {
    let breaches = [
        (pages.holes, "numbers were left out by the pages"),
        (pages.repeats, "numbers or messages came again"),
        (pages.corrupted, "messages had another text"),
    ];
    for (count, what) in breaches.into_iter().filter(|(count, _)| *count > 0) {
        report.judgement.add(Verdict::InvariantBroken, format!("{} {what}", count_text(count)));
    }
    let failed: u64 = pages.failed.values().sum();
    if let Some((cause, _)) = pages.failed.iter().max_by_key(|(_, count)| **count) {
        let verdict = if pages.pages == 0 { Verdict::CouldNotRun } else { Verdict::Invalid };
        report.judgement.add(verdict, format!("{} requests failed; most often: {cause}", count_text(failed)));
    }
    if given_up > 0 {
        report.found.partial = true;
        let (given_up, readers) = (count_text(given_up), count_text(u64::from(pages.readers)));
        let words = format!("{given_up} of {readers} readers gave up: no page came for 10 s");
        report.judgement.add(Verdict::Invalid, words);
    }
    if !report.found.partial && pages.walks_backward + pages.walks_forward == 0 {
        report.judgement.add(Verdict::Invalid, "no way through the conversation came to its end");
    }
}

impl Room {
    /// Writes `count` messages.
    async fn fill(&self, http: &Http, count: u32) -> Result<(), Failure> {
        let posts = stream::iter((0..count).map(|_| self.post(http))).buffer_unordered(CONCURRENT);
        let mut posts = std::pin::pin!(posts);
        while let Some(posted) = posts.next().await {
            posted.map_err(|error| {
                let next = "see whether the server takes /user/sendMessageAll";
                Failure::could_not_run(format!("the conversation could not be filled: {error}"), next)
            })?;
        }
        Ok(())
    }

    async fn post(&self, http: &Http) -> Result<(), Error> {
        let unnamed = |error: String| Error::BadServer(error);
        let plan = &self.flow.plan;
        let stamp =
            Stamp { sender: 0, sequence: self.next.fetch_add(1, Relaxed), intended_ns: now_ns(), lag_us: 0 };
        let mut message = String::with_capacity(plan.payload.bytes());
        plan.payload.write(&stamp, &mut message);
        let id = request::message_id(&plan.run, stamp.sender, stamp.sequence);
        let request = SendMessageAllRequest {
            app_id: plan.app,
            user_id: plan.user(plan.receivers).map_err(|error| unnamed(error.to_string()))?,
            msg_id: MsgId::new(&id).map_err(|error| unnamed(error.to_string()))?,
            message,
            kind: None,
        };
        let answer = http.call::<SendMessageAll>(&request).await?;
        self.newest.fetch_max(answer.offset, Relaxed);
        self.accepted.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Writes at a rate until the reading is over; gives the failures by cause.
    async fn write(&self, http: &Http, rate: f64) -> BTreeMap<String, u64> {
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut posts, mut failed) = (FuturesUnordered::new(), BTreeMap::new());
        let mut note = |posted| {
            if let Err(error) = posted {
                *failed.entry(format!("write: {error}")).or_default() += 1;
            }
        };
        let mut over = std::pin::pin!(self.over.notified());
        loop {
            tokio::select! {
                () = &mut over => break,
                _ = ticks.tick(), if posts.len() < CONCURRENT => posts.push(self.post(http)),
                Some(posted) = posts.next() => note(posted),
            }
        }
        while let Some(Some(posted)) = self.interrupt.soon(Duration::ZERO, posts.next()).await {
            note(posted);
        }
        failed
    }

    /// Walks to and fro until the time is over.
    async fn read(&self, http: &Http, number: u32) -> Read {
        let mut read = Read::new();
        // Half of the readers begin at the other end.
        let mut backward = number.is_multiple_of(2);
        let (mut interrupt, mut answered) = (self.interrupt.clone(), Instant::now());
        while Instant::now() < self.until && !interrupt.came() {
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let mut walk = Walk::new(direction, self.newest.load(Relaxed));
            match self.walk(http, number, &mut walk, direction, &mut read.times).await {
                Ok(true) if backward => read.pages.walks_backward += 1,
                Ok(true) => read.pages.walks_forward += 1,
                Ok(false) => {}
                Err(error) => {
                    *read.pages.failed.entry(format!("read: {error}")).or_default() += 1;
                    if walk.found.pages == 0 && answered.elapsed() > PATIENCE {
                        read.given_up += 1;
                        break;
                    }
                    interrupt.within(Instant::now() + Duration::from_millis(100)).await;
                }
            }
            if walk.found.pages > 0 {
                answered = Instant::now();
            }
            read.pages.add(walk.found);
            backward = !backward;
        }
        read
    }

    /// Walks once. False when the operator wants to stop.
    async fn walk(
        &self,
        http: &Http,
        number: u32,
        walk: &mut Walk,
        direction: Direction,
        times: &mut Histogram<u64>,
    ) -> Result<bool, Error> {
        let plan = &self.flow.plan;
        let user_id = plan.user(number).map_err(|error| Error::BadServer(error.to_string()))?;
        let mut place = (direction == Direction::Forward).then_some(0);
        loop {
            let (before, after) = match direction {
                Direction::Backward => (place, None),
                Direction::Forward => (None, place),
            };
            let request = HistoryRequest {
                app_id: plan.app,
                user_id: Some(user_id.clone()),
                target: Target::World,
                before,
                after,
                limit: Some(self.page),
            };
            let asked = Instant::now();
            let Some(page) = self.interrupt.soon(Duration::ZERO, http.call::<History>(&request)).await else {
                return Ok(false);
            };
            let page = page?;
            times.saturating_record(micros(asked.elapsed()).max(1));
            place = walk.take(&page, &plan.payload);
            if place.is_none() {
                return Ok(true);
            }
            // Who reads slower than the writer writes would never come to the end.
            if Instant::now() >= self.until && walk.is_past_known() {
                return Ok(true);
            }
        }
    }
}

impl Read {
    fn new() -> Self {
        Self { pages: Pages::default(), times: histogram(), given_up: 0 }
    }

    fn add(&mut self, part: Read) {
        self.pages.add(part.pages);
        // Both have the same bounds.
        let _ = self.times.add(&part.times);
        self.given_up += part.given_up;
    }
}
