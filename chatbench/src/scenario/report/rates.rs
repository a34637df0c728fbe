//! The rates as they stand in the result.

use chatbench_result::model::Rates;

use crate::ledger::Ledger;
use crate::ledger::flow::Flow;
use crate::phases::harvest::Effort;

/// The rates of one run.
pub fn rates(ledger: &Ledger, effort: &Effort, flow: &Flow, offered_per_s: Option<f64>) -> Rates {
    let measure_ns = flow.measure_ns.load(std::sync::atomic::Ordering::Relaxed);
    // An interrupted run may have sent nothing in the measured part; then all rates are 0 and not 0/0.
    let seconds = (effort.sending_ns as f64 / 1e9).max(1e-3);
    let until = |time_ns: u64| time_ns.saturating_sub(measure_ns) as f64 / 1e9;
    let (to_delivery, to_answer) = (until(ledger.last_delivery_ns), until(ledger.last_answer_ns));
    let per = |count: u64, seconds: f64| (count as f64 / seconds * 10.0).round() / 10.0;
    Rates {
        offered_per_s,
        sent_per_s: per(ledger.books.measured.sent, seconds),
        accepted_per_s: per(ledger.books.measured.accepted, seconds.max(to_answer)),
        deliveries_per_s: per(ledger.books.measured.delivered, seconds.max(to_delivery)),
        generator_delay_p99_us: effort.probe.value_at_quantile(0.99),
    }
}
