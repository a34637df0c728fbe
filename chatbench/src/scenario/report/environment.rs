//! Where and how a run took place.

use chatbench_result::model::{self, Environment, Options};

use crate::ledger::plan::timetable::Arrival;
use crate::ledger::plan::{Plan, Shape};
use crate::phases::spec::{Common, Pace, Traffic, Via};
use crate::phases::stage::Stage;

/// The machine and the program, of this process.
pub fn environment(stage: &Stage) -> Environment {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Environment {
        cpu_model: cpu_model(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: kernel.trim().to_owned(),
        chatbench_version: env!("CARGO_PKG_VERSION").to_owned(),
        optimised_build: !cfg!(debug_assertions),
        open_files_limit: stage.open_files,
        server: stage.common.servers_text(),
    }
}

/// The common options.
pub fn options(common: &Common, plan: &Plan, seed: u64) -> Options {
    Options {
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
pub fn traffic(traffic: &Traffic, plan: &Plan, window: u32) -> model::Traffic {
    let (mut rate, mut written, mut think) = (None, None, None);
    match &traffic.pace {
        Pace::Rate(per_s) => rate = Some(*per_s),
        Pace::Stages(stages) => written = Some(stages.to_string()),
        Pace::Closed { think: pause } => think = Some(millis(*pause)),
    }
    let arrival = match traffic.arrival {
        Arrival::Constant => "constant",
        Arrival::Poisson => "poisson",
    };
    model::Traffic {
        via: traffic.via.word().to_owned(),
        grpc_connections: (traffic.via == Via::Grpc).then_some(traffic.calls.connections),
        senders: plan.senders,
        groups: (plan.shape == Shape::Groups).then_some(plan.groups),
        chaos: plan.trouble.words(),
        rate_per_s: rate,
        stages: written,
        arrival: (!traffic.is_closed()).then(|| arrival.to_owned()),
        think_time_ms: think,
        window,
        payload_bytes: traffic.payload,
        warmup_ms: millis(traffic.warmup),
        duration_ms: millis(traffic.time()),
        drain_ms: millis(traffic.drain),
        late_ms: millis(traffic.late),
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
