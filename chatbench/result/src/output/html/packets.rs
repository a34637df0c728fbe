//! What came of red packets: who got in when, where the money is, and whether coming early pays.
//!
//! Invariant: amounts are shown in whole cents, as they are counted.

use std::fmt::Write;

use super::part;
use super::table::{pairs, table};
use crate::escape::markup;
use crate::model::{RedPackets, RunResult};
use crate::units::{count_text, micros_text};

/// Side of the square the bars are drawn in; the page stretches it.
const SIDE: f64 = 1000.0;

/// The section.
pub fn section(result: &RunResult) -> String {
    let Some(packets) = &result.red_packets else { return String::new() };
    part("Red packets", &[pairs(&rows(packets)), fairness(packets), discrepancies(packets)].concat())
}

fn rows(packets: &RedPackets) -> Vec<(String, String)> {
    let told = [
        (Some(u64::from(packets.packets)), "packets", ""),
        (Some(u64::from(packets.shares_each)), "shares of each", ""),
        (Some(packets.total_cents), "amount in all", " cents"),
        (Some(packets.grabs), "grabs", ""),
        (Some(packets.won), "won", ""),
        (Some(packets.already), "won before", ""),
        (Some(packets.empty), "nothing left", ""),
        (Some(packets.expired), "expired", ""),
        (Some(packets.unanswered), "without an answer (repeated)", ""),
        (Some(packets.given_up), "given up", ""),
        (packets.grabbed_cents, "taken", " cents"),
        (packets.refunded_cents, "given back", " cents"),
        (packets.open_cents, "open", " cents"),
        (Some(packets.cuts), "connections cut", ""),
        (packets.discrepancies, "discrepancies", ""),
    ];
    let counts =
        told.into_iter().filter_map(|(count, name, unit)| Some((name.to_owned(), count_text(count?) + unit)));
    let mut rows: Vec<(String, String)> = counts.collect();
    let moments = [
        (packets.to_last_win_ms, "last win after"),
        (Some(packets.to_last_answer_ms), "last answer after"),
        (packets.drain_ms, "all settled, from the last answer"),
    ];
    for (ms, name) in moments {
        rows.extend(ms.map(|ms| (name.to_owned(), micros_text((ms * 1e3) as u64))));
    }
    rows.push(("answers".to_owned(), format!("{:.1}/s", packets.answered_per_s)));
    for (code, count) in &packets.refused_by_code {
        rows.push((format!("refused with code {code}"), count_text(*count)));
    }
    rows.extend(
        packets.first_trouble.iter().map(|trouble| ("the first trouble".to_owned(), trouble.clone())),
    );
    rows
}

/// A bar from the smallest to the largest share of each tenth of arrival, with its mean; 1 is a packet's mean.
fn fairness(packets: &RedPackets) -> String {
    let Some(fairness) = &packets.fairness else { return String::new() };
    let tenths = &fairness.by_arrival[..fairness.by_arrival.len().min(10)];
    let most = tenths.iter().map(|tenth| tenth.max).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let high = most * 1.05;
    let y = |value: f64| (1.0 - (value / high).clamp(0.0, 1.0)) * SIDE;
    let mut svg = format!("<path class=\"grid\" d=\"M0 {:.1}H1000\"/>", y(1.0));
    let mut below = String::new();
    for (at, tenth) in tenths.iter().enumerate() {
        let x = (at as f64 + 0.5) / tenths.len() as f64 * SIDE;
        let (low, mean, high) = (tenth.min, tenth.mean, tenth.max);
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
    let chi =
        format!(" Chi-square {:.1}; about 9 by chance, above 27.9 in 1 of 1000 runs.", fairness.chi_square);
    format!(
        "<figure>\n<figcaption><b>Shares by arrival, in tenths: smallest, mean, largest; 1 is the packet's mean</b></figcaption>\n\
         <div class=\"plot\"><div class=\"left\">{labels}</div><div class=\"area\">\
         <svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Shares by arrival\">{svg}</svg>\
         </div><div class=\"below\">{below}</div></div>\n<p class=\"note\">Below each bar stands its mean.{}</p>\n</figure>\n",
        markup(&chi)
    )
}

fn discrepancies(packets: &RedPackets) -> String {
    let rows = packets.first_discrepancies.iter().map(|found| {
        let known = |name: &Option<String>| name.clone().unwrap_or_default();
        vec![
            found.rule.clone(),
            known(&found.packet),
            known(&found.user),
            found.expected.clone(),
            found.found.clone(),
        ]
    });
    table(&["rule", "packet", "user", "expected", "found"], &rows.collect::<Vec<_>>())
}
