//! The ports of a node: the one of HTTP and WebSocket, and the one of gRPC, where there is to be one.
//!
//! Invariant: both lead to the same operations, and their connections take the same places. Nobody is let in before both
//! are ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::rounds::patience;
use crate::config::Config;
use crate::grpc;
use crate::listener::{self, Bound, Greeter, House, Speech};
use crate::tls::Keeper;

/// How long the end of the node waits until its health is told, which it does by itself once it drains.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Ports that are ours, where nobody is let in yet.
pub(super) struct Ports {
    /// Where HTTP and WebSocket are, with the real port.
    pub(super) address: SocketAddr,
    web: Bound,
    grpc: Option<Bound>,
}

/// Ports where callers are let in.
pub(super) struct Doors {
    /// Where gRPC is, if anywhere.
    pub(super) grpc_address: Option<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
    /// Keeps the health true that gRPC tells.
    telling: Option<JoinHandle<()>>,
}

impl Ports {
    /// Binds them.
    ///
    /// # Errors
    /// For the operator: what cannot be bound.
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        let addresses = config.listen_addresses().map_err(|error| anyhow!(error))?;
        let web = listener::bind(&addresses).with_context(|| taken(&config.serve.listen))?;
        let addresses = config.grpc_addresses().map_err(|error| anyhow!(error))?;
        let grpc = match addresses.is_empty() {
            true => None,
            false => Some(listener::bind(&addresses).with_context(|| taken(&config.serve.grpc_listen))?),
        };
        Ok(Self { address: web.address()?, web, grpc })
    }

    /// Lets callers in until `stop`: into the house, and to gRPC where it is spoken, which then takes places of the house.
    ///
    /// # Errors
    /// For the operator: why nobody can be let in.
    pub(super) async fn open(
        self,
        config: &Config,
        house: House,
        edge: grpc::Edge,
        keeper: Option<&Arc<Keeper>>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Doors> {
        let mut doors = Doors { grpc_address: None, accepting: Vec::new(), telling: None };
        if let Some(bound) = self.grpc {
            doors.grpc_address = Some(bound.address()?);
            let counters = edge.counters.clone();
            let (entrance, telling) = grpc::entrance(edge).await?;
            let house = House {
                entrance,
                speech: Speech::Grpc,
                greeter: keeper.map(|keeper| Greeter::new(keeper.clone(), Speech::Grpc, counters)),
                proxies: house.proxies.clone(),
                places: house.places.clone(),
                quotas: house.quotas.clone(),
                patience: patience(config),
                tasks: house.tasks.clone(),
            };
            let listener = bound.listen().with_context(|| taken(&config.serve.grpc_listen))?;
            doors.accepting.push(tokio::spawn(listener::serve(listener, house, stop.clone())));
            doors.telling = Some(tokio::spawn(telling));
        }
        let listener = self.web.listen().with_context(|| taken(&config.serve.listen))?;
        doors.accepting.push(tokio::spawn(listener::serve(listener, house, stop.clone())));
        Ok(doors)
    }
}

impl Doors {
    /// Whether somebody accepts at each.
    pub(super) fn are_open(&self) -> bool {
        !self.accepting.iter().any(JoinHandle::is_finished)
    }

    /// Waits, but not for long, until the health that is told is that of a node that drains.
    pub(super) async fn told(&mut self) {
        if let Some(telling) = &mut self.telling
            && timeout(LAST_WORD, &mut *telling).await.is_err()
        {
            telling.abort();
        }
    }

    /// Waits until nobody accepts any more.
    pub(super) async fn closed(&mut self) {
        join_all(std::mem::take(&mut self.accepting)).await;
    }
}

fn taken(listen: &str) -> String {
    format!("cannot listen on {listen}; is another chatd running there?")
}
