//! What every scenario needs before its first connection.
//!
//! Invariant: whatever can be refused without connecting (limits, an unreachable server, a wrong process id) is.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chat_client::{Error, Http};
use chat_protocol::system::{State, StateRequest, StateResponse};

use crate::args::CommonArgs;
use crate::crowd::{self, Crowd, Farewell, Opening};
use crate::failure::Failure;
use crate::flow::Flow;
use crate::interrupt::Interrupt;
use crate::limits;
use crate::login::Door;
use crate::process::{self, Sample};
use crate::progress::Progress;
use crate::report::series::Series;
use crate::sampler::{Phase, Sampler};
use crate::watch::{Redis, Watch, found};

/// Longest wait for an HTTP answer.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// A run that may begin.
#[derive(Debug)]
pub struct Stage {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Its options.
    pub common: CommonArgs,
    /// Seed of the texts.
    pub seed: u64,
    /// What the connections share.
    pub flow: Arc<Flow>,
    /// Operations over HTTP, by server.
    pub https: Vec<Http>,
    /// For the terminal.
    pub progress: Progress,
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
    /// The processes of `--pid` before the first connection.
    pub servers: Vec<Sample>,
    door: Arc<Door>,
    phase: Phase,
    sampler: Option<Sampler>,
}

impl Stage {
    /// Checks the surroundings.
    ///
    /// # Errors
    /// [`Failure`] with the next step.
    pub async fn prepare(
        scenario: &'static str,
        common: &CommonArgs,
        seed: u64,
        flow: Flow,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let open_files = limits::open_files_for(u64::from(flow.plan.connections()))?;
        let door = crowd::door(&common.server).await?;
        let connected = common.server.iter().map(|server| Http::new(server.clone(), HTTP_TIMEOUT));
        let https: Vec<Http> = connected
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::could_not_run(error, "check the system's HTTP settings"))?;
        let Some(http) = https.first() else {
            return Err(Failure::Usage("--server: name at least one".to_owned()));
        };
        let state = match http.call::<State>(&StateRequest {}).await {
            Ok(state) => Some(state),
            Err(error @ Error::Unreachable { .. }) => {
                let next = "start chatd there, or name its address with --server or CHATBENCH_SERVER";
                return Err(Failure::could_not_run(error, next));
            }
            // Without its counters the server can be measured all the same.
            Err(_) => None,
        };
        let mut common = common.clone();
        let ports: Vec<u16> = door.loopback_ports();
        if common.pid.is_empty() {
            common.pid = found::listeners(&ports);
        }
        let (flow, phase) = (Arc::new(flow), Phase::new());
        let servers = process::samples(&common.pid)?;
        let watch = Watch::new(&common.pid, ports, common.redis.clone().map(Redis::new));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            scenario,
            seed,
            sampler: Some(Sampler::start(Arc::clone(&flow), watch, phase.clone())),
            phase,
            flow,
            https,
            progress: Progress::new(&common),
            interrupt,
            open_files,
            started_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            state,
            own: process::own()?,
            servers,
            common,
            door: Arc::new(door),
        })
    }

    /// Opens all connections.
    pub async fn open(&mut self) -> (Crowd, Opening) {
        self.begin("connect", u64::from(self.flow.plan.connections()));
        let Self { flow, door, common, progress, interrupt, .. } = self;
        Crowd::open(flow, door, common.connect_rate, common.heartbeat, progress, interrupt).await
    }

    /// Where clients enter.
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// Closes all connections.
    pub async fn close(&self, crowd: Crowd) -> Farewell {
        self.begin("close", u64::from(self.flow.plan.connections()));
        crowd.close(&self.progress).await
    }

    /// A part of the run begins that ends at `total`.
    pub fn begin(&self, part: &'static str, total: u64) {
        self.phase.begin(part);
        self.progress.part(part, total);
    }

    /// Ends the time series and gives it.
    pub async fn take_series(&mut self) -> Series {
        match self.sampler.take() {
            Some(sampler) => sampler.end().await,
            None => Series::default(),
        }
    }

    /// What the server says of itself now.
    pub async fn state_now(&self) -> Option<StateResponse> {
        self.state.as_ref()?;
        self.http(0).call::<State>(&StateRequest {}).await.ok()
    }

    /// Operations over HTTP for user number `number`: users are spread over the servers.
    pub fn http(&self, number: u32) -> &Http {
        &self.https[number as usize % self.https.len()]
    }
}
