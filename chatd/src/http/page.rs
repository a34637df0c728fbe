//! The chat page and its assets, built into the program.

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{Method, Uri};

const INDEX: &str = include_str!("../../page/index.html");
const STYLE: &str = include_str!("../../page/chat.css");
const SCRIPT: &str = include_str!("../../page/chat.js");

/// Scripts and styles from this server only; pictures from where messages say they are.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' https: http: data:; \
                      object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// `/` leads to the page.
pub async fn lead(uri: Uri) -> Redirect {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::temporary(&format!("/home/index{query}"))
}

/// `/home/index`.
pub async fn index() -> Response {
    serve("text/html; charset=utf-8", INDEX)
}

/// What the page loads.
pub async fn asset(method: Method, Path(name): Path<String>) -> Response {
    let (content_type, text) = match name.as_str() {
        "chat.css" => ("text/css; charset=utf-8", STYLE),
        "chat.js" => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return super::unknown().await,
    };
    match method {
        Method::GET | Method::HEAD => serve(content_type, text),
        _ => super::not_asked_so(&method, super::READ_METHODS),
    }
}

fn serve(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
