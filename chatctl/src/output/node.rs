//! Data as a tree whose maps keep the order a command chose.
//!
//! Invariant: a scalar is never an array or an object.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A tree of values.
#[derive(Debug, Clone)]
pub enum Node<'a> {
    /// Named values, in order.
    Map(Vec<(&'a str, Node<'a>)>),
    /// Values.
    List(Vec<Node<'a>>),
    /// A text, a number, true, false or null.
    Scalar(&'a Value),
}

impl<'a> From<&'a Value> for Node<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Object(members) => {
                Node::Map(members.iter().map(|(key, value)| (key.as_str(), Node::from(value))).collect())
            }
            Value::Array(items) => Node::List(items.iter().map(Node::from).collect()),
            scalar => Node::Scalar(scalar),
        }
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Map(members) => serializer.collect_map(members.iter().map(|(key, value)| (key, value))),
            Node::List(items) => serializer.collect_seq(items),
            Node::Scalar(value) => value.serialize(serializer),
        }
    }
}
