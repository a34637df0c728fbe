//! What came of red packets: who got in when, where the money is, and whether coming early pays.
//!
//! Invariant: amounts are shown in whole cents, as they are counted.

use std::fmt::Write;

use serde_json::Value;

use super::part;
use super::table::{pairs, table};
use crate::output::dig::{count, list, number, object, text as text_of};
use chatbench_result::escape::markup;
use chatbench_result::units::{count_text, micros_text};

/// Side of the square the bars are drawn in; the page stretches it.
const SIDE: f64 = 1000.0;

/// The section.
pub fn section(result: &Value) -> String {
    let Some(packets) = result.get("red_packets").filter(|packets| packets.is_object()) else {
        return String::new();
    };
    part("Red packets", &[pairs(&rows(packets)), fairness(packets), discrepancies(packets)].concat())
}

fn rows(packets: &Value) -> Vec<(String, String)> {
    let told = [
        ("/packets", "packets", ""),
        ("/shares_each", "shares of each", ""),
        ("/total_cents", "amount in all", " cents"),
        ("/grabs", "grabs", ""),
        ("/won", "won", ""),
        ("/already", "won before", ""),
        ("/empty", "nothing left", ""),
        ("/expired", "expired", ""),
        ("/unanswered", "without an answer (repeated)", ""),
        ("/given_up", "given up", ""),
        ("/grabbed_cents", "taken", " cents"),
        ("/refunded_cents", "given back", " cents"),
        ("/open_cents", "open", " cents"),
        ("/cuts", "connections cut", ""),
        ("/discrepancies", "discrepancies", ""),
    ];
    let counts = told.iter().filter_map(|(place, name, unit)| {
        Some(((*name).to_owned(), count_text(count(packets, place)?) + unit))
    });
    let mut rows: Vec<(String, String)> = counts.collect();
    let moments = [
        ("/to_last_win_ms", "last win after"),
        ("/to_last_answer_ms", "last answer after"),
        ("/drain_ms", "all settled, from the last answer"),
    ];
    for (place, name) in moments {
        rows.extend(number(packets, place).map(|ms| (name.to_owned(), micros_text((ms * 1e3) as u64))));
    }
    rows.extend(
        number(packets, "/answered_per_s").map(|rate| ("answers".to_owned(), format!("{rate:.1}/s"))),
    );
    for (code, count) in object(packets, "/refused_by_code").into_iter().flatten() {
        rows.push((format!("refused with code {code}"), count_text(count.as_u64().unwrap_or(0))));
    }
    let trouble = text_of(packets, "/first_trouble");
    if !trouble.is_empty() {
        rows.push(("the first trouble".to_owned(), trouble.to_owned()));
    }
    rows
}

/// A bar from the smallest to the largest share of each tenth of arrival, with its mean; 1 is a packet's mean.
fn fairness(packets: &Value) -> String {
    let tenths = list(packets, "/fairness/by_arrival");
    let tenths = &tenths[..tenths.len().min(10)];
    let most = tenths.iter().filter_map(|tenth| number(tenth, "/max")).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let high = most * 1.05;
    let y = |value: f64| (1.0 - (value / high).clamp(0.0, 1.0)) * SIDE;
    let mut svg = format!("<path class=\"grid\" d=\"M0 {:.1}H1000\"/>", y(1.0));
    let mut below = String::new();
    for (at, tenth) in tenths.iter().enumerate() {
        let value = |member: &str| number(tenth, member).unwrap_or(0.0);
        let x = (at as f64 + 0.5) / tenths.len() as f64 * SIDE;
        let (low, mean, high) = (value("/min"), value("/mean"), value("/max"));
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<path class=\"range\" d=\"M{x:.1} {:.1}V{:.1}\"><title>{low:.2} to {high:.2}</title></path>\
             <path class=\"dot c0\" d=\"M{x:.1} {:.1}h0\"><title>mean {mean:.2}</title></path>",
            y(low),
            y(high),
            y(mean)
        );
        let _ = write!(below, "<span style=\"left:{:.1}%\">{mean:.2}</span>", x / SIDE * 100.0);
    }
    let labels: String = [0.0, 1.0, most]
        .iter()
        .map(|value| {
            format!("<span style=\"bottom:{:.1}%\">{value:.1} ×</span>", 100.0 - y(*value) / SIDE * 100.0)
        })
        .collect();
    let chi = number(packets, "/fairness/chi_square").map_or(String::new(), |chi| {
        format!(" Chi-square {chi:.1}; about 9 by chance, above 27.9 in 1 of 1000 runs.")
    });
    format!(
        "<figure>\n<figcaption><b>Shares by arrival, in tenths: smallest, mean, largest; 1 is the packet's mean</b></figcaption>\n\
         <div class=\"plot\"><div class=\"left\">{labels}</div><div class=\"area\">\
         <svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Shares by arrival\">{svg}</svg>\
         </div><div class=\"below\">{below}</div></div>\n<p class=\"note\">Below each bar stands its mean.{}</p>\n</figure>\n",
        markup(&chi)
    )
}

fn discrepancies(packets: &Value) -> String {
    let rows = list(packets, "/first_discrepancies").iter().map(|found| {
        ["/rule", "/packet", "/user", "/expected", "/found"]
            .map(|member| text_of(found, member).to_owned())
            .to_vec()
    });
    table(&["rule", "packet", "user", "expected", "found"], &rows.collect::<Vec<_>>())
}
