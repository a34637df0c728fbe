//! Which rows and columns of a report are shown, and in what order.
//!
//! Invariant: a name that stands for nothing in a list is refused and never shown as nothing; a record, which tells what
//! was done, is shown whatever was asked for.

use std::cmp::Ordering;
use std::str::FromStr;

use serde_json::Value;

use crate::failure::Failure;
use crate::report::{Cell, Column, Report};

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Only these columns, in this order; all when empty.
    pub columns: Vec<String>,
    /// The order of the rows; as they come without.
    pub sort_by: Option<SortBy>,
    /// What must hold of a row.
    pub filters: Vec<Filter>,
}

/// A column that orders the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortBy {
    name: String,
    falls: bool,
}

impl FromStr for SortBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, falls) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        match name {
            "" => Err("must name a column".to_owned()),
            name => Ok(Self { name: name.to_owned(), falls }),
        }
    }
}

/// A condition, such as `unread>0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    name: String,
    test: Test,
    with: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Is,
    IsNot,
    Holds,
    Less,
    Greater,
    AtMost,
    AtLeast,
}

/// How each test is written; of two that begin alike the longer one stands first.
const TESTS: [(&str, Test); 7] = [
    ("!=", Test::IsNot),
    ("<=", Test::AtMost),
    (">=", Test::AtLeast),
    ("=", Test::Is),
    ("~", Test::Holds),
    ("<", Test::Less),
    (">", Test::Greater),
];

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write KEY=VALUE, or with != ~ < <= > >= between them".to_owned();
        let at = text.find(['!', '<', '>', '=', '~']).filter(|at| *at > 0).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(at);
        let (sign, test) = TESTS.iter().find(|(sign, _)| rest.starts_with(sign)).ok_or_else(wrong)?;
        Ok(Self { name: name.trim().to_owned(), test: *test, with: rest[sign.len()..].trim().to_owned() })
    }
}

impl Filter {
    fn holds(&self, cell: &Cell) -> bool {
        let text = cell.plain();
        match self.test {
            Test::Is => self.is(cell, &text),
            Test::IsNot => !self.is(cell, &text),
            Test::Holds => {
                let part = self.with.to_lowercase();
                let has = |text: &str| text.to_lowercase().contains(&part);
                has(&text) || cell.words().is_some_and(has)
            }
            // What is not there is neither less nor more.
            _ if cell.value.is_null() => false,
            Test::Less => self.order(cell, &text).is_lt(),
            Test::Greater => self.order(cell, &text).is_gt(),
            Test::AtMost => self.order(cell, &text).is_le(),
            Test::AtLeast => self.order(cell, &text).is_ge(),
        }
    }

    fn is(&self, cell: &Cell, text: &str) -> bool {
        text == self.with || cell.words() == Some(&self.with)
    }

    fn order(&self, cell: &Cell, text: &str) -> Ordering {
        match (cell.value.as_f64(), self.with.parse::<f64>()) {
            (Some(value), Ok(with)) => value.total_cmp(&with),
            _ => text.cmp(self.with.as_str()),
        }
    }
}

impl View {
    /// The rows of a part of a list for which every condition holds, with all columns.
    ///
    /// # Errors
    /// [`Failure::Usage`] when a condition is about nothing that is there.
    pub fn filtered(&self, report: Report) -> Result<Report, Failure> {
        if self.filters.is_empty() {
            return Ok(report);
        }
        let mut kept = Vec::new();
        for row in 0..report.rows.len() {
            let mut holds = true;
            for filter in &self.filters {
                holds &= filter.holds(&fact(&report, row, &filter.name)?);
            }
            if holds {
                kept.push(row);
            }
        }
        Ok(report.taking(&kept))
    }

    /// The rows in the order asked for. What is not there stands last.
    ///
    /// # Errors
    /// [`Failure::Usage`] when nothing has that name.
    pub fn sorted(&self, report: Report) -> Result<Report, Failure> {
        let Some(SortBy { name, falls }) = &self.sort_by else { return Ok(report) };
        let cells: Result<Vec<Cell>, Failure> =
            (0..report.rows.len()).map(|row| fact(&report, row, name)).collect();
        let cells = cells?;
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.sort_by(|a, b| compare(&cells[*a].value, &cells[*b].value, *falls));
        Ok(report.taking(&order))
    }

    /// The columns asked for.
    ///
    /// # Errors
    /// [`Failure::Usage`] when one of a list has no such name.
    pub fn picked(&self, report: Report) -> Result<Report, Failure> {
        if self.columns.is_empty() {
            return Ok(report);
        }
        let column = |name: &String| {
            let is_it = |column: &&Column| column.key == *name || column.title.eq_ignore_ascii_case(name);
            let found = report.columns.iter().find(is_it).cloned();
            let found = found.unwrap_or_else(|| Column {
                key: name.clone(),
                title: name.to_uppercase(),
                spare: None,
            });
            // Whoever asks for it does not spare it.
            Column { spare: None, ..found }
        };
        let columns: Vec<Column> = self.columns.iter().map(column).collect();
        let mut rows = Vec::with_capacity(report.rows.len());
        for row in 0..report.rows.len() {
            let cells: Result<Vec<Cell>, Failure> =
                self.columns.iter().map(|name| fact(&report, row, name)).collect();
            rows.push(cells?);
        }
        Ok(report.of_columns(columns, rows))
    }

    /// All of it, of a report that comes at once. Words give way to rows and columns that were asked for.
    ///
    /// # Errors
    /// As its parts.
    pub fn of(&self, report: Report) -> Result<Report, Failure> {
        let report = match report.is_record {
            true => report,
            false => self.sorted(self.filtered(report)?)?,
        };
        self.picked(report)
    }
}

/// What is told of a row under a name. A record has no row without it, but perhaps no such fact.
pub(super) fn fact(report: &Report, row: usize, name: &str) -> Result<Cell, Failure> {
    match report.fact(row, name) {
        Some(cell) => Ok(cell),
        None if report.is_record => Ok(Value::Null.into()),
        // Members that may be missing are missing in some rows, not in all.
        None if (0..report.rows.len()).any(|other| report.fact(other, name).is_some()) => {
            Ok(Value::Null.into())
        }
        None => {
            let known: Vec<_> = report.columns.iter().map(|column| column.key.as_str()).collect();
            Err(Failure::usage(
                format!("there is no column {name:?}"),
                format!("there are: {}", known.join(", ")),
            ))
        }
    }
}

fn compare(a: &Value, b: &Value, falls: bool) -> Ordering {
    let order = match (a, b) {
        (Value::Null, Value::Null) => return Ordering::Equal,
        (Value::Null, _) => return Ordering::Greater,
        (_, Value::Null) => return Ordering::Less,
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (a, b) => a.to_string().cmp(&b.to_string()),
    };
    if falls { order.reverse() } else { order }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nodes() -> Report {
        let row =
            |name: &str, users: Value, held: u64| vec![name.into(), users.into(), crate::money::cell(held)];
        let rows = vec![row("b", json!(9), 1000), row("黄", json!(10), 5), row("a", Value::Null, 20)];
        let exact = json!([{"at": {"host": "x"}}, {"at": {"host": "y"}}, {}]);
        Report::list(&[("nodeId", "NODE"), ("users", "USERS"), ("held", "HELD")], rows).exactly(exact)
    }

    fn names(view: &View) -> String {
        let shown = view.of(nodes()).unwrap();
        shown.rows.iter().map(|row| row[0].plain().into_owned()).collect()
    }

    fn view(filters: &[&str], sort_by: Option<&str>, columns: &[&str]) -> View {
        View {
            columns: columns.iter().map(ToString::to_string).collect(),
            sort_by: sort_by.map(|text| text.parse().unwrap()),
            filters: filters.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn rows_are_those_for_which_all_conditions_hold() {
        for (filters, expected) in [
            (&["users>9"][..], "黄"),
            (&["users>=9", "users!=10"], "b"),
            (&["USERS<100"], "b黄"),
            (&["users="], "a"),
            (&["nodeId~B"], "b"),
            (&["held=10.00"], "b"),
            (&["held=1000"], "b"),
            (&["at.host=y"], "黄"),
            (&["nodeId=c"], ""),
        ] {
            assert_eq!(names(&view(filters, None, &[])), expected, "{filters:?}");
        }
    }

    #[test]
    fn rows_stand_in_the_order_asked_for_and_nothing_stands_last() {
        assert_eq!(names(&view(&[], Some("users"), &[])), "b黄a");
        assert_eq!(names(&view(&[], Some("-users"), &[])), "黄ba");
        assert_eq!(names(&view(&[], Some("node"), &[])), "ab黄");
    }

    #[test]
    fn words_about_all_rows_give_way_to_some_of_them() {
        let told = || nodes().in_words(vec!["two are well".to_owned()]);
        assert!(view(&[], None, &[]).of(told()).unwrap().words.is_some());
        for some in
            [view(&["users>9"], None, &[]), view(&[], Some("users"), &[]), view(&[], None, &["users"])]
        {
            assert!(some.of(told()).unwrap().words.is_none(), "{some:?}");
        }
    }

    #[test]
    fn columns_come_from_the_table_and_from_beside_it() {
        let shown = view(&[], None, &["at.host", "users"]).of(nodes()).unwrap();
        let tree = serde_json::to_value(shown.tree()).unwrap();
        let expected = json!([{"at.host": "x", "users": 9}, {"at.host": "y", "users": 10}, {"at.host": null, "users": null}]);
        assert_eq!(tree, expected);
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_refused_in_a_list_only() {
        for wrong in [view(&["x=1"], None, &[]), view(&[], Some("x"), &[]), view(&[], None, &["x"])] {
            let step = wrong.of(nodes()).unwrap_err().next_step().unwrap();
            assert!(step.contains("nodeId, users"), "{step}");
            assert!(wrong.of(Report::record([("a", "A", 1.into())])).is_ok());
        }
    }

    #[test]
    fn what_is_no_condition_says_how_to_write_one() {
        for text in ["users", "=1", "users!1"] {
            assert!(text.parse::<Filter>().unwrap_err().contains("KEY=VALUE"), "{text}");
        }
        assert!("-".parse::<SortBy>().is_err());
    }
}
