//! Lines over a common axis, as SVG for the lines and text beside it for the labels: they keep their size on every screen.
//!
//! Invariant: without a value above 0 there is no chart.

use std::fmt::Write;

use super::scale::{Quantity, Scale};
use crate::escape::markup;

/// Side of the square the SVG is drawn in; the page stretches it.
const SIDE: f64 = 1000.0;

/// Parts of a run in which it measures.
const MEASURED: [&str; 4] = ["measure", "idle", "read", "grab"];

/// A chart as SVG.
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What its values count.
    pub quantity: Quantity,
    /// Whether its values span decades.
    pub is_log: bool,
    /// The common axis.
    pub axis: Axis,
    /// What is drawn, each with a value or none for each place of the axis.
    pub lines: Vec<Line>,
}

/// The axis of all charts that stand below each other.
#[derive(Clone, Default)]
pub struct Axis {
    /// From 0 to 1, ascending.
    pub places: Vec<f64>,
    /// What each place is called.
    pub names: Vec<String>,
    /// Labels below; those of the second kind are left out where it is narrow.
    pub ticks: Vec<(f64, String, bool)>,
    /// Stretches with a name: from, to.
    pub bands: Vec<(f64, f64, String)>,
}

/// One line.
pub struct Line {
    /// For the legend.
    pub name: String,
    /// Which of the eight colours.
    pub colour: usize,
    /// See [`Chart::lines`].
    pub values: Vec<Option<f64>>,
}

impl Chart {
    /// The chart, or nothing.
    #[must_use]
    pub fn html(&self) -> String {
        let lines: Vec<&Line> =
            self.lines.iter().filter(|line| line.values.iter().any(Option::is_some)).collect();
        let values = || lines.iter().flat_map(|line| line.values.iter().flatten().copied());
        if !values().any(|value| value > 0.0) {
            return String::new();
        }
        let scale = if self.is_log { Scale::log(values()) } else { Scale::linear(values()) };
        let mut svg = String::new();
        let mut labels = String::new();
        // Writing to a string cannot fail.
        for (from, to, name) in &self.axis.bands {
            let (x, width) = (from * SIDE, (to - from) * SIDE);
            let kind = if MEASURED.contains(&name.as_str()) { "band measured" } else { "band" };
            let _ = write!(
                svg,
                "<rect class=\"{kind}\" x=\"{x:.1}\" width=\"{width:.1}\" y=\"0\" height=\"1000\"/>"
            );
        }
        for tick in scale.ticks() {
            let place = scale.place(tick);
            let y = (1.0 - place) * SIDE;
            let _ = write!(svg, "<path class=\"grid\" d=\"M0 {y:.1}H1000\"/>");
            let _ = write!(
                labels,
                "<span style=\"bottom:{:.2}%\">{}</span>",
                place * 100.0,
                markup(&self.quantity.tick(tick))
            );
        }
        for (place, _, _) in &self.axis.ticks {
            let _ = write!(svg, "<path class=\"grid\" d=\"M{:.1} 0V1000\"/>", place * SIDE);
        }
        // What stands first in the legend is drawn last, over the others.
        for line in lines.iter().rev() {
            let [path, dots] = self.paths(line, scale);
            let colour = line.colour % 8;
            let _ = write!(svg, "<path class=\"line c{colour}\" d=\"{path}\"/>");
            if !dots.is_empty() {
                let _ = write!(svg, "<path class=\"dot small c{colour}\" d=\"{dots}\"/>");
            }
        }
        self.figure(&lines, &svg, &labels)
    }

    /// The line through all values, with a gap where there is none; and a dot for each value that stands alone.
    fn paths(&self, line: &Line, scale: Scale) -> [String; 2] {
        let (mut path, mut dots) = (String::new(), String::new());
        let has = |at: Option<usize>| at.and_then(|at| *line.values.get(at)?).is_some();
        for (at, (place, value)) in self.axis.places.iter().zip(&line.values).enumerate() {
            let Some(value) = value else { continue };
            let (x, y) = (place * SIDE, (1.0 - scale.place(*value)) * SIDE);
            let _ = match (has(at.checked_sub(1)), has(at.checked_add(1))) {
                (true, _) => write!(path, "L{x:.1} {y:.1}"),
                (false, true) => write!(path, "M{x:.1} {y:.1}"),
                (false, false) => write!(dots, "M{x:.1} {y:.1}h0"),
            };
        }
        [path, dots]
    }

    fn figure(&self, lines: &[&Line], svg: &str, labels: &str) -> String {
        let mut legend = String::new();
        for line in lines {
            let texts = line
                .values
                .iter()
                .map(|value| value.map_or(String::new(), |value| self.quantity.text(value)));
            let _ = write!(
                legend,
                "<span class=\"key c{}\" data-values=\"{}\">{}</span>",
                line.colour % 8,
                markup(&texts.collect::<Vec<_>>().join("|")),
                markup(&line.name)
            );
        }
        let places = self.axis.places.iter().map(|place| format!("{place:.4}")).collect::<Vec<_>>().join("|");
        let mut below = String::new();
        for (place, name, is_minor) in &self.axis.ticks {
            let minor = if *is_minor { " class=\"minor\"" } else { "" };
            let _ =
                write!(below, "<span{minor} style=\"left:{:.2}%\">{}</span>", place * 100.0, markup(name));
        }
        let mut bands = String::new();
        for (from, to, name) in self.axis.bands.iter().filter(|(from, to, _)| to - from > 0.07) {
            let (left, width) = (from * 100.0, (to - from) * 100.0);
            let _ = write!(bands, "<em style=\"left:{left:.2}%;width:{width:.2}%\">{}</em>", markup(name));
        }
        let title = markup(&self.title);
        format!(
            "<figure>\n<figcaption><b>{title}</b> <span class=\"legend\">{legend}</span></figcaption>\n\
             <div class=\"plot\"><div class=\"left\">{labels}</div>\
             <div class=\"area\" data-places=\"{places}\" data-names=\"{}\">\
             <svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{title}\">{svg}</svg>\
             {bands}<i></i></div><div class=\"below\">{below}</div></div>\n<output></output>\n</figure>\n",
            markup(&self.axis.names.join("|"))
        )
    }
}
