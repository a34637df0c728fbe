//! The top of the report: how the run ended, why, and the numbers most people look for.

use crate::escape::{markup, shortened};
use crate::measure::Measure;
use crate::model::RunResult;
use crate::moment;
use crate::output::hgrm::main_time;
use crate::output::markdown::{setting, value_text};
use crate::verdict::Verdict;

/// More reasons than these are counted and not shown.
const MOST_REASONS: usize = 20;

/// The head of one result.
pub fn text(result: &RunResult) -> String {
    let started = moment::utc(result.started_unix_ms).replace('T', " ");
    let server = result.environment.as_ref().map_or("", |environment| &environment.server);
    let why = &result.reasons;
    let shown = why.iter().take(MOST_REASONS);
    let mut list: String =
        shown.map(|reason| format!("<li>{}</li>\n", markup(&shortened(reason, 1000)))).collect();
    if why.len() > MOST_REASONS {
        list += &format!("<li>and {} more</li>\n", why.len() - MOST_REASONS);
    }
    let reasons = if list.is_empty() { list } else { format!("<ul class=\"reasons\">\n{list}</ul>\n") };
    format!(
        "<header>\n<h1>chatbench {}</h1>\n<p class=\"badges\">{}</p>\n{reasons}<p class=\"where\">{}<br>at {}, run {}, {}</p>\n\
         <div class=\"tiles\">\n{}</div>\n</header>\n",
        markup(&result.scenario),
        badges(result),
        markup(&setting(result)),
        markup(&shortened(server, 300)),
        markup(&result.run),
        markup(&started),
        tiles(result)
    )
}

fn badges(result: &RunResult) -> String {
    let verdict = result.verdict;
    let tone = match verdict {
        Some(Verdict::Pass) => "good",
        Some(Verdict::Invalid | Verdict::Interrupted | Verdict::ThresholdFailed) => "warn",
        _ => "bad",
    };
    let mut badges = vec![(tone, verdict.map_or("unknown", Verdict::text))];
    if measured(result, "lost").is_some_and(|lost| lost > 0.0) {
        badges.push(("bad", "lost messages"));
    }
    if verdict != Some(Verdict::Invalid) && !result.valid {
        badges.push(("warn", "run invalid"));
    }
    if result.partial {
        badges.push(("warn", "partial"));
    }
    let badge = |(tone, words): (&str, &str)| format!("<strong class=\"badge {tone}\">{words}</strong> ");
    badges.into_iter().map(badge).collect()
}

fn measured(result: &RunResult, name: &str) -> Option<f64> {
    name.parse::<Measure>().ok()?.of(result)
}

fn tiles(result: &RunResult) -> String {
    let time = main_time(result);
    let named = match time {
        "e2e_time" => "response",
        "page_time" => "page",
        "grab_won_time" => "winning grab",
        _ => "connect",
    };
    let rows = [
        (format!("{time}:p(50)"), format!("{named} p50")),
        (format!("{time}:p(99)"), format!("{named} p99")),
        (format!("{time}:max"), format!("{named} max")),
        ("connected".to_owned(), "clients connected".to_owned()),
        ("sent_per_s".to_owned(), offered(result)),
        ("deliveries_per_s".to_owned(), "deliveries".to_owned()),
        ("grabs_per_s".to_owned(), "grabs answered".to_owned()),
        ("lost".to_owned(), "lost".to_owned()),
        ("holes".to_owned(), "holes in the history".to_owned()),
        ("discrepancies".to_owned(), "discrepancies".to_owned()),
        ("server_cpu".to_owned(), "server CPU, of a core".to_owned()),
        ("server_memory".to_owned(), "server memory".to_owned()),
    ];
    let tile = |(name, label): (String, String)| {
        let measure = name.parse::<Measure>().ok()?;
        let value = value_text(measure.unit(), measure.of(result)?);
        Some(format!("<div><b>{}</b><span>{}</span></div>\n", markup(&value), markup(&label)))
    };
    let wanted = result.connections.as_ref().map_or(0, |connections| connections.wanted);
    let is_told = |(name, _): &(String, String)| name != "connected" || wanted > 0;
    rows.into_iter().filter(is_told).filter_map(tile).collect()
}

fn offered(result: &RunResult) -> String {
    match result.rates.as_ref().and_then(|rates| rates.offered_per_s) {
        Some(offered) => format!("sent, of {offered:.1}/s offered"),
        None => "sent".to_owned(),
    }
}
