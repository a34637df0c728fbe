//! Whether a run is a measurement of the server or of the generator.
//!
//! Invariant: what spoils the times is named here with its number and its bound; a bad verdict about the server is
//! never made of it.

use chatbench_result::model::Validity;

use crate::ledger::Ledger;
use crate::ledger::times::Times;
use crate::phases::harvest::Effort;
use crate::watch::probe::MAX_P99_US;
use chatbench_result::units::micros_text;

/// Share of its CPUs above which the generator has none left.
const MOST_CPU: f64 = 0.95;
/// In less time the CPU clock, which ticks 100 times a second, says too little.
const SHORTEST_NS: u64 = 1_000_000_000;

/// What was found, and what follows from it.
#[derive(Debug)]
pub struct Examined {
    /// As it stands in the result.
    pub validity: Validity,
    lag_p99_us: Option<u64>,
    measured_ns: u64,
}

impl Examined {
    /// Of one run, in which the schedule offered so many messages.
    pub fn new(ledger: &Ledger, times: &Times, effort: &Effort, offered: Option<u64>) -> Self {
        let cpu_us = effort.own[2].cpu_us.saturating_sub(effort.own[1].cpu_us) as f64;
        let could_us = effort.measured_ns as f64 / 1e3 * f64::from(effort.threads.max(1));
        let share = |part: f64| (part * 10_000.0).round() / 10_000.0;
        let p99 =
            |probe: &hdrhistogram::Histogram<u64>| (!probe.is_empty()).then(|| probe.value_at_quantile(0.99));
        let sent = ledger.books.measured.sent;
        let validity = Validity {
            achieved_share: offered.filter(|offered| *offered > 0).map(|of| share(sent as f64 / of as f64)),
            dropped: offered.map(|offered| offered.saturating_sub(sent)),
            generator_cpu_share: if could_us > 0.0 { share(cpu_us / could_us) } else { 0.0 },
            delay_before_p99_us: p99(&effort.probe_before),
            delay_p99_us: p99(&effort.probe),
            delay_after_p99_us: p99(&effort.probe_after),
        };
        Self { validity, lag_p99_us: p99(&times.lag), measured_ns: effort.measured_ns }
    }

    /// That the messages of the schedule were sent too late, where it was not for the server: messages wait for their
    /// turn when it answers too slowly, and for a connection when it was closed or cut.
    pub fn late(&self, ledger: &Ledger, troubled: bool) -> Option<String> {
        let excused = troubled || ledger.books.waited_for_window > 0 || ledger.closed_by_server() > 0;
        let lag = self.lag_p99_us.filter(|lag| !excused && *lag > MAX_P99_US)?;
        let [lag, bound] = [lag, MAX_P99_US].map(micros_text);
        Some(format!("the generator sent its messages {lag} late at p99 (bound {bound})"))
    }

    /// What to know of the machine, though it spoils nothing by itself.
    pub fn note(&self) -> Option<String> {
        // It is looked at for a moment only, where one hiccup is the whole percentile.
        let delay = micros_text(self.validity.delay_before_p99_us.filter(|delay| *delay > MAX_P99_US)?);
        Some(format!("the machine was busy before the first message: tasks waited {delay} for their turn"))
    }

    /// Why the generator spoilt the run, if it did.
    pub fn saturated(&self) -> Vec<String> {
        let bound = micros_text(MAX_P99_US);
        let mut reasons = Vec::new();
        if let Some(delay) = self.validity.delay_p99_us.filter(|delay| *delay > MAX_P99_US) {
            let delay = micros_text(delay);
            reasons.push(format!(
                "the generator is saturated: its tasks waited {delay} at p99 for their turn (bound {bound})"
            ));
        }
        if self.validity.generator_cpu_share > MOST_CPU && self.measured_ns >= SHORTEST_NS {
            let percent = self.validity.generator_cpu_share * 100.0;
            reasons.push(format!(
                "the generator is saturated: it used {percent:.0} % of its CPUs; more --workers?"
            ));
        }
        reasons
    }
}
