//! Deliveries whose times are known to the microsecond, through everything that measures: the books must say the same.

use std::sync::atomic::Ordering::Relaxed;

use hdrhistogram::Histogram;

use super::*;
use crate::ledger::plan::tests::plan;
use crate::ledger::plan::timetable::tests::every_millisecond;
use crate::ledger::receiver::Receiver;
use crate::ledger::sender::Sent;
use crate::net::payload::Stamp;

const MESSAGES: u32 = 10_000;
const PERIOD_NS: u64 = 1_000_000;
const START_NS: u64 = 1_000_000_000;

/// One message a millisecond; `times` gives how much later it was sent, and then how long its delivery took, in
/// microseconds. `None` for the latter: it never came.
fn measured(times: impl Fn(u32) -> (u32, Option<u64>)) -> (Ledger, Times) {
    let flow = Flow::new(plan(Shape::World, 1, 1), 60_000_000, 8, every_millisecond());
    flow.start_ns.store(START_NS, Relaxed);
    flow.measure_ns.store(START_NS, Relaxed);
    flow.deadline_ns.store(START_NS + u64::from(MESSAGES) * PERIOD_NS + 5_000_000_000, Relaxed);
    let (mut receiver, mut sender) = (Receiver::new(0), Sender::new(0));
    for sequence in 0..MESSAGES {
        let (lag_us, service_us) = times(sequence);
        let intended_ns = START_NS + u64::from(sequence) * PERIOD_NS;
        let offset = u64::from(sequence) + 1;
        sender.messages.push(Sent { intended_ns, lag_us, offset, ack_us: 1, answered: Answered::Accepted });
        let Some(service_us) = service_us else { continue };
        let mut text = String::new();
        flow.plan.payload.write(&Stamp { sender: 0, sequence, intended_ns, lag_us }, &mut text);
        let frame = format!(
            r#"{{"seq":"m","cmd":"msg","response":{{"code":200,"codeMsg":"Ok","data":{{"msg":"{text}","offset":{offset},"epoch":"e"}}}}}}"#
        );
        let came_ns = intended_ns + (u64::from(lag_us) + service_us) * 1000;
        receiver.take(&flow, frame.as_bytes(), came_ns);
    }
    receiver.hand_over(&flow);
    let outcome = Outcome { receiver, sender: None, absent: false };
    let senders = [sender];
    let receipts = receipts(&flow, &senders, &[outcome]);
    close(&flow, &senders, receipts)
}

fn assert_close(times: &Histogram<u64>, quantile: f64, us: f64) {
    let found = times.value_at_quantile(quantile) as f64;
    assert!((found - us).abs() <= us / 100.0, "p{} is {found} and not {us}", quantile * 100.0);
}

#[test]
fn a_constant_delay_is_every_percentile() {
    let (ledger, times) = measured(|_| (0, Some(5_000)));
    assert_eq!(
        (ledger.books.measured.delivered, times.e2e.len()),
        (u64::from(MESSAGES), u64::from(MESSAGES))
    );
    for quantile in [0.0, 0.5, 0.99, 0.999, 1.0] {
        assert_close(&times.e2e, quantile, 5_000.0);
        assert_close(&times.service, quantile, 5_000.0);
        assert_close(&times.fanout, quantile, 5_000.0);
    }
}

#[test]
fn two_delays_are_two_percentiles() {
    let (_, times) = measured(|sequence| (0, Some(if sequence % 10 == 0 { 100_000 } else { 1_000 })));
    for (quantile, us) in [(0.5, 1_000.0), (0.89, 1_000.0), (0.91, 100_000.0), (0.99, 100_000.0)] {
        assert_close(&times.e2e, quantile, us);
        assert_close(&times.median, quantile, us);
    }
    assert_close(&times.e2e.clone(), 1.0, 100_000.0);
    assert!((times.e2e.mean() - 10_900.0).abs() < 109.0, "{}", times.e2e.mean());
}

#[test]
fn a_stall_shows_in_the_response_times_and_in_one_service_time() {
    // One message is in the server for a second; a thousand wait for it at the sender.
    let (_, times) = measured(|sequence| match sequence {
        5_000 => (0, Some(1_000_000)),
        5_001..6_000 => ((6_000 - sequence) * 1_000, Some(200)),
        _ => (0, Some(200)),
    });
    assert_close(&times.e2e, 0.5, 200.0);
    assert_close(&times.e2e, 0.95, 500_000.0);
    assert_close(&times.e2e, 0.99, 900_000.0);
    assert_close(&times.service, 0.999, 200.0);
    assert_close(&times.service, 1.0, 1_000_000.0);
    assert_close(&times.lag, 0.99, 900_000.0);
}

#[test]
fn what_never_came_took_until_the_deadline() {
    let (ledger, times) = measured(|sequence| (0, (sequence % 100 != 50).then_some(300)));
    assert_eq!((ledger.books.measured.lost, ledger.books.measured.expected), (100, u64::from(MESSAGES)));
    assert_eq!((times.e2e.len(), times.censored.e2e), (u64::from(MESSAGES), 100));
    assert_close(&times.e2e, 0.98, 300.0);
    // The first of them was due 15 s before the deadline, the last 5 s; only lower bounds, and never 300 µs.
    assert_close(&times.e2e, 1.0, 14_950_000.0);
    assert_close(&times.e2e, 0.991, 5_950_000.0);
    assert_close(&times.fanout, 0.991, 5_950_000.0);
}
