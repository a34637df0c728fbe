//! Settlements that cannot be applied for now keep nobody else waiting, by whatever queue they come: `redis::…`,
//! `embedded::…` and `rabbitmq::…`.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::red_packet::Mode;
use chat_protocol::{MsgId, PacketId};
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, Node};
use chat_tests::ledger::{Vault, balance, endow};
use chat_tests::money::{
    Bench, CREATED_MS, EmbeddedBench, RedisBench, amounts, packet_id, share_of, terms, written,
};
use chat_tests::rabbit::RabbitBench;
use chat_tests::wait::{SOON, until};
use chat_tests::works;
use chatd::clock::SystemClock;
use chatd::money::Terms;
use chatd::money::audit::Auditor;
use chatd::money::ledger::Ledger;
use chatd::money::settlement::Depth;
use chatd::money::settlement::worker::Worker;
use futures_util::{StreamExt, stream};

/// More than any queue hands out ahead.
const HELD: usize = 3000;

/// Packets of an engine whose outbox nobody reads, and a ledger in PostgreSQL.
struct Site {
    _engine: Engine,
    vault: Vault,
    node: Node,
    ledger: Arc<dyn Ledger>,
}

impl Site {
    async fn new() -> Self {
        let (engine, vault) = (Engine::embedded(), Vault::postgres().await);
        for clock in [&engine.clock, &vault.clock] {
            clock.set(CREATED_MS);
        }
        let (node, ledger) = (engine.node().await, vault.ledger().await);
        endow(&*ledger, "s", 1_000_000).await;
        Self { _engine: engine, vault, node, ledger }
    }

    /// This user wins this much of a packet of its own.
    async fn wins(&self, who: &str, packet: String, amount: u64) -> Bytes {
        let id: PacketId = packet_id(&packet);
        let given = Terms {
            msg_id: MsgId::new(&packet).expect("an id"),
            mode: Mode::Equal,
            ..terms(&packet, "", &[amount])
        };
        self.ledger.fund(&given).await.expect("funded");
        self.node.packets.open(&given, &amounts(&[amount])).await.expect("opened");
        self.ledger.announced(APP, &id).await.expect("announced");
        self.node.packets.grab(APP, &id, &user(who)).await.expect("won");
        written(&[share_of(&packet, who, amount, CREATED_MS)]).remove(0).into()
    }

    async fn has(&self, who: &str, cents: u64) {
        until(&format!("{who} has {cents}"), 3 * SOON, async || balance(&*self.ledger, who).await == cents)
            .await;
    }
}

/// As many as a queue hands out ahead, and more, are for one wallet, which is out of reach until `free`.
async fn others_go_on(bench: impl Bench, hold: &str, free: &str) {
    let site = Site::new().await;
    endow(&*site.ledger, "held", 1).await;
    let wins = (0..HELD).map(|number| site.wins("held", format!("h{number}"), 2));
    let waiting: Vec<Bytes> = stream::iter(wins).buffered(16).collect().await;
    let other = [site.wins("other", "o".to_owned(), 3).await];
    let client = site.vault.client().await;
    client.batch_execute(hold).await.expect("out of reach");
    bench.put(APP, &waiting).await;

    let queue = bench.receiver().await;
    let (packets, clock) = (site.node.packets.clone(), Arc::new(SystemClock));
    let worker = Worker::new(bench.receiver().await, packets, site.ledger.clone(), clock);
    let watched = async {
        bench.put(APP, &other).await;
        site.has("other", 3).await;
        site.has("held", 1).await;
        client.batch_execute(free).await.expect("in reach");
        site.has("held", 1 + 2 * HELD as u64).await;
        let empty = Ok(Depth { waiting: 0, dead: 0 });
        until("nothing is left", SOON, async || queue.depth().await == empty).await;
    };
    tokio::select! {
        () = worker.run(Default::default()) => panic!("nobody stops it"),
        () = watched => {}
    }
    assert_eq!(worker.counts().settled, HELD as u64 + 1);
    let auditor = Auditor::new(site.node.packets.clone(), site.ledger.clone(), vec![queue]);
    let audit = works::audit(&auditor, APP, None).await;
    assert!(audit.holds && audit.unsettled == 0, "{audit:#?}");
}

async fn a_wallet_that_somebody_holds(bench: impl Bench) {
    let hold = "BEGIN; SELECT * FROM chat_account WHERE name = 'wallet:held' FOR UPDATE";
    others_go_on(bench, hold, "ROLLBACK").await;
}

async fn a_wallet_for_which_everything_fails(bench: impl Bench) {
    let fails = "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
        CREATE TRIGGER fails BEFORE INSERT ON chat_transfer
            FOR EACH ROW WHEN (NEW.credit = 'wallet:held') EXECUTE FUNCTION fails()";
    others_go_on(bench, fails, "DROP TRIGGER fails ON chat_transfer").await;
}

macro_rules! by_each_queue {
    ($($adapter:ident: $bench:expr,)+) => {
        $(mod $adapter {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_wallet_that_somebody_holds() {
                super::a_wallet_that_somebody_holds($bench).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_wallet_for_which_everything_fails() {
                super::a_wallet_for_which_everything_fails($bench).await;
            }
        })+
    };
}

by_each_queue! {
    redis: super::RedisBench::start().await,
    embedded: super::EmbeddedBench::start(),
    rabbitmq: super::RabbitBench::start().await,
}
