//! Checks a result against the schema of its kind, with the few keywords that those files use.
//!
//! Invariant: a keyword of the schema that is not understood here fails the test instead of passing it.

use serde_json::Value;

const RESULT: &str = include_str!("../../result/schema/result.v1.json");
const CAPACITY: &str = include_str!("../../result/schema/capacity.v1.json");

/// Panics with the place where the result does not conform.
pub fn check(result: &Value) {
    let schema = if result["schema"] == "chatbench.capacity/v1" { CAPACITY } else { RESULT };
    let schema: Value = serde_json::from_str(schema).unwrap();
    if let Err(problem) = conforms(&schema, &schema, result, "result") {
        panic!("{problem}\n{result:#}");
    }
}

fn conforms(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{place}: {what}"));
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                conforms(root, root.pointer(pointer).unwrap(), value, place)?;
            }
            "type" if !is_of(rule, value) => return wrong(&format!("is not of type {rule}")),
            "const" if rule != value => return wrong(&format!("is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                return wrong(&format!("is not in {rule}"));
            }
            "minimum" if value.as_f64().is_some_and(|value| value < rule.as_f64().unwrap()) => {
                return wrong("is below the minimum");
            }
            "required" if value.is_object() => {
                for name in rule.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return wrong(&format!("lacks {name}"));
                    }
                }
            }
            "properties" | "additionalProperties" | "items" => {}
            "type" | "const" | "enum" | "minimum" | "required" => {}
            other => return wrong(&format!("keyword {other} of the schema is not understood")),
        }
    }
    members(root, schema, value, place)
}

fn members(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (position, value) in values.iter().enumerate() {
            conforms(root, items, value, &format!("{place}[{position}]"))?;
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        match (schema.pointer(&format!("/properties/{name}")), schema.get("additionalProperties")) {
            (Some(rule), _) => conforms(root, rule, value, &place)?,
            (None, Some(Value::Bool(false))) => return Err(format!("{place}: is not in the schema")),
            (None, Some(rule)) if rule.is_object() => conforms(root, rule, value, &place)?,
            _ => {}
        }
    }
    Ok(())
}

fn is_of(rule: &Value, value: &Value) -> bool {
    let one = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    };
    match rule {
        Value::Array(names) => names.iter().any(|name| one(name.as_str().unwrap())),
        name => one(name.as_str().unwrap()),
    }
}

#[test]
#[should_panic(expected = "lacks")]
fn a_result_that_lacks_a_member_is_noticed() {
    check(&serde_json::json!({"schema": "chatbench.result/v1"}));
}
