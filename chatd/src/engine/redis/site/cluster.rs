//! A cluster as its URL names it: whom to ask first, and how all of its servers are spoken to.

use std::fmt;

use redis::{Client, ConnectionAddr, ConnectionInfo, RedisError};

use super::{info, refuse, told};
use crate::engine::redis::link::errors::LinkError;

/// Some servers of a cluster.
pub(crate) struct Cluster {
    seeds: Vec<ConnectionInfo>,
}

impl Cluster {
    /// Reads what follows `://`; `scheme` is how its servers are spoken to.
    pub(super) fn read(rest: &str, scheme: &str) -> Result<Self, LinkError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1));
        if hosts.is_empty() {
            return Err(refuse("a server is missing: redis-cluster://HOST:PORT,HOST:PORT"));
        }
        if !path.is_empty() && path != "0" {
            return Err(refuse("a cluster has no databases but 0"));
        }
        let seeds = hosts.split(',').map(|host| info(&format!("{scheme}://{user}{host}")));
        Ok(Self { seeds: seeds.collect::<Result<_, _>>()? })
    }

    /// Hosts and ports of the servers to ask first.
    pub(in crate::engine::redis) fn seeds(&self) -> impl Iterator<Item = String> {
        self.seeds.iter().map(|seed| seed.addr().to_string())
    }

    /// A server of the cluster, by host and port.
    pub(in crate::engine::redis) fn client(&self, at: &str) -> Result<Client, RedisError> {
        let like = &self.seeds[0];
        let (host, port) = at.rsplit_once(':').unwrap_or((at, ""));
        let (host, port) = (host.to_owned(), port.parse().unwrap_or(6379));
        Client::open(like.clone().set_addr(at_host(like.addr(), host, port)))
    }
}

/// Another address that is spoken to in the same way.
pub(super) fn at_host(like: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds: Vec<_> = self.seeds.iter().map(|seed| told(seed.addr())).collect();
        write!(out, "the cluster of {}", seeds.join(", "))
    }
}
