//! The part of JSON Schema that openapi.json uses: whether a value is of a schema.
//!
//! Invariant: a word of a schema that is not understood is a panic, never passed over.

use regex::Regex;
use serde_json::{Map, Value};

/// What is wrong with a value; nothing when it is of the schema.
///
/// # Panics
/// When the schema says something this does not understand.
#[must_use]
pub fn fault(schema: &Value, value: &Value) -> Option<String> {
    let Some(words) = schema.as_object() else {
        assert_eq!(schema, &Value::Bool(true), "no schema");
        return None;
    };
    words.iter().find_map(|(word, wanted)| {
        let good = match word.as_str() {
            "description" | "format" | "title" | "$schema" | "default" => true,
            "type" => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "const" => value == wanted,
            "enum" => list(wanted).contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().expect("a number")),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= count(wanted)),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= count(wanted)),
            "pattern" => value.as_str().is_none_or(|text| matches(wanted, text)),
            "required" => value.as_object().is_none_or(|members| {
                list(wanted).iter().all(|name| members.contains_key(name.as_str().expect("a name")))
            }),
            "properties" => return value.as_object().and_then(|members| of_members(wanted, members)),
            "items" => {
                return value.as_array().and_then(|items| items.iter().find_map(|item| fault(wanted, item)));
            }
            "allOf" => return list(wanted).iter().find_map(|schema| fault(schema, value)),
            "anyOf" | "oneOf" => list(wanted).iter().any(|schema| fault(schema, value).is_none()),
            other => panic!("{other} is not understood in {schema}"),
        };
        (!good).then(|| format!("{value} is not of {word}: {wanted}"))
    })
}

fn of_members(schemas: &Value, members: &Map<String, Value>) -> Option<String> {
    let schemas = schemas.as_object().expect("properties");
    members.iter().find_map(|(name, value)| {
        let fault = fault(schemas.get(name)?, value)?;
        Some(format!("{name}: {fault}"))
    })
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

fn matches(pattern: &Value, text: &str) -> bool {
    let pattern = pattern.as_str().expect("a pattern");
    Regex::new(pattern).unwrap_or_else(|error| panic!("{error}")).is_match(text)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn count(value: &Value) -> u64 {
    value.as_u64().expect("a count")
}
