//! The widest texts there can be, in a terminal of 80 columns.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr;

use crate::compare::comparison::{Change, Comparison, Method, MetricChange, SCHEMA, Side};
use crate::compare::round::RoundName;
use crate::compare::text;
use crate::fold::WIDTH;
use crate::measure::Better;
use crate::model::Unit;

fn metric(name: &str, [base, head]: [f64; 2], interval: Option<[f64; 2]>) -> MetricChange {
    MetricChange {
        metric: name.to_owned(),
        unit: Unit::Micros,
        better: Better::Lower,
        verdict: Change::Inconclusive,
        reason: format!("the difference of {name} may be -99.9 % to +1234.5 %; take more or longer rounds"),
        min_effect: 0.05,
        base,
        head,
        ratio: interval.map(|_| head / base),
        interval,
        u: Some(12.0),
        p: Some(0.04),
        p_corrected: interval.map(|_| 0.0004),
        base_values: vec![base; 5],
        head_values: vec![head; 5],
    }
}

fn comparison(label: &str, metrics: Vec<MetricChange>) -> Comparison {
    let round = |run: u32| RoundName { run: run.to_string(), source: "a".to_owned(), exit_code: 0 };
    let side =
        |label: String| Side { label, rounds: (0..12).map(round).collect(), environment: BTreeMap::new() };
    Comparison {
        schema: SCHEMA.to_owned(),
        scenario: "broadcast".to_owned(),
        verdict: Change::Inconclusive,
        base: side(format!("old {label}")),
        head: side(format!("new {label}")),
        method: Method::new(u64::MAX, 20),
        metrics,
        warnings: vec![format!("measured in different places: kernel \"{label}\" and \"6.1\"")],
    }
}

fn assert_fits(comparison: &Comparison) -> String {
    for text in [text::text(comparison), text::verdict(comparison)] {
        let wide = text.lines().find(|line| line.width() > WIDTH);
        assert_eq!(wide, None, "{text}");
        assert!(text.lines().all(|line| !line.is_empty()), "{text}");
    }
    text::text(comparison)
}

#[test]
fn the_widest_comparison_fits_a_terminal() {
    let wide = Some([0.001, 98.7]);
    let metrics = || {
        vec![
            metric("e2e_time:p(50)", [812.0, 945.0], Some([1.1, 1.3])),
            metric("grab_already_time:p(99.999)", [999_999.0, 123_456_789.0], wide),
            metric(
                "server_memory_per_connection",
                [1_072_693_248.0, 9_663_676_416.0],
                Some([0.0001, 12_345.6]),
            ),
            metric("server_cpu_per_delivery", [3.25, 99.75], wide),
            metric("deliveries_per_s", [1_234_567.8, 23_456_789.1], wide),
            metric("delivered", [1_234_567_890.0, 2_345_678_901.0], wide),
            metric("lost", [0.0, 12.0], None),
        ]
    };
    let long = "a/path/that/is/rather/long/results.json and 19 more";
    let unbroken = "x".repeat(200);
    for label in ["A", "服务器的名字也可以很长很长", long, &"马超".repeat(60), &unbroken] {
        let text = assert_fits(&comparison(label, metrics()));
        for says in
            ["server_memory_per_connection: inconclusive (", "123.46 s", "2345678901", "+800.9 %", "<0.001"]
        {
            assert!(text.contains(says), "{says}: {text}");
        }
    }
    // Numbers nobody measures have no columns; they are there all the same.
    let strange = vec![metric("e2e_time:max", [1.0, 1e30], Some([1e-30, 1e30]))];
    assert_fits(&comparison("A", strange));
}

#[test]
fn every_verdict_has_its_reason_and_a_common_one_is_told_once() {
    let mut metrics =
        ["e2e_time:p(50)", "ack_time:p(99)"].map(|name| metric(name, [812.0, 945.0], Some([1.1, 1.3])));
    let text = assert_fits(&comparison("A", metrics.to_vec()));
    assert!(
        text.contains("\n  ack_time:p(99): inconclusive (the difference of ack_time:p(99) may be"),
        "{text}"
    );
    let row = "\n     812 µs  945 µs  +16.4 %  +10.0 % … +30.0 %  <0.001\n";
    assert_eq!(text.matches(row).count(), 2, "{text}");
    metrics.iter_mut().for_each(|metric| metric.reason = "3 and 3 rounds; each side needs 5".to_owned());
    let text = assert_fits(&comparison("A", metrics.to_vec()));
    assert_eq!(text.matches("each side needs 5").count(), 1, "{text}");
}
