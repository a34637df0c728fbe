//! JSON: one document, or one line a row.
//!
//! Invariant: characters a terminal might obey are written as `\u` escapes, which every reader of JSON turns back.

use std::fmt::Write;

use serde::Serialize;

use crate::output::node::Node;
use chat_client::escape::is_dangerous;

/// An indented document.
#[must_use]
pub fn document(tree: &Node<'_>) -> String {
    let mut text = safe(&serde_json::to_string_pretty(tree).unwrap_or_default());
    text.push('\n');
    text
}

/// Each item of a list on its own line; anything else on one.
#[must_use]
pub fn lines(tree: &Node<'_>) -> String {
    let items = match tree {
        Node::List(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    items.iter().map(|item| compact(item) + "\n").collect()
}

/// A value without any space.
#[must_use]
pub fn compact(value: &impl Serialize) -> String {
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    safe(&serde_json::to_string(value).unwrap_or_default())
}

fn safe(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside of strings JSON holds no such character but the newlines of an indented document.
        if is_dangerous(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_escaped_reads_back_the_same() {
        let value = json!({"name": "a\u{9b}\u{7f}\u{202e}\u{feff}\u{200b}\u{e0061}\n\"\\黄👋", "list": []});
        let text = document(&Node::from(&value));
        assert!(!text.contains(|c| c != '\n' && is_dangerous(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_list_has_a_line_for_each_item() {
        assert_eq!(lines(&Node::from(&json!([{"a": "x\ny"}, 2]))), "{\"a\":\"x\\ny\"}\n2\n");
        assert_eq!(lines(&Node::from(&json!({"a": [1]}))), "{\"a\":[1]}\n");
        assert_eq!(lines(&Node::from(&json!([]))), "");
    }
}
