//! Money put together: the ledger that is asked for, the road to it, and who works on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Base;
use super::engine::{self, Engine, Purse};
use crate::chat::Chat;
use crate::config::{Config, LedgerPlace};
use crate::engine::postgres::PostgresLedger;
use crate::engine::rabbitmq::{self, RabbitQueue};
use crate::engine::sqlite::ledger::EmbeddedLedger;
use crate::money::Money;
use crate::money::audit::{Auditor, Results};
use crate::money::claims::Claims;
use crate::money::ledger::Ledger;
use crate::money::red_packet::{Policy, Ports, RedPackets};
use crate::money::register::Register;
use crate::money::settlement::relay::Relay;
use crate::money::settlement::worker::Worker;
use crate::money::settlement::{Backlog, QueueError};
use crate::money::sweeper::Sweeper;
use crate::money::watch::Watch;

/// How long a stop waits for settlements in hand; whatever is left is settled later.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What operations need, and what works behind them.
#[derive(Default)]
pub(super) struct Treasury {
    /// None without a ledger.
    pub(super) money: Option<Arc<Money>>,
    /// None without one.
    pub(super) ledger: Option<Arc<dyn Ledger>>,
    /// None where another node settles.
    pub(super) worker: Option<Arc<Worker>>,
    /// How audits went; none without a ledger.
    pub(super) audits: Option<Arc<Results>>,
    /// Sees whether anybody settles; none without a ledger.
    pub(super) watch: Option<Arc<Watch>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Treasury {
    /// Opens the ledger and begins to settle.
    ///
    /// # Errors
    /// For the operator: what cannot be reached.
    pub(super) async fn open(
        config: &Config,
        base: &Base,
        engine: &Engine,
        chat: &Arc<Chat>,
    ) -> anyhow::Result<Self> {
        let (Some(purse), Some(ledger)) = (&engine.purse, ledger(config, base).await?) else {
            return Ok(Self::default());
        };
        let Purse { packets, outbox } = purse;
        let mut treasury = Self::default();
        let mut queues = vec![outbox.clone()];
        let mut queue = outbox.clone();
        if !config.serve.amqp.is_empty() {
            let rabbit = rabbit(config, base).await?;
            let relay = Relay::new(outbox.clone(), rabbit.clone());
            let stop = treasury.stop.clone();
            treasury.tasks.push(tokio::spawn(async move { relay.run(stop).await }));
            queues.push(rabbit.clone());
            queue = rabbit;
        }
        let ports = Ports {
            packets: packets.clone(),
            escrows: ledger.clone(),
            agenda: ledger.clone(),
            archive: ledger.clone(),
            chat: chat.clone(),
            log: engine.broker.clone(),
            bus: engine.broker.clone(),
            groups: engine.groups.clone(),
        };
        let policy =
            Policy { method: config.money.packet_split, expiry_ms: config.money.packet_expiry.millis() };
        let red_packets = Arc::new(RedPackets::new(ports, policy).within(base.quotas.clone()));
        let claims = Arc::new(Claims::new(packets.clone(), ledger.clone()));
        let sweeper = Arc::new(Sweeper::new(
            packets.clone(),
            ledger.clone(),
            ledger.clone(),
            red_packets.clone(),
            claims,
        ));
        if config.money.settle {
            let clock = base.clock.clone();
            let worker = Arc::new(Worker::new(queue, packets.clone(), ledger.clone(), clock));
            treasury.worker = Some(worker.clone());
            let (stop, keep_until, keeps) = (treasury.stop.clone(), treasury.stop.clone(), sweeper.clone());
            treasury.tasks.push(tokio::spawn(async move { worker.run(stop).await }));
            treasury.tasks.push(tokio::spawn(async move { keeps.run(keep_until).await }));
        }
        let backlogs = queues.iter().map(|queue| queue.clone() as Arc<dyn Backlog>).collect();
        let watch = Arc::new(Watch::new(backlogs, packets.clone(), ledger.clone(), base.clock.clone()));
        let (stop, watches) = (treasury.stop.clone(), watch.clone());
        treasury.tasks.push(tokio::spawn(async move { watches.run(stop).await }));
        treasury.watch = Some(watch);
        let auditor = Auditor::new(packets.clone(), ledger.clone(), queues.clone());
        let register = Register::new(packets.clone(), ledger.clone());
        treasury.audits = Some(auditor.results());
        let (wallets, archive) = (ledger.clone(), ledger.clone());
        treasury.money =
            Some(Arc::new(Money { red_packets, wallets, archive, sweeper, auditor, register, queues }));
        treasury.ledger = Some(ledger);
        Ok(treasury)
    }

    /// Ends the work behind the operations; what is in hand is finished if it takes no time.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(STOP_TIMEOUT, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

async fn ledger(config: &Config, base: &Base) -> anyhow::Result<Option<Arc<dyn Ledger>>> {
    let (place, clock) = (config.ledger().map_err(|error| anyhow!(error))?, base.clock.clone());
    let refuse = |error: String| anyhow!("cannot use the ledger {:?}: {error}", config.serve.ledger);
    Ok(Some(match place {
        LedgerPlace::None => return Ok(None),
        LedgerPlace::Own => kept(base, EmbeddedLedger::open(&engine::place(config), clock).map_err(refuse)?),
        LedgerPlace::File(file) => kept(base, EmbeddedLedger::open_file(&file, clock).map_err(refuse)?),
        LedgerPlace::Postgres(url) => {
            let place = format!("the ledger {}", config.serve.ledger);
            let connect = async || PostgresLedger::connect(url.expose(), clock.clone()).await;
            let opened = base.waiting.open(&place, connect, |refused| refused.passes).await;
            opened.map_err(|refused| refuse(refused.reason))?
        }
    }))
}

fn kept(base: &Base, ledger: Arc<EmbeddedLedger>) -> Arc<EmbeddedLedger> {
    base.files.add(ledger.clone());
    ledger
}

async fn rabbit(config: &Config, base: &Base) -> anyhow::Result<Arc<RabbitQueue>> {
    let url = config.serve.amqp.expose();
    let (keys, place) = (engine::keys(config)?, format!("RabbitMQ at {}", config.serve.amqp));
    let passes = |error: &QueueError| rabbitmq::passes(&error.to_string());
    let rabbit = base.waiting.open(&place, async || RabbitQueue::open(url, &keys).await, passes).await;
    let rabbit = rabbit.with_context(|| format!("cannot use {place}"))?;
    Ok(Arc::new(rabbit))
}
