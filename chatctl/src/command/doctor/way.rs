//! The way to the server: whether it answers, whether a browser's WebSocket gets through, clocks, the certificate.
//!
//! Invariant: what is asked is what a browser asks, so that a proxy does to it what it does to browsers.

use std::time::Instant;

use chat_client::http::Manners;
use chat_client::{Error, Http};
use jiff::civil::DateTime;

use super::{Finding, Health};
use crate::calendar::{moment, rough};
use crate::operator::Operator;

/// Clocks that differ by so many seconds cannot be told apart: the header has whole ones, and the answer takes a while.
const CLOCK_TOLERANCE_S: i64 = 2;
/// Tokens are refused about here.
const CLOCK_LIMIT_S: i64 = 30;

const NGINX: &str = "in nginx, in the location of /acc:
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection \"upgrade\";
    proxy_read_timeout 120s;";
const NGINX_HOST: &str =
    "in nginx: proxy_set_header Host $host;  then chatd needs that name in allowed_hosts, where it
listens on loopback; else name the page's origin in allowed_origins";

/// Looks at all of it.
pub async fn look(http: &Http, operator: &Operator) -> Vec<Finding> {
    let began = Instant::now();
    let manners = match http.manners("/livez", &[]).await {
        Ok(manners) => manners,
        Err(error) => return vec![Finding::failed("reach", error)],
    };
    let took = began.elapsed();
    let proxy = manners.header("server").map_or(String::new(), |name| format!(", through {name}"));
    let mut found = vec![match manners.status {
        200 => Finding::fine("reach", format!("{} answers in {} ms{proxy}", http.server(), took.as_millis())),
        status => Finding::of(
            "reach",
            Health::Bad,
            format!("{} answers /livez with HTTP status {status}{proxy}", http.server()),
            "is a chatd listening there? name it with --server, or mend what the proxy passes on",
        ),
    }];
    found.push(ready(http.manners("/readyz", &[]).await));
    found.push(clock(&manners, (operator.clock)()));
    found.push(socket(http).await);
    found.extend(certificate(http, &manners, (operator.clock)()));
    found
}

fn ready(answer: Result<Manners, Error>) -> Finding {
    match answer {
        Ok(Manners { status: 200, .. }) => Finding::fine("ready", "what is sent now can be stored"),
        Ok(Manners { status, .. }) => Finding::of(
            "ready",
            Health::Bad,
            format!(
                "/readyz answers with HTTP status {status}: a store takes nothing, or the node is going to stop"
            ),
            "`chatctl state` names the store; its own log and that of chatd say what ails it",
        ),
        Err(error) => Finding::failed("ready", error),
    }
}

fn clock(manners: &Manners, now_ms: u64) -> Finding {
    let date =
        manners.header("date").and_then(|date| DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", date).ok());
    let Some(date) = date else {
        return Finding::of(
            "clock",
            Health::Unknown,
            "the server does not say what time it is",
            "look at its host",
        );
    };
    let now_s = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
    let ahead = now_s - date.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_secs();
    let words = match ahead {
        0.. => format!("this host is {ahead} s ahead of the server"),
        _ => format!("this host is {} s behind the server", -ahead),
    };
    match ahead.abs() {
        0..=CLOCK_TOLERANCE_S => Finding::fine("clock", "this host and the server agree"),
        off => {
            let health = if off > CLOCK_LIMIT_S { Health::Bad } else { Health::Warning };
            let remedy =
                "let both follow a time server: `timedatectl set-ntp true`, then look at `timedatectl`";
            Finding::of("clock", health, words, remedy)
        }
    }
}

/// A WebSocket as the chat page opens it.
async fn socket(http: &Http) -> Finding {
    let server = http.server();
    let origin = format!("{}://{}", if server.is_secure() { "https" } else { "http" }, server.host_header());
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", origin.as_str()),
    ];
    match http.manners("/acc", &headers).await {
        Ok(Manners { status: 101, .. }) => Finding::fine("websocket", "a browser's WebSocket is let in"),
        Ok(Manners { status: 403, .. }) => Finding::of(
            "websocket",
            Health::Bad,
            format!("a page of {origin} may not open a WebSocket there"),
            NGINX_HOST,
        ),
        Ok(Manners { status, .. }) => Finding::of(
            "websocket",
            Health::Bad,
            format!("no WebSocket at /acc: HTTP status {status}; a proxy may keep the headers for itself"),
            NGINX,
        ),
        Err(error) => Finding::failed("websocket", error),
    }
}

/// How long the certificate counts, of whoever ends TLS.
fn certificate(http: &Http, manners: &Manners, now_ms: u64) -> Option<Finding> {
    if !http.server().is_secure() {
        return None;
    }
    let Some(end_s) = manners.certificate_end_s else {
        let words = "it counts now; until when could not be read";
        return Some(Finding::of("certificate", Health::Unknown, words, "look with `openssl s_client`"));
    };
    let end_ms = u64::try_from(end_s).unwrap_or(0).saturating_mul(1000);
    Some(validity(end_ms, now_ms))
}

fn validity(end_ms: u64, now_ms: u64) -> Finding {
    const DAY_MS: u64 = 86_400_000;
    let remedy = "renew it, then `chatctl reload` (chatd) or `nginx -s reload` (nginx)";
    match end_ms.checked_sub(now_ms) {
        None => Finding::of("certificate", Health::Bad, format!("it ended at {}", moment(end_ms)), remedy),
        Some(left) => {
            let words = format!("it counts until {}, {} from now", moment(end_ms), rough(left));
            match left / DAY_MS {
                0..7 => Finding::of("certificate", Health::Bad, words, remedy),
                7..21 => Finding::of("certificate", Health::Warning, words, remedy),
                _ => Finding::fine("certificate", words),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manners(date: &str) -> Manners {
        let headers = vec![("date".to_owned(), date.to_owned())];
        Manners { status: 200, headers, certificate_end_s: None }
    }

    #[test]
    fn clocks_that_differ_are_told_by_how_much() {
        // 2026-11-29 00:00:00Z
        let now_ms = 1_795_910_400_000;
        let at = |date: &str| clock(&manners(date), now_ms);
        assert_eq!(at("Sun, 29 Nov 2026 00:00:01 GMT").health, Health::Fine);
        let behind = at("Sun, 29 Nov 2026 00:00:10 GMT");
        assert_eq!(
            (behind.health, behind.words.as_str()),
            (Health::Warning, "this host is 10 s behind the server")
        );
        let ahead = at("Sat, 28 Nov 2026 23:00:00 GMT");
        assert_eq!(
            (ahead.health, ahead.words.as_str()),
            (Health::Bad, "this host is 3600 s ahead of the server")
        );
        assert_eq!(at("yesterday").health, Health::Unknown);
    }

    #[test]
    fn a_certificate_is_told_in_time() {
        let day = 86_400_000;
        let health = [0, 6, 20, 22].map(|days| validity(100 * day + days * day, 100 * day).health);
        assert_eq!(health, [Health::Bad, Health::Bad, Health::Warning, Health::Fine]);
        assert!(validity(0, day).words.starts_with("it ended at"));
    }
}
