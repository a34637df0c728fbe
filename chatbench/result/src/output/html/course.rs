//! The course of the run: messages, deliveries, times and resources on one axis of time.
//!
//! Invariant: counts are shown as rates over the time they were counted in, so a short interval makes no peak.

use super::chart::{Axis, Chart, Line};
use super::part;
use super::scale::Quantity;
use crate::model::{Point, RunResult, ServerPoint};

/// More points are brought together: a screen has no place for them.
const MOST_POINTS: u64 = 500;
/// Seconds between the labels of the axis; the first of which at most eight fit.
const TICKS: [f64; 19] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
    14400.0, 43200.0, 86400.0,
];

/// Intervals that are shown as one point.
struct Group<'a> {
    from_ms: u64,
    to_ms: u64,
    points: &'a [Point],
}

/// Picks a value of a point.
type Of = fn(&Point) -> Option<f64>;

/// The section.
pub fn section(result: &RunResult) -> String {
    let Some(series) = &result.series else { return String::new() };
    let (points, interval_ms) = (series.points.as_slice(), series.interval_ms.max(1));
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
            vec![
                rate(&groups, 1, "offered", |point| whole(point.offered)),
                rate(&groups, 0, "sent", |point| whole(Some(point.sent))),
                rate(&groups, 2, "accepted", |point| whole(Some(point.accepted))),
            ],
        ),
        draw(
            "Deliveries",
            Quantity::PerSecond,
            false,
            vec![rate(&groups, 0, "delivered", |point| whole(Some(point.delivered)))],
        ),
        draw(
            "Response time, and delay of the generator",
            Quantity::Micros,
            true,
            vec![
                highest(&groups, 0, "p50", |point| whole(point.response_p50_us)),
                highest(&groups, 1, "p99", |point| whole(point.response_p99_us)),
                highest(&groups, 4, "max", |point| whole(point.response_max_us)),
                delay(&groups),
            ],
        ),
        draw(
            "Clients",
            Quantity::Count,
            false,
            vec![highest(&groups, 0, "logged in", |point| whole(Some(point.clients)))],
        ),
        draw("CPU, of a core", Quantity::Percent, false, cpu(&groups)),
        draw("Memory", Quantity::Mebibytes, false, memory(&groups)),
    ]
    .concat();
    if 2 * groups.len() <= points.len() && !content.is_empty() {
        content += "<p class=\"note\">Neighbouring intervals are shown as one point: counts as their rate, all else as its \
                    highest value. The .csv file has every interval.</p>\n";
    }
    part("Course of the run", &content)
}

/// As many intervals in each as keep the points few; the last of a part of the run is often short and joins others.
fn groups(points: &[Point], interval_ms: u64) -> Vec<Group<'_>> {
    let all_ms = points.last().map_or(0, |point| point.t_ms);
    let least_ms = (all_ms / MOST_POINTS).max(interval_ms / 2).max(1);
    let mut groups: Vec<Group<'_>> = Vec::new();
    let (mut first, mut from_ms) = (0, 0);
    for (at, point) in points.iter().enumerate() {
        let to_ms = point.t_ms.max(from_ms);
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
        let (to, phase) = (place(point.t_ms), &point.phase);
        let from = bands.last().map_or(0.0, |(_, to, _)| *to);
        match bands.last_mut() {
            Some((_, end, last)) if *last == *phase => *end = to.clamp(*end, 1.0),
            _ => bands.push((from, to.clamp(from, 1.0), phase.clone())),
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
    let phase = group.points.last().map_or("", |point| &point.phase);
    let [from, to] = [group.from_ms, group.to_ms].map(|ms| ms as f64 / 1e3);
    format!("{from:.1} to {to:.1} s, {}", phase.replace('|', " "))
}

fn whole(count: Option<u64>) -> Option<f64> {
    count.map(|count| count as f64)
}

fn rate(groups: &[Group<'_>], colour: usize, name: &str, of: Of) -> Line {
    let values = groups.iter().map(|group| {
        let counts: Vec<f64> = group.points.iter().filter_map(of).collect();
        let seconds = (group.to_ms - group.from_ms).max(1) as f64 / 1e3;
        (!counts.is_empty()).then(|| counts.iter().sum::<f64>() / seconds)
    });
    Line { name: name.to_owned(), colour, values: values.collect() }
}

fn highest(groups: &[Group<'_>], colour: usize, name: &str, of: impl Fn(&Point) -> Option<f64>) -> Line {
    let finite = |point: &Point| of(point).filter(|value| value.is_finite());
    let values = groups.iter().map(|group| group.points.iter().filter_map(finite).reduce(f64::max));
    Line { name: name.to_owned(), colour, values: values.collect() }
}

/// A delay of 0 has no place among logarithms.
fn delay(groups: &[Group<'_>]) -> Line {
    highest(groups, 5, "generator", |point| whole(Some(point.generator_delay_max_us).filter(|us| *us > 0)))
}

/// Of every server, of the generator and of Redis.
fn cpu(groups: &[Group<'_>]) -> Vec<Line> {
    let mut lines = vec![highest(groups, 5, "generator", |point| point.generator_cpu_percent)];
    lines.extend(of_servers(groups, |server| server.cpu_percent));
    lines.push(highest(groups, 4, "Redis", |point| point.redis?.cpu_percent));
    lines
}

/// The same.
fn memory(groups: &[Group<'_>]) -> Vec<Line> {
    let mib = |kib: Option<u64>| whole(kib).map(|kib| kib / 1024.0);
    let mut lines = vec![highest(groups, 5, "generator", |point| mib(point.generator_rss_kib))];
    lines.extend(of_servers(groups, |server| whole(server.rss_kib).map(|kib| kib / 1024.0)));
    lines.push(highest(groups, 4, "Redis", |point| mib(point.redis.map(|redis| redis.used_memory_kib))));
    lines
}

fn of_servers(groups: &[Group<'_>], of: fn(&ServerPoint) -> Option<f64>) -> Vec<Line> {
    let points = groups.iter().flat_map(|group| group.points);
    let servers = points.map(|point| point.servers.len()).max().unwrap_or(0);
    let line = |(at, colour): (usize, usize)| {
        let name = if servers == 1 { "server".to_owned() } else { format!("server {}", at + 1) };
        highest(groups, colour, &name, move |point| of(point.servers.get(at)?))
    };
    [0, 2, 3, 6].into_iter().enumerate().take(servers).map(line).collect()
}
