//! Every share that no transfer pays is found where settlements wait, by name, or it is named as lost; and an audit in
//! pages is one audit: `redis::…` and `embedded::…`.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::red_packet::AuditResponse;
use chat_protocol::{Code, PacketId};
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, Node};
use chat_tests::ledger::{Vault, endow};
use chat_tests::money::{CREATED_MS, amounts, packet_id, receive, terms};
use chat_tests::works::{self, Works};
use chatd::money::Terms;
use chatd::money::audit::{Ask, Auditor};
use chatd::money::ledger::Ledger;
use chatd::money::packets::Grab;
use chatd::money::settlement::{Delivery, Kind, Queue};

chat_tests::engine_laws!(
    a_settlement_that_is_on_no_way_is_named,
    a_refund_that_is_on_no_way_is_named,
    settlements_of_another_app_hide_nothing,
    dead_letters_of_another_app_hide_nothing,
    many_pages_find_what_one_finds,
    what_is_older_is_left_out,
    a_cursor_that_no_audit_gave_is_refused,
);

/// A receiver that is not renewed so long is still alive.
const LONG: Duration = Duration::from_secs(600);
/// A while.
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
        self.node.packets.open(&terms, &amounts(&shares)).await.expect("opened");
        for who in ["a", "b"] {
            let won = self.node.packets.grab(APP, &terms.packet, &user(who)).await;
            assert!(matches!(won, Ok(Grab::Won { .. })), "{won:?}");
        }
        terms
    }

    async fn audit(&self, packet: Option<&PacketId>) -> AuditResponse {
        works::audit(&self.auditor, APP, packet).await
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
    let received = receive(&bench.queue, 2).await;
    assert!(bench.audit(None).await.holds, "somebody has it, however long");
    bench.queue.done(&[received[0].tag.clone()]).await.expect("gone");
    bench.engine.clock.set(CREATED_MS);
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
    assert!(bench.audit(None).await.holds, "it is in hand");
    bench.queue.done(&tags).await.expect("gone");
    bench.engine.clock.set(terms.expires_ms + LATE_MS);
    let late = bench.audit(None).await;
    assert_eq!((late.holds, late.unsettled, late.unsettled_amount), (false, 1, 5));
    assert_eq!(rules(&late), [(Some(&terms.packet), "refund")]);
}

/// A packet of one share in the app next door, which somebody took.
async fn elsewhere(bench: &Bench) {
    let elsewhere = Terms { app: APP + 1, ..terms("x", "", &[1]) };
    bench.node.packets.open(&elsewhere, &amounts(&[1])).await.expect("opened");
    let won = bench.node.packets.grab(APP + 1, &packet_id("x"), &user("a")).await;
    assert!(matches!(won, Ok(Grab::Won { .. })), "{won:?}");
}

async fn settlements_of_another_app_hide_nothing(engine: Engine) {
    let bench = Bench::new(engine).await;
    let terms = bench.packet("p").await;
    elsewhere(&bench).await;
    let all = receive(&bench.queue, 3).await;
    let lost: Vec<_> =
        all.iter().filter(|delivery| delivery.settlement().is_ok_and(|of| of.app == APP)).collect();
    bench.queue.done(&[lost[0].tag.clone()]).await.expect("gone");
    let found = bench.audit(None).await;
    assert_eq!((found.unsettled, found.queued), (2, 2), "as many wait as are unpaid");
    assert_eq!(rules(&found), [(Some(&terms.packet), "settlement")]);
    let named = lost[0].settlement().expect("a settlement").transfer_id();
    assert!(found.violations[0].detail.contains(&named), "{found:#?}");
}

async fn dead_letters_of_another_app_hide_nothing(engine: Engine) {
    let bench = Bench::new(engine).await;
    elsewhere(&bench).await;
    let letter = receive(&bench.queue, 1).await;
    bench.queue.bury(&letter[0], "a test").await.expect("buried");
    let terms = bench.packet("p").await;
    bench.packet("q").await;
    let all = receive(&bench.queue, 4).await;
    let of_p = all.iter().find(|of| of.settlement().is_ok_and(|of| of.packet == terms.packet));
    bench.queue.done(&[of_p.expect("one").tag.clone()]).await.expect("gone");
    let late = bench.audit(None).await;
    assert_eq!(rules(&late), [(Some(&terms.packet), "settlement")], "{late:#?}");
    assert_eq!((late.violation_count, late.queued, late.dead_letters), (1, 3, 1));
    let other = of_q(&all, &terms.packet);
    bench.queue.bury(other, "a test").await.expect("buried");
    let given_up = bench.audit(None).await;
    let q = packet_id("q");
    assert_eq!(rules(&given_up), [(Some(&q), "deadLetter"), (Some(&terms.packet), "settlement")]);
}

fn of_q<'a>(all: &'a [Delivery], p: &PacketId) -> &'a Delivery {
    all.iter().find(|of| of.settlement().is_ok_and(|of| of.packet != *p)).expect("one of the other")
}

async fn many_pages_find_what_one_finds(engine: Engine) {
    let bench = Bench::new(engine).await;
    for name in ["p", "q", "r"] {
        bench.packet(name).await;
    }
    bench.lose(6, Kind::Grab).await;
    let whole = bench.audit(None).await;
    assert_eq!((whole.packets, whole.transfers, whole.accounts, whole.unsettled), (3, 4, 5, 6));
    assert_eq!((whole.total, whole.grabbed, whole.open, whole.violation_count), (36, 21, 15, 1));
    for limit in [1, 2, 5] {
        let pages = works::audit_since(&bench.auditor, APP, 0, Some(limit)).await;
        assert_eq!(pages, whole, "pages of {limit}");
    }
    let first = Ask { since_ms: 0, cursor: None, limit: Some(1) };
    let first = bench.auditor.page(APP, &first).await.expect("a page");
    assert!(first.packets == 1 && first.cursor.is_some(), "{first:#?}");
}

async fn what_is_older_is_left_out(engine: Engine) {
    let bench = Bench::new(engine).await;
    let older = bench.packet("p").await;
    bench.lose(2, Kind::Grab).await;
    let shares = [3, 4, 5];
    let younger = Terms { created_ms: CREATED_MS + 5, ..terms("q", "", &shares) };
    let younger = Terms { expires_ms: older.expires_ms, ..younger };
    bench.ledger.fund(&younger).await.expect("funded");
    bench.node.packets.open(&younger, &amounts(&shares)).await.expect("opened");
    let all = works::audit_since(&bench.auditor, APP, CREATED_MS, None).await;
    assert_eq!((all.packets, all.holds), (2, false));
    let young = works::audit_since(&bench.auditor, APP, CREATED_MS + 1, Some(1)).await;
    assert_eq!((young.packets, young.accounts, young.total, young.holds), (1, 0, 12, true), "{young:#?}");
}

async fn a_cursor_that_no_audit_gave_is_refused(engine: Engine) {
    let bench = Bench::new(engine).await;
    for cursor in ["", "x", "0.0.0.nowhere", "0.0.0.packets.p"] {
        let ask = Ask { since_ms: 0, cursor: Some(cursor.to_owned()), limit: None };
        let refused = bench.auditor.page(APP, &ask).await.expect_err("refused");
        assert_eq!(refused.code, Code::BadParameter, "{cursor}");
    }
}

chat_tests::engine_laws_in_a_cluster! {
    many_pages_find_what_one_finds,
    settlements_of_another_app_hide_nothing,
}
