//! The chat page and its assets, built into the program.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

const INDEX: &str = include_str!("../../page/index.html");
const STYLE: &str = include_str!("../../page/chat.css");
const SCRIPT: &str = include_str!("../../page/chat.js");

/// Scripts and styles from this server only; pictures from where messages say they are.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' https: http: data:; \
                      object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// `/home/index`.
pub async fn index() -> Response {
    serve("text/html; charset=utf-8", INDEX)
}

/// What the page loads.
pub async fn asset(Path(name): Path<String>) -> Response {
    match name.as_str() {
        "chat.css" => serve("text/css; charset=utf-8", STYLE),
        "chat.js" => serve("text/javascript; charset=utf-8", SCRIPT),
        _ => super::unknown().await,
    }
}

fn serve(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
