//! Distributions by percentile, the way HdrHistogram plots them: each step to the right is ten times rarer.
//!
//! Invariant: a curve ends where its samples do; what fewer samples cannot tell is not drawn.

use hdrhistogram::Histogram;

use super::chart::{Axis, Chart, Line};
use super::part;
use super::scale::Quantity;
use super::table;
use crate::model::RunResult;
use crate::output::hgrm::main_time;
use crate::output::words::said;

const FAN_OUT: [&str; 4] = ["fanout_first_time", "fanout_median_time", "fanout_time", "fanout_skew_time"];
/// Times of the way in; they have a chart of their own when there is another.
const WAY_IN: [&str; 2] = ["connect_time", "login_time"];
/// Points for each step of ten.
const STEPS: u32 = 40;

/// The times but those of the fan-out.
pub fn section(result: &RunResult) -> String {
    let all: Vec<&'static str> = result.measured().map(|(name, _)| name).collect();
    let (way_in, rest): (Vec<&str>, Vec<&str>) =
        all.iter().filter(|name| !FAN_OUT.contains(name)).partition(|name| WAY_IN.contains(name));
    let mut rest = rest;
    // What the run is about comes first.
    rest.sort_by_key(|name| *name != main_time(result));
    let content = [
        chart("By percentile", result, &rest),
        chart("The way in, by percentile", result, &way_in),
        table::times(result),
    ];
    part("Times", &content.concat())
}

/// From the first to the last delivery of a message.
pub fn fan_out(result: &RunResult) -> String {
    part("Fan-out", &chart("From due to first, median and last delivery, and between them", result, &FAN_OUT))
}

fn chart(title: &str, result: &RunResult, names: &[&str]) -> String {
    let found: Vec<(usize, &str, Histogram<u64>)> = (0..)
        .zip(names)
        .filter_map(|(colour, name)| Some((colour, *name, result.histogram(name).ok()??)))
        .collect();
    let most = found.iter().map(|(_, _, times)| times.len()).max().unwrap_or(0);
    let decades = (most.max(10) as f64).log10().ceil().clamp(1.0, 9.0) as u32;
    let axis = axis(decades);
    let lines = found.into_iter().map(|(colour, name, times)| Line {
        name: said(name).to_owned(),
        colour,
        values: quantiles(decades).map(|quantile| value(&times, quantile)).collect(),
    });
    let (title, lines) = (title.to_owned(), lines.collect());
    Chart { title, quantity: Quantity::Micros, is_log: true, axis, lines }.html()
}

fn quantiles(decades: u32) -> impl Iterator<Item = f64> {
    (0..=decades * STEPS).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / f64::from(STEPS)))
}

/// The largest sample stands for all quantiles up to one sample's share; beyond there is nothing.
fn value(times: &Histogram<u64>, quantile: f64) -> Option<f64> {
    let beyond = (1.0 - quantile) * times.len() as f64;
    (beyond > 0.1).then(|| times.value_at_quantile(quantile) as f64)
}

fn axis(decades: u32) -> Axis {
    let place = |quantile: f64| -(1.0 - quantile).log10() / f64::from(decades);
    let percent = |quantile: f64| {
        let digits = if quantile < 0.9 { 1 } else { (1.5 - (1.0 - quantile).log10()) as usize };
        format!("{:.digits$} %", quantile * 100.0)
    };
    let mut ticks = vec![(0.0, "0 %".to_owned(), true), (place(0.5), "50 %".to_owned(), decades > 5)];
    for nines in 1..=decades {
        let name = match nines {
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            _ => format!("99.{} %", "9".repeat(nines as usize - 2)),
        };
        // Every label but the middle ones is left out where it is narrow, for they grow longer to the right.
        ticks.push((f64::from(nines) / f64::from(decades), name, nines > 2 && (decades - nines) % 2 == 1));
    }
    Axis {
        places: (0..=decades * STEPS).map(|step| f64::from(step) / f64::from(decades * STEPS)).collect(),
        names: quantiles(decades).map(percent).collect(),
        ticks,
        bands: Vec::new(),
    }
}
