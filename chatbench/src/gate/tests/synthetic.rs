//! Measurements made up for tests: noise around a level, now and then one far off, a machine that slows down.
//!
//! Invariant: a seed gives the same values each time.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

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

/// A result with these metrics, by their pointers.
pub fn result(run: u64, values: &[(&str, f64)]) -> Value {
    let mut result = json!({
        "schema": "chatbench.result/v1", "scenario": "broadcast", "run": format!("{run:x}"), "started_unix_ms": run,
        "valid": true, "partial": false, "verdict": "pass", "exit_code": 0, "reasons": [],
        "options": {
            "app": run, "seed": run, "clients": 100, "heartbeat_ms": 60000,
            "traffic": {"senders": 1, "rate_per_s": 50.0},
        },
        "environment": {"cpu_model": "a processor", "cores": 2, "kernel": "6.1", "chatbench_version": "0.1.0"},
        "times": {"e2e_time": {}, "ack_time": {}}, "ledger": null, "chaos": null, "processes": {}, "rates": {},
    });
    for (pointer, value) in values {
        let (place, name) = pointer.rsplit_once('/').unwrap();
        result.pointer_mut(place).unwrap()[name] = json!(value);
    }
    result
}
