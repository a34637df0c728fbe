//! `/openapi.json`: the tables of operations and routes as an OpenAPI 3.1 document.
//!
//! Invariant: it is made from `chat_protocol::table` alone, so it cannot fall behind, and it promises nothing that is
//! refused: where the server counts bytes of UTF-8, a text is described by what surely fits.

mod routes;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Json;
use chat_protocol::Code;
use chat_protocol::content::MAX_CONTENT_BYTES;
use chat_protocol::id::{MAX_MSG_ID_BYTES, MAX_NAME_BYTES};
use chat_protocol::operation::Description;
use chat_protocol::params::{Field, Kind, MAX_U64, Rule};
use chat_protocol::pattern;
use chat_protocol::rights::Rights;
use chat_protocol::table::{ALL, ROUTES};
use serde_json::{Map, Value, json};

/// The document.
pub async fn document() -> Json<&'static Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(describe);
    Json(&DOCUMENT)
}

fn describe() -> Value {
    let operations = ALL.iter().map(|operation| (operation.path.to_owned(), path(operation)));
    let routes = ROUTES.iter().map(|route| (route.path.to_owned(), routes::path(route)));
    let paths: Map<_, _> = operations.chain(routes).collect();
    let refusals: Map<_, _> =
        refusals().into_iter().map(|(status, codes)| (status.to_string(), refusal(&codes))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "chatd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Operations over HTTP, and what else is asked so. What takes JSON is a WebSocket command at /acc, \
                            too, named like the path without its leading slash. Texts are counted in bytes of UTF-8. \
                            Numbers may be written as texts of digits.",
        },
        "paths": paths,
        "components": {"responses": refusals, "securitySchemes": {
            "apiKey": {"type": "http", "scheme": "bearer", "description":
                "An operator's key, which acts for any user; the roles are the scope it needs. \
                 Nodes without keys ask for nothing, and every caller is an operator."},
            "userToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description":
                "A user's token with sub (the userId), appId and exp. Its user acts as themselves in their app: \
                 both parameters may be left out, and another's are refused (1003)."},
        }},
    })
}

/// Which codes an operation may be refused with over HTTP, by status. The methods described are taken.
fn refusals() -> BTreeMap<u16, Vec<Code>> {
    let mut refusals = BTreeMap::<_, Vec<_>>::new();
    let not_here = [Code::Success, Code::MethodNotAllowed];
    for code in Code::ALL.into_iter().filter(|code| !not_here.contains(code)) {
        refusals.entry(code.http_status()).or_default().push(code);
    }
    refusals
}

fn refusal(codes: &[Code]) -> Value {
    let numbers: Vec<_> = codes.iter().map(|code| code.number()).collect();
    let texts: Vec<_> = codes.iter().map(|code| format!("{}: {}", code.number(), code.text())).collect();
    let number = |about: &str| json!({"type": "integer", "minimum": 0, "description": about});
    let data = json!({
        "type": ["object", "null"],
        "properties": {
            "retryAfterMs": number("How long to wait before the next try, in milliseconds."),
            "limit": {"type": "string", "description": "The limit that was met: a setting in [limits]."},
            "bound": number("What it allows, in the unit of the setting; none where that is no number."),
            "perMs": number("Of a rate: in how many milliseconds it allows so many."),
        },
    });
    answer(&texts.join(". "), &json!({"type": "integer", "enum": numbers}), &data)
}

fn answer(description: &str, code: &Value, data: &Value) -> Value {
    let schema = json!({
        "type": "object",
        "required": ["code", "msg", "data"],
        "properties": {"code": code, "msg": {"type": "string"}, "data": data},
    });
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

/// A good answer with this `data`.
fn success(data: &Value) -> Value {
    answer("Success", &json!({"type": "integer", "const": 200}), data)
}

fn path(operation: &Description) -> Value {
    let mut responses = Map::from_iter([("200".to_owned(), success(&(operation.answer)()))]);
    let is_money = operation.path.starts_with("/redPacket/") || operation.path.starts_with("/wallet/");
    for (status, codes) in refusals() {
        if is_money || codes != [Code::InsufficientBalance] {
            let place = format!("#/components/responses/{status}");
            responses.insert(status.to_string(), json!({"$ref": place}));
        }
    }
    let name = operation.path.trim_start_matches('/').replace('/', "_");
    let method = |method: &str| {
        let mut described = json!({
            "operationId": format!("{method}_{name}"), "summary": operation.about,
            "security": rights(operation.rights), "responses": responses,
        });
        if !operation.rules.is_empty() {
            // A query has no schema over more than one parameter.
            described["description"] =
                operation.rules.iter().map(Rule::to_string).collect::<Vec<_>>().join(" ").into();
        }
        described
    };
    let mut methods = json!({"post": method("post")});
    if !operation.fields.is_empty() {
        let (plain, form) = (body(operation, true), body(operation, false));
        // A name stands in a header there.
        let mut parts = form.clone();
        parts["propertyNames"] = json!({"pattern": r#"^[^\u0000-\u001f\u007f"\\]*$"#});
        methods["post"]["requestBody"] = json!({"required": true, "content": {
            "application/json": {"schema": plain},
            "application/x-www-form-urlencoded": {"schema": form},
            "multipart/form-data": {"schema": parts},
        }});
    }
    if operation.effect.takes_get() {
        methods["get"] = method("get");
        let too_long = "The query does not fit into a request's head of 16 KiB; use POST";
        methods["get"]["responses"]["431"] = json!({"description": too_long});
        methods["get"]["parameters"] = operation.fields.iter().map(parameter).collect();
    }
    methods
}

/// Who may ask, as a choice of credentials.
fn rights(rights: Rights) -> Value {
    let mut choices = vec![json!({"apiKey": [rights.scope().as_str()]})];
    if rights.are_for_users() {
        choices.push(json!({"userToken": []}));
    }
    choices.into()
}

fn parameter(field: &Field) -> Value {
    json!({
        "name": field.name, "in": "query", "required": field.required,
        "description": field.about, "schema": schema(field.kind),
    })
}

fn body(operation: &Description, takes_null: bool) -> Value {
    let fields = operation.fields;
    let property = |field: &Field| {
        let mut schema = schema(field.kind);
        if takes_null && !field.required {
            allow_null(&mut schema);
        }
        schema["description"] = field.about.into();
        (field.name.to_owned(), schema)
    };
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "required": required, "properties": fields.iter().map(property).collect::<Map<_, _>>()});
    if !operation.rules.is_empty() {
        schema["allOf"] = operation.rules.iter().map(|rule| over_more_than_one(*rule, takes_null)).collect();
    }
    schema
}

fn over_more_than_one(rule: Rule, takes_null: bool) -> Value {
    let absent = if takes_null { json!({"type": "null"}) } else { json!(false) };
    let members = |names: &[&str], schema: &Value| {
        let members = names.iter().map(|name| ((*name).to_owned(), schema.clone()));
        json!({"properties": members.collect::<Map<_, _>>()})
    };
    match rule {
        Rule::Apart(name, others) => json!({"anyOf": [members(&[name], &absent), members(others, &absent)]}),
        Rule::TwoSides(user, target) => {
            let mut both = members(&[user], &json!({"type": "string"}));
            both["required"] = json!([user]);
            json!({"anyOf": [members(&[target], &json!({"pattern": "^(?:$|group:)"})), both]})
        }
    }
}

/// In JSON, null stands for a parameter that is left out.
fn allow_null(schema: &mut Value) {
    if let Some(kind) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
}

fn schema(kind: Kind) -> Value {
    let whole = |min: u64, max: u64| json!({"type": "integer", "minimum": min, "maximum": max});
    match kind {
        Kind::U32 => whole(0, u32::MAX.into()),
        Kind::U64 => whole(0, MAX_U64),
        Kind::Between(min, max) => whole(min, max),
        Kind::UserId | Kind::GroupId | Kind::PacketId => line(MAX_NAME_BYTES),
        Kind::MsgId | Kind::TransferId => line(MAX_MSG_ID_BYTES),
        Kind::Line(max) => line(max),
        Kind::Target => json!({"type": "string", "pattern": pattern::target()}),
        Kind::Cursor(of) => json!({"type": "string", "pattern": of.pattern()}),
        Kind::UpTo(max) => json!({"type": "string", "maxLength": max, "pattern": pattern::up_to(max)}),
        Kind::Content => json!({"type": "string", "minLength": 1, "maxLength": MAX_CONTENT_BYTES}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
        Kind::Text => json!({"type": "string"}),
        Kind::Json => json!({}),
        Kind::Reserved => json!(false),
    }
}

/// A text of one line with at most so many bytes.
fn line(max: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": max, "pattern": pattern::line(max)})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chat_protocol::code::Reached;
    use chat_protocol::envelope::RefusalData;

    use super::*;

    #[test]
    fn what_a_refusal_says_beside_its_words_is_described() {
        let limit = Reached { name: "rate_per_user".into(), bound: Some(20), per_ms: Some(1000) };
        let data = RefusalData { retry_after_ms: Some(5), limit: Some(Box::new(limit)) };
        let answer = refusal(&[Code::TooManyRequests]);
        let answer = &answer["content"]["application/json"]["schema"]["properties"];
        let names = |members: &Value| -> BTreeSet<String> {
            members.as_object().expect("members").keys().cloned().collect()
        };
        let told = serde_json::to_value(data).expect("JSON");
        assert_eq!(names(&told), names(&answer["data"]["properties"]));
    }

    #[tokio::test]
    async fn every_operation_route_and_field_is_described() {
        let Json(document) = document().await;
        let paths = document["paths"].as_object().expect("paths");
        assert_eq!(paths.len(), ALL.len() + ROUTES.len());
        for route in ROUTES {
            let methods = paths[route.path].as_object().expect("methods");
            assert_eq!(methods.len(), route.methods.len(), "{}", route.path);
            for method in methods.values() {
                assert_eq!(method["requestBody"].is_object(), route.body.is_some(), "{}", route.path);
                let names: Vec<_> =
                    method["parameters"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
                let fields = route.segments.iter().chain(route.query).map(|field| field.name);
                let expected: Vec<_> = fields.chain(route.headers.iter().map(|(name, _)| *name)).collect();
                assert_eq!(names, expected, "{}", route.path);
            }
        }
        let ids = paths.values().flat_map(|path| path.as_object().expect("methods").values());
        let mut ids: Vec<_> = ids.map(|method| method["operationId"].to_string()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "an operationId stands twice");
        for operation in ALL {
            let methods = &document["paths"][operation.path];
            assert_eq!(methods["get"].is_object(), operation.effect.takes_get(), "{}", operation.path);
            if let Some(parameters) = methods["get"]["parameters"].as_array() {
                assert_eq!(parameters.len(), operation.fields.len());
            }
            for field in operation.fields {
                let properties =
                    &methods["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"];
                assert!(properties[field.name].is_object(), "{} {}", operation.path, field.name);
            }
            let data = &methods["post"]["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
                ["data"];
            assert!(data["type"].is_string(), "{}: {data}", operation.path);
        }
    }
}
