//! The audit finds what is wrong in Redis and on the way: what is kept there is changed behind chatd's back, and it
//! names packet and rule.
//!
//! Invariant: every packet is sound before it is tampered with, and the sound ones stay so.

use chat_protocol::PacketId;
use chat_tests::audit_bench::{APP, Bench};
use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::{audit_until, detail};
use chatd::engine::redis::keys::Keys;
use redis::aio::MultiplexedConnection;

/// Sends a command to Redis.
async fn send(redis: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async::<redis::Value>(redis).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

/// The text at the place that a command names.
async fn text(redis: &mut MultiplexedConnection, words: &[&str]) -> String {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(redis).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// The JSON of a settlement.
fn settlement(packet: &str, user: &str, amount: u64) -> String {
    format!(
        r#"{{"app":{APP},"packet":"{packet}","kind":"grab","user":"{user}","amount":{amount},"time_ms":1}}"#
    )
}

/// Commands with `PACKET`, `SHARES`, `WINNERS` for the keys of a packet, and `WHO` for the first winner; and the rules
/// that are broken then.
const TAMPERINGS: &[(&str, &[&str])] = &[
    ("HINCRBY PACKET grabbed -1", &["winner"]),
    ("HSET PACKET grabbed 3001", &["winner"]),
    ("HINCRBY PACKET left 1", &["share"]),
    ("HINCRBY PACKET u:WHO 7", &["winner"]),
    ("HDEL PACKET u:WHO", &["winner"]),
    ("HSET PACKET u:stranger 5", &["winner"]),
    ("HSET PACKET luckiest stranger", &["winner"]),
    ("HSET PACKET until 32000000000000", &["terms"]),
    ("HSET PACKET total 2999", &["terms"]),
    ("HSET PACKET for uthief", &["terms"]),
    ("HSET PACKET refunded 0", &["terms", "share"]),
    ("HDEL PACKET best", &["unreadable"]),
    ("HSET PACKET terms {}", &["unreadable"]),
    ("LSET WINNERS 2 x", &["unreadable"]),
    ("LSET SHARES 0 x", &["unreadable"]),
    ("LSET SHARES 0 5000", &["total"]),
    ("LSET SHARES 0 0", &["share", "total"]),
    ("LPOP SHARES", &["share", "total"]),
    ("DEL SHARES", &["share", "total"]),
    ("RPUSH SHARES 1", &["share", "total"]),
    ("DEL WINNERS", &["winner", "share", "total", "settlement"]),
    ("DEL PACKET", &["unreadable"]),
    ("DEL PACKET SHARES WINNERS", &["lost"]),
];

async fn tamper(bench: &mut Bench, redis: &mut MultiplexedConnection) {
    let keys = Keys::default();
    for (command, rules) in TAMPERINGS {
        let packet = bench.take();
        let (who, _) = bench.first(&packet).await;
        let words = command.split(' ').map(|word| match word {
            "PACKET" => keys.packet(APP, &packet),
            "SHARES" => keys.shares(APP, &packet),
            "WINNERS" => keys.winners(APP, &packet),
            word => word.replace("WHO", &who),
        });
        let words: Vec<_> = words.collect();
        send(redis, &words.iter().map(String::as_str).collect::<Vec<_>>()).await;
        bench.finds(command, &packet, rules).await;
    }
}

/// Of whole winners, where more than one thing must fit.
async fn tamper_with_winners(bench: &mut Bench, redis: &mut MultiplexedConnection) {
    let keys = Keys::default();
    let packet = bench.take();
    let (list, (who, amount)) = (keys.winners(APP, &packet), bench.first(&packet).await);
    send(redis, &["LSET", &list, "0", &format!("{} 1 {who}", amount + 5)]).await;
    bench.finds("more is won", &packet, &["winner", "total", "settlement"]).await;

    // The packet agrees with itself, but for the total; they were paid otherwise.
    let packet = bench.take();
    let (key, list, (who, amount)) =
        (keys.packet(APP, &packet), keys.winners(APP, &packet), bench.first(&packet).await);
    let more = (amount + 5000).to_string();
    send(redis, &["LSET", &list, "0", &format!("{more} 1 {who}")]).await;
    send(redis, &["HSET", &key, &format!("u:{who}"), &more, "best", &more, "luckiest", &who]).await;
    send(redis, &["HINCRBY", &key, "grabbed", "5000"]).await;
    bench.finds("more is won everywhere", &packet, &["total", "settlement"]).await;

    // Two shares are exchanged: nothing but the payments tells.
    let packet = bench.take();
    let (key, list) = (keys.packet(APP, &packet), keys.winners(APP, &packet));
    let winners = detail(&bench.http, APP, &packet).await.winners;
    let [(a, b), ..] = [(&winners[0], &winners[1])];
    send(redis, &["LSET", &list, "0", &format!("{} 1 {}", a.amount, b.user_id)]).await;
    send(redis, &["LSET", &list, "1", &format!("{} 1 {}", b.amount, a.user_id)]).await;
    let (of_a, of_b) = (format!("u:{}", a.user_id), format!("u:{}", b.user_id));
    send(redis, &["HSET", &key, &of_a, &b.amount.to_string(), &of_b, &a.amount.to_string()]).await;
    let best = winners.iter().map(|winner| winner.amount).max().expect("winners");
    let named =
        |amount, other: &str, own: &str| if amount == best { other.to_owned() } else { own.to_owned() };
    let luckiest = text(redis, &["HGET", &key, "luckiest"]).await;
    let luckiest = match luckiest.as_str() {
        who if who == a.user_id.as_str() => named(a.amount, b.user_id.as_str(), who),
        who if who == b.user_id.as_str() => named(b.amount, a.user_id.as_str(), who),
        who => who.to_owned(),
    };
    send(redis, &["HSET", &key, "luckiest", &luckiest]).await;
    bench.finds("two shares are exchanged", &packet, &["settlement"]).await;

    let packet = bench.take();
    let winners = detail(&bench.http, APP, &packet).await.winners;
    let twice = format!("{} 1 {}", winners[1].amount, winners[0].user_id);
    send(redis, &["LSET", &keys.winners(APP, &packet), "1", &twice]).await;
    bench.finds("one wins twice", &packet, &["winner", "settlement"]).await;

    let packet = bench.take();
    let key = keys.packet(APP, &packet);
    let terms = text(redis, &["HGET", &key, "terms"]).await;
    send(redis, &["HSET", &key, "terms", &terms.replace(r#""sender":"s""#, r#""sender":"t""#)]).await;
    bench.finds("another sender", &packet, &["terms"]).await;
}

async fn tamper_with_the_way(bench: &mut Bench, redis: &mut MultiplexedConnection) {
    let (keys, packet) = (Keys::default(), bench.take());
    let forged = settlement(packet.as_str(), "thief", 3001);
    send(redis, &["XADD", &keys.outbox(APP), "*", "body", &forged]).await;
    audit_until(&bench.http, APP, "given up", |audit| audit.dead_letters == 1).await;
    bench.finds("a forged settlement", &packet, &["deadLetter"]).await;

    let (packet, copy) = (bench.take(), PacketId::new("strange").expect("an id"));
    send(redis, &["COPY", &keys.packet(APP, &packet), &keys.packet(APP, &copy)]).await;
    bench.finds("a packet that the ledger does not have", &copy, &["unknown"]).await;
    send(
        redis,
        &["COPY", &keys.shares(APP, &packet), &keys.shares(APP, &PacketId::new("part").expect("an id"))],
    )
    .await;
    bench.expect("part", "unknown");
}

#[tokio::test]
async fn what_is_wrong_in_redis_is_named() {
    let count = u32::try_from(TAMPERINGS.len()).expect("a few") + 9;
    let mut bench = Bench::new(FaultSite::shared(1, &[]).await, count).await;
    let mut redis = bench.site.redis_client().await;
    tamper(&mut bench, &mut redis).await;
    tamper_with_winners(&mut bench, &mut redis).await;
    tamper_with_the_way(&mut bench, &mut redis).await;
    assert!(!bench.sound().is_empty());
    bench.finds_all().await;
}

#[tokio::test]
async fn a_refund_that_is_not_what_was_left_is_named() {
    let mut bench = Bench::new(FaultSite::shared(1, &[]).await, 4).await;
    let (mut redis, keys) = (bench.site.redis_client().await, Keys::default());
    // Their time is over, by both stores.
    for packet in bench.sound() {
        let key = keys.packet(APP, packet);
        let terms = text(&mut redis, &["HGET", &key, "terms"]).await;
        let (before, _) = terms.split_once(r#""expires_ms":"#).expect("an end");
        let after = terms.rsplit_once('}').expect("an object").1;
        send(&mut redis, &["HSET", &key, "terms", &format!(r#"{before}"expires_ms":1}}{after}"#)]).await;
    }
    let over = "UPDATE chat_escrow SET expires = 1, look = 0, terms = jsonb_set(terms::jsonb, '{expires_ms}', '1')::json";
    bench.site.sql(over).await;
    audit_until(&bench.http, APP, "refunded", |audit| audit.open == 0 && audit.unsettled == 0).await;
    let packet = bench.take();
    send(&mut redis, &["HINCRBY", &keys.packet(APP, &packet), "refunded", "-1"]).await;
    bench.finds("less was left", &packet, &["total", "refund"]).await;

    let packet = bench.take();
    let to_a_thief = format!(
        "ALTER TABLE chat_transfer DISABLE TRIGGER ALL;
         UPDATE chat_transfer SET credit = 'wallet:u0' WHERE app = {APP} AND id = 'refund:{packet}';
         ALTER TABLE chat_transfer ENABLE TRIGGER ALL"
    );
    bench.site.sql(&to_a_thief).await;
    bench.finds("it went to another", &packet, &["refund"]).await;
    bench.expect("", "ledger");
    bench.finds_all().await;
}
