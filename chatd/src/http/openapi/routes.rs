//! The part of the document that is about paths that are no operation's.
//!
//! Invariant: it is made from `chat_protocol::table::ROUTES` alone.

use std::collections::BTreeMap;

use chat_protocol::Code;
use chat_protocol::params::Field;
use chat_protocol::route::{Admission, Content, Method, Outcome, Route};
use serde_json::{Map, Value, json};

use super::{parameter, refusal, rights, success};

/// The methods of a route.
pub fn path(route: &Route) -> Value {
    let responses = responses(route);
    let name: Vec<_> = route
        .path
        .split('/')
        .map(|segment| segment.trim_matches(['{', '}']))
        .filter(|s| !s.is_empty())
        .collect();
    let name = if name.is_empty() { "root".to_owned() } else { name.join("_") };
    let method = |method: &Method| {
        let method = method.as_str().to_ascii_lowercase();
        let mut described = json!({
            "operationId": format!("{method}_{name}"), "summary": route.about,
            "parameters": parameters(route), "responses": responses,
        });
        match route.admission {
            Admission::Open => described["security"] = json!([]),
            Admission::Signed => {
                described["security"] = json!([]);
                described["description"] =
                    "No credential: the query is one, signed for a user and a while.".into();
            }
            Admission::Rights(whose) => described["security"] = rights(whose),
        }
        if let Some(about) = route.body {
            let content = json!({"application/octet-stream": {}});
            described["requestBody"] = json!({"required": true, "description": about, "content": content});
        }
        (method, described)
    };
    Value::Object(route.methods.iter().map(method).collect())
}

fn parameters(route: &Route) -> Value {
    let segment = |field: &Field| {
        let mut described = parameter(field);
        described["in"] = "path".into();
        described
    };
    let header = |(name, about): &(&str, &str)| json!({"name": name, "in": "header", "required": false, "description": about, "schema": {"type": "string"}});
    let segments = route.segments.iter().map(segment);
    segments.chain(route.query.iter().map(parameter)).chain(route.headers.iter().map(header)).collect()
}

/// By status, a refusal beside another answer of the same.
fn responses(route: &Route) -> Value {
    let mut refused = BTreeMap::<u16, Vec<Code>>::new();
    for code in route.refusals {
        refused.entry(code.http_status()).or_default().push(*code);
    }
    let refused = refused.into_iter().map(|(status, codes)| (status.to_string(), refusal(&codes)));
    let mut responses: Map<String, Value> = refused.collect();
    for answer in route.outcomes {
        let mut described = outcome(answer);
        if let Some(refusal) = responses.remove(&answer.status.to_string()) {
            described["content"]["application/json"] = refusal["content"]["application/json"].clone();
        }
        responses.insert(answer.status.to_string(), described);
    }
    responses.into()
}

fn outcome(outcome: &Outcome) -> Value {
    let mut described = match outcome.content {
        Content::Answer(data) => success(&data()),
        Content::Nothing => json!({"description": outcome.about}),
        Content::Of(types) => {
            let content: Map<_, _> = types.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
            json!({"description": outcome.about, "content": content})
        }
    };
    if !outcome.headers.is_empty() {
        let header = |name: &&str| ((*name).to_owned(), json!({"schema": {"type": "string"}}));
        described["headers"] = outcome.headers.iter().map(header).collect::<Map<_, _>>().into();
    }
    described
}
