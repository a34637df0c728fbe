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

/// The servers of a URL, each as one of its own: `amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/VHOST`.
pub(super) fn parse(url: &str) -> Result<Vec<AMQPUri>, String> {
    let wrong = |why: &str| format!("amqp url: {why}");
    let refuse = |why: &str| Err(wrong(why));
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("amqp" | "amqps"), rest)) => (scheme, rest),
        _ => return refuse("must begin with amqp:// or amqps://"),
    };
    if rest.contains(['?', '#']) {
        return refuse("parameters are not supported; write ? as %3F and # as %23 in a password");
    }
    let (authority, vhost) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (account, hosts) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1));
    let one =
        |host: &str| one(&format!("{scheme}://{account}{host}{vhost}"), host).map_err(|why| wrong(&why));
    hosts.split(',').map(one).collect()
}

fn one(url: &str, host: &str) -> Result<AMQPUri, String> {
    if host.is_empty() {
        return Err("empty host".to_owned());
    }
    let mut uri: AMQPUri = url.parse()?;
    // The driver takes every IPv6 address for localhost, and a bare slash for a virtual host without a name.
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
    use lapin::uri::AMQPScheme;

    use super::*;

    #[test]
    fn host_port_user_and_virtual_host_are_read() {
        let parse = |url| {
            let mut uris = parse(url).unwrap();
            (uris.pop().unwrap(), uris)
        };
        let (uri, others) = parse("amqp://u%40:p%2F%3f@mq.example:5673/chat%2fx");
        assert_eq!((uri.scheme, others.len()), (AMQPScheme::AMQP, 0));
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
            let (uri, _) = parse(url);
            assert_eq!((uri.authority.host.as_str(), uri.vhost.as_str()), (host, vhost), "{url}");
        }
        assert_eq!(parse("amqp://[::1]:7/v").0.authority.port, 7);
        assert_eq!(parse("amqps://mq").0.authority.port, 5671);
        assert_eq!(parse("amqps://mq").0.scheme, AMQPScheme::AMQPS);
    }

    #[test]
    fn each_of_several_servers_has_the_account_and_the_virtual_host() {
        let uris = parse("amqp://u:p%2C@a:1,b,[::1]:3/v").unwrap();
        let shown: Vec<_> = uris
            .iter()
            .map(|uri| format!("{}:{} {}", uri.authority.host, uri.authority.port, uri.vhost))
            .collect();
        assert_eq!(shown, ["a:1 v", "b:5672 v", "::1:3 v"]);
        assert!(uris.iter().all(|uri| uri.authority.userinfo.password == "p,"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, why) in [
            ("", "must begin with amqp://"),
            ("redis://user:s3cret@mq", "must begin with amqp://"),
            ("user:s3cret@mq", "must begin with amqp://"),
            ("amqp://user:s3cret@mq,", "empty host"),
            ("amqp://user:s3cret@a,,b", "empty host"),
            ("amqp://a,/s3cret", "empty host"),
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
