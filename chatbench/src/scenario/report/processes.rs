//! What the run cost the server's processes and the generator.
//!
//! Invariant: CPU is that of the measured part, drain included, on both sides alike.

use chatbench_result::model::{Processes, Usage};

use crate::phases::harvest::Effort;
use crate::phases::stage::Stage;
use crate::watch::process::Sample;

/// The CPU clock ticks 100 times a second: a share of less time than ten ticks is a number made of nothing.
const SHORTEST_NS: u64 = 100_000_000;

/// What was seen, and why there are no servers, in words.
#[derive(Debug)]
pub struct Costs {
    /// As it stands in the result.
    pub processes: Processes,
    /// Why there are no servers.
    pub missing: Option<String>,
}

/// From the samples at the start and the end of the observation.
///
/// Servers of which one could not be read are left out: half a sum would look like a small one.
pub fn costs(stage: &Stage, effort: &Effort) -> Costs {
    let observed_ns = effort.measured_ns;
    let (servers, missing) = match servers(stage, effort) {
        Ok(servers) => (servers, None),
        Err(why) => (Vec::new(), Some(format!("{why}: the CPU and memory of the servers are unknown"))),
    };
    let generator = Usage {
        source: "pid".to_owned(),
        pid: Some(i64::from(std::process::id())),
        ..usage(&effort.own, observed_ns)
    };
    let processes = Processes {
        observed_ms: observed_ns / 1_000_000,
        generator,
        generator_processes: effort.processes,
        servers,
        ..Processes::default()
    };
    Costs { processes, missing }
}

/// From the samples before the first connection, at the start of the observation and at its end.
fn usage([before, from, to]: &[Sample; 3], observed_ns: u64) -> Usage {
    let cpu_us = to.cpu_us.saturating_sub(from.cpu_us);
    let percent = cpu_us as f64 * 100_000.0 / observed_ns.max(1) as f64;
    let hundredths = (percent * 100.0).round() / 100.0;
    Usage {
        cpu_us,
        cpu_percent: (observed_ns >= SHORTEST_NS).then_some(hundredths),
        rss_before_bytes: before.rss_bytes,
        rss_connected_bytes: from.rss_bytes,
        rss_after_bytes: to.rss_bytes,
        ..Usage::default()
    }
}

fn servers(stage: &Stage, effort: &Effort) -> Result<Vec<Usage>, String> {
    let Some([from, to]) = effort.servers.clone().transpose()? else { return Ok(Vec::new()) };
    let before = stage.servers_before.clone()?;
    let looks = stage.servers.iter().zip(before).zip(from.iter().zip(&to));
    let usages = looks.map(|((server, before), (from, to))| Usage {
        source: server.source().to_owned(),
        pid: server.pid().map(i64::from),
        server: server.address(),
        ..usage(&[before.sample, from.sample, to.sample], effort.measured_ns)
    });
    Ok(usages.collect())
}
