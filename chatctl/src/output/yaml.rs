//! YAML: block style, every text quoted as in JSON, which is YAML too.
//!
//! Invariant: a text never turns into another type ("no", "1e3", "~"), because it is always quoted; a key is only
//! left bare where no version of YAML reads it as anything but a text.

use crate::output::json::compact;
use crate::output::node::Node;

/// Words that some version of YAML takes for a truth value or nothing.
const RESERVED: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

/// A document.
#[must_use]
pub fn document(tree: &Node<'_>) -> String {
    lines(tree).join("\n") + "\n"
}

fn lines(node: &Node<'_>) -> Vec<String> {
    match node {
        Node::Scalar(value) => vec![compact(value)],
        Node::Map(members) if members.is_empty() => vec!["{}".to_owned()],
        Node::List(items) if items.is_empty() => vec!["[]".to_owned()],
        Node::Map(members) => members.iter().flat_map(|(name, value)| member(name, value)).collect(),
        Node::List(items) => items.iter().flat_map(item).collect(),
    }
}

fn member(name: &str, value: &Node<'_>) -> Vec<String> {
    let name = key(name);
    let value_lines = lines(value);
    let fits_beside = match value {
        Node::Scalar(_) => true,
        Node::Map(members) => members.is_empty(),
        Node::List(items) => items.is_empty(),
    };
    if fits_beside {
        return vec![format!("{name}: {}", value_lines.concat())];
    }
    let below = value_lines.into_iter().map(|line| format!("  {line}"));
    std::iter::once(format!("{name}:")).chain(below).collect()
}

fn item(value: &Node<'_>) -> Vec<String> {
    let marked = lines(value).into_iter().enumerate();
    marked.map(|(i, line)| format!("{} {line}", if i == 0 { '-' } else { ' ' })).collect()
}

fn key(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { compact(&name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn yaml(value: &serde_json::Value) -> String {
        document(&Node::from(value))
    }

    #[test]
    fn texts_are_always_quoted() {
        assert_eq!(
            yaml(&json!({"a": "no", "b": 1, "c": null, "d": "黄\n\"帝\u{85}", "e": true})),
            "a: \"no\"\nb: 1\nc: null\nd: \"黄\\n\\\"帝\\u0085\"\ne: true\n"
        );
    }

    #[test]
    fn nesting_is_indented() {
        let value = json!({"list": [{"a": 1, "b": [2, 3]}, [4, [5]], [], {}], "none": []});
        assert_eq!(
            yaml(&value),
            "list:\n  - a: 1\n    b:\n      - 2\n      - 3\n  - - 4\n    - - 5\n  - []\n  - {}\nnone: []\n"
        );
        assert_eq!(yaml(&json!([])), "[]\n");
        assert_eq!(yaml(&json!("x")), "\"x\"\n");
    }

    #[test]
    fn doubtful_keys_are_quoted() {
        for (name, written) in [
            ("userId", "userId"),
            ("No", "\"No\""),
            ("1a", "\"1a\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("黄", "\"黄\""),
            ("a-b", "\"a-b\""),
        ] {
            assert_eq!(key(name), written);
        }
    }
}
