//! Tables, HDR files, JUnit and Markdown against the result they were made of.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::{Value, json};

use super::xml;
use super::{HOSTILE, PACKETS, REAL, bare, comparison, findings, read, real};
use crate::hdr;
use crate::output::{csv, hgrm, hlog, junit, markdown};

/// As RFC 4180 says.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut field)),
            '\r' if !is_quoted => {
                assert_eq!(letters.next(), Some('\n'));
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    assert!(field.is_empty() && row.is_empty() && !is_quoted, "the last row has an end");
    rows
}

#[test]
fn a_table_holds_every_point_of_the_series() {
    let result = real(REAL);
    let rows = read_csv(&csv::text(&findings(result.clone())));
    let points = result["series"]["points"].as_array().unwrap();
    assert!(points.len() > 3 && rows.len() == points.len() + 1, "{}", rows.len());
    let head = &rows[0];
    assert!(rows.iter().all(|row| row.len() == head.len()));
    for (row, point) in rows[1..].iter().zip(points) {
        let field = |name: &str| &row[head.iter().position(|column| column == name).unwrap()];
        assert_eq!(field("run"), result["run"].as_str().unwrap());
        for name in ["t_ms", "sent", "delivered", "response_p99_us", "generator_cpu_percent"] {
            let wanted = if point[name].is_null() { String::new() } else { point[name].to_string() };
            assert_eq!(*field(name), wanted, "{name}");
        }
        assert_eq!(*field("phase"), point["phase"].as_str().unwrap());
        assert_eq!(*field("server1_rss_kib"), point["servers"][0]["rss_kib"].to_string());
        assert_eq!(*field("host_tcp_sockets"), point["host"]["tcp_sockets"].to_string());
    }
}

#[test]
fn a_hostile_field_stays_one_field() {
    let mut result = real(REAL);
    result["series"]["points"][0]["phase"] = json!(HOSTILE);
    result["series"]["points"][1]["phase"] = json!("=cmd()");
    let rows = read_csv(&csv::text(&findings(result)));
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let phase = rows[0].iter().position(|column| column == "phase").unwrap();
    assert_eq!((rows[1][phase].as_str(), rows[2][phase].as_str()), (HOSTILE, "'=cmd()"));
    assert_eq!(read_csv(&csv::text(&findings(bare()))).len(), 1, "a head and no row");
}

/// Value in ms, percentile and count so far of every row.
fn percentiles(text: &str) -> Vec<(f64, f64, u64)> {
    let rows = text.lines().skip(2).filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        assert!(fields.len() == 4 || fields.len() == 3, "{row}");
        (fields[0].parse().unwrap(), fields[1].parse().unwrap(), fields[2].parse().unwrap())
    })
    .collect()
}

fn assert_rows_are_of(text: &str, whole: &Histogram<u64>) {
    assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"), "{text}");
    let rows = percentiles(text);
    assert!(rows.len() > 10, "{text}");
    for (ms, quantile, so_far) in &rows {
        let us = whole.value_at_quantile(*quantile);
        assert_eq!(format!("{ms:.3}"), format!("{:.3}", us as f64 / 1e3), "at {quantile}");
        assert_eq!(*so_far, whole.count_between(0, us), "at {quantile}");
    }
    let (_, quantile, count) = rows[rows.len() - 1];
    assert_eq!((quantile, count), (1.0, whole.len()));
    assert!(text.contains(&format!("Total count    = {:12}]", whole.len())), "{text}");
}

#[test]
fn percentiles_are_those_of_the_histogram() {
    let result = real(REAL);
    let whole = |name: &str| read(result.clone()).histogram(name).unwrap().unwrap();
    assert_rows_are_of(&hgrm::text(&findings(result.clone()), None).unwrap(), &whole("e2e_time"));
    let metric = hgrm::metric_of("r.ack_time.hgrm");
    assert_eq!((metric, hgrm::metric_of("r.hgrm")), (Some("ack_time"), None));
    assert_rows_are_of(&hgrm::text(&findings(result.clone()), metric).unwrap(), &whole("ack_time"));
    let mut both = findings(result.clone());
    both.results.push(read(result.clone()));
    let mut twice = whole("e2e_time");
    twice.add(whole("e2e_time")).unwrap();
    assert_rows_are_of(&hgrm::text(&both, None).unwrap(), &twice);
    assert_eq!(hgrm::text(&findings(bare()), None).unwrap(), "#[e2e_time: no sample]\n");
}

#[test]
fn an_interval_log_gives_back_every_histogram() {
    let result = real(REAL);
    let mut later = result.clone();
    later["started_unix_ms"] = json!(result["started_unix_ms"].as_u64().unwrap() + 5000);
    let mut both = findings(later);
    both.results.push(read(result.clone()));
    let run = read(result.clone());
    let log = hlog::text(&both).unwrap();
    let (mut seen, mut start) = (Vec::new(), None);
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        match entry.unwrap() {
            LogEntry::StartTime(time) => start = Some(time),
            LogEntry::BaseTime(time) => assert_eq!(Some(time), start),
            LogEntry::Interval(interval) => {
                let tag = interval.tag().unwrap().as_str();
                let whole = hdr::decode(interval.encoded_histogram()).unwrap();
                assert_eq!(Some(&whole), run.histogram(tag).unwrap().as_ref(), "{tag}");
                assert!(
                    (interval.max() - whole.max() as f64 / 1e3).abs() < 0.001,
                    "{tag}: {}",
                    interval.max()
                );
                assert_eq!(interval.duration().as_millis() as u64, run.length_ms());
                seen.push((interval.start_timestamp().as_secs(), tag));
            }
        }
    }
    let names: Vec<&str> = run.measured().map(|(name, _)| name).collect();
    let wanted = [0, 5].iter().flat_map(|start| names.iter().map(|name| (*start, *name))).collect::<Vec<_>>();
    assert!(names.len() > 5 && seen == wanted, "{seen:?}");
    assert_eq!(start.map(|start| start.as_millis() as u64), result["started_unix_ms"].as_u64());
}

#[test]
fn every_condition_is_a_test_case() {
    let mut result = real(REAL);
    result["ledger"]["measured"]["lost"] = json!(3);
    result["thresholds"] = json!([
        {"expression": "e2e_time:p(99)<5ms", "ok": false, "observed_us": 7380.0},
        {"expression": "lost==0", "ok": true, "observed_count": 0.0},
        {"expression": HOSTILE, "ok": false, "observed_us": null},
    ]);
    let mut findings = findings(result);
    findings.comparison = Some(comparison());
    let text = junit::text(&findings);
    let root = xml::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let suites = root.all("testsuite");
    assert_eq!(suites.len(), 2);
    for suite in &suites {
        assert_eq!(suite.get("tests"), suite.all("testcase").len().to_string());
        assert_eq!(suite.get("failures"), suite.all("failure").len().to_string());
        assert_eq!(suite.get("skipped"), suite.all("skipped").len().to_string());
    }
    let failed = |name: &str| {
        let case = root.all("testcase").into_iter().find(|case| case.get("name") == name).unwrap();
        case.children.first().filter(|child| child.name == "failure").map(|child| child.text.clone())
    };
    assert_eq!(failed("e2e_time:p(99)<5ms").unwrap(), "expected: e2e_time:p(99)<5ms\nfound: 7.38 ms");
    assert_eq!(failed("lost").unwrap(), "expected: 0 deliveries that never came\nfound: 3");
    assert_eq!((failed("lost==0"), failed("duplicated"), failed("ack_time:p(50)")), (None, None, None));
    let slower = failed("e2e_time:p(99)").unwrap();
    assert!(slower.contains("less than 5.0 %") && slower.contains("1.20 ms against 1.00 ms"), "{slower}");
    let hostile = HOSTILE.replace(['\0', '\u{1b}', '\u{202e}'], "\u{fffd}");
    assert!(failed(&hostile).unwrap().ends_with("found: no sample"));
    assert_eq!((suites[1].get("failures"), suites[1].get("skipped")), ("1", "1"));
}

#[test]
fn a_run_that_is_none_fails_its_cases() {
    let mut result = bare();
    (result["valid"], result["partial"]) = (json!(false), json!(true));
    (result["verdict"], result["reasons"]) = (json!("interrupted"), json!(["stopped before the end"]));
    let root = xml::parse(&junit::text(&findings(result))).unwrap();
    let failures = root.all("failure");
    assert_eq!(failures.len(), 2);
    assert!(failures.iter().all(|failure| failure.text.ends_with("interrupted; stopped before the end")));
    let packets = xml::parse(&junit::text(&findings(real(PACKETS)))).unwrap();
    assert!(packets.all("testcase").iter().any(|case| case.get("name") == "discrepancies"));
}

#[test]
fn markdown_says_verdict_times_and_thresholds() {
    let mut result = real(REAL);
    result["thresholds"] = json!([{"expression": "e2e_time:p(99)<5ms", "ok": false, "observed_us": 7380.0}]);
    result["reasons"] = json!([HOSTILE]);
    let mut findings = findings(result.clone());
    findings.comparison = Some(comparison());
    let text = markdown::text(&findings);
    let p99 = crate::units::micros_text(result["times"]["e2e_time"]["p99_us"].as_u64().unwrap());
    let row = text.lines().find(|line| line.starts_with("| e2e\\_time |")).unwrap();
    assert!(row.contains(&format!("| {p99} |")), "{row}");
    assert!(text.contains("| e2e\\_time:p(99)&lt;5ms | 7.38 ms | ❌ |"), "{text}");
    assert!(text.contains("### comparison: regressed\n\nnew (5 rounds) against old (5 rounds)"), "{text}");
    assert!(!text.contains("<script"), "{text}");
    let mut columns = 0;
    for line in text.lines() {
        let bars = line.replace("\\|", "").matches('|').count();
        // A row directly below a row has as many cells.
        assert!(bars == 0 || columns == 0 || bars == columns, "{line}");
        columns = bars;
    }
    assert_eq!(
        markdown::text(&super::findings(Value::Null)).lines().next(),
        Some("### chatbench : ❌ unknown")
    );
}
