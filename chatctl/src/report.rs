//! The answer of a command before it has a format: rows under columns.
//!
//! Invariant: every row has one cell for each column; a record is a list of one that is not wrapped in one.

use std::borrow::Cow;

use serde_json::Value;

use crate::output::json::compact;
use crate::output::node::Node;

/// One kind of fact.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name for programs.
    pub key: String,
    /// Its name for people.
    pub title: String,
    /// That it is left out where a terminal has no room for all; the lesser number before the greater.
    pub spare: Option<usize>,
}

/// What people read of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The value.
    Itself,
    /// Words that read better.
    Words(String),
    /// The moment that it is, in Unix milliseconds, told as the reader likes it.
    Moment,
}

/// One fact.
#[derive(Debug, Clone)]
pub struct Cell {
    /// For programs.
    pub value: Value,
    /// For people.
    pub shown: Shown,
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { value: value.into(), shown: Shown::Itself }
    }
}

impl Cell {
    /// A time in Unix milliseconds.
    #[must_use]
    pub fn moment(ms: u64) -> Self {
        Self { value: ms.into(), shown: Shown::Moment }
    }

    /// The fact in words, if it has some.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        match &self.shown {
            Shown::Words(words) => Some(words),
            Shown::Itself | Shown::Moment => None,
        }
    }

    /// The value as a text of a program: nothing for null, JSON for what has members.
    #[must_use]
    pub fn plain(&self) -> Cow<'_, str> {
        match &self.value {
            Value::Null => Cow::Borrowed(""),
            Value::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(compact(other)),
        }
    }

    /// The same fact with words for people.
    #[must_use]
    pub fn shown_as(mut self, words: impl Into<String>) -> Self {
        self.shown = Shown::Words(words.into());
        self
    }
}

/// What a command found out.
#[derive(Debug, Clone)]
pub struct Report {
    /// The kinds of facts; the first one names a row.
    pub columns: Vec<Column>,
    /// The facts.
    pub rows: Vec<Vec<Cell>>,
    /// There is exactly one row by nature, not by chance.
    pub is_record: bool,
    /// Lines for people that say it better than a table.
    pub words: Option<Vec<String>>,
    /// What was found, where rows do not hold all of it.
    exact: Option<Value>,
}

impl Report {
    /// Any number of rows.
    #[must_use]
    pub fn list(columns: &[(&str, &str)], rows: Vec<Vec<Cell>>) -> Self {
        let columns = columns.iter().map(|(key, title)| column(key, title)).collect();
        Self { columns, rows, is_record: false, words: None, exact: None }
    }

    /// One thing.
    #[must_use]
    pub fn record<const N: usize>(facts: [(&str, &str, Cell); N]) -> Self {
        let (columns, row) = facts.into_iter().map(|(key, title, cell)| (column(key, title), cell)).unzip();
        Self { columns, rows: vec![row], is_record: true, words: None, exact: None }
    }

    /// A record with one more fact.
    #[must_use]
    pub fn with(mut self, key: &str, title: &str, cell: Cell) -> Self {
        self.columns.push(column(key, title));
        self.rows.iter_mut().for_each(|row| row.push(cell.clone()));
        self
    }

    /// Says it in lines where the format is for people.
    #[must_use]
    pub fn in_words(mut self, lines: Vec<String>) -> Self {
        self.words = Some(lines);
        self
    }

    /// The same report, of which formats that hold trees show all of `exact`.
    #[must_use]
    pub fn exactly(mut self, exact: Value) -> Self {
        self.exact = Some(exact);
        self
    }

    /// Whatever a server answered.
    #[must_use]
    pub fn of_value(value: Value) -> Self {
        let (is_record, objects) = match &value {
            Value::Array(items) => (false, items.iter().map(members).collect()),
            other => (true, vec![members(other)]),
        };
        let mut columns: Vec<Column> = Vec::new();
        for (key, _) in objects.iter().flatten() {
            if columns.iter().all(|known| known.key != *key) {
                columns.push(column(key, key));
            }
        }
        let cell = |object: &[(String, Value)], column: &Column| {
            let found = object.iter().find(|(key, _)| *key == column.key);
            Cell::from(found.map_or(Value::Null, |(_, value)| value.clone()))
        };
        let rows = objects.iter().map(|object| columns.iter().map(|c| cell(object, c)).collect()).collect();
        Self { columns, rows, is_record, words: None, exact: Some(value) }
    }

    /// A fact of a row by its key or title, or by a path with dots into what was found beside the columns.
    #[must_use]
    pub fn fact(&self, row: usize, name: &str) -> Option<Cell> {
        let is_it = |column: &Column| column.key == name || column.title.eq_ignore_ascii_case(name);
        let at = self.columns.iter().position(|column| column.key == name);
        if let Some(at) = at.or_else(|| self.columns.iter().position(is_it)) {
            return self.rows.get(row)?.get(at).cloned();
        }
        let item = match &self.exact {
            Some(Value::Array(items)) if items.len() == self.rows.len() => items.get(row)?,
            Some(whole @ Value::Object(_)) if self.is_record => whole,
            _ => return None,
        };
        let found = name.split('.').try_fold(item, |value, name| value.get(name));
        found.cloned().map(Cell::from)
    }

    /// The rows with these numbers, in this order; words tell of all rows, and give way.
    #[must_use]
    pub fn taking(mut self, order: &[usize]) -> Self {
        self.words = None;
        if let Some(Value::Array(items)) = self.exact.take().filter(|_| !self.is_record)
            && items.len() == self.rows.len()
        {
            self.exact = Some(order.iter().map(|at| items[*at].clone()).collect());
        }
        self.rows = order.iter().map(|at| self.rows[*at].clone()).collect();
        self
    }

    /// The same rows with these columns alone.
    #[must_use]
    pub fn of_columns(&self, columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> Self {
        Self { columns, rows, is_record: self.is_record, words: None, exact: None }
    }

    /// The same, of which a terminal without room for all leaves these columns out, the first one first.
    #[must_use]
    pub fn sparing(mut self, keys: &[&str]) -> Self {
        for column in &mut self.columns {
            column.spare = keys.iter().position(|key| *key == column.key);
        }
        self
    }

    /// The same rows without these columns.
    #[must_use]
    pub fn without(&self, left_out: &[Column]) -> Self {
        let stays = |at: &usize| left_out.iter().all(|column| column.key != self.columns[*at].key);
        let kept: Vec<usize> = (0..self.columns.len()).filter(stays).collect();
        let rows = self.rows.iter().map(|row| kept.iter().map(|at| row[*at].clone()).collect());
        self.of_columns(kept.iter().map(|at| self.columns[*at].clone()).collect(), rows.collect())
    }

    /// The rows of another report below those of this one.
    pub fn append(&mut self, other: Self) {
        if let (Some(Value::Array(items)), Some(Value::Array(more))) = (&mut self.exact, other.exact) {
            items.extend(more);
        }
        self.rows.extend(other.rows);
    }

    /// The whole of it as a tree, for formats that have one.
    #[must_use]
    pub fn tree(&self) -> Node<'_> {
        if let Some(exact) = &self.exact {
            return Node::from(exact);
        }
        let mut records = self.rows.iter().map(|row| {
            let keys = self.columns.iter().map(|column| column.key.as_str());
            Node::Map(keys.zip(row.iter().map(|cell| Node::from(&cell.value))).collect())
        });
        match self.is_record.then(|| records.next()).flatten() {
            Some(record) => record,
            None => Node::List(records.collect()),
        }
    }
}

fn column(key: &str, title: &str) -> Column {
    Column { key: key.to_owned(), title: title.to_owned(), spare: None }
}

fn members(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Object(members) => members.clone().into_iter().collect(),
        Value::Null => Vec::new(),
        other => vec![("value".to_owned(), other.clone())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(report: &Report) -> Vec<&str> {
        report.columns.iter().map(|column| column.key.as_str()).collect()
    }

    #[test]
    fn a_list_of_unlike_objects_gets_all_columns() {
        let report = Report::of_value(json!([{"a": 1}, {"b": 2}, 3]));
        assert_eq!(keys(&report), ["a", "b", "value"]);
        assert_eq!(report.rows[1][0].value, Value::Null);
        assert_eq!(serde_json::to_value(report.tree()).unwrap(), json!([{"a": 1}, {"b": 2}, 3]));
    }

    #[test]
    fn a_scalar_and_nothing_are_records() {
        let report = Report::of_value(json!("pong"));
        assert_eq!((keys(&report), report.is_record), (vec!["value"], true));
        assert!(Report::of_value(Value::Null).columns.is_empty());
    }

    #[test]
    fn columns_keep_their_order_in_the_tree() {
        let report = Report::list(&[("z", "Z"), ("a", "A")], vec![vec![1.into(), 2.into()]]);
        assert_eq!(serde_json::to_string(&report.tree()).unwrap(), r#"[{"z":1,"a":2}]"#);
    }
}
