//! The chat page and what it loads, built into the program.
//!
//! Invariant: the page runs nothing and asks for nothing but what this server gave it, pictures of the listed origins
//! excepted. Its addresses are relative, so that it works below any path of a proxy.

use std::io::Write;
use std::sync::LazyLock;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chat_protocol::route::PAGE_ASSET;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, REFERRER_POLICY, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use sha2::{Digest, Sha256};

use super::Edge;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const INDEX: &str = include_str!("../../page/index.html");
/// Where the index names the folder of what it loads.
const VERSION: &str = "{version}";

macro_rules! page {
    ($($name:literal: $kind:expr),+ $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("../../page/", $name)))),+]
    };
}

/// What the page loads: name, content type, text.
const SOURCES: &[(&str, &str, &str)] = page! {
    "announcer.js": SCRIPT,
    "avatars.js": SCRIPT,
    "chat.css": CSS,
    "chat.js": SCRIPT,
    "client.js": SCRIPT,
    "composer.js": SCRIPT,
    "connection.js": SCRIPT,
    "content.js": SCRIPT,
    "conversations.js": SCRIPT,
    "dialogs.js": SCRIPT,
    "elements.js": SCRIPT,
    "files.js": SCRIPT,
    "friends.js": SCRIPT,
    "friendships.js": SCRIPT,
    "groups.js": SCRIPT,
    "history.js": SCRIPT,
    "inbox.js": SCRIPT,
    "lines.js": SCRIPT,
    "log.js": SCRIPT,
    "marks.js": SCRIPT,
    "names.js": SCRIPT,
    "notifications.js": SCRIPT,
    "people.js": SCRIPT,
    "persons.js": SCRIPT,
    "presence.js": SCRIPT,
    "profile.js": SCRIPT,
    "red-packets.js": SCRIPT,
    "renewal.js": SCRIPT,
    "rows.js": SCRIPT,
    "titles.js": SCRIPT,
    "uploads.js": SCRIPT,
    "windows.css": CSS,
    "words-en.js": SCRIPT,
    "words-zh.js": SCRIPT,
    "words.js": SCRIPT,
};

/// What neither loads nor runs anything.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Scripts, styles, requests, sounds and films of this server only, and no frame around it. Pictures are this server's,
/// what the reader is about to send, and those of other origins that a message may carry: which of them load unasked the
/// page decides, and operations refuse a request that is a picture's.
fn policy(pictures: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self'; \
         img-src 'self' blob: data:{pictures}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// Asked for anew each time.
const FRESH: &str = "no-cache";
/// For a year: under this address there will never be another content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

static PAGE: LazyLock<Page> = LazyLock::new(Page::new);

/// All of it, as it is sent.
struct Page {
    /// Differs when any of it does.
    version: String,
    index: Asset,
    /// As they were written, for who reads them.
    written: Vec<(&'static str, Asset)>,
    /// Without their comments, for the page.
    bare: Vec<(&'static str, Asset)>,
}

struct Asset {
    content_type: &'static str,
    plain: Bytes,
    compressed: Bytes,
}

impl Page {
    fn new() -> Self {
        let mut hash = Sha256::new();
        SOURCES.iter().for_each(|(name, _, text)| hash.update(format!("{name} {} {text}", text.len())));
        let version: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let index = Asset::new(HTML, INDEX.replace(VERSION, &version));
        let all = |form: fn(&str) -> String| {
            SOURCES.iter().map(|(name, kind, text)| (*name, Asset::new(kind, form(text)))).collect()
        };
        Self { version, index, written: all(str::to_owned), bare: all(bare) }
    }
}

/// A script or a style without the lines that are comments alone.
fn bare(text: &str) -> String {
    let mut is_inside = false;
    let is_code = |line: &&str| {
        let line = line.trim_start();
        let is_block = is_inside || line.starts_with("/*");
        is_inside = is_block && !line.contains("*/");
        !(is_block || line.starts_with("//") || line.is_empty())
    };
    text.split_inclusive('\n').filter(is_code).collect()
}

impl Asset {
    fn new(content_type: &'static str, text: String) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Into memory nothing fails to be written; what would, is sent as it is.
        let compressed =
            encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default();
        Self { content_type, plain: text.into(), compressed: compressed.into() }
    }

    fn serve(&self, asked: &HeaderMap, cache: &'static str) -> Response {
        let is_compressed = !self.compressed.is_empty() && takes_gzip(asked);
        let body = if is_compressed { &self.compressed } else { &self.plain };
        let mut answer = body.clone().into_response();
        let mut say = |name: HeaderName, value: &'static str| {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        };
        say(CONTENT_TYPE, self.content_type);
        say(REFERRER_POLICY, "no-referrer");
        say(CACHE_CONTROL, cache);
        say(VARY, "accept-encoding");
        if is_compressed {
            say(CONTENT_ENCODING, "gzip");
        }
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
        answer
    }
}

/// Whether the client takes a body by gzip (RFC 9110 §12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let codings = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case("gzip") && weight.parse().is_ok_and(|weight: f32| weight > 0.0)
    })
}

/// `/` leads to the page.
pub async fn lead(uri: Uri) -> Redirect {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::temporary(&format!("home/index{query}"))
}

/// `/home/index`.
pub async fn index(State(edge): State<Edge>, asked: HeaderMap) -> Response {
    let mut answer = PAGE.index.serve(&asked, FRESH);
    // The text is ASCII, as origins are.
    if let Ok(policy) = HeaderValue::try_from(policy(&edge.files.picture_sources())) {
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// What the page loads, under an address that stays: `client.js` is for the pages of others.
pub async fn asset(method: Method, Path(name): Path<String>, asked: HeaderMap) -> Response {
    let mut answer = find(&PAGE.written, &method, &name, &asked, FRESH).await;
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

/// The same under an address with its version. While nodes are upgraded, one may be asked for what another one named.
pub async fn versioned(
    method: Method,
    Path((version, name)): Path<(String, String)>,
    asked: HeaderMap,
) -> Response {
    let cache = if version == PAGE.version { FOR_EVER } else { FRESH };
    find(&PAGE.bare, &method, &name, &asked, cache).await
}

async fn find(
    assets: &[(&str, Asset)],
    method: &Method,
    name: &str,
    asked: &HeaderMap,
    cache: &'static str,
) -> Response {
    let Some((_, asset)) = assets.iter().find(|(known, _)| *known == name) else {
        return super::unknown().await;
    };
    match *method {
        Method::GET | Method::HEAD => asset.serve(asked, cache),
        _ => super::not_asked_so(method, &PAGE_ASSET.allow()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_taken_unless_its_weight_is_none() {
        for (said, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.001", true),
            ("identity", false),
            ("", false),
            ("gzip;q=many", false),
        ] {
            let asked = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(said))]);
            assert_eq!(takes_gzip(&asked), takes, "{said}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_script_without_its_comments_does_the_same() {
        let text =
            "/* a\n b */\nlet a = 1; // here\n\n  // alone\n/** b */\n  /**\n   * c\n   */\n  * 2\nb()";
        assert_eq!(bare(text), "let a = 1; // here\n  * 2\nb()");
        for (name, _, text) in SOURCES {
            // Within a text that goes over several lines nothing is a comment.
            let quotes = text.lines().filter(|line| line.matches('`').count() % 2 == 1).count();
            assert_eq!(quotes, 0, "{name} has a text of several lines");
            let behind = |line: &str| line.split_once("*/").is_some_and(|(_, rest)| !rest.is_empty());
            assert!(!text.lines().any(behind), "{name} has something behind a comment");
        }
    }

    /// What the page loads before anything is on the screen.
    #[test]
    fn the_page_weighs_at_most_60_kb() {
        let all = PAGE.bare.iter().map(|(_, asset)| asset).chain([&PAGE.index]);
        let weight: usize = all.map(|asset| asset.compressed.len()).sum();
        assert!((1..60_000).contains(&weight), "{weight}");
    }
}
