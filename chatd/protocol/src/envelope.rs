//! The outer form of everything on the wire: HTTP answers, WebSocket requests, answers and pushes.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::code::{Code, Reached, Refusal};

/// `codeMsg` of every push; an answer carries the code's own text.
pub const PUSH_TEXT: &str = "Ok";

/// Longest `seq` of a request, in bytes.
pub const MAX_SEQ_BYTES: usize = 256;

/// Answer of every JSON operation over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HttpAnswer<T> {
    /// See [`Code`].
    pub code: u16,
    /// `Success`, or why not.
    pub msg: String,
    /// Result of the operation; null on refusal.
    pub data: Option<T>,
}

impl<T> HttpAnswer<T> {
    /// A successful answer.
    pub fn success(data: T) -> Self {
        Self { code: Code::Success.number(), msg: Code::Success.text().to_owned(), data: Some(data) }
    }
}

/// `data` of a refusal that says more than its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalData {
    /// How long to wait before the next try, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The limit that was met: `limit`, `bound` and `perMs`.
    #[serde(flatten)]
    pub limit: Option<Box<Reached>>,
}

impl RefusalData {
    /// None where there is nothing to say.
    fn of(Refusal { retry_after_ms, limit, .. }: &Refusal) -> Option<Self> {
        let says_more = retry_after_ms.is_some() || limit.is_some();
        says_more.then(|| Self { retry_after_ms: *retry_after_ms, limit: limit.clone() })
    }
}

impl HttpAnswer<RefusalData> {
    /// The answer to a request that was not done.
    #[must_use]
    pub fn refusal(refusal: &Refusal) -> Self {
        Self { code: refusal.code.number(), msg: refusal.reason.clone(), data: RefusalData::of(refusal) }
    }
}

/// A request over WebSocket, borrowed from its frame.
#[derive(Debug, Deserialize)]
pub struct Request<'a> {
    /// The caller's name for the request; the answer repeats it. Empty for one who needs no answer and gave none.
    #[serde(borrow, default, deserialize_with = "text_or_none")]
    pub seq: Cow<'a, str>,
    /// A session command, or an operation's path without the leading `/`.
    #[serde(borrow)]
    pub cmd: Cow<'a, str>,
    /// Parameters; an object when present.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
}

/// A text, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A text, or the empty one for null.
fn text_or_none<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, str>, D::Error> {
    Ok(Option::<Text<'a>>::deserialize(deserializer)?.map(|text| text.0).unwrap_or_default())
}

/// An answer or a push over WebSocket, as the server writes it.
#[derive(Debug, Clone, Serialize)]
pub struct Answer<'a, T> {
    /// An answer: the request's `seq`. A push: the message's `msgId`.
    pub seq: &'a str,
    /// An answer: the request's `cmd`. A push: what kind.
    pub cmd: &'a str,
    /// The rest.
    pub response: Response<'a, T>,
}

/// Inner part of [`Answer`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a, T> {
    /// See [`Code`].
    pub code: u16,
    /// `Success` or the refusal's reason; [`PUSH_TEXT`] in a push.
    pub code_msg: &'a str,
    /// Result of the request, or content of the push.
    pub data: Option<T>,
}

/// An answer or a push over WebSocket, borrowed from the frame a client received.
#[derive(Debug, Clone, Deserialize)]
pub struct Incoming<'a> {
    /// An answer: the request's `seq`. A push: the message's `msgId`.
    #[serde(borrow)]
    pub seq: Cow<'a, str>,
    /// An answer: the request's `cmd`. A push: what kind.
    #[serde(borrow)]
    pub cmd: Cow<'a, str>,
    /// The rest.
    #[serde(borrow)]
    pub response: IncomingResponse<'a>,
}

/// Inner part of [`Incoming`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncomingResponse<'a> {
    /// See [`Code`].
    pub code: u16,
    /// `Success` or the refusal's reason; [`PUSH_TEXT`] in a push.
    #[serde(borrow)]
    pub code_msg: Cow<'a, str>,
    /// Result of the request, or content of the push.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
}

impl Incoming<'_> {
    /// Whether the server sent this of its own accord.
    #[must_use]
    pub fn is_push(&self) -> bool {
        self.response.code == Code::Success.number() && self.response.code_msg == PUSH_TEXT
    }
}

impl<'a, T> Answer<'a, T> {
    /// A successful answer.
    pub fn success(seq: &'a str, cmd: &'a str, data: Option<T>) -> Self {
        let response = Response { code: Code::Success.number(), code_msg: Code::Success.text(), data };
        Self { seq, cmd, response }
    }

    /// A push.
    pub fn push(seq: &'a str, cmd: &'a str, data: T) -> Self {
        let response = Response { code: Code::Success.number(), code_msg: PUSH_TEXT, data: Some(data) };
        Self { seq, cmd, response }
    }
}

impl<'a> Answer<'a, RefusalData> {
    /// The answer to a request that was not done.
    #[must_use]
    pub fn refusal(seq: &'a str, cmd: &'a str, refusal: &'a Refusal) -> Self {
        let data = RefusalData::of(refusal);
        let response = Response { code: refusal.code.number(), code_msg: &refusal.reason, data };
        Self { seq, cmd, response }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn login_answer_is_the_documented_text() {
        let answer = Answer::<()>::success("1565336219141-266129", "login", None);
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"seq":"1565336219141-266129","cmd":"login","response":{"code":200,"codeMsg":"Success","data":null}}"#
        );
    }

    #[test]
    fn a_refusal_says_how_long_to_wait_and_which_limit_it_met() {
        let rate = Reached { name: "rate_per_user".into(), bound: Some(20), per_ms: Some(1000) };
        let kinds = Reached { name: "file_types".into(), bound: None, per_ms: None };
        for (retry_after_ms, limit, data) in [
            (None, None, "null"),
            (Some(5), None, r#"{"retryAfterMs":5}"#),
            (None, Some(kinds), r#"{"limit":"file_types"}"#),
            (Some(5), Some(rate), r#"{"retryAfterMs":5,"limit":"rate_per_user","bound":20,"perMs":1000}"#),
        ] {
            let limit = limit.map(Box::new);
            let refusal = Refusal { retry_after_ms, limit, ..Refusal::new(Code::TooManyRequests, "no") };
            let http = serde_json::to_string(&HttpAnswer::refusal(&refusal)).unwrap();
            assert_eq!(http, format!(r#"{{"code":1011,"msg":"no","data":{data}}}"#));
            let answer = serde_json::to_string(&Answer::refusal("1", "msg", &refusal)).unwrap();
            assert!(
                answer.ends_with(&format!(r#"{{"code":1011,"codeMsg":"no","data":{data}}}}}"#)),
                "{answer}"
            );
            let read: Option<RefusalData> = serde_json::from_str(data).unwrap();
            assert_eq!(read, RefusalData::of(&refusal));
        }
    }

    #[test]
    fn a_request_may_have_no_seq() {
        let seq =
            |json: &str| serde_json::from_str::<Request<'_>>(json).map(|request| request.seq.into_owned());
        for (json, expected) in [
            (r#"{"cmd":"ping"}"#, ""),
            (r#"{"seq":null,"cmd":"ping"}"#, ""),
            (r#"{"seq":"","cmd":"ping"}"#, ""),
            (r#"{"seq":"7","cmd":"ping"}"#, "7"),
            (r#"{"seq":"a\"b","cmd":"ping"}"#, "a\"b"),
        ] {
            assert_eq!(seq(json).unwrap(), expected, "{json}");
        }
        assert!(seq(r#"{"seq":7,"cmd":"ping"}"#).is_err());
        let borrowed = r#"{"seq":"7","cmd":"ping"}"#;
        assert!(matches!(serde_json::from_str::<Request<'_>>(borrowed).unwrap().seq, Cow::Borrowed("7")));
    }

    #[test]
    fn a_push_is_told_by_its_text() {
        let push = serde_json::to_string(&Answer::push("m1", "msg", json!({"target": ""}))).unwrap();
        assert!(serde_json::from_str::<Incoming<'_>>(&push).unwrap().is_push());
        let answer = serde_json::to_string(&Answer::<()>::success("m1", "msg", None)).unwrap();
        let answer = serde_json::from_str::<Incoming<'_>>(&answer).unwrap();
        assert!(!answer.is_push() && answer.response.data.is_none());
    }
}
