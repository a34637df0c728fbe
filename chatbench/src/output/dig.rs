//! Reading a result whose members may be absent or something else.
//!
//! Invariant: what is not there, or not what it should be, is nothing; no result makes this fail.

use serde_json::{Map, Value};

use chatbench_result::hdr;
use chatbench_result::model::TIMES;
use chatbench_result::verdict::Verdict;
use hdrhistogram::Histogram;

/// A finite number.
pub fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer)?.as_f64().filter(|number| number.is_finite())
}

/// A count.
pub fn count(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer)?.as_u64()
}

/// A text; an empty one for none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the run of a result was stopped before its end.
pub fn is_partial(result: &Value) -> bool {
    result.get("partial") == Some(&Value::Bool(true))
}

/// A list; an empty one for none.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An object.
pub fn object<'a>(value: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    value.pointer(pointer)?.as_object()
}

/// A value as a reader sees it: texts without quotes.
pub fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The reasons of a verdict.
pub fn reasons(result: &Value) -> impl Iterator<Item = &str> {
    list(result, "/reasons").iter().filter_map(Value::as_str)
}

/// How a run ended.
pub fn verdict(result: &Value) -> Option<Verdict> {
    serde_json::from_value(result.get("verdict")?.clone()).ok()
}

/// The times that were measured, in the order they are named.
pub fn times(result: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    let measured = |times: &&Value| count(times, "/count").is_some_and(|count| count > 0);
    TIMES.iter().filter_map(move |name| Some((*name, result.get("times")?.get(*name).filter(measured)?)))
}

/// The whole distribution of a time, in microseconds; none without a sample.
///
/// # Errors
/// When there is one that cannot be read.
pub fn histogram(result: &Value, name: &str) -> Result<Option<Histogram<u64>>, String> {
    let Some(hdr) = result.pointer(&format!("/times/{name}/hdr")).and_then(Value::as_str) else {
        return Ok(None);
    };
    let whole = hdr::decode(hdr).map_err(|error| format!("times.{name}.hdr: {error}"))?;
    Ok(Some(whole).filter(|whole| !whole.is_empty()))
}

/// From the first connection's attempt to the end of the last interval, in milliseconds.
pub fn length_ms(result: &Value) -> u64 {
    let course = list(result, "/series/points").last().and_then(|point| count(point, "/t_ms"));
    course
        .or_else(|| {
            let traffic = result.pointer("/options/traffic")?;
            Some(count(traffic, "/warmup_ms")?.saturating_add(count(traffic, "/duration_ms")?))
        })
        .unwrap_or(0)
}
