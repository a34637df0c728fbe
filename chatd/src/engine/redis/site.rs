//! Where the Redis is that a URL names: a server, the master that sentinels name, or a cluster.
//!
//! Invariant: what is said about a URL never holds its password. Who is the master is asked anew for each connection, and
//! who does not call itself one is none.

mod cluster;
mod sentinels;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError,
    ServerErrorKind, Value,
};

pub(crate) use self::cluster::Cluster;
use self::sentinels::Sentinels;
use super::keys::Keys;
use super::link::errors::LinkError;

/// The Redis of a node, as its settings name it.
#[derive(Clone)]
pub struct Address {
    url: String,
    replicas: u32,
}

impl Address {
    /// At this URL; what is promised is in so many of its replicas before it is answered.
    #[must_use]
    pub fn new(url: &str, replicas: u32) -> Self {
        Self { url: url.to_owned(), replicas }
    }
}

impl From<&str> for Address {
    fn from(url: &str) -> Self {
        Self::new(url, 0)
    }
}

impl From<&String> for Address {
    fn from(url: &String) -> Self {
        Self::new(url, 0)
    }
}

/// A Redis, and how sure of a write one must be.
#[derive(Clone)]
pub(crate) struct Site {
    pub(super) shape: Shape,
    pub(super) replicas: u32,
    database: i64,
}

/// What a site is made of.
#[derive(Clone)]
pub(crate) enum Shape {
    One(Server),
    Cluster(Arc<Cluster>),
}

impl Site {
    /// Number of the database that is used.
    pub(crate) fn database(&self) -> i64 {
        self.database
    }

    /// The names of things as they are at this site.
    pub(super) fn names(&self, keys: Keys) -> Keys {
        match self.shape {
            Shape::One(_) => keys,
            Shape::Cluster(_) => keys.in_cluster(),
        }
    }
}

/// Reads a Redis URL.
pub(crate) fn read(address: &Address) -> Result<Site, LinkError> {
    let Address { url, replicas } = address;
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (shape, database) = match scheme {
        "redis" | "rediss" | "redis+unix" | "unix" => {
            let info = info(url)?;
            let database = info.redis_settings().db();
            (Shape::One(Server::Fixed(Box::new(Client::open(info)?))), database)
        }
        "redis+sentinel" => sentinels(rest, "redis")?,
        "rediss+sentinel" => sentinels(rest, "rediss")?,
        "redis-cluster" => (Shape::Cluster(Arc::new(Cluster::read(rest, "redis")?)), 0),
        "rediss-cluster" => (Shape::Cluster(Arc::new(Cluster::read(rest, "rediss")?)), 0),
        _ => {
            return Err(refuse("must begin with redis://, rediss://, redis+sentinel:// or redis-cluster://"));
        }
    };
    Ok(Site { shape, replicas: *replicas, database })
}

fn sentinels(rest: &str, scheme: &str) -> Result<(Shape, i64), LinkError> {
    let sentinels = Sentinels::read(rest, scheme)?;
    let database = sentinels.database();
    Ok((Shape::One(Server::Master(Arc::new(sentinels))), database))
}

fn refuse(why: &str) -> LinkError {
    LinkError::Unreachable(format!("redis url: {why}"))
}

/// Of a URL of one server.
fn info(url: &str) -> Result<ConnectionInfo, LinkError> {
    // The message of the parser names no part of the URL, which may hold a password.
    let info = url.into_connection_info().map_err(|error| refuse(&error.to_string()))?;
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(Duration::from_secs(15)))
        .set_user_timeout(Duration::from_secs(10));
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_tcp_settings(tcp).set_redis_settings(redis))
}

/// What a link dials.
#[derive(Clone)]
pub(crate) enum Server {
    /// Always the same.
    Fixed(Box<Client>),
    /// Whom the sentinels name.
    Master(Arc<Sentinels>),
}

impl Server {
    /// Who it is now.
    pub(super) async fn client(&self) -> Result<Client, RedisError> {
        match self {
            Server::Fixed(client) => Ok((**client).clone()),
            Server::Master(sentinels) => sentinels.master().await,
        }
    }

    /// Whether the server behind a connection is who it was dialled for.
    pub(super) async fn accepts(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let Server::Master(_) = self else { return Ok(()) };
        match redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await {
            Ok(role) if role.first() == Some(&Value::BulkString(b"master".into())) => Ok(()),
            Ok(_) => Err((ErrorKind::Client, "it is no master").into()),
            // What it must not be asked shows with the first write.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The server could not be used: another sentinel may know more.
    pub(super) fn doubt(&self) {
        if let Server::Master(sentinels) = self {
            sentinels.ask_another();
        }
    }

    /// Whether somebody else has taken the place of the server at this address.
    pub(super) async fn has_moved(&self, from: &ConnectionAddr) -> bool {
        let Server::Master(sentinels) = self else { return false };
        sentinels.master().await.is_ok_and(|client| client.get_connection_info().addr() != from)
    }
}

impl fmt::Display for Site {
    /// Hosts and ports, without the password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shape {
            Shape::One(server) => server.fmt(out),
            Shape::Cluster(cluster) => cluster.fmt(out),
        }
    }
}

/// As a URL writes it: an IPv6 address stands in brackets.
fn told(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        other => other.to_string(),
    }
}

impl fmt::Display for Server {
    /// Host and port, without the password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Fixed(client) => out.write_str(&told(client.get_connection_info().addr())),
            Server::Master(sentinels) => sentinels.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_it_is_meant_and_told_without_its_password() {
        for (url, told, database) in [
            ("redis://:hush@h:1/3", "h:1", 3),
            ("rediss://u:hush@h", "h:6379", 0),
            ("redis+sentinel://:hush@a:1,b/main/2", "main of the sentinels a:1, b:26379", 2),
            ("redis-cluster://u:hush@a:1,b", "the cluster of a:1, b:6379", 0),
            ("rediss+sentinel://u:hush@[::1],[::2]:5/m", "m of the sentinels [::1]:26379, [::2]:5", 0),
        ] {
            let site = read(&url.into()).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((site.to_string().as_str(), site.database()), (told, database), "{url}");
        }
        for (url, why) in [
            ("http://:hush@h", "must begin"),
            ("redis://:hush@h:port", "url"),
            ("redis+sentinel://:hush@a:1,b", "name of the master"),
            ("redis+sentinel://:hush@a:1,b/", "name of the master"),
            ("redis+sentinel:///main", "a sentinel"),
            ("redis+sentinel://a:port/main", "url"),
            ("redis+sentinel://a/main/x", "url"),
            ("redis-cluster://:hush@", "a server"),
            ("redis-cluster://:hush@a/1", "databases"),
        ] {
            let Err(error) = read(&url.into()) else { panic!("{url} is read") };
            assert!(error.to_string().contains(why) && !error.to_string().contains("hush"), "{url}: {error}");
        }
    }
}
