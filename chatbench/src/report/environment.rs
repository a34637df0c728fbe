//! Where and how a run took place.

use serde::Serialize;

use crate::args::{CommonArgs, TrafficArgs, Via};
use crate::plan::{Plan, Shape};
use crate::stage::Stage;
use crate::timetable::Arrival;

/// The machine and the program.
#[derive(Debug, Serialize)]
pub struct Environment {
    /// The processor as the kernel names it; empty when it does not.
    pub cpu_model: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Version of this program.
    pub chatbench_version: &'static str,
    /// Whether the program was built with optimisation.
    pub optimised_build: bool,
    /// The limit on open files.
    pub open_files_limit: u64,
    /// Addresses of the servers, with commas between them.
    pub server: String,
}

/// The options as they took effect.
#[derive(Debug, Serialize)]
pub struct Options {
    /// The app used.
    pub app: u32,
    /// Receiving clients.
    pub clients: u32,
    /// New connections per second; null for as fast as possible.
    pub connect_rate_per_s: Option<f64>,
    /// Interval of the signs of life.
    pub heartbeat_ms: u64,
    /// Seed of the texts.
    pub seed: u64,
    /// Kinds of trouble of a scenario that does not send, as `--chaos` names them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chaos: Vec<String>,
    /// Options of the scenarios that send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
}

/// Options of the scenarios that send.
#[derive(Debug, Serialize)]
pub struct Traffic {
    /// `ws` or `http`.
    pub via: &'static str,
    /// Senders.
    pub senders: u32,
    /// Groups; null when the messages go elsewhere.
    pub groups: Option<u32>,
    /// Kinds of trouble, as `--chaos` names them.
    pub chaos: Vec<String>,
    /// Messages per second of all senders; null when each waits for its answer.
    pub rate_per_s: Option<f64>,
    /// Rates one after the other, as `--stages` names them; null without.
    pub stages: Option<String>,
    /// `constant` or `poisson`; null when each message waits for an answer.
    pub arrival: Option<&'static str>,
    /// Pause between an answer and the next message; null at a rate.
    pub think_time_ms: Option<u64>,
    /// Unanswered messages of one sender.
    pub window: u32,
    /// Text of a message.
    pub payload_bytes: usize,
    /// Uncounted time at the start.
    pub warmup_ms: u64,
    /// Measured time.
    pub duration_ms: u64,
    /// Longest wait after the last message.
    pub drain_ms: u64,
    /// Bound above which a delivery is late.
    pub late_ms: u64,
}

impl Environment {
    /// Of this process.
    pub fn new(stage: &Stage) -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu_model: cpu_model(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            chatbench_version: env!("CARGO_PKG_VERSION"),
            optimised_build: !cfg!(debug_assertions),
            open_files_limit: stage.open_files,
            server: stage.common.servers_text(),
        }
    }
}

impl Options {
    /// The common ones.
    pub fn new(common: &CommonArgs, plan: &Plan, seed: u64) -> Self {
        Self {
            app: plan.app,
            clients: plan.receivers,
            connect_rate_per_s: common.connect_rate,
            heartbeat_ms: millis(common.heartbeat),
            seed,
            chaos: Vec::new(),
            traffic: None,
        }
    }

    /// Those of a scenario that sends.
    pub fn add_traffic(&mut self, args: &TrafficArgs, plan: &Plan, window: u32) {
        self.traffic = Some(Traffic {
            via: if args.via == Via::Ws { "ws" } else { "http" },
            senders: plan.senders,
            groups: (plan.shape == Shape::Groups).then_some(plan.groups),
            chaos: plan.trouble.words(),
            rate_per_s: (!args.closed && args.stages.is_none()).then_some(args.rate),
            stages: args.stages.as_ref().map(ToString::to_string),
            arrival: (!args.closed).then_some(match args.arrival {
                Arrival::Constant => "constant",
                Arrival::Poisson => "poisson",
            }),
            think_time_ms: args.closed.then(|| millis(args.think_time)),
            window,
            payload_bytes: args.payload,
            warmup_ms: millis(args.warmup),
            duration_ms: millis(args.time()),
            drain_ms: millis(args.drain),
            late_ms: millis(args.late),
        });
    }
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = info.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(':'));
    named.map(|(_, name)| name.trim().to_owned()).next().unwrap_or_default()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
