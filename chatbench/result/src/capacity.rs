//! What came of a search for the highest level that holds.
//!
//! Invariant: every number has its unit in its name or is a level, whose unit `vary` names; `schema/capacity.v1.json`
//! describes all of it.

use serde::{Deserialize, Serialize};

use crate::fold::folded;
use crate::search::{End, Outcome, Search, Tally};
use crate::verdict::Verdict;

/// Name and version of the format.
pub const SCHEMA: &str = "chatbench.capacity/v1";

/// What the levels count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vary {
    /// Messages per second.
    #[default]
    #[serde(rename = "rate_per_s")]
    Rate,
    /// Clients.
    #[serde(rename = "clients")]
    Clients,
}

/// What came of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the scenario.
    pub scenario: String,
    /// What the levels count.
    pub vary: Vary,
    /// The conditions.
    pub thresholds: Vec<String>,
    /// The highest level that held in two rounds; none when there is none.
    pub level: Option<u32>,
    /// Whether the server may hold more.
    pub at_least: bool,
    /// The lowest level that failed.
    pub failed_at: Option<u32>,
    /// The level the generator could not offer.
    pub generator_saturated_at: Option<u32>,
    /// Why the search ended; none when it was cut short.
    pub end: Option<End>,
    /// By level.
    pub levels: Vec<Level>,
    /// In their order.
    pub rounds: Vec<RoundAt>,
}

/// The rounds at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Messages per second, or clients.
    pub level: u32,
    /// How they came out.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundAt {
    /// Messages per second, or clients.
    pub level: u32,
    /// How it came out.
    pub outcome: Outcome,
    /// Name of the run.
    pub run: String,
    /// Its own exit code.
    pub exit_code: u64,
    /// Why it ended as it did.
    pub reasons: Vec<String>,
}

impl Vary {
    /// A level for a reader.
    #[must_use]
    pub fn level_text(self, level: u32) -> String {
        match self {
            Vary::Rate => format!("{level}/s"),
            Vary::Clients => format!("{level} clients"),
        }
    }
}

impl Capacity {
    /// Adds what a search found, and why it ended if it was not cut short.
    #[must_use]
    pub fn found(self, search: &Search, end: Option<End>) -> Self {
        let levels = search.tallies.iter().map(|(level, tally)| Level { level: *level, tally: *tally });
        Self {
            schema: SCHEMA.to_owned(),
            level: search.answer(),
            at_least: end != Some(End::Found),
            failed_at: search.high(),
            generator_saturated_at: search.saturated,
            end,
            levels: levels.collect(),
            ..self
        }
    }

    /// What the end means for the exit code.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.level, self.end) {
            (Some(_), _) => Verdict::Pass,
            (None, Some(End::GeneratorSaturated)) => Verdict::Invalid,
            (None, _) => Verdict::ThresholdFailed,
        }
    }

    /// The levels and the answer, for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let thresholds = self.thresholds.join(", ");
        let mut text = folded("", 2, &format!("chatbench capacity of {}: {thresholds}", self.scenario));
        for Level { level, tally } in &self.levels {
            let of = tally.held + tally.failed;
            let level = self.vary.level_text(*level);
            text += &format!("  {level:>16}  held in {} of {of}\n", tally.held);
        }
        text + &self.answer_text()
    }

    /// The answer alone, for a terminal.
    #[must_use]
    pub fn answer_text(&self) -> String {
        folded("", 2, &self.answer())
    }

    fn answer(&self) -> String {
        let name = |level: Option<u32>| {
            level.map_or_else(|| "nothing".to_owned(), |level| self.vary.level_text(level))
        };
        let (level, failed) = (name(self.level), name(self.failed_at));
        match (self.end, self.level) {
            (Some(End::Found), _) => format!("capacity {level}: held twice; {failed} failed twice"),
            (Some(End::MaxHeld), _) => format!("capacity at least {level}: held twice; --max allows no more"),
            (Some(End::GeneratorSaturated), Some(_)) => {
                let limit = name(self.generator_saturated_at);
                format!(
                    "capacity at least {level}: held twice; at {limit} the generator itself was the limit"
                )
            }
            (Some(End::GeneratorSaturated), None) => {
                let limit = name(self.generator_saturated_at);
                format!(
                    "capacity unknown: at {limit} the generator itself was the limit; begin lower with --from"
                )
            }
            (Some(End::NothingHeld), _) => format!("capacity below {failed}: no level held"),
            (Some(End::RoundsUsedUp), _) => {
                format!(
                    "capacity at least {level}, {failed} failed: no rounds were left; allow more with --rounds"
                )
            }
            (None, _) => format!("capacity at least {level}, {failed} failed: the search was cut short"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::tests::schema::same_members;

    fn searched() -> Capacity {
        let mut search = Search::new(10, 100, 0.05, 9);
        for (level, outcome) in [
            (10, Outcome::Held),
            (20, Outcome::Failed),
            (20, Outcome::Failed),
            (10, Outcome::Held),
            (40, Outcome::Saturated),
        ] {
            search.tell(level, outcome);
        }
        let round =
            RoundAt { level: 10, outcome: Outcome::Held, run: "r".to_owned(), exit_code: 0, reasons: vec![] };
        let named = Capacity {
            scenario: "unicast".to_owned(),
            thresholds: vec!["lost==0".to_owned()],
            rounds: vec![round],
            ..Capacity::default()
        };
        named.found(&search, Some(End::Found))
    }

    #[test]
    fn the_type_and_the_schema_know_the_same_members() {
        let schema = serde_json::from_str(include_str!("../schema/capacity.v1.json")).unwrap();
        same_members(&schema, &json!(searched()));
    }

    #[test]
    fn what_was_written_is_read_as_the_same() {
        let capacity = searched();
        let text = serde_json::to_string(&capacity).unwrap();
        assert_eq!(serde_json::from_str::<Capacity>(&text).unwrap(), capacity);
        assert_eq!(
            (capacity.level, capacity.failed_at, capacity.verdict()),
            (Some(10), Some(20), Verdict::Pass)
        );
        assert_eq!(
            capacity.text(),
            "chatbench capacity of unicast: lost==0\n              10/s  held in 2 of 2\n              \
             20/s  held in 0 of 2\n              40/s  held in 0 of 0\n\
             capacity 10/s: held twice; 20/s failed twice\n"
        );
    }

    /// As the first version of the format wrote it, with a level that nothing held.
    #[test]
    fn an_old_file_is_read() {
        let old = json!({
            "schema": SCHEMA, "scenario": "connect", "vary": "clients", "thresholds": ["connected>0"],
            "level": null, "at_least": true, "failed_at": 1, "generator_saturated_at": null,
            "end": "nothing_held", "levels": [{"level": 1, "held": 0, "failed": 2}],
            "rounds": [{"level": 1, "outcome": "failed", "run": "r", "exit_code": 99, "reasons": ["no"]}],
        });
        let read: Capacity = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((read.end, json!(read)), (Some(End::NothingHeld), old));
    }
}
