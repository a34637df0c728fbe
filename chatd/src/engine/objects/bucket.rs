//! A bucket of an S3-compatible server: how it is reached, and what is said when it cannot be used.
//!
//! Invariant: every wait for the server has an end. What is said names no key.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, ClientOptions, Error, RetryConfig};

use crate::config::Bucket;
use crate::tls;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may be silent when something is read: with its answer, or with the next bytes of it.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a request that changes something may take, with all it carries: a part of a file, say.
const CHANGE: Duration = Duration::from_secs(120);
/// What fails by chance is tried again so often, and not after so long.
const RETRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// What AWS's own programs read in the environment about who asks.
const IDENTITY: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unusable {
    reason: String,
    /// Whether that may pass by itself: a server that is away may come back, a wrong key stays wrong.
    pub passes: bool,
}

impl Unusable {
    pub(super) fn new(step: &str, error: &Error) -> Self {
        Self { reason: format!("cannot {step}: {}", Why(error)), passes: passes(error) }
    }
}

/// What a bucket is reached for, which says how long that may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Reading,
    Changing,
}

impl Purpose {
    fn options(self) -> ClientOptions {
        let options = ClientOptions::new().with_connect_timeout(CONNECT);
        match self {
            // A long file may take as long as its reader.
            Self::Reading => options.with_read_timeout(SILENCE).with_timeout_disabled(),
            // The server says nothing while it is sent to, however much gets through.
            Self::Changing => options.with_timeout(CHANGE),
        }
    }
}

/// What reaches the bucket for this purpose. Nothing is connected to.
///
/// # Errors
/// A text for the operator.
pub(super) fn open(bucket: &Bucket, purpose: Purpose) -> Result<AmazonS3, String> {
    tls::provide();
    let backoff = BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: MAX_PAUSE, base: 2.0 };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.name)
        .with_region(&bucket.region)
        .with_virtual_hosted_style_request(!bucket.path_style)
        // Not every server knows how to remove several at once, and here it is one at a time.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: PATIENCE });
    builder = match &bucket.key {
        Some(key) => builder.with_access_key_id(key.id.expose()).with_secret_access_key(key.secret.expose()),
        None => known_to_aws(builder),
    };
    let (endpoint, is_plain) = endpoint(bucket);
    // Without TLS there may be no certificates of authorities on this machine.
    let needs_none = is_plain && bucket.key.is_some();
    let options = purpose.options().with_allow_http(is_plain).with_no_system_certificates(needs_none);
    builder = builder.with_client_options(options);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|error| Why(&error).to_string())
}

/// The server as its driver wants it, which has the bucket in its name where requests have it there; and whether it is
/// reached without TLS.
fn endpoint(bucket: &Bucket) -> (Option<String>, bool) {
    let Some(given) = &bucket.endpoint else { return (None, false) };
    let (scheme, host) = given.split_once("://").unwrap_or(("https", given));
    let endpoint = match bucket.path_style {
        true => given.clone(),
        false => format!("{scheme}://{}.{host}", bucket.name),
    };
    (Some(endpoint), scheme == "http")
}

/// Whoever AWS's own programs would ask as.
fn known_to_aws(builder: AmazonS3Builder) -> AmazonS3Builder {
    IDENTITY.into_iter().fold(builder, |builder, name| {
        let found = std::env::var(name).ok().filter(|value| !value.is_empty());
        match found.zip(name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok()) {
            Some((value, key)) => builder.with_config(key, value),
            None => builder,
        }
    })
}

/// Whether the server says that there is no such bucket, which is no word about a file in it.
pub(super) fn is_missing(error: &Error) -> bool {
    error.to_string().contains("<Code>NoSuchBucket</Code>")
}

/// Whether it may be another time, by itself. An address in the text has no space in it, so what is looked for stands
/// behind it.
fn passes(error: &Error) -> bool {
    let Error::Generic { .. } = error else { return false };
    let text = error.to_string();
    match text.split_once("status code: ") {
        Some((_, status)) => {
            status.starts_with("408") || status.starts_with("429") || !status.starts_with(['3', '4'])
        }
        None => !text.contains(" redirect"),
    }
}

/// An error in the words of who met it: of a server's answer its code and its message, of the network the cause.
pub(super) struct Why<'a>(pub &'a Error);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        let text = error.to_string();
        let said = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            Some(rest.split_once(&format!("</{name}>"))?.0)
        };
        if let Some(code) = said("Code") {
            return match said("Message") {
                Some(message) => write!(f, "{code}: {message}"),
                None => f.write_str(code),
            };
        }
        if !matches!(error, Error::Generic { store: "S3", .. }) {
            return f.write_str(&text);
        }
        let mut cause = error.source();
        while let Some(deeper) = cause.and_then(|cause| cause.source()) {
            cause = Some(deeper);
        }
        match cause {
            Some(cause) => write!(f, "{cause}"),
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Error {
        let text = format!("Server returned non-2xx status code: {status}: {body}");
        let source = text.into();
        match status {
            403 => Error::PermissionDenied { path: "1/a".to_owned(), source },
            404 => Error::NotFound { path: "1/a".to_owned(), source },
            _ => Error::Generic { store: "S3", source },
        }
    }

    #[test]
    fn what_a_server_says_is_told_without_keys_and_some_of_it_passes() {
        let body = "<?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message>\
                    <AWSAccessKeyId>hush</AWSAccessKeyId></Error>";
        let unusable = Unusable::new("put a file", &refused(403, body));
        assert_eq!(unusable.to_string(), "cannot put a file: InvalidAccessKeyId: no such key");
        assert!(!unusable.passes);
        for (status, passes) in [
            (301, false),
            (400, false),
            (403, false),
            (404, false),
            (408, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            assert_eq!(Unusable::new("put a file", &refused(status, "")).passes, passes, "{status}");
        }
        for (said, passes) in [
            ("PUT http://redirect.example/404 in 1s - HTTP error: error sending request", true),
            ("PUT http://s3.example/a in 1s - Received redirect without LOCATION, this normally", false),
        ] {
            let error = Error::Generic { store: "S3", source: said.into() };
            assert_eq!(Unusable::new("put a file", &error).passes, passes, "{said}");
        }
        let refused_by_nobody = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let away = Error::Generic { store: "S3", source: Box::new(refused_by_nobody) };
        assert_eq!(Unusable::new("put a file", &away).to_string(), "cannot put a file: connection refused");
        assert!(is_missing(&refused(404, "<Error><Code>NoSuchBucket</Code></Error>")));
        assert!(!is_missing(&refused(404, "<Error><Code>NoSuchKey</Code></Error>")));
    }

    #[test]
    fn the_bucket_stands_where_the_server_looks_for_it() {
        let bucket = |endpoint: Option<&str>, path_style| Bucket {
            name: "chat".to_owned(),
            prefix: String::new(),
            endpoint: endpoint.map(str::to_owned),
            region: "r".to_owned(),
            path_style,
            key: None,
        };
        let at = |scheme: &str, host: &str| Some(format!("{scheme}://{host}"));
        assert_eq!(endpoint(&bucket(None, false)), (None, false));
        assert_eq!(endpoint(&bucket(Some("http://h:1"), true)), (at("http", "h:1"), true));
        assert_eq!(endpoint(&bucket(Some("https://h:1"), false)), (at("https", "chat.h:1"), false));
    }
}
