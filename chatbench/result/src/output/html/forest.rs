//! A comparison: for each metric the ratio of head to base with its interval, all on one axis.
//!
//! Invariant: an interval that reaches over the edge of the axis ends at the edge, and its numbers stand beside it.

use super::part;
use super::scale::Scale;
use crate::compare::comparison::{Change, Comparison, MetricChange, Side};
use crate::escape::{markup, shortened};
use crate::measure::Better;
use crate::output::markdown::{change_percent, interval_text, sides_text};
use crate::output::words::said;

/// The axis reaches at least and at most so far from 1.
const REACH: [f64; 2] = [1.25, 10.0];

/// The section.
pub fn section(comparison: &Comparison) -> String {
    let side = |side: &Side| format!("{} ({} rounds)", shortened(&side.label, 200), side.rounds.len());
    let verdict = comparison.verdict;
    let warnings = comparison.warnings.iter().take(20);
    let warnings: String =
        warnings.map(|warning| format!("<li>{}</li>\n", markup(&shortened(warning, 1000)))).collect();
    let warnings =
        if warnings.is_empty() { warnings } else { format!("<ul class=\"reasons\">\n{warnings}</ul>\n") };
    let content = format!(
        "<p><strong class=\"badge {}\">{}</strong> {} against {}</p>\n{warnings}{}",
        tone(verdict),
        verdict.text(),
        markup(&side(&comparison.head)),
        markup(&side(&comparison.base)),
        plot(&comparison.metrics)
    );
    part("Comparison", &content)
}

fn tone(verdict: Change) -> &'static str {
    match verdict {
        Change::Regressed => "bad",
        Change::Improved | Change::Unchanged => "good",
        Change::Inconclusive => "warn",
    }
}

fn plot(metrics: &[MetricChange]) -> String {
    if metrics.is_empty() {
        return String::new();
    }
    let (scale, ticks) = scale(metrics);
    let rows: String = metrics.iter().take(200).map(|metric| row(metric, scale)).collect();
    let ticks: String = ticks
        .iter()
        .map(|tick| {
            let place = scale.place(*tick) * 100.0;
            let percent = match (tick - 1.0) * 100.0 {
                0.0 => "0".to_owned(),
                percent => format!("{percent:+.0}"),
            };
            format!("<span style=\"left:{place:.1}%\">{percent} %</span>")
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table class=\"forest\">\n<thead><tr><th>metric</th>\
         <th class=\"axis\"><div class=\"below\">{ticks}</div></th><th>base</th><th>head</th><th>change</th><th>95 % interval</th><th>verdict</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n<p class=\"note\">The dot is the ratio of head to base, the line its 95 % interval, \
         the band what is too small to matter; whether less or more is better stands under each name.</p>\n"
    )
}

/// The common axis and its ticks, as far from 1 on both sides.
fn scale(metrics: &[MetricChange]) -> (Scale, Vec<f64>) {
    let all = metrics
        .iter()
        .flat_map(|metric| metric.ratio.into_iter().chain(metric.interval.into_iter().flatten()));
    let far = all.filter(|ratio| *ratio > 0.0).map(|ratio| ratio.max(1.0 / ratio)).fold(REACH[0], f64::max);
    let reach = (far * 1.05).min(REACH[1]);
    let step = [1.1, 1.25, 1.5, 2.0, 4.0].into_iter().rfind(|step: &f64| *step < reach).unwrap_or(1.1);
    (Scale::ratio(1.0 / reach, reach), vec![1.0 / step, 1.0, step])
}

/// `e2e_time:p(99)` as `response p99`.
fn words(metric: &str) -> String {
    let (name, value) = metric.split_once(':').unwrap_or((metric, ""));
    let value = value.replace(['(', ')'], "");
    shortened(&format!("{} {value}", said(name).replace('_', " ").replace("cpu", "CPU")), 100)
        .trim_end()
        .to_owned()
}

fn row(metric: &MetricChange, scale: Scale) -> String {
    let verdict = metric.verdict;
    let x = |ratio: f64| scale.place(ratio) * 1000.0;
    let effect = 1.0 + metric.min_effect.max(0.0);
    let (from, to) = (x(1.0 / effect), x(effect));
    let mut svg = format!(
        "<rect class=\"band measured\" x=\"{from:.1}\" width=\"{:.1}\" y=\"0\" height=\"1000\"/>\
         <path class=\"grid\" d=\"M{:.1} 0V1000\"/>",
        to - from,
        x(1.0)
    );
    if let Some([low, high]) = metric.interval {
        svg +=
            &format!("<path class=\"interval {}\" d=\"M{:.1} 500H{:.1}\"/>", tone(verdict), x(low), x(high));
    }
    if let Some(ratio) = metric.ratio {
        svg += &format!("<path class=\"dot {}\" d=\"M{:.1} 500h0\"/>", tone(verdict), x(ratio));
    }
    let [base, head] = sides_text(metric);
    let better = if metric.better == Better::Higher { "more is better" } else { "less is better" };
    format!(
        "<tr><td title=\"{}\">{}<small>{better}</small></td><td class=\"axis\"><svg viewBox=\"0 0 1000 1000\" \
         preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{svg}</svg></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
         <td title=\"{}\"><strong class=\"badge {}\">{}</strong></td></tr>\n",
        markup(&shortened(&metric.metric, 100)),
        markup(&words(&metric.metric)),
        markup(&interval_text(metric)),
        markup(&base),
        markup(&head),
        markup(&change_percent(metric)),
        markup(&interval_text(metric)),
        markup(&shortened(&metric.reason, 300)),
        tone(verdict),
        verdict.text()
    )
}
