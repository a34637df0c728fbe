//! The course of the run: messages, deliveries, times and resources on one axis of time.
//!
//! Invariant: counts are shown as rates over the time they were counted in, so a short interval makes no peak.

use serde_json::Value;

use super::chart::{Axis, Chart, Line};
use super::part;
use super::scale::Quantity;
use crate::output::dig::{count, list, number, text as text_of};

/// More points are brought together: a screen has no place for them.
const MOST_POINTS: u64 = 500;
/// More servers than these are not shown one by one.
const MOST_SERVERS: usize = 4;

/// Seconds between the labels of the axis; the first of which at most eight fit.
const TICKS: [f64; 19] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
    14400.0, 43200.0, 86400.0,
];

/// Intervals that are shown as one point.
struct Group<'a> {
    from_ms: u64,
    to_ms: u64,
    points: &'a [Value],
}

/// The section.
pub fn section(result: &Value) -> String {
    let points = list(result, "/series/points");
    let interval_ms = count(result, "/series/interval_ms").unwrap_or(1000).max(1);
    let groups = groups(points, interval_ms);
    let axis = axis(&groups);
    let draw = |title: &str, quantity, is_log, lines: Vec<Line>| {
        Chart { title: title.to_owned(), quantity, is_log, axis: axis.clone(), lines }.html()
    };
    let mut content = [
        draw(
            "Messages",
            Quantity::PerSecond,
            false,
            vec![rate(&groups, 1, "offered"), rate(&groups, 0, "sent"), rate(&groups, 2, "accepted")],
        ),
        draw("Deliveries", Quantity::PerSecond, false, vec![rate(&groups, 0, "delivered")]),
        draw(
            "Response time, and delay of the generator",
            Quantity::Micros,
            true,
            vec![
                highest(&groups, 0, "p50", "/response_p50_us", 1.0),
                highest(&groups, 1, "p99", "/response_p99_us", 1.0),
                highest(&groups, 4, "max", "/response_max_us", 1.0),
                delay(&groups),
            ],
        ),
        draw("Clients", Quantity::Count, false, vec![highest(&groups, 0, "logged in", "/clients", 1.0)]),
        draw(
            "CPU, of a core",
            Quantity::Percent,
            false,
            resources(&groups, "cpu_percent", "cpu_percent", 1.0),
        ),
        draw("Memory", Quantity::Mebibytes, false, resources(&groups, "rss_kib", "used_memory_kib", 1024.0)),
    ]
    .concat();
    if 2 * groups.len() <= points.len() && !content.is_empty() {
        content += "<p class=\"note\">Neighbouring intervals are shown as one point: counts as their rate, all else as its \
                    highest value. The .csv file has every interval.</p>\n";
    }
    part("Course of the run", &content)
}

/// As many intervals in each as keep the points few; the last of a part of the run is often short and joins others.
fn groups(points: &[Value], interval_ms: u64) -> Vec<Group<'_>> {
    let end = |point: &Value| count(point, "/t_ms").unwrap_or(0);
    let all_ms = points.last().map_or(0, end);
    let least_ms = (all_ms / MOST_POINTS).max(interval_ms / 2).max(1);
    let mut groups: Vec<Group<'_>> = Vec::new();
    let (mut first, mut from_ms) = (0, 0);
    for (at, point) in points.iter().enumerate() {
        let to_ms = end(point).max(from_ms);
        let is_last = at + 1 == points.len();
        let is_long = to_ms - from_ms >= least_ms;
        if is_long || (is_last && groups.is_empty()) {
            groups.push(Group { from_ms, to_ms, points: &points[first..=at] });
            (first, from_ms) = (at + 1, to_ms);
        } else if let (true, Some(group)) = (is_last, groups.last_mut()) {
            let before = group.points.len();
            *group = Group { from_ms: group.from_ms, to_ms, points: &points[first - before..=at] };
        }
    }
    groups
}

fn axis(groups: &[Group<'_>]) -> Axis {
    let seconds = |ms: u64| ms as f64 / 1e3;
    let all_ms = groups.last().map_or(1, |group| group.to_ms).max(1);
    let place = |ms: u64| ms as f64 / all_ms as f64;
    let step = TICKS.into_iter().find(|step| seconds(all_ms) / step <= 8.0).unwrap_or(seconds(all_ms));
    let places = (0..9).map(|number| f64::from(number) * step).filter(|tick| *tick <= seconds(all_ms));
    let ticks = places.enumerate().map(|(number, tick)| {
        let name = match step {
            3600.0.. => format!("{} h", tick / 3600.0),
            60.0.. => format!("{} min", tick / 60.0),
            _ => format!("{} s", (tick * 10.0).round() / 10.0),
        };
        (tick * 1e3 / all_ms as f64, name, number % 2 == 1)
    });
    let mut bands: Vec<(f64, f64, String)> = Vec::new();
    for point in groups.iter().flat_map(|group| group.points) {
        let (to, phase) = (place(count(point, "/t_ms").unwrap_or(0)), text_of(point, "/phase"));
        let from = bands.last().map_or(0.0, |(_, to, _)| *to);
        match bands.last_mut() {
            Some((_, end, last)) if last == phase => *end = to.clamp(*end, 1.0),
            _ => bands.push((from, to.clamp(from, 1.0), phase.to_owned())),
        }
    }
    Axis {
        // What was counted from one moment to the next stands between them.
        places: groups.iter().map(|group| (place(group.from_ms) + place(group.to_ms)) / 2.0).collect(),
        names: groups.iter().map(name).collect(),
        ticks: ticks.collect(),
        bands,
    }
}

fn name(group: &Group<'_>) -> String {
    let phase = group.points.last().map_or("", |point| text_of(point, "/phase"));
    let [from, to] = [group.from_ms, group.to_ms].map(|ms| ms as f64 / 1e3);
    format!("{from:.1} to {to:.1} s, {}", phase.replace('|', " "))
}

fn rate(groups: &[Group<'_>], colour: usize, name: &str) -> Line {
    let pointer = format!("/{name}");
    let values = groups.iter().map(|group| {
        let counts: Vec<f64> = group.points.iter().filter_map(|point| number(point, &pointer)).collect();
        let seconds = (group.to_ms - group.from_ms).max(1) as f64 / 1e3;
        (!counts.is_empty()).then(|| counts.iter().sum::<f64>() / seconds)
    });
    Line { name: name.to_owned(), colour, values: values.collect() }
}

fn highest(groups: &[Group<'_>], colour: usize, name: &str, pointer: &str, unit: f64) -> Line {
    let values = groups.iter().map(|group| {
        let found = group.points.iter().filter_map(|point| number(point, pointer));
        found.reduce(f64::max).map(|highest| highest / unit)
    });
    Line { name: name.to_owned(), colour, values: values.collect() }
}

/// A delay of 0 has no place among logarithms.
fn delay(groups: &[Group<'_>]) -> Line {
    let mut line = highest(groups, 5, "generator", "/generator_delay_max_us", 1.0);
    line.values.iter_mut().for_each(|value| *value = value.filter(|delay| *delay > 0.0));
    line
}

/// Of every server, of the generator and of Redis.
fn resources(groups: &[Group<'_>], member: &str, of_redis: &str, unit: f64) -> Vec<Line> {
    let points = groups.iter().flat_map(|group| group.points);
    let servers = points.map(|point| list(point, "/servers").len()).max().unwrap_or(0);
    let mut lines = vec![highest(groups, 5, "generator", &format!("/generator_{member}"), unit)];
    for at in 0..servers.min(MOST_SERVERS) {
        let name = if servers == 1 { "server".to_owned() } else { format!("server {}", at + 1) };
        lines.push(highest(groups, [0, 2, 3, 6][at], &name, &format!("/servers/{at}/{member}"), unit));
    }
    lines.push(highest(groups, 4, "Redis", &format!("/redis/{of_redis}"), unit));
    lines
}
