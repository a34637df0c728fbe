//! A settlement that got lost on its way is found once it can no longer be in a worker's hands: `redis::…` and
//! `embedded::…`.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::PacketId;
use chat_protocol::red_packet::AuditResponse;
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, Node};
use chat_tests::ledger::{Vault, endow};
use chat_tests::money::{CREATED_MS, packet_id, receive, terms};
use chat_tests::works::Works;
use chatd::money::Terms;
use chatd::money::audit::Auditor;
use chatd::money::ledger::Ledger;
use chatd::money::packets::Grab;
use chatd::money::settlement::{Kind, Queue};

chat_tests::engine_laws!(
    a_settlement_that_is_on_no_way_is_named,
    a_refund_that_is_on_no_way_is_named,
    dead_letters_of_another_app_hide_nothing,
);

/// A receiver that is not renewed so long is still alive.
const LONG: Duration = Duration::from_secs(600);
/// From here on a settlement is in nobody's hands.
const LATE_MS: u64 = 30_000;

struct Bench {
    engine: Engine,
    node: Node,
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn Queue>,
    auditor: Auditor,
    _vault: Vault,
}

impl Bench {
    async fn new(engine: Engine) -> Self {
        let (vault, node) = (Vault::embedded(), engine.node().await);
        let works = Works::new(&engine, &vault, node, 10 * LATE_MS, LONG).await;
        let Works { node, ledger, queue, auditor, .. } = works;
        engine.clock.set(CREATED_MS);
        endow(&*ledger, "s", 1000).await;
        Self { engine, node, ledger, queue, auditor, _vault: vault }
    }

    /// A packet of three shares, two of them taken.
    async fn packet(&self, name: &str) -> Terms {
        let shares = [3, 4, 5];
        let terms = Terms { expires_ms: CREATED_MS + 10 * LATE_MS, ..terms(name, "", &shares) };
        self.ledger.fund(&terms).await.expect("funded");
        self.node.packets.open(&terms, &shares).await.expect("opened");
        for who in ["a", "b"] {
            let won = self.node.packets.grab(APP, &terms.packet, &user(who)).await;
            assert!(matches!(won, Ok(Grab::Won { .. })), "{won:?}");
        }
        terms
    }

    async fn audit(&self, packet: Option<&PacketId>) -> AuditResponse {
        self.auditor.audit(APP, packet).await.expect("an audit")
    }

    /// Takes a settlement out of the queue as if it were done.
    async fn lose(&self, received: usize, kind: Kind) {
        let all = receive(&self.queue, received).await;
        let lost = all.iter().find(|delivery| delivery.settlement().is_ok_and(|found| found.kind == kind));
        self.queue.done(&[lost.expect("one of the kind").tag.clone()]).await.expect("gone");
    }
}

fn rules(audit: &AuditResponse) -> Vec<(Option<&PacketId>, &str)> {
    let mut rules: Vec<_> =
        audit.violations.iter().map(|found| (found.packet_id.as_ref(), found.rule.as_str())).collect();
    rules.dedup();
    rules
}

async fn a_settlement_that_is_on_no_way_is_named(engine: Engine) {
    let bench = Bench::new(engine).await;
    let terms = bench.packet("p").await;
    bench.engine.clock.set(CREATED_MS + 2 * LATE_MS);
    let waiting = bench.audit(None).await;
    assert!(waiting.holds, "however late, it is in the queue: {waiting:#?}");
    assert_eq!((waiting.unsettled, waiting.unsettled_amount, waiting.queued), (2, 7, 2));
    bench.lose(2, Kind::Grab).await;
    bench.engine.clock.set(CREATED_MS + LATE_MS - 1);
    let young = bench.audit(None).await;
    assert!(young.holds, "a worker may have it: {young:#?}");
    bench.engine.clock.set(CREATED_MS + LATE_MS);
    for packet in [None, Some(&terms.packet)] {
        let late = bench.audit(packet).await;
        assert!(!late.holds);
        assert_eq!(rules(&late), [(Some(&terms.packet), "settlement")]);
    }
}

async fn a_refund_that_is_on_no_way_is_named(engine: Engine) {
    let bench = Bench::new(engine).await;
    let terms = bench.packet("p").await;
    bench.engine.clock.set(terms.expires_ms);
    bench.node.packets.close(&terms).await.expect("closed");
    let all = receive(&bench.queue, 3).await;
    let settlements: Vec<_> = all.iter().map(|delivery| delivery.settlement().expect("one")).collect();
    let grabs: Vec<_> = settlements.into_iter().filter(|found| found.kind == Kind::Grab).collect();
    for settled in bench.ledger.settle(&grabs).await.expect("settled") {
        settled.expect("paid");
    }
    let tags: Vec<_> = all.iter().map(|delivery| delivery.tag.clone()).collect();
    bench.queue.done(&tags).await.expect("gone");
    assert!(bench.audit(None).await.holds, "it may be in hand");
    bench.engine.clock.set(terms.expires_ms + LATE_MS);
    let late = bench.audit(None).await;
    assert_eq!((late.holds, late.unsettled, late.unsettled_amount), (false, 1, 5));
    assert_eq!(rules(&late), [(Some(&terms.packet), "refund")]);
}

async fn dead_letters_of_another_app_hide_nothing(engine: Engine) {
    let bench = Bench::new(engine).await;
    let elsewhere = Terms { app: APP + 1, ..terms("x", "", &[1]) };
    bench.node.packets.open(&elsewhere, &[1]).await.expect("opened");
    let won = bench.node.packets.grab(APP + 1, &packet_id("x"), &user("a")).await;
    assert!(matches!(won, Ok(Grab::Won { .. })), "{won:?}");
    let letter = receive(&bench.queue, 1).await;
    bench.queue.bury(&letter[0], "a test").await.expect("buried");
    let terms = bench.packet("p").await;
    let sound = bench.packet("q").await;
    bench.lose(4, Kind::Grab).await;
    bench.engine.clock.set(CREATED_MS + LATE_MS);
    let late = bench.audit(None).await;
    assert!(!late.holds, "{late:#?}");
    assert_eq!(rules(&late), [(Some(&terms.packet), "settlement"), (Some(&sound.packet), "settlement")]);
    assert_eq!((late.queued, late.dead_letters), (3, 1));
}
