//! The audit finds what is wrong: stores are changed behind chatd's back, and it names packet and rule.
//!
//! Invariant: every packet is sound before it is tampered with, and the sound ones stay so.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_client::Http;
use chat_protocol::PacketId;
use chat_protocol::red_packet::{Audit, AuditRequest, AuditResponse};
use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::{Books, audit_until, detail};
use chat_tests::money_site::{audit, deposit};
use chat_tests::program;
use chatd::keys::Keys;
use redis::aio::MultiplexedConnection;

const APP: u32 = 861;

/// A site with sound packets, each of which is tampered with once.
struct Bench {
    site: FaultSite,
    http: Http,
    books: Arc<Books>,
    packets: Vec<PacketId>,
    /// What must be found in all.
    wanted: BTreeSet<(String, String)>,
}

impl Bench {
    async fn new(site: FaultSite, count: u32) -> Self {
        let http = site.http(0);
        deposit(&http, APP, "s", 1_000_000).await;
        let books = Books::new(APP, site.ways());
        let mut packets = Vec::new();
        for number in 0..count {
            packets.push(books.create("s", 3000, 10, &format!("p{number}")).await);
        }
        books.crowd(&packets, 4).await.expect("no panic");
        books.agree(&http).await;
        Self { site, http, books, packets, wanted: BTreeSet::new() }
    }

    /// A packet nobody has tampered with.
    fn next(&mut self) -> PacketId {
        self.packets.pop().expect("one more packet")
    }

    /// Cents of the first winner.
    async fn first_amount(&self, packet: &PacketId) -> u64 {
        detail(&self.http, APP, packet).await.winners[0].amount
    }

    async fn audit_of(&self, packet: &PacketId) -> AuditResponse {
        let request = AuditRequest { app_id: APP, packet_id: Some(packet.clone()) };
        self.http.call::<Audit>(&request).await.expect("an audit")
    }

    /// Exactly these rules of the packet are broken.
    async fn finds(&mut self, packet: &PacketId, rules: &[&str]) {
        let found = self.audit_of(packet).await;
        let named: BTreeSet<_> = found.violations.iter().map(|violation| violation.rule.as_str()).collect();
        assert_eq!(named, rules.iter().copied().collect(), "{found:#?}");
        assert!(found.violations.iter().all(|violation| violation.packet_id.as_ref() == Some(packet)));
        assert!(!found.holds && found.violation_count >= rules.len() as u64);
        self.wanted.extend(rules.iter().map(|rule| (packet.to_string(), (*rule).to_owned())));
    }

    /// The audit of all finds everything that was found packet by packet, and these rules of the app besides; the
    /// packets that are left are sound; and chatctl tells all this and ends with 6.
    async fn finds_all(self, rules: &[&str]) {
        let found = audit(&self.http, APP).await;
        let packet = |id: Option<&PacketId>| id.map(ToString::to_string).unwrap_or_default();
        let named: BTreeSet<_> =
            found.violations.iter().map(|of| (packet(of.packet_id.as_ref()), of.rule.clone())).collect();
        let mut wanted = self.wanted;
        wanted.extend(rules.iter().map(|rule| (String::new(), (*rule).to_owned())));
        assert_eq!(named, wanted, "{found:#?}");
        let server = self.http.server().to_string();
        let app = APP.to_string();
        let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", app.as_str())];
        let ended = program::run("chatctl", &["redpacket", "audit", "-o", "name"], &variables).await;
        assert_eq!(ended.code, Some(6), "{ended:?}");
        for (packet, rule) in wanted.iter().filter(|(packet, _)| !packet.is_empty()) {
            let line = ended.stderr.split("; ").find(|part| part.contains(packet.as_str()));
            assert!(line.is_some_and(|line| line.contains(rule.as_str())), "{packet} {rule}: {ended:?}");
            assert!(ended.stdout.contains(packet.as_str()), "{ended:?}");
        }
        for packet in &self.packets {
            let request = AuditRequest { app_id: APP, packet_id: Some(packet.clone()) };
            let sound = self.http.call::<Audit>(&request).await.expect("an audit");
            assert!(sound.holds, "{sound:#?}");
            let ended = program::run("chatctl", &["redpacket", "audit", packet.as_str()], &variables).await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        drop((self.site, self.books));
    }
}

/// Sends a command to Redis.
async fn send(redis: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async::<redis::Value>(redis).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

/// The JSON of a settlement.
fn settlement(packet: &str, user: &str, amount: u64) -> String {
    format!(
        r#"{{"app":{APP},"packet":"{packet}","kind":"grab","user":"{user}","amount":{amount},"time_ms":1}}"#
    )
}

/// Of the winners and sums that Redis keeps.
async fn tamper_with_redis(bench: &mut Bench, redis: &mut MultiplexedConnection) {
    let keys = Keys::default();
    let packet = bench.next();
    let key = keys.packet(APP, &packet);
    send(redis, &["HINCRBY", &key, "grabbed", "-1"]).await;
    bench.finds(&packet, &["winner"]).await;

    let packet = bench.next();
    let key = keys.packet(APP, &packet);
    send(redis, &["HSET", &key, "grabbed", "3001"]).await;
    bench.finds(&packet, &["total"]).await;

    let packet = bench.next();
    let (list, amount) = (keys.winners(APP, &packet), bench.first_amount(&packet).await);
    let first = detail(&bench.http, APP, &packet).await.winners[0].user_id.to_string();
    send(redis, &["LSET", &list, "0", &format!("{} 1 {first}", amount + 5)]).await;
    bench.finds(&packet, &["winner", "settlement"]).await;

    // All sums are as they should be; only he was paid otherwise.
    let packet = bench.next();
    let (list, amount) = (keys.winners(APP, &packet), bench.first_amount(&packet).await);
    let first = detail(&bench.http, APP, &packet).await.winners[0].user_id.to_string();
    send(redis, &["LSET", &list, "0", &format!("{} 1 {first}", amount + 5)]).await;
    send(redis, &["HINCRBY", &keys.packet(APP, &packet), "grabbed", "5"]).await;
    bench.finds(&packet, &["settlement"]).await;

    let packet = bench.next();
    let list = keys.winners(APP, &packet);
    let winners = detail(&bench.http, APP, &packet).await.winners;
    let twice = format!("{} 1 {}", winners[1].amount, winners[0].user_id);
    send(redis, &["LSET", &list, "1", &twice]).await;
    bench.finds(&packet, &["winner", "settlement"]).await;

    let packet = bench.next();
    send(redis, &["LSET", &keys.winners(APP, &packet), "2", "not a winner"]).await;
    bench.finds(&packet, &["winner"]).await;

    let packet = bench.next();
    send(redis, &["DEL", &keys.winners(APP, &packet)]).await;
    bench.finds(&packet, &["winner", "settlement"]).await;

    let packet = bench.next();
    let key = keys.packet(APP, &packet);
    let terms: String = redis::cmd("HGET").arg(&key).arg("terms").query_async(redis).await.expect("terms");
    send(redis, &["HSET", &key, "terms", &terms.replace(r#""total":3000"#, r#""total":2999"#)]).await;
    bench.finds(&packet, &["total"]).await;

    let packet = bench.next();
    send(redis, &["DEL", &keys.packet(APP, &packet)]).await;
    bench.finds(&packet, &["lost"]).await;
}

/// Of settlements on their way.
async fn tamper_with_the_outbox(bench: &mut Bench, redis: &mut MultiplexedConnection) {
    let outbox = Keys::default().outbox(APP);
    let packet = bench.next();
    let forged = settlement(packet.as_str(), "thief", 7);
    send(redis, &["XADD", &outbox, "*", "body", &forged]).await;
    audit_until(&bench.http, APP, "applied", |audit| audit.queued == 0).await;
    bench.finds(&packet, &["settlement"]).await;

    let packet = bench.next();
    let forged = settlement(packet.as_str(), "thief", 3001);
    send(redis, &["XADD", &outbox, "*", "body", &forged]).await;
    audit_until(&bench.http, APP, "given up", |audit| audit.dead_letters == 1).await;
    bench.finds(&packet, &["deadLetter"]).await;
}

/// Of transfers and balances in PostgreSQL.
async fn tamper_with_postgresql(bench: &mut Bench) {
    let pay = |id: &str, packet: &PacketId, user: &str, amount: u64| {
        format!(
            "INSERT INTO chat_transfer(app, id, debit, credit, amount, kind, packet, time)
                VALUES ({APP}, '{id}', 'escrow:{packet}', 'wallet:{user}', {amount}, 'grab', '{packet}', 1);
             INSERT INTO chat_account(app, name, balance) VALUES ({APP}, 'wallet:{user}', {amount})
                ON CONFLICT (app, name) DO UPDATE SET balance = chat_account.balance + {amount};
             UPDATE chat_account SET balance = balance - {amount}
                WHERE app = {APP} AND name = 'escrow:{packet}'"
        )
    };
    let packet = bench.next();
    bench.site.sql(&pay("a", &packet, "stranger", 7)).await;
    bench.finds(&packet, &["settlement"]).await;

    // A winner who is paid twice: all accounts and all sums are right.
    let packet = bench.next();
    let amount = bench.first_amount(&packet).await;
    let first = detail(&bench.http, APP, &packet).await.winners[0].user_id.to_string();
    bench.site.sql(&pay("b", &packet, &first, amount)).await;
    bench.finds(&packet, &["settlement"]).await;

    let packet = bench.next();
    bench.site.sql(&pay("c", &packet, "s", 9).replace("'grab'", "'refund'")).await;
    bench.finds(&packet, &["refund"]).await;

    // Out of an escrow to something that is no wallet.
    let packet = bench.next();
    bench.site.sql(&pay("d", &packet, "x", 9).replace("wallet:x", "escrow:x")).await;
    bench.finds(&packet, &["escrow"]).await;
}

#[tokio::test]
async fn what_is_wrong_in_redis_and_postgresql_is_named() {
    let mut bench = Bench::new(FaultSite::shared(1, &[]).await, 17).await;
    let mut redis = bench.site.redis_client().await;
    tamper_with_redis(&mut bench, &mut redis).await;
    tamper_with_the_outbox(&mut bench, &mut redis).await;
    tamper_with_postgresql(&mut bench).await;

    let packet = bench.next();
    let less = format!(
        "UPDATE chat_account SET balance = balance - 1 WHERE app = {APP} AND name = 'escrow:{packet}'"
    );
    bench.site.sql(&less).await;
    bench.finds(&packet, &["escrow"]).await;
    bench.finds_all(&["ledger"]).await;
}

#[tokio::test]
async fn a_refund_that_is_not_what_was_left_is_named() {
    let mut bench = Bench::new(FaultSite::shared(1, &[]).await, 4).await;
    let over = "UPDATE chat_escrow SET expires = 0, look = 0, terms = jsonb_set(terms::jsonb, '{expires_ms}', '1')::json";
    bench.site.sql(over).await;
    audit_until(&bench.http, APP, "refunded", |audit| audit.open == 0 && audit.unsettled == 0).await;
    let (mut redis, keys) = (bench.site.redis_client().await, Keys::default());
    let packet = bench.next();
    send(&mut redis, &["HINCRBY", &keys.packet(APP, &packet), "refunded", "-1"]).await;
    bench.finds(&packet, &["refund"]).await;

    let packet = bench.next();
    let to_a_thief = format!(
        "ALTER TABLE chat_transfer DISABLE TRIGGER ALL;
         UPDATE chat_transfer SET credit = 'wallet:u0' WHERE app = {APP} AND id = 'refund:{packet}';
         ALTER TABLE chat_transfer ENABLE TRIGGER ALL"
    );
    bench.site.sql(&to_a_thief).await;
    bench.finds(&packet, &["refund"]).await;
    bench.finds_all(&["ledger"]).await;
}

#[tokio::test]
async fn what_is_wrong_in_the_files_is_named() {
    let mut bench = Bench::new(FaultSite::alone(&[]).await, 8).await;
    let open = |site: &FaultSite, name| {
        let file = rusqlite::Connection::open(site.file(name)).expect("the file");
        file.busy_timeout(chat_tests::wait::SOON).expect("a time");
        file
    };
    let (money, ledger) = (open(&bench.site, "money.sqlite3"), open(&bench.site, "ledger.sqlite3"));
    let run = |file: &rusqlite::Connection, sql: &str, packet: &PacketId| {
        let sql = sql.replace("PACKET", packet.as_str()).replace("APP", &APP.to_string());
        file.execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    let id = "(SELECT id FROM packet WHERE packet = 'PACKET')";
    for (file, sql, rules) in [
        (&money, format!("UPDATE packet SET grabbed = grabbed - 1 WHERE id = {id}"), &["winner"][..]),
        (&money, format!("UPDATE packet SET grabbed = 3001 WHERE id = {id}"), &["total"]),
        (
            &money,
            format!(
                "UPDATE share SET amount = amount + 5 WHERE number = 1 AND packet = {id};
                     UPDATE packet SET grabbed = grabbed + 5 WHERE id = {id}"
            ),
            &["settlement"],
        ),
        (&money, format!("DELETE FROM packet WHERE id = {id}"), &["lost"]),
        (
            &money,
            format!(
                "INSERT INTO dead_letter(app, reason, body) VALUES (APP, 'x', CAST('{}' AS BLOB))",
                settlement("PACKET", "u0", 1)
            ),
            &["deadLetter"],
        ),
        (
            &ledger,
            "INSERT INTO transfer(app, id, debit, credit, amount, kind, packet, time)
                VALUES (APP, 'x', 'escrow:PACKET', 'wallet:u0', 7, 'grab', 'PACKET', 1)"
                .to_owned(),
            &["settlement", "escrow"],
        ),
    ] {
        let packet = bench.next();
        run(file, &sql, &packet);
        bench.finds(&packet, rules).await;
    }
    let packet = bench.next();
    let removed =
        "DROP TRIGGER transfer_stays; DELETE FROM transfer WHERE packet = 'PACKET' AND kind = 'grab'";
    run(&ledger, removed, &packet);
    bench.finds(&packet, &["escrow"]).await;
    bench.finds_all(&["ledger"]).await;
}
