//! Measurements made up for tests: noise around a level, now and then one far off, a machine that slows down.
//!
//! Invariant: a seed gives the same values each time.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::{Environment, Options, RunResult, SCHEMA, TimeSummary, Traffic};
use crate::verdict::Verdict;

/// A source of noise.
pub struct Noise(StdRng);

impl Noise {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A lognormal value with this median and spread; one in twenty is up to half as large again.
    pub fn value(&mut self, median: f64, spread: f64) -> f64 {
        let outlier = if self.0.random_bool(0.05) { 1.0 + self.0.random_range(0.0..0.5) } else { 1.0 };
        median * (spread * self.normal()).exp() * outlier
    }

    /// Box and Muller's.
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.0.random::<f64>().max(1e-300), self.0.random::<f64>());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

/// A result whose median response time is this.
pub fn result(run: u64, p50_us: u64) -> RunResult {
    let traffic = Traffic {
        via: "ws".to_owned(),
        senders: 1,
        rate_per_s: Some(50.0),
        window: 100,
        ..Traffic::default()
    };
    RunResult {
        schema: SCHEMA.to_owned(),
        scenario: "broadcast".to_owned(),
        run: format!("{run:x}"),
        started_unix_ms: run,
        valid: true,
        verdict: Some(Verdict::Pass),
        options: Some(Options {
            app: u32::try_from(run).unwrap(),
            seed: run,
            clients: 100,
            heartbeat_ms: 60_000,
            traffic: Some(traffic),
            ..Options::default()
        }),
        environment: Some(Environment {
            cpu_model: "a processor".to_owned(),
            cores: 2,
            kernel: "6.1".to_owned(),
            chatbench_version: "0.1.0".to_owned(),
            ..Environment::default()
        }),
        times: [(
            "e2e_time".to_owned(),
            TimeSummary { count: 1000, p50_us: Some(p50_us), ..TimeSummary::default() },
        )]
        .into(),
        ..RunResult::default()
    }
}
