//! `/openapi.json`: the table of operations as an OpenAPI 3.1 document.
//!
//! Invariant: it is made from `chat_protocol::operation::ALL` alone, so it cannot fall behind.

use axum::Json;
use chat_protocol::Code;
use chat_protocol::operation::{ALL, Description};
use chat_protocol::params::{Field, Kind};
use serde_json::{Map, Value, json};

/// The document.
pub async fn document() -> Json<Value> {
    let paths: Map<_, _> = ALL.iter().map(|operation| (operation.path.to_owned(), path(operation))).collect();
    Json(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "chatd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Operations over HTTP. The same operations are WebSocket commands at /acc, \
                            named like the path without its leading slash.",
        },
        "paths": paths,
        "components": {"schemas": {"Answer": {
            "type": "object",
            "required": ["code", "msg", "data"],
            "properties": {
                "code": {"type": "integer", "enum": Code::ALL.map(Code::number)},
                "msg": {"type": "string"},
                "data": {"type": ["object", "null"]},
            },
        }}},
    }))
}

fn path(operation: &Description) -> Value {
    let answer = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}});
    let mut responses =
        Map::from_iter([("200".to_owned(), json!({"description": "Success", "content": answer}))]);
    responses
        .insert("default".to_owned(), json!({"description": "Refused; see code and msg", "content": answer}));
    let name = operation.path.trim_start_matches('/').replace('/', "_");
    let parameters: Vec<_> = operation.fields.iter().map(parameter).collect();
    let (get, post) = (format!("get_{name}"), format!("post_{name}"));
    let mut methods = json!({
        "get": {"operationId": get, "summary": operation.about, "parameters": parameters, "responses": responses},
        "post": {"operationId": post, "summary": operation.about, "responses": responses},
    });
    if !operation.fields.is_empty() {
        let body = body(operation.fields);
        methods["post"]["requestBody"] = json!({"required": true, "content": {
            "application/json": {"schema": body},
            "application/x-www-form-urlencoded": {"schema": body},
        }});
    }
    methods
}

fn parameter(field: &Field) -> Value {
    json!({
        "name": field.name, "in": "query", "required": field.required,
        "description": field.about, "schema": schema(field.kind),
    })
}

fn body(fields: &[Field]) -> Value {
    let property = |field: &Field| {
        let mut schema = schema(field.kind);
        schema["description"] = field.about.into();
        (field.name.to_owned(), schema)
    };
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({"type": "object", "required": required, "properties": fields.iter().map(property).collect::<Map<_, _>>()})
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::AppId | Kind::U32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        Kind::U64 => json!({"type": "integer", "minimum": 0, "maximum": (1_u64 << 53) - 1}),
        Kind::UserId | Kind::GroupId | Kind::PacketId => {
            json!({"type": "string", "minLength": 1, "maxLength": 64})
        }
        Kind::MsgId | Kind::TransferId => json!({"type": "string", "minLength": 1, "maxLength": 128}),
        Kind::Target => json!({"type": "string", "pattern": "^(|group:.+|user:.+)$"}),
        Kind::Text => json!({"type": "string"}),
        Kind::Json => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_operation_and_field_is_described() {
        let Json(document) = document().await;
        for operation in ALL {
            let methods = &document["paths"][operation.path];
            assert_eq!(methods["get"]["parameters"].as_array().unwrap().len(), operation.fields.len());
            for field in operation.fields {
                let properties =
                    &methods["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"];
                assert!(properties[field.name].is_object(), "{} {}", operation.path, field.name);
            }
        }
    }
}
