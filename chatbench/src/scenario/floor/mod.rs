//! The floor: the same run against a relay that does nothing but write, on the same machine at the same time.
//!
//! Invariant: the floor is measured before and after the server, with the same clients, and told as what it is.

mod client;
mod hall;
mod http;
mod owner;
pub mod relay;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use chatbench_result::model::{Floor, FloorRound};
use hdrhistogram::Histogram;

use crate::failure::Failure;
use crate::phases::operator::Operator;
use crate::scenario::kind::Scenario;
use crate::scenario::report::result::Report;
use crate::scenario::run;
use chatbench_result::hdr::histogram;
use chatbench_result::verdict::Verdict;

/// Share of the server's deliveries that the relay must reach for its times to be a floor.
const KEEPS_UP: f64 = 0.95;

/// A running relay; it ends when this is dropped.
struct Relay {
    child: Child,
    server: chat_client::Server,
}

/// Runs the scenario against a relay, against the server, and against the relay again.
///
/// # Errors
/// [`Failure`] when the relay does not start, or a run has nothing to report.
pub async fn run(scenario: &dyn Scenario, operator: Operator) -> Result<Report, Failure> {
    let relay = Relay::start()?;
    let bare = scenario.against(&relay.server)?;
    let unseen = Operator { progress: Arc::new(()), ..operator.clone() };
    let before = Box::pin(run::run(&*bare, unseen.clone())).await?;
    let mut report = Box::pin(run::run(scenario, operator)).await?;
    let after = Box::pin(run::run(&*bare, unseen)).await?;
    let mut ratios = std::collections::BTreeMap::new();
    for (name, metric, quantile) in [
        ("ack_p50", "ack_time", 0.5),
        ("ack_p99", "ack_time", 0.99),
        ("e2e_p50", "e2e_time", 0.5),
        ("e2e_p99", "e2e_time", 0.99),
        ("service_p50", "service_time", 0.5),
        ("fanout_p50", "fanout_time", 0.5),
        ("fanout_p99", "fanout_time", 0.99),
    ] {
        let floor = merged(&[&before, &after], metric);
        let Some(server) = report.distribution(metric).filter(|times| !times.is_empty()) else { continue };
        if !floor.is_empty() {
            let quotient =
                server.value_at_quantile(quantile) as f64 / floor.value_at_quantile(quantile) as f64;
            ratios.insert(name.to_owned(), (quotient * 100.0).round() / 100.0);
        }
    }
    let rounds: Vec<FloorRound> = [&before, &after].into_iter().map(round).collect();
    let cost = |round: &FloorRound| round.server_cpu_us_per_delivery;
    let mine = report.found.processes.as_ref().and_then(|processes| processes.server_cpu_us_per_delivery);
    if let (Some(server), [Some(first), Some(second)]) = (mine, [cost(&rounds[0]), cost(&rounds[1])])
        && first + second > 0.0
    {
        ratios.insert(
            "server_cpu_per_delivery".to_owned(),
            (server * 200.0 / (first + second)).round() / 100.0,
        );
    }
    if let Some(note) = overwhelmed(&report, &rounds) {
        report.judgement.add(Verdict::Pass, note);
    }
    report.found.floor = Some(Floor { rounds, server_to_floor: ratios });
    Ok(report)
}

/// What to say of a relay that did not deliver what the server did: its times are those of a growing queue.
fn overwhelmed(report: &Report, rounds: &[FloorRound]) -> Option<String> {
    let server = report.found.rates.as_ref()?.deliveries_per_s;
    let slowest = rounds.iter().filter_map(|round| round.deliveries_per_s).fold(f64::INFINITY, f64::min);
    (slowest < server * KEEPS_UP).then(|| {
        format!(
            "the relay delivered {slowest:.0}/s where the server delivered {server:.0}/s; a floor asks for a lower --rate"
        )
    })
}

fn merged(reports: &[&Report], metric: &str) -> Histogram<u64> {
    let mut sum = histogram();
    for times in reports.iter().filter_map(|report| report.distribution(metric)) {
        // All have the same bounds.
        let _ = sum.add(times);
    }
    sum
}

fn round(report: &Report) -> FloorRound {
    let e2e = report.distribution("e2e_time").filter(|times| !times.is_empty());
    let processes = report.found.processes.as_ref();
    FloorRound {
        run: report.found.run.clone(),
        valid: report.judgement.valid,
        e2e_p50_us: e2e.map(|times| times.value_at_quantile(0.5)),
        e2e_p99_us: e2e.map(|times| times.value_at_quantile(0.99)),
        deliveries_per_s: report.found.rates.as_ref().map(|rates| rates.deliveries_per_s),
        server_cpu_us_per_delivery: processes.and_then(|cost| cost.server_cpu_us_per_delivery),
        generator_cpu_us_per_delivery: processes.and_then(|cost| cost.generator_cpu_us_per_delivery),
    }
}

impl Relay {
    fn start() -> Result<Self, Failure> {
        let failed = |cause: String| {
            Failure::could_not_run(format!("the relay does not start: {cause}"), "check `ulimit -u`")
        };
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut command = Command::new(program);
        command.arg("relay").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut line);
        }
        let server = format!("http://127.0.0.1:{}", line.trim()).parse();
        let server = server.map_err(|_| failed(format!("it said {line:?}")))?;
        Ok(Self { child, server })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
