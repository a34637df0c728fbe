//! The servers of a URL of PostgreSQL.
//!
//! Invariant: no error names the password.

use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, Error};

use super::connection::described;
use super::pool::PATIENCE;

/// How long data may stay unacknowledged before the connection counts as lost.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is asked whether it lives after this long.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Where a URL leads.
pub struct Site {
    /// The settings of each server, with what the URL leaves open. They are dialled one shortly after the other: one
    /// that is silent keeps nobody from the next.
    pub servers: Vec<Config>,
    /// Whether a pooler is there that gives each transaction another session.
    pub is_pooled: bool,
}

/// Reads a URL.
///
/// # Errors
/// A text for the operator, without the password.
pub fn read(url: &str) -> Result<Site, String> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let Some(rest) = rest else {
        return Err("the URL must begin with postgres:// or postgresql://".to_owned());
    };
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if parameters.contains("sslmode=verify-ca") {
        return Err("sslmode=verify-ca is not supported; verify-full checks the name as well".to_owned());
    }
    let (parameters, is_pooled) = pooling(parameters)?;
    // The driver has no word for it; what is required is verified here.
    let parameters = parameters.replace("sslmode=verify-full", "sslmode=require");
    let (authority, database) = place.find('/').map_or((place, ""), |at| place.split_at(at));
    let (account, hosts) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1));
    let one = |host: &str| one(&format!("postgres://{account}{host}{database}?{parameters}"));
    let servers = hosts.split(',').map(one).collect::<Result<Vec<Config>, _>>()?;
    // Another schema than is meant would hold another ledger, an empty one, and nobody would be told.
    if is_pooled && servers.iter().any(|server| server.get_options().is_some()) {
        return Err("options are dropped by a pooler; ALTER ROLE … SET search_path says the same".to_owned());
    }
    Ok(Site { servers, is_pooled })
}

/// The parameters without the one that the driver has no word for: how a pooler lends its sessions, as pgbouncer calls
/// it.
fn pooling(parameters: &str) -> Result<(String, bool), String> {
    let (own, others): (Vec<&str>, Vec<&str>) =
        parameters.split('&').partition(|parameter| parameter.starts_with("pool_mode="));
    let is_pooled = match own.as_slice() {
        [] | ["pool_mode=session"] => false,
        ["pool_mode=transaction"] => true,
        _ => return Err("pool_mode must be session or transaction, given once".to_owned()),
    };
    Ok((others.join("&"), is_pooled))
}

fn one(url: &str) -> Result<Config, String> {
    let mut config: Config = url.parse().map_err(|error: Error| described(&error))?;
    if config.get_ssl_mode() != SslMode::Require {
        // A server that may be anybody's is no better for being encrypted.
        config.ssl_mode(SslMode::Disable);
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("the URL names no host".to_owned());
    }
    let (hosts, addresses) = (config.get_hosts().len(), config.get_hostaddrs().len());
    if hosts > 0 && addresses > 0 && hosts != addresses {
        return Err("hostaddr goes with one host; write the addresses of several as hosts".to_owned());
    }
    if config.get_application_name().is_none() {
        config.application_name("chatd");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(PATIENCE);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(USER_TIMEOUT);
    }
    if !url.contains("keepalives") {
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE / 2).keepalives_retries(3);
    }
    // Of several hosts, the one that is no standby.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    Ok(config)
}

/// `host:port` of each server, for messages.
pub fn shown(configs: &[Config]) -> String {
    configs.iter().flat_map(places).collect::<Vec<_>>().join(", ")
}

fn places(config: &Config) -> impl Iterator<Item = String> {
    let ports = config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    config.get_hosts().iter().enumerate().map(move |(index, host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(index)),
        Host::Unix(directory) => directory.display().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_understood_or_refused_without_its_password() {
        for good in [
            "postgres://u:secret@h/db",
            "postgresql://u@h:6000,g:6001/db?application_name=x&options=-csearch_path%3Dmoney",
            "postgres://u:secret@h/db?sslmode=disable",
            "postgres://u:sslmode=verify-ca@h/db?sslmode=require",
            "postgres://u:secret@h/db?application_name=x&sslmode=verify-full",
            "postgres://u:pool_mode=x@h/db?pool_mode=session",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for (bad, reason) in [
            ("", "postgres://"),
            ("mysql://u:secret@h/db", "postgres://"),
            ("host=h password=secret", "postgres://"),
            ("postgres://", "no host"),
            ("postgres://u:secret@h/db?sslmode=verify-ca", "verify-full"),
            ("postgres://u:secret@h/db?sslmode=allow", "sslmode"),
            ("postgres://u:secret@h,g/db?hostaddr=10.0.0.1,10.0.0.2", "hostaddr"),
            ("postgres://u:secret@h:port/db", "port"),
            ("postgres://u:secret@h/db?pool_mode=secret_value", "pool_mode"),
            ("postgres://u:secret@h/db?pool_mode=statement", "session or transaction"),
            ("postgres://u:secret@h/db?pool_mode=session&pool_mode=transaction", "once"),
            ("postgres://u:secret@h/db?options=-csecret_value&pool_mode=transaction", "search_path"),
            ("postgres://u:secret@h/db?secret_option=secret_value", "option"),
        ] {
            let Err(refused) = read(bad) else { panic!("{bad}") };
            assert!(refused.contains(reason), "{bad}: {refused}");
            assert!(!refused.contains("secret@") && !refused.contains("secret_value"), "{refused}");
        }
        let mode =
            |parameters| read(&format!("postgres://h/db{parameters}")).unwrap().servers[0].get_ssl_mode();
        assert_eq!([mode(""), mode("?sslmode=prefer")], [SslMode::Disable; 2]);
        assert_eq!([mode("?sslmode=require"), mode("?sslmode=verify-full")], [SslMode::Require; 2]);
        let Site { servers: two, is_pooled } =
            read("postgres://u:secret@h:6000,g/db?pool_mode=transaction&sslmode=require").unwrap();
        assert!(is_pooled && !read("postgres://h/db?pool_mode=session").unwrap().is_pooled);
        assert_eq!((two.len(), shown(&two).as_str()), (2, "h:6000, g:5432"));
        for config in &two {
            assert_eq!((config.get_user(), config.get_dbname()), (Some("u"), Some("db")));
            assert_eq!((config.get_hosts().len(), config.get_ssl_mode()), (1, SslMode::Require));
        }
    }
}
