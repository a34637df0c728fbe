//! Reads `amqp://` URLs.
//!
//! Invariant: no error names a part of the URL, which may hold a password.

use lapin::uri::AMQPUri;

/// Whether [`super::RabbitQueue::open`] would understand the URL.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

pub(super) fn parse(url: &str) -> Result<AMQPUri, String> {
    let refuse = |why: &str| Err(format!("amqp url: {why}"));
    let rest = match url.split_once("://") {
        Some(("amqp", rest)) => rest,
        Some(("amqps", _)) => return refuse("TLS (amqps://) is not supported yet"),
        _ => return refuse("must begin with amqp://"),
    };
    if rest.contains(['?', '#']) {
        return refuse("parameters are not supported; write ? as %3F and # as %23 in a password");
    }
    let mut uri: AMQPUri = match url.parse() {
        Ok(uri) => uri,
        Err(error) => return refuse(&error),
    };
    // The driver takes every IPv6 address for localhost, and a bare slash for a virtual host without a name.
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Some((address, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        address.clone_into(&mut uri.authority.host);
    }
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_port_user_and_virtual_host_are_read() {
        let uri = parse("amqp://u%40:p%2F%3f@mq.example:5673/chat%2fx").unwrap();
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("mq.example", 5673));
        assert_eq!((uri.authority.userinfo.username.as_str(), uri.vhost.as_str()), ("u@", "chat/x"));
        assert_eq!(uri.authority.userinfo.password, "p/?");
        for (url, host, vhost) in [
            ("amqp://mq", "mq", "/"),
            ("amqp://mq/", "mq", "/"),
            ("amqp://mq/%2f", "mq", "/"),
            ("amqp://[::1]:7/v", "::1", "v"),
            ("amqp://u:p@[fe80::2]", "fe80::2", "/"),
        ] {
            let uri = parse(url).unwrap();
            assert_eq!((uri.authority.host.as_str(), uri.vhost.as_str()), (host, vhost), "{url}");
        }
        assert_eq!(parse("amqp://[::1]:7/v").unwrap().authority.port, 7);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, why) in [
            ("", "must begin with amqp://"),
            ("redis://user:s3cret@mq", "must begin with amqp://"),
            ("user:s3cret@mq", "must begin with amqp://"),
            ("amqps://user:s3cret@mq", "TLS (amqps://) is not supported yet"),
            ("amqp://user:s3cret@mq?heartbeat=s3cret", "parameters are not supported"),
            ("amqp://user:s3#cret@mq", "parameters are not supported"),
            ("amqp://user:s3cret@mq:port", "invalid port number"),
            ("amqp://user:s3cret/@mq", "invalid port number"),
            ("amqp://user:s3cret%ff@mq", "invalid utf-8"),
            ("amqp://user:s3cret@", "empty host"),
            ("amqp://user:s3cret@m q", "invalid"),
        ] {
            let error = check_url(url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("s3") && !error.contains("cret"), "{error}");
        }
    }
}
