//! Frames of a client, decoded, and the frames that answer them.
//!
//! Invariant: every request gets exactly one answer with its own `seq` and `cmd`, as far as they can be read.

use std::borrow::Cow;

use bytes::Bytes;
use chat_protocol::asked::Asked;
use chat_protocol::envelope::{Answer, MAX_SEQ_BYTES, Request};
use chat_protocol::{Code, Params, Refusal};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::hub::frame;

/// An answer, encoded, and what it says.
pub struct Framed {
    /// What became of the request.
    pub code: Code,
    /// The frame.
    pub frame: Bytes,
}

/// A request that cannot be read: the answer to it.
pub type Unreadable = Framed;

/// Reads a frame: the envelope, and within it the parameters of a message that has nothing wrong with it.
pub fn parse(text: &str) -> Result<Asked<'_>, Unreadable> {
    let asked = Asked::read(text).map_err(|error| unreadable(text, &error))?;
    let Request { seq, cmd, .. } = &asked.request;
    if seq.len() > MAX_SEQ_BYTES {
        let problem = format!("must be at most {MAX_SEQ_BYTES} bytes");
        return Err(refusal("", cmd, &Refusal::parameter("seq", problem)));
    }
    Ok(asked)
}

/// Says what is wrong, and repeats `seq` and `cmd` where the frame has them.
fn unreadable(text: &str, error: &serde_json::Error) -> Framed {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => return refusal("", "", &Refusal::new(Code::BadParameter, format!("not JSON: {error}"))),
    };
    let member = |name: &str| match value.get(name) {
        Some(Value::String(text)) if text.len() <= MAX_SEQ_BYTES => text.as_str(),
        _ => "",
    };
    let fits = |name: &&str| match value.get(*name) {
        None | Some(Value::Null) => *name == "seq",
        Some(given) => given.is_string(),
    };
    let problem = ["seq", "cmd"].into_iter().find(|name| !fits(name));
    let reason = match problem {
        Some(name) if value.is_object() => Refusal::parameter(name, "must be a text"),
        _ => Refusal::new(Code::BadParameter, r#"a request is {"seq":"…","cmd":"…","data":{…}}"#),
    };
    refusal(member("seq"), member("cmd"), &reason)
}

/// Reads `data` as parameters.
pub fn params(data: Option<&RawValue>) -> Result<Params, Refusal> {
    let Some(raw) = data.map(RawValue::get) else { return Ok(Params::default()) };
    serde_json::from_str(raw).map_err(|error| match raw.starts_with(['{', 'n']) {
        true => Refusal::new(Code::BadParameter, error.to_string()),
        false => Refusal::parameter("data", "must be an object"),
    })
}

/// The answer to a request that was done.
pub fn success(seq: &str, cmd: &str, data: Option<impl Serialize>) -> Framed {
    Framed { code: Code::Success, frame: frame::json(&Answer::success(seq, cmd, data)) }
}

/// The answer to a request that was not.
pub fn refusal(seq: &str, cmd: &str, refusal: &Refusal) -> Framed {
    Framed { code: refusal.code, frame: frame::json(&Answer::refusal(seq, cmd, refusal)) }
}

/// The answer to a request, done or not.
pub fn answer(seq: &str, cmd: &str, outcome: Result<Option<impl Serialize>, Refusal>) -> Framed {
    match outcome {
        Ok(data) => success(seq, cmd, data),
        Err(reason) => refusal(seq, cmd, &reason),
    }
}

/// An owned copy of what an answer repeats.
pub fn named(request: &Request<'_>) -> (String, String) {
    let own = |text: &Cow<'_, str>| text.to_string();
    (own(&request.seq), own(&request.cmd))
}
