//! What the sweeper does for packets that nobody else looks after: `redis::…` and `embedded::…`.

use std::time::Duration;

use chat_protocol::red_packet::{Mode, State};
use chat_protocol::{Code, MsgId, PacketId};
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, dismiss, group_id, join, members};
use chat_tests::ledger::{NOW, Vault, balance, endow, holds};
use chat_tests::money::{CREATED_MS, cents, receive, refund_of, share_of};
use chat_tests::works::{self, Works};
use chatd::broker::REPEAT_WINDOW_MS;
use chatd::model::Conversation;
use chatd::model::Identity;
use chatd::money::Terms;
use chatd::money::ledger::FIRST_LOOK_MS;
use chatd::money::red_packet::{Offer, Offered};
use chatd::money::settlement::Kind;
use chatd::money::sweeper::{AGAIN_MS, LATE_MS};

chat_tests::engine_laws!(
    an_interrupted_creation_is_finished,
    what_a_conversation_refuses_goes_back,
    what_the_queue_lost_is_paid_when_it_is_late,
    what_is_forgotten_goes_back_when_its_settlements_are_late,
    what_is_forgotten_after_its_refund_goes_back_too,
    what_the_queue_lost_is_paid_when_an_operator_says_so,
    who_was_paid_is_looked_after_once_more,
    many_that_fail_keep_nobody_waiting,
    a_repeat_after_a_day_posts_no_second_offer,
    the_packets_of_a_dismissed_group_go_back,
    a_later_group_of_the_same_id_has_no_part,
    a_creation_that_its_group_did_not_outlive_goes_back,
    the_name_of_a_packet_is_known_to_nobody_before,
    what_was_created_before_there_was_a_secret_is_not_paid_again,
);

/// A receiver that is not renewed so long is still alive.
const LONG: Duration = Duration::from_secs(600);
const EXPIRY_MS: u64 = 3 * REPEAT_WINDOW_MS;

struct Bench {
    engine: Engine,
    vault: Vault,
    works: Works,
}

impl Bench {
    async fn new(engine: Engine) -> Self {
        let (vault, node) = (Vault::embedded(), engine.node().await);
        let works = Works::new(&engine, &vault, node, EXPIRY_MS, LONG).await;
        let bench = Self { engine, vault, works };
        bench.at(CREATED_MS);
        endow(&*bench.works.ledger, "s", 1000).await;
        bench
    }

    fn at(&self, ms: u64) {
        self.engine.clock.set(ms);
        self.vault.clock.set(ms);
    }

    async fn round(&self) -> usize {
        self.works.sweeper.round().await.expect("a round")
    }

    async fn create(&self, id: &str, total: u64, count: u32) -> Result<Offered, chat_protocol::Refusal> {
        self.create_for("", id, total, count).await
    }

    async fn create_for(
        &self,
        target: &str,
        id: &str,
        total: u64,
        count: u32,
    ) -> Result<Offered, chat_protocol::Refusal> {
        let offer = Offer {
            sender: Identity { app: APP, user: user("s") },
            target: target.parse().expect("a target"),
            total: cents(total),
            count,
            mode: Mode::Equal,
            greeting: String::new(),
            msg_id: MsgId::new(id).expect("an id"),
        };
        self.works.red_packets.create(offer).await
    }

    async fn packet(&self, id: &str, total: u64, count: u32) -> Terms {
        self.create(id, total, count).await.expect("created").terms
    }

    async fn grab(&self, packet: &PacketId, who: &str) {
        let won = self.works.red_packets.grab(APP, packet, &user(who)).await.expect("an answer");
        assert!(won.amount > 0, "{won:?}");
    }

    /// Takes everything out of the queue as if it were done.
    async fn lose(&self, count: usize) {
        let tags: Vec<_> = receive(&self.works.queue, count).await.into_iter().map(|lost| lost.tag).collect();
        self.works.queue.done(&tags).await.expect("gone");
    }

    async fn held(&self, packet: &PacketId) -> u64 {
        self.works.ledger.escrow(APP, packet).await.expect("a packet").balance.unsigned()
    }

    async fn offers(&self, terms: &Terms) -> usize {
        let log = self.works.node.log(&Conversation::of(APP, &terms.sender, &terms.target)).await;
        log.entries.iter().filter(|entry| members(entry)["packetId"] == terms.packet.as_str()).count()
    }

    /// Money is where it belongs.
    async fn sound(&self) {
        holds(&*self.works.ledger).await;
        let audit = works::audit(&self.works.auditor, APP, None).await;
        assert!(audit.holds, "{audit:#?}");
    }
}

fn terms(id: &str, target: &str) -> Terms {
    Terms { expires_ms: CREATED_MS + EXPIRY_MS, ..chat_tests::money::terms(id, target, &[3, 4]) }
}

async fn an_interrupted_creation_is_finished(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = terms("p", "");
    bench.works.ledger.fund(&given).await.expect("funded");
    bench.at(CREATED_MS + FIRST_LOOK_MS - 1);
    assert_eq!((bench.round().await, bench.offers(&given).await), (0, 0), "who creates it may be at work");
    bench.at(CREATED_MS + FIRST_LOOK_MS);
    assert_eq!((bench.round().await, bench.offers(&given).await), (1, 1));
    bench.grab(&given.packet, "a").await;
    bench.at(given.expires_ms - 1);
    assert_eq!(bench.round().await, 0);
    bench.at(given.expires_ms);
    assert_eq!(bench.round().await, 1);
    bench.works.settle_all(&bench.engine).await;
    assert_eq!((bench.held(&given.packet).await, bench.offers(&given).await), (0, 1));
    bench.sound().await;
}

async fn what_a_conversation_refuses_goes_back(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = terms("p", "group:g");
    bench.works.node.create("g", &["x"]).await;
    bench.works.ledger.fund(&given).await.expect("funded");
    bench.at(CREATED_MS + FIRST_LOOK_MS);
    assert_eq!(bench.round().await, 1);
    bench.works.settle_all(&bench.engine).await;
    assert_eq!((bench.held(&given.packet).await, balance(&*bench.works.ledger, "s").await), (0, 1000));
    // Were they a member now, what went back would not be offered.
    bench.works.node.change("g", join("s")).await;
    let escrow = bench.works.ledger.escrow(APP, &given.packet).await.expect("a packet");
    let refusal = bench.works.red_packets.finish(&escrow).await.expect_err("it went back");
    assert_eq!((refusal.code, bench.offers(&given).await), (Code::RefusedByRule, 0));
    bench.sound().await;
}

async fn what_the_queue_lost_is_paid_when_it_is_late(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = bench.packet("p", 9, 3).await;
    bench.grab(&given.packet, "a").await;
    bench.grab(&given.packet, "b").await;
    bench.lose(2).await;
    bench.at(given.expires_ms);
    assert_eq!(bench.round().await, 1);
    bench.lose(1).await;
    bench.at(given.expires_ms + LATE_MS - 1);
    assert_eq!((bench.round().await, bench.held(&given.packet).await), (0, 9), "it may be on its way");
    bench.at(given.expires_ms + LATE_MS);
    assert_eq!((bench.round().await, bench.held(&given.packet).await), (1, 0));
    for (name, cents) in [("a", 3), ("b", 3), ("s", 994)] {
        assert_eq!(balance(&*bench.works.ledger, name).await, cents, "{name}");
    }
    let snapshot = bench.works.node.packets.snapshot(APP, &given.packet).await.expect("known");
    assert_eq!((snapshot.state, snapshot.grabbed, snapshot.refunded), (State::Expired, cents(6), cents(3)));
    bench.sound().await;
}

/// A packet that only the ledger knows.
async fn forgotten(bench: &Bench) -> Terms {
    let given = terms("p", "");
    bench.works.ledger.fund(&given).await.expect("funded");
    bench.works.ledger.announced(APP, &given.packet).await.expect("announced");
    given
}

async fn what_is_forgotten_goes_back_when_its_settlements_are_late(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = forgotten(&bench).await;
    bench.at(given.expires_ms);
    assert_eq!((bench.round().await, bench.held(&given.packet).await), (1, 7));
    assert_eq!(
        bench.works.ledger.settle(&[share_of("p", "a", 3, CREATED_MS)]).await,
        Ok(vec![NOW]),
        "it was on its way all the time"
    );
    bench.at(given.expires_ms + LATE_MS);
    assert_eq!((bench.round().await, bench.held(&given.packet).await), (1, 0));
    assert_eq!(balance(&*bench.works.ledger, "s").await, 997);
    bench.sound().await;
}

async fn what_is_forgotten_after_its_refund_goes_back_too(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = forgotten(&bench).await;
    assert_eq!(bench.works.ledger.settle(&[refund_of("p", 4, CREATED_MS)]).await, Ok(vec![NOW]));
    bench.at(given.expires_ms + LATE_MS);
    assert_eq!((bench.round().await, bench.held(&given.packet).await), (1, 0));
    assert_eq!((bench.round().await, balance(&*bench.works.ledger, "s").await), (0, 1000));
    bench.sound().await;
}

async fn what_the_queue_lost_is_paid_when_an_operator_says_so(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = bench.packet("p", 9, 3).await;
    bench.grab(&given.packet, "a").await;
    bench.grab(&given.packet, "b").await;
    bench.lose(1).await;
    let unpaid = bench.works.claims.unpaid(APP, &given.packet).await.expect("listed");
    assert!(
        unpaid
            .iter()
            .map(|claim| (claim.kind, claim.amount.unsigned()))
            .eq([(Kind::Grab, 3), (Kind::Grab, 3)])
    );
    for paid in [2, 0] {
        let applied = bench.works.sweeper.mend(APP, &given.packet).await.expect("settled");
        assert_eq!((applied.now, applied.refused), (paid, 0));
    }
    bench.works.settle_all(&bench.engine).await;
    assert_eq!(bench.held(&given.packet).await, 3, "each once, by whichever way");
    let unknown = bench.works.sweeper.mend(APP, &PacketId::new("q").expect("a name")).await;
    assert_eq!(unknown.map_err(|refusal| refusal.code), Err(Code::NotFound));
    bench.at(given.expires_ms);
    for paid in [1, 0] {
        let applied = bench.works.sweeper.mend(APP, &given.packet).await.expect("settled");
        assert_eq!((applied.now, bench.held(&given.packet).await), (paid, 0), "its time is over");
    }
    bench.works.settle_all(&bench.engine).await;
    bench.sound().await;
}

async fn who_was_paid_is_looked_after_once_more(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = bench.packet("p", 2, 2).await;
    for who in ["a", "b"] {
        bench.grab(&given.packet, who).await;
    }
    bench.works.settle_all(&bench.engine).await;
    for (at_ms, looks) in [(0, 1), (LATE_MS - 1, 0), (LATE_MS, 1), (10 * LATE_MS, 0)] {
        bench.at(given.expires_ms + at_ms);
        assert_eq!(bench.round().await, looks, "{at_ms} ms after its end");
    }
    bench.sound().await;
}

async fn many_that_fail_keep_nobody_waiting(engine: Engine) {
    const BAD: usize = 700;
    let bench = Bench::new(engine).await;
    for number in 0..BAD {
        let bad =
            Terms { expires_ms: CREATED_MS, ..chat_tests::money::terms(&format!("{number}"), "", &[1]) };
        bench.works.ledger.fund(&bad).await.expect("funded");
    }
    bench.vault.tamper("UPDATE #escrow SET terms = '{}'").await.expect("changed");
    let given = bench.packet("p", 9, 3).await;
    bench.at(given.expires_ms);
    let (mut looked, mut rounds) = (0, 0);
    while bench.held(&given.packet).await > 0 {
        looked += bench.round().await;
        rounds += 1;
        assert!(rounds < 4, "{looked} were looked at, and not the one that can be helped");
        bench.works.settle_all(&bench.engine).await;
    }
    assert_eq!(looked, BAD + 1);
    bench.at(given.expires_ms + AGAIN_MS);
    assert_eq!(bench.round().await, 0, "who cannot be helped is not looked at all the time");
}

async fn a_repeat_after_a_day_posts_no_second_offer(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = bench.packet("p", 9, 3).await;
    bench.at(CREATED_MS + REPEAT_WINDOW_MS - 1);
    let again = bench.create("p", 9, 3).await.expect("the same again");
    assert!(again.duplicate && again.terms == given);
    bench.at(CREATED_MS + REPEAT_WINDOW_MS);
    let late = bench.create("p", 9, 3).await.expect_err("too late");
    assert!(late.code == Code::RefusedByRule && late.reason.contains(given.packet.as_str()), "{late:?}");
    assert_eq!((bench.offers(&given).await, balance(&*bench.works.ledger, "s").await), (1, 991));
    bench.sound().await;
}

/// A packet of 9 in 3 shares for a group, of which one member has taken a share, and which was dismissed then.
async fn orphan(bench: &Bench) -> Terms {
    bench.works.node.create("g", &["s", "a", "b"]).await;
    let given = bench.create_for("group:g", "p", 9, 3).await.expect("created").terms;
    bench.grab(&given.packet, "a").await;
    bench.works.node.change("g", dismiss("s")).await;
    bench.works.red_packets.dismissed(APP, &group_id("g")).await;
    given
}

async fn the_packets_of_a_dismissed_group_go_back(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = orphan(&bench).await;
    let others = bench.packet("world", 5, 1).await;
    assert_eq!(bench.round().await, 1, "at once, and no other packet");
    bench.works.settle_all(&bench.engine).await;
    assert_eq!((bench.held(&given.packet).await, bench.held(&others.packet).await), (0, 5));
    assert_eq!(balance(&*bench.works.ledger, "s").await, 1000 - 3 - 5);
    assert_eq!(balance(&*bench.works.ledger, "a").await, 3, "what was won is paid");
    assert_eq!(bench.round().await, 0);
    bench.sound().await;
}

async fn a_later_group_of_the_same_id_has_no_part(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = orphan(&bench).await;
    let (node, red_packets) = (&bench.works.node, &bench.works.red_packets);
    node.create("g", &["m", "s", "b"]).await;
    for who in ["m", "s", "b"] {
        let grabbed = red_packets.grab(APP, &given.packet, &user(who)).await;
        assert_eq!(grabbed.map_err(|refusal| refusal.code), Err(Code::RefusedByRule), "{who}");
    }
    let seen = async |who| red_packets.detail(APP, &given.packet, Some(&user(who)), 0, 1).await;
    assert_eq!(seen("m").await.map_err(|refusal| refusal.code).err(), Some(Code::RefusedByRule));
    assert_eq!(seen("s").await.expect("their own").grabbed, 3);
    let again = bench.create_for("group:g", "p", 9, 3).await.map_err(|refusal| refusal.code);
    assert_eq!(again.err(), Some(Code::RefusedByRule), "it was for another group");
    bench.round().await;
    bench.works.settle_all(&bench.engine).await;
    assert_eq!((bench.held(&given.packet).await, bench.offers(&given).await), (0, 0));
    let log = node.log(&Conversation::of(APP, &given.sender, &given.target)).await;
    assert!(log.entries.iter().all(|entry| members(entry)["type"] != "redPacket"), "{log:?}");
    assert_eq!(balance(&*bench.works.ledger, "s").await, 997);
    let own = bench.create_for("group:g", "q", 4, 2).await.expect("of the new group").terms;
    bench.grab(&own.packet, "m").await;
    bench.sound().await;
}

async fn a_creation_that_its_group_did_not_outlive_goes_back(engine: Engine) {
    let bench = Bench::new(engine).await;
    let node = &bench.works.node;
    node.create("g", &["s"]).await;
    let former = node.groups.membership(APP, &group_id("g"), &user("s")).await.expect("a group");
    let given = Terms { incarnation: Some(former.incarnation.to_string()), ..terms("p", "group:g") };
    bench.works.ledger.fund(&given).await.expect("funded");
    node.change("g", dismiss("s")).await;
    node.create("g", &["s", "m"]).await;
    bench.at(CREATED_MS + FIRST_LOOK_MS);
    for _ in 0..2 {
        bench.round().await;
        bench.works.settle_all(&bench.engine).await;
        bench.at(CREATED_MS + FIRST_LOOK_MS + LATE_MS);
    }
    assert_eq!((bench.held(&given.packet).await, bench.offers(&given).await), (0, 0));
    assert_eq!(balance(&*bench.works.ledger, "s").await, 1000);
    bench.sound().await;
}

/// As packets were named when anybody could.
fn former_name(id: &str) -> PacketId {
    let namespace = uuid::Uuid::from_u128(0x7265_645f_7061_636b_6574_5f6e_616d_6573);
    let name = uuid::Uuid::new_v5(&namespace, format!("{APP}\ns\n{id}").as_bytes());
    PacketId::new(&name.simple().to_string()).expect("a name")
}

async fn the_name_of_a_packet_is_known_to_nobody_before(engine: Engine) {
    let bench = Bench::new(engine).await;
    let given = bench.packet("p", 9, 3).await;
    assert_ne!(given.packet, former_name("p"));
    let elsewhere = Bench::new(Engine::embedded()).await;
    assert_ne!(elsewhere.packet("p", 9, 3).await.packet, given.packet, "of another ledger");
    let again = Works::new(&bench.engine, &bench.vault, bench.works.node.clone(), EXPIRY_MS, LONG).await;
    let bench = Bench { works: again, ..bench };
    assert_eq!(bench.packet("p", 9, 3).await.packet, given.packet, "whoever is asked");
}

async fn what_was_created_before_there_was_a_secret_is_not_paid_again(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.vault.tamper(&format!("UPDATE #secret SET made = {CREATED_MS}")).await.expect("changed");
    let before =
        Terms { packet: former_name("p"), mode: Mode::Equal, greeting: String::new(), ..terms("p", "") };
    bench.works.ledger.fund(&before).await.expect("funded");
    let again = bench.create("p", 7, 2).await.expect("the same again");
    assert!(again.duplicate && again.terms.packet == before.packet, "{again:?}");
    assert_eq!(balance(&*bench.works.ledger, "s").await, 993);
    assert_ne!(bench.packet("q", 5, 1).await.packet, former_name("q"));
}
