//! The chat page and its assets, built into the program.
//!
//! Invariant: the page runs nothing and asks for nothing but what this server gave it, pictures excepted.

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{Method, Uri};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const INDEX: &str = include_str!("../../page/index.html");

macro_rules! page {
    ($($name:literal: $kind:expr),+ $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("../../page/", $name)))),+]
    };
}

/// What the page loads: name, content type, text.
const ASSETS: &[(&str, &str, &str)] = page! {
    "chat.css": CSS,
    "chat.js": SCRIPT,
    "composer.js": SCRIPT,
    "connection.js": SCRIPT,
    "content.js": SCRIPT,
    "conversations.js": SCRIPT,
    "elements.js": SCRIPT,
    "history.js": SCRIPT,
    "inbox.js": SCRIPT,
    "lines.js": SCRIPT,
    "log.js": SCRIPT,
    "names.js": SCRIPT,
    "people.js": SCRIPT,
    "presence.js": SCRIPT,
    "words.js": SCRIPT,
};

/// Scripts, styles and requests of this server only, and no frame around it. Pictures come over https, or from here:
/// which of them load unasked the page decides, and operations refuse a request that is a picture's.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' https: data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `/` leads to the page.
pub async fn lead(uri: Uri) -> Redirect {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::temporary(&format!("/home/index{query}"))
}

/// `/home/index`.
pub async fn index() -> Response {
    serve(HTML, INDEX)
}

/// What the page loads.
pub async fn asset(method: Method, Path(name): Path<String>) -> Response {
    let Some((_, content_type, text)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return super::unknown().await;
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
