//! Repeated lines, counted instead of written.
//!
//! Invariant: of lines with one text from one place in the code the first of a window is written at once and the others
//! as one count; a place gets at most [`DISTINCT`] texts through in a window, and one that tells of connections, each of
//! which is another, [`EACH`] lines. Debugging lines are left alone.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

use super::CONNECTION;
use super::form::Form;

/// Different texts from one place in the code in one window; what differs in a name or number only is one flood.
const DISTINCT: usize = 10;
/// Lines of one place that tells of connections in one window: enough for a day like others, and a bound for a storm.
const EACH: u64 = 1000;

/// Counts lines that would repeat, and tells how many there were.
#[derive(Debug, Clone, Default)]
pub(super) struct Gather {
    form: Form,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    places: HashMap<Identifier, Place>,
    gathered: u64,
}

/// What came from one place in the code in this window.
#[derive(Debug)]
struct Place {
    level: Level,
    target: String,
    /// Lines about connections.
    told: u64,
    /// Each text with how often it came again.
    seen: Vec<(String, u64)>,
    /// The last of the texts that found no room, and how many there were.
    others: Option<(String, u64)>,
}

impl Gather {
    /// Writes what it sums up in this form.
    pub(super) fn new(form: Form) -> Self {
        Self { form, state: Arc::default() }
    }

    /// How lines are written.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Whether the line is to be written now.
    fn admit(&self, metadata: &Metadata<'_>, text: impl FnOnce() -> String) -> bool {
        let mut state = self.state.lock();
        let place = state.places.entry(metadata.callsite()).or_insert_with(|| Place {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            told: 0,
            seen: Vec::new(),
            others: None,
        });
        if metadata.target() == CONNECTION {
            place.told += 1;
            if place.told <= EACH {
                return true;
            }
            place.count(text());
        } else {
            let text = text();
            if let Some((_, again)) = place.seen.iter_mut().find(|(seen, _)| *seen == text) {
                *again += 1;
            } else if place.seen.len() < DISTINCT {
                place.seen.push((text, 0));
                return true;
            } else {
                place.count(text);
            }
        }
        state.gathered += 1;
        false
    }

    /// Lines that say what was counted; a new window begins. What was repeated stays known for that one.
    pub(super) fn sum_up(&self, window: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        let within = format!("in {} s", window.as_secs());
        self.state.lock().places.retain(|_, place| {
            let (level, target) = (place.level, place.target.as_str());
            place.seen.retain_mut(|(text, again)| {
                let count = std::mem::take(again);
                if count > 0 {
                    lines.push(self.form.stamped(
                        level,
                        target,
                        &format!("{text} (again {count} times {within})"),
                    ));
                }
                count > 0
            });
            if let Some((text, count)) = place.others.take() {
                let text = format!("{text} (the last of {count} more of its kind {within})");
                lines.push(self.form.stamped(level, target, &text));
            }
            !place.seen.is_empty()
        });
        lines
    }

    /// Whether there is nothing to sum up or to forget.
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().places.is_empty()
    }

    /// Lines that were counted instead of written, since the start.
    pub(super) fn gathered(&self) -> u64 {
        self.state.lock().gathered
    }
}

impl Place {
    /// One more that finds no room.
    fn count(&mut self, text: String) {
        let before = self.others.take().map_or(0, |(_, count)| count);
        self.others = Some((text, before + 1));
    }
}

impl<S: Subscriber> Filter<S> for Gather {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        self.admit(event.metadata(), || {
            let mut text = Text::default();
            event.record(&mut text);
            text.0
        })
    }
}

/// What an event says, as it stands in its line.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let gap = if self.0.is_empty() { "" } else { " " };
        let _ = match field.name() {
            "message" => write!(self.0, "{gap}{value:?}"),
            name if name.starts_with("log.") => Ok(()),
            name => write!(self.0, "{gap}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::{Layer, SubscriberExt};
    use tracing_subscriber::registry;

    use super::super::queue::{Line, Queue};
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    /// What is written at once while `log` runs.
    fn written(gather: &Gather, log: impl FnOnce()) -> Vec<String> {
        let queue = Arc::<Queue>::default();
        let lines = queue.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || Line::new(lines.clone(), Form::Text));
        with_default(registry().with(layer.with_filter(gather.clone())), log);
        queue.lines()
    }

    fn refused(error: &str) {
        tracing::warn!(error, "a store");
    }

    #[test]
    fn the_first_of_repeated_lines_is_written_and_the_others_are_counted() {
        let gather = Gather::default();
        let at_once = written(&gather, || {
            for _ in 0..1000 {
                refused("gone");
                refused("slow");
            }
            tracing::info!("a store");
        });
        assert_eq!(at_once.len(), 3, "{at_once:?}");
        assert!(at_once[0].contains(r#"a store error="gone""#), "{at_once:?}");
        let counts = gather.sum_up(WINDOW);
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert!(counts[0].contains(r#"WARN"#), "{counts:?}");
        assert!(
            counts.iter().any(|line| line.contains(r#"error="slow" (again 999 times in 10 s)"#)),
            "{counts:?}"
        );
        assert_eq!(gather.gathered(), 1998);
        // What goes on is one line a window; what has ended is forgotten.
        assert!(written(&gather, || refused("gone")).is_empty());
        assert_eq!(gather.sum_up(WINDOW).len(), 1);
        assert!(gather.sum_up(WINDOW).is_empty() && gather.is_empty());
        assert_eq!(written(&gather, || refused("gone")).len(), 1);
    }

    #[test]
    fn a_flood_of_different_texts_from_one_place_is_bounded() {
        let gather = Gather::default();
        let at_once = written(&gather, || (0..500).for_each(|name| refused(&format!("user {name}"))));
        assert_eq!(at_once.len(), DISTINCT);
        let counts = gather.sum_up(WINDOW);
        assert_eq!(counts.len(), 1, "{counts:?}");
        assert!(
            counts[0].contains(r#"error="user 499" (the last of 490 more of its kind in 10 s)"#),
            "{counts:?}"
        );
    }

    #[test]
    fn connections_are_told_one_by_one_up_to_a_bound() {
        let gather = Gather::default();
        let come = |from: u64, to: u64| {
            (from..to).for_each(|connection| tracing::info!(target: CONNECTION, connection, "logged in"));
        };
        let at_once = written(&gather, || come(0, 50_000));
        assert_eq!(at_once.len() as u64, EACH);
        let counts = gather.sum_up(WINDOW);
        assert!(
            counts.len() == 1 && counts[0].contains("connection=49999 (the last of 49000 more of its kind"),
            "{counts:?}"
        );
        assert!(gather.is_empty());
        assert_eq!(written(&gather, || come(0, 20)).len(), 20, "the next window has its own");
    }

    #[test]
    fn lines_for_debugging_are_left_alone() {
        let gather = Gather::default();
        assert_eq!(written(&gather, || (0..50).for_each(|_| tracing::debug!("a step"))).len(), 50);
    }
}
