//! Where and how a run took place.

use chatbench_result::model::{Environment, Options, Traffic};

use crate::args::{CommonArgs, TrafficArgs, Via};
use crate::plan::{Plan, Shape};
use crate::stage::Stage;
use crate::timetable::Arrival;

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
pub fn options(common: &CommonArgs, plan: &Plan, seed: u64) -> Options {
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
pub fn traffic(args: &TrafficArgs, plan: &Plan, window: u32) -> Traffic {
    let arrival = match args.arrival {
        Arrival::Constant => "constant",
        Arrival::Poisson => "poisson",
    };
    Traffic {
        via: if args.via == Via::Ws { "ws" } else { "http" }.to_owned(),
        senders: plan.senders,
        groups: (plan.shape == Shape::Groups).then_some(plan.groups),
        chaos: plan.trouble.words(),
        rate_per_s: (!args.closed && args.stages.is_none()).then_some(args.rate),
        stages: args.stages.as_ref().map(ToString::to_string),
        arrival: (!args.closed).then(|| arrival.to_owned()),
        think_time_ms: args.closed.then(|| millis(args.think_time)),
        window,
        payload_bytes: args.payload,
        warmup_ms: millis(args.warmup),
        duration_ms: millis(args.time()),
        drain_ms: millis(args.drain),
        late_ms: millis(args.late),
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
