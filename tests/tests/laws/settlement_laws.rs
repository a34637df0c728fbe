//! What is settled and what is not, whatever the queue says and whatever the packets' store forgot: `redis::…` and `embedded::…`.

use std::time::Duration;

use chat_protocol::red_packet::{AuditResponse, Mode, Outcome};
use chat_protocol::{MsgId, PacketId};
use chat_tests::broker::{APP, user};
use chat_tests::engine::Engine;
use chat_tests::ledger::{Vault, balance, endow, holds};
use chat_tests::money::{CREATED_MS, cents, receive, refund_of, share_of};
use chat_tests::works::{self, Works};
use chatd::model::Identity;
use chatd::money::Terms;
use chatd::money::red_packet::Offer;
use chatd::money::settlement::Settlement;
use chatd::money::sweeper::LATE_MS;

chat_tests::engine_laws!(
    what_no_packet_owes_is_not_paid,
    what_an_earlier_chatd_queued_is_settled,
    whoever_was_paid_stays_a_winner_when_the_packets_forget,
    whoever_emptied_a_packet_stays_a_winner_when_it_forgets,
    a_share_that_was_paid_is_given_to_nobody_else,
    an_operator_gives_up_what_can_never_be_paid,
    what_was_given_up_is_kept_as_it_was,
    who_is_owed_what_was_given_up_is_named_until_they_are_paid,
);

const EXPIRY_MS: u64 = 100_000;
/// After how long a receiver that was dropped is taken for dead.
const IDLE: Duration = Duration::from_millis(200);

struct Bench {
    engine: Engine,
    vault: Vault,
    works: Works,
}

impl Bench {
    async fn new(engine: Engine, vault: Vault) -> Self {
        let node = engine.node().await;
        let works = Works::new(&engine, &vault, node, EXPIRY_MS, IDLE).await;
        let bench = Self { engine, vault, works };
        bench.at(CREATED_MS);
        endow(&*bench.works.ledger, "s", 1000).await;
        bench
    }

    fn at(&self, ms: u64) {
        self.engine.clock.set(ms);
        self.vault.clock.set(ms);
    }

    async fn packet(&self, id: &str, total: u64, count: u32) -> Terms {
        let offer = Offer {
            sender: Identity { app: APP, user: user("s") },
            target: "".parse().expect("a target"),
            total: cents(total),
            count,
            mode: Mode::Equal,
            greeting: String::new(),
            msg_id: MsgId::new(id).expect("an id"),
        };
        self.works.red_packets.create(offer).await.expect("created").terms
    }

    async fn grab(&self, packet: &PacketId, who: &str) -> Outcome {
        self.works.red_packets.grab(APP, packet, &user(who)).await.expect("an answer").outcome
    }

    async fn queue(&self, settlement: &Settlement) {
        self.engine.queue(APP, &serde_json::to_vec(settlement).expect("JSON")).await;
    }

    async fn settle(&self) {
        self.works.settle_all(&self.engine).await;
    }

    /// The store of the packets is restored from what it remembered last.
    async fn go_back(self) -> Self {
        let Self { mut engine, vault, works } = self;
        let node = works.node.clone();
        drop(works);
        let node = engine.go_back(node).await;
        let works = Works::new(&engine, &vault, node, EXPIRY_MS, IDLE).await;
        Self { engine, vault, works }
    }

    /// Three took two cents each of a packet of so many shares and were paid; the packets forgot two of them.
    async fn paid_and_forgotten(engine: Engine, count: u32) -> (Self, Terms) {
        let bench = Self::new(engine, Vault::embedded()).await;
        let given = bench.packet("p", 2 * u64::from(count), count).await;
        assert_eq!(bench.grab(&given.packet, "a").await, Outcome::Won);
        bench.engine.remember().await;
        for who in ["b", "c"] {
            assert_eq!(bench.grab(&given.packet, who).await, Outcome::Won);
        }
        bench.settle().await;
        (bench.go_back().await, given)
    }

    async fn audit(&self) -> AuditResponse {
        works::audit(&self.works.auditor, APP, None).await
    }

    async fn has(&self, name: &str, cents: u64) {
        assert_eq!(balance(&*self.works.ledger, name).await, cents, "{name}");
    }

    /// The packet ends, and all that is owed is paid.
    async fn end(&self, given: &Terms) {
        self.at(given.expires_ms);
        self.works.sweeper.round().await.expect("a round");
        self.settle().await;
        self.at(given.expires_ms + LATE_MS);
        self.works.sweeper.round().await.expect("a round");
        holds(&*self.works.ledger).await;
        assert_eq!(self.works.ledger.escrow(APP, &given.packet).await.expect("a packet").balance, cents(0));
    }
}

async fn what_no_packet_owes_is_not_paid(engine: Engine) {
    let bench = Bench::new(engine, Vault::embedded()).await;
    let given = bench.packet("p", 6, 3).await;
    let id = given.packet.as_str();
    for forged in [
        share_of(id, "m", 2, CREATED_MS),
        share_of(id, "a", 3, CREATED_MS),
        refund_of(id, 6, CREATED_MS),
        share_of("unknown", "m", 2, CREATED_MS),
    ] {
        bench.queue(&forged).await;
    }
    assert_eq!(bench.grab(&given.packet, "a").await, Outcome::Won);
    bench.settle().await;
    bench.has("m", 0).await;
    bench.has("a", 2).await;
    let dead = bench.works.queue.dead(APP, 10).await.expect("listed");
    assert_eq!(dead.len(), 4, "{dead:?}");
    assert!(dead.iter().all(|dead| dead.reason.contains("its packet owes")), "{dead:?}");
    bench.at(given.expires_ms);
    bench.works.sweeper.round().await.expect("a round");
    bench.queue(&Settlement { user: user("m"), ..refund_of(id, 4, CREATED_MS) }).await;
    bench.settle().await;
    bench.has("s", 998).await;
    bench.has("m", 0).await;
    assert_eq!(bench.works.queue.dead(APP, 10).await.expect("listed").len(), 5);
}

/// Shares, a refund and a dead letter, each as one text.
async fn what_an_earlier_chatd_queued_is_settled(engine: Engine) {
    let bench = Bench::new(engine, Vault::embedded()).await;
    let given = bench.packet("p", 6, 3).await;
    for who in ["a", "b"] {
        assert_eq!(bench.grab(&given.packet, who).await, Outcome::Won);
    }
    bench.at(given.expires_ms);
    bench.works.sweeper.round().await.expect("a round");
    let id = given.packet.as_str();
    let text = |kind: &str, who: &str, at_ms: u64| {
        format!(
            r#"{{"app":{APP},"packet":"{id}","kind":"{kind}","user":"{who}","amount":2,"time_ms":{at_ms}}}"#
        )
    };
    let ended_ms = given.expires_ms;
    let before =
        [text("grab", "a", CREATED_MS), text("grab", "b", CREATED_MS), text("refund", "s", ended_ms)];
    let mut queued = receive(&bench.works.queue, 3).await;
    queued.sort_by_key(|delivery| delivery.body.clone());
    assert!(queued.iter().map(|delivery| &delivery.body[..]).eq(before.iter().map(String::as_bytes)));
    bench.works.queue.bury(&queued[1], "for a while").await.expect("buried");
    let tags: Vec<_> = queued.iter().map(|delivery| delivery.tag.clone()).collect();
    bench.works.queue.done(&[tags[0].clone(), tags[2].clone()]).await.expect("gone");
    assert_eq!(bench.works.queue.dead(APP, 9).await.expect("listed")[0].body, before[1]);
    bench.engine.queue(APP, before[0].as_bytes()).await;
    bench.engine.queue(APP, before[2].as_bytes()).await;
    assert_eq!(bench.works.queue.replay(APP, None).await, Ok(1));
    bench.settle().await;
    for (who, cents) in [("a", 2), ("b", 2), ("s", 996)] {
        bench.has(who, cents).await;
    }
    let audit = bench.audit().await;
    assert!(audit.holds && audit.dead_letters == 0, "{audit:#?}");
}

async fn whoever_was_paid_stays_a_winner_when_the_packets_forget(engine: Engine) {
    let (bench, given) = Bench::paid_and_forgotten(engine, 5).await;
    for (who, outcome) in
        [("d", Outcome::Won), ("b", Outcome::Already), ("e", Outcome::Won), ("f", Outcome::Empty)]
    {
        assert_eq!(bench.grab(&given.packet, who).await, outcome, "{who}");
    }
    bench.settle().await;
    for who in ["a", "b", "c", "d", "e"] {
        bench.has(who, 2).await;
    }
    let audit = bench.audit().await;
    assert!(audit.holds && audit.dead_letters == 0, "{audit:#?}");
}

async fn whoever_emptied_a_packet_stays_a_winner_when_it_forgets(engine: Engine) {
    let (bench, given) = Bench::paid_and_forgotten(engine, 3).await;
    assert!(!bench.audit().await.holds, "two payments have no winner");
    bench.end(&given).await;
    let audit = bench.audit().await;
    assert!(audit.holds && (audit.grabbed, audit.refunded) == (6, 0), "{audit:#?}");
    assert_eq!(bench.grab(&given.packet, "c").await, Outcome::Already);
}

async fn a_share_that_was_paid_is_given_to_nobody_else(engine: Engine) {
    let (bench, given) = Bench::paid_and_forgotten(engine, 4).await;
    // Nobody asks before its end: what was forgotten is not refunded either.
    bench.end(&given).await;
    for (who, cents) in [("a", 2), ("b", 2), ("c", 2), ("s", 994)] {
        bench.has(who, cents).await;
    }
    let snapshot = bench.works.node.packets.snapshot(APP, &given.packet).await.expect("known");
    assert_eq!((snapshot.grabbed, snapshot.refunded, snapshot.open), (cents(6), cents(2), cents(0)));
    let audit = bench.audit().await;
    assert!(audit.holds && audit.dead_letters == 0, "{audit:#?}");
}

async fn an_operator_gives_up_what_can_never_be_paid(engine: Engine) {
    let bench = Bench::new(engine, Vault::embedded()).await;
    bench.queue(&share_of("unknown", "m", 2, CREATED_MS)).await;
    bench.engine.queue(APP, b"\xff no settlement").await;
    bench.settle().await;
    let dead = bench.works.queue.dead(APP, 10).await.expect("listed");
    assert_eq!((dead.len(), bench.audit().await.holds), (2, false));
    for letter in &dead {
        for known in [true, false] {
            let gone = bench.works.discard(APP, &letter.id, "nobody is owed this").await;
            assert_eq!(gone.expect("an answer"), u64::from(known), "{letter:?}");
        }
    }
    let audit = bench.audit().await;
    assert!(audit.holds && audit.dead_letters == 0, "{audit:#?}");
    let kept = "UPDATE #discard SET time = time WHERE reason = 'nobody is owed this'";
    assert_eq!(bench.vault.tamper(kept).await, Ok(2), "the ledger keeps why");
}

fn rules(audit: &AuditResponse) -> Vec<(&str, bool)> {
    let found = audit.violations.iter();
    found.map(|violation| (violation.rule.as_str(), violation.packet_id.is_some())).collect()
}

async fn what_was_given_up_is_kept_as_it_was(mut engine: Engine) {
    let is_shared = engine.redis_server().is_some();
    let vault = if is_shared { Vault::postgres().await } else { Vault::embedded() };
    let bench = Bench::new(engine, vault).await;
    for number in 0..4 {
        bench.queue(&share_of("unknown", &format!("u{number}"), 2, CREATED_MS)).await;
    }
    bench.settle().await;
    for letter in bench.works.queue.dead(APP, 10).await.expect("listed") {
        bench.works.discard(APP, &letter.id, "nobody is owed this").await.expect("given up");
    }
    assert!(bench.audit().await.holds);
    for (tampering, mending, wanted) in [
        (
            "SET reason = 'x' WHERE place = 2",
            "SET reason = 'nobody is owed this' WHERE place = 2",
            "discard 2 ",
        ),
        ("SET time = time + 1 WHERE place = 3", "SET time = time - 1 WHERE place = 3", "discard 3 "),
        ("SET place = -1 WHERE place = 1", "SET place = 1 WHERE place = -1", "1 to 1 are gone"),
        ("SET app = 99 WHERE place > 2", "SET app = 7 WHERE place > 2", "3 to 4 are gone"),
        ("SET digest = NULL WHERE place = 4", "SET time = time WHERE place = 4", "discard 4 "),
    ] {
        bench.vault.tamper(&format!("UPDATE #discard {tampering}")).await.expect("changed");
        let found = bench.audit().await;
        assert_eq!(rules(&found), [("discard", false)], "{tampering}: {found:#?}");
        assert!(found.violations[0].detail.contains(wanted), "{tampering}: {found:#?}");
        bench.vault.tamper(&format!("UPDATE #discard {mending}")).await.expect("changed");
    }
}

async fn who_is_owed_what_was_given_up_is_named_until_they_are_paid(engine: Engine) {
    let bench = Bench::new(engine, Vault::embedded()).await;
    let given = bench.packet("p", 6, 3).await;
    assert_eq!(bench.grab(&given.packet, "a").await, Outcome::Won);
    for delivery in receive(&bench.works.queue, 1).await {
        bench.works.queue.bury(&delivery, "somebody erred").await.expect("buried");
    }
    let dead = bench.works.queue.dead(APP, 10).await.expect("listed");
    bench.works.discard(APP, &dead[0].id, "they erred again").await.expect("given up");
    let found = bench.audit().await;
    assert_eq!(rules(&found), [("discard", true), ("settlement", true)], "{found:#?}");
    let applied = bench.works.sweeper.mend(APP, &given.packet).await.expect("mended");
    assert_eq!(applied.now, 1);
    bench.has("a", 2).await;
    let audit = bench.audit().await;
    assert!(audit.holds, "{audit:#?}");
}

chat_tests::engine_laws_in_a_cluster! {
    what_no_packet_owes_is_not_paid,
}
