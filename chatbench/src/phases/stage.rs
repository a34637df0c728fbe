//! What every scenario needs before its first connection.
//!
//! Invariant: whatever can be refused without connecting (limits, an unreachable server, a wrong process id) is.

use std::sync::Arc;
use std::time::Duration;

use chat_client::{Error, Http, Server};
use chat_protocol::system::{State, StateRequest, StateResponse};

use crate::clock;
use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::net::calls::Caller;
use crate::net::door::Door;
use crate::phases::crowd::{Crowd, Farewell};
use crate::phases::opening::Opening;
use crate::phases::operator::{Interrupt, Operator};
use crate::phases::progress::Progress;
use crate::phases::spec::{Calls, Common};
use crate::watch::limits;
use crate::watch::process::{self, Sample};
use crate::watch::sampler::{Phase, Sampler, Source};
use crate::watch::servers::{Looked, Servers};
use crate::watch::{Redis, Watch};
use chatbench_result::model::Series;

/// Longest wait for an answer over HTTP or gRPC.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for what the server says of itself when the operator wants to stop.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// Whose stage it is.
#[derive(Debug, Clone, Copy)]
pub struct Cast<'a> {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// What it is asked for.
    pub common: &'a Common,
    /// Where its messages go, when they are calls.
    pub calls: Option<&'a Calls>,
    /// Seed of the texts.
    pub seed: u64,
    /// Connections of the whole run, with all its kinds of messages.
    pub connections: u64,
}

/// A run that may begin.
#[derive(Debug)]
pub struct Stage {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// What it is asked for.
    pub common: Common,
    /// Seed of the texts.
    pub seed: u64,
    /// What the connections share.
    pub flow: Arc<Flow>,
    /// Operations over HTTP, by server.
    pub https: Vec<Http>,
    /// Connections for gRPC, one of each server after the other; none when messages go another way.
    callers: Vec<Caller>,
    /// For the terminal.
    pub progress: Arc<dyn Progress>,
    /// The operator's wish to stop.
    pub interrupt: Interrupt,
    /// How many files this process may open.
    pub open_files: u64,
    /// Unix milliseconds.
    pub started_ms: u64,
    /// What the server said of itself at first; none when it does not offer it.
    pub state: Option<StateResponse>,
    /// The generator before the first connection.
    pub own: Sample,
    /// The watched servers.
    pub servers: Servers,
    /// The same before the first connection.
    pub servers_before: Looked,
    /// Why the run ended before its time, when it did by itself.
    pub ended_early: Option<String>,
    /// How the connections were opened, as soon as that is known.
    pub opened: Option<Opening>,
    door: Arc<Door>,
    phase: Phase,
    sampler: Option<Sampler>,
}

impl Stage {
    /// Checks the surroundings and begins to watch the servers; as [`Stage::of_worker`]. Who stops it here gets a stage
    /// of which less is known.
    ///
    /// # Errors
    /// [`Failure`] with the next step.
    pub async fn prepare(cast: Cast<'_>, flow: Flow, operator: &Operator) -> Result<Self, Failure> {
        let interrupt = &operator.interrupt;
        let mut stage = interrupt.unless(Self::of_worker(cast, flow, operator)).await?;
        match interrupt.unless(stage.look_around()).await {
            Ok(()) | Err(Failure::Stopped) => Ok(stage),
            Err(failure) => Err(failure),
        }
    }

    async fn look_around(&mut self) -> Result<(), Failure> {
        if let Some(redis) = &self.common.redis
            && Redis::new(redis.clone()).info().await.is_none()
        {
            let cause = format!("--redis: {redis} does not answer to INFO");
            return Err(Failure::could_not_run(cause, "check the address and the password, or leave it out"));
        }
        let common = &self.common;
        self.servers = Servers::find(&common.pids, common.resources, &common.servers, &self.door.entrances)?;
        self.servers_before = self.servers.look().await;
        self.state = match self.http(0).call::<State>(&StateRequest {}).await {
            Ok(state) => Some(state),
            Err(error @ Error::Unreachable { .. }) => {
                let next = "start chatd there, or name its address with --server or CHATBENCH_SERVER";
                return Err(Failure::could_not_run(error, next));
            }
            Err(error) if error.remedy().is_some() => {
                let next = error.remedy().unwrap_or_default();
                return Err(Failure::could_not_run(error, next));
            }
            Err(error @ Error::Refused { code: 1000 | 1003, .. }) => {
                let next = "the server refuses this host or caller: the reason names what it asks for";
                return Err(Failure::could_not_run(error, next));
            }
            // Without its counters the server can be measured all the same.
            Err(_) => None,
        };
        let app = self.flow.plan.app;
        let greetings = self.callers.iter().map(|caller| caller.greet(app));
        futures_util::future::try_join_all(greetings).await.map(drop)
    }

    /// Checks what a worker needs: room for its connections. The rest is for the conductor.
    ///
    /// # Errors
    /// [`Failure`] with the next step.
    pub async fn of_worker(cast: Cast<'_>, flow: Flow, operator: &Operator) -> Result<Self, Failure> {
        let Cast { scenario, common, calls, seed, connections } = cast;
        let open_files = limits::open_files_for(u64::from(flow.share.count(&flow.plan)))?;
        let mut common = common.clone();
        common.servers = common.believed()?;
        let mut door = Door::to(&common.servers, flow.plan.trouble.reconnects).await?;
        door.choose_sources(common.sources.as_ref(), connections);
        let connected = common.servers.iter().map(|server| Http::new(server.clone(), HTTP_TIMEOUT));
        let https: Vec<Http> = connected
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::could_not_run(error, "check the system's HTTP settings"))?;
        Ok(Self {
            scenario,
            seed,
            flow: Arc::new(flow),
            https,
            callers: callers(calls, &common.servers)?,
            progress: Arc::clone(&operator.progress),
            interrupt: operator.interrupt.clone(),
            open_files,
            started_ms: clock::unix_ms(),
            state: None,
            own: process::own()?,
            servers: Servers::default(),
            servers_before: Ok(Vec::new()),
            ended_early: None,
            opened: None,
            common,
            door: Arc::new(door),
            phase: Phase::new(),
            sampler: None,
        })
    }

    /// Begins the time series, of the clients of these sources.
    pub fn watch(&mut self, sources: Vec<Box<dyn Source>>) {
        let redis = self.common.redis.clone().map(Redis::new);
        let watch = Watch::new(self.servers.clone(), self.door.loopback_ports(), redis);
        self.sampler = Some(Sampler::start(sources, watch, self.phase.clone()));
    }

    /// Opens all connections.
    pub async fn open(&mut self) -> (Crowd, Opening) {
        self.begin("connect", u64::from(self.flow.plan.connections()));
        let Self { flow, door, common, progress, interrupt, .. } = self;
        Crowd::open(flow, door, common.connect_rate, common.heartbeat, &**progress, interrupt).await
    }

    /// Where clients enter.
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// Closes all connections.
    pub async fn close(&self, crowd: Crowd) -> Farewell {
        self.begin("close", u64::from(self.flow.plan.connections()));
        crowd.close(&*self.progress, &self.interrupt).await
    }

    /// A part of the run begins that ends at `total`.
    pub fn begin(&self, part: &'static str, total: u64) {
        self.phase.begin(part);
        self.progress.part(part, total);
    }

    /// The response time of the last second at p99, in microseconds; none without a delivery.
    pub fn p99_now(&self) -> Option<u64> {
        self.phase.p99()
    }

    /// Ends the time series and gives it.
    pub async fn take_series(&mut self) -> Option<Series> {
        Some(self.sampler.take()?.end().await)
    }

    /// What the server says of itself now.
    pub async fn state_now(&self) -> Option<StateResponse> {
        self.state.as_ref()?;
        let asked = self.http(0).call::<State>(&StateRequest {});
        self.interrupt.soon(LAST_LOOK, asked).await?.ok()
    }

    /// Operations over HTTP for user number `number`: users are spread over the servers.
    pub fn http(&self, number: u32) -> &Http {
        &self.https[number as usize % self.https.len()]
    }

    /// The connection for gRPC of sender number `number`; none when messages go another way.
    pub fn caller(&self, number: u32) -> Option<&Caller> {
        self.callers.get(number as usize % self.callers.len().max(1))
    }
}

fn callers(calls: Option<&Calls>, servers: &[Server]) -> Result<Vec<Caller>, Failure> {
    let Some(calls) = calls else { return Ok(Vec::new()) };
    let servers = calls.of(servers)?;
    let rounds = (0..calls.connections).flat_map(|_| &servers);
    rounds.map(|server| Caller::to(server, HTTP_TIMEOUT)).collect()
}
