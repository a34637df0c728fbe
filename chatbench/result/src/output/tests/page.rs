//! The page: nothing from outside, nothing empty, nothing clipped.

use serde_json::{Value, json};

use super::{HOSTILE, PACKETS, REAL, bare, comparison, findings, real, twisted};
use crate::compare::comparison::Comparison;
use crate::model::{Books, Line, Point, Validity};
use crate::output::findings::Findings;
use crate::output::html;

/// What every page must be, whatever was found.
fn assert_is_a_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for outside in
        ["http:", "https:", "//cdn", "src=", "url(", "@import", "<link", "<img", "<iframe", "href=\"/"]
    {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("<style").count(), 1);
    for name in
        ["section", "figure", "table", "svg", "div", "span", "tr", "td", "p", "ul", "dl", "h2", "article"]
    {
        let opened = page.matches(&format!("<{name}>")).count() + page.matches(&format!("<{name} ")).count();
        assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
    }
    assert!(!page.contains("NaN") && !page.contains(">inf"), "a number that is none");
    // Nothing is drawn outside of its square.
    for path in page.split(" d=\"").skip(1) {
        let path = path.split('"').next().unwrap();
        for number in path.split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != '-') {
            let number = number.parse().unwrap_or(0.0);
            assert!((0.0..=1000.0).contains(&number), "{path}");
        }
    }
}

/// A result whose server's address is a plain name: an address is no reference, but the test could not tell.
fn named(text: &str) -> Value {
    let mut result = real(text);
    result["environment"]["server"] = json!("a server");
    result
}

#[test]
fn a_server_is_named_by_how_it_was_watched() {
    let mut result = named(REAL);
    assert!(html::text(&findings(result.clone())).contains("server, process 4597"));
    let server = &mut result["processes"]["servers"][0];
    (server["source"], server["pid"], server["server"]) = (json!("metrics"), Value::Null, json!("h:8080"));
    let page = html::text(&findings(result));
    assert_is_a_page(&page);
    assert!(page.contains("server h:8080, as it says") && !page.contains("process 4597"), "{page}");
}

#[test]
fn a_page_shows_what_the_run_found() {
    let mut findings = findings(named(REAL));
    findings.comparison = Some(comparison());
    let page = html::text(&findings);
    assert_is_a_page(&page);
    for (part, figures) in [
        ("Thresholds", 0),
        ("Times", 2),
        ("Course of the run", 6),
        ("Fan-out", 1),
        ("Delivery ledger", 0),
        ("Comparison", 0),
    ] {
        let from = page.find(&format!("<h2>{part}</h2>")).unwrap_or_else(|| panic!("{part}"));
        let section = page[from..].split("</section>").next().unwrap();
        assert_eq!(section.matches("<figure>").count(), figures, "{part}");
    }
    let p99 = findings.results[0].times["e2e_time"].p99_us.unwrap();
    assert!(page.contains(&format!("<b>{}</b><span>response p99</span>", crate::units::micros_text(p99))));
    assert!(
        page.contains("<strong class=\"badge bad\">regressed</strong> new (5 rounds) against old (5 rounds)")
    );
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_comparison_alone_is_a_page() {
    let page = html::text(&Findings::compared(comparison()));
    assert_is_a_page(&page);
    assert!(
        page.contains("<h1>chatbench comparison of broadcast</h1>\n<section>\n<h2>Comparison</h2>"),
        "{page}"
    );
    for told in [
        "response p99",
        "badge bad\">regressed<",
        "+10.0 % … +30.0 %",
        "new (5 rounds) against old (5 rounds)",
    ] {
        assert!(page.contains(told), "{told}");
    }
}

#[test]
fn verdicts_are_told_apart() {
    for (verdict, changes, badges) in [
        ("pass", json!({}), "badge good\">pass<"),
        ("threshold_failed", json!({}), "badge warn\">threshold failed<"),
        ("invalid", json!({"valid": false}), "badge warn\">run invalid<"),
        (
            "invariant_broken",
            json!({"ledger": Books { measured: Line { lost: 2, ..Line::default() }, ..Books::default() }}),
            "badge bad\">lost messages<",
        ),
        ("interrupted", json!({"partial": true}), "badge warn\">partial<"),
        ("something", json!({}), "badge bad\">unknown<"),
    ] {
        let mut result = bare();
        result["verdict"] = json!(verdict);
        result.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let page = html::text(&findings(result));
        assert!(page.contains(badges), "{verdict}");
        assert_is_a_page(&page);
    }
}

#[test]
fn parts_without_a_value_are_not_there() {
    let page = html::text(&findings(bare()));
    assert_is_a_page(&page);
    assert!(!page.contains("<figure>") && !page.contains("<table") && !page.contains("<h2>"), "{page}");
    let mut empty = bare();
    empty["series"] = json!({"interval_ms": 1000, "points": []});
    empty["thresholds"] = json!([]);
    let mut findings = findings(empty);
    findings.comparison = Some(Comparison::default());
    assert_is_a_page(&html::text(&findings));
    let mut one = bare();
    one["series"] = json!({"interval_ms": 0, "points": [Point { sent: 5, ..Point::default() }]});
    let page = html::text(&super::findings(one));
    assert_is_a_page(&page);
    assert_eq!(page.matches("<figure>").count(), 1, "one point is a dot");
}

#[test]
fn what_a_run_looked_at_besides_has_its_part() {
    let mut result = named(REAL);
    let times = result["times"]["e2e_time"].clone();
    let line = result["ledger"]["measured"].clone();
    result["parts"] =
        json!([{"scenario": "unicast", "clients": 12_345, "measured": line, "e2e_time": times}]);
    result["floor"] = json!({
        "rounds": [{"run": "f1", "valid": true, "e2e_p50_us": 100, "e2e_p99_us": 900, "deliveries_per_s": 400.0}],
        "server_to_floor": {"e2e_p50_us": 12.7},
    });
    result["validity"] =
        json!(Validity { achieved_share: Some(1.0), delay_p99_us: Some(850), ..Validity::default() });
    let page = html::text(&findings(result));
    assert_is_a_page(&page);
    for told in ["<h2>Parts</h2>", "12 345", "<td>900 µs</td>", "12.7 ×", "<h2>Validity</h2>", "850 µs"] {
        assert!(page.contains(told), "{told}");
    }
}

#[test]
fn red_packets_have_their_part() {
    let mut result = named(PACKETS);
    let tenth = |mean: f64| json!({"shares": 12, "min": 0.1, "mean": mean, "max": 2.5});
    let tenths: Vec<Value> = (0..10).map(|tenth_of| tenth(0.9 + 0.02 * f64::from(tenth_of))).collect();
    result["red_packets"]["fairness"] = json!({"by_arrival": tenths, "chi_square": 8.1});
    let page = html::text(&findings(result));
    assert_is_a_page(&page);
    assert!(page.contains("<h2>Red packets</h2>") && page.contains("Shares by arrival"), "{page}");
    assert!(page.contains("<h2>Times</h2>") && page.contains("winning grab p50"), "{page}");
}

#[test]
fn hostile_texts_and_wrong_types_break_nothing() {
    for result in [named(REAL), named(PACKETS)] {
        let others = [
            json!(HOSTILE),
            json!(null),
            json!(-1),
            json!(1e300),
            json!(u64::MAX),
            json!([]),
            json!({"a": []}),
            json!(true),
        ];
        for into in others {
            let mut findings = findings(twisted(&result, &into));
            let strange = twisted(&json!(comparison()), &into);
            findings.comparison = Some(serde_json::from_value(strange).unwrap_or_default());
            let page = html::text(&findings);
            assert_is_a_page(&page);
            super::xml::parse(&crate::output::junit::text(&findings)).unwrap();
            assert!(!crate::output::markdown::text(&findings).contains("<script"));
            assert!(!crate::output::csv::text(&findings).is_empty());
        }
    }
    let mut long = named(REAL);
    long["reasons"] = json!(vec!["x".repeat(100_000); 500]);
    let page = html::text(&findings(long));
    assert!(page.len() < 500_000, "{} bytes", page.len());
}

#[test]
fn a_long_run_is_drawn_with_few_points() {
    let mut result = named(REAL);
    let point = result["series"]["points"][3].clone();
    let points: Vec<Value> = (1..=20_000_u64)
        .map(|second| {
            let mut point = point.clone();
            point["t_ms"] = json!(second * 1000);
            point
        })
        .collect();
    result["series"]["points"] = json!(points);
    let page = html::text(&findings(result));
    assert_is_a_page(&page);
    assert!(page.len() < 1_000_000 && page.contains("Neighbouring intervals"), "{} bytes", page.len());
    assert!(page.contains(">2 h<"), "a long axis counts hours");
}
