//! The audit finds what is wrong in the ledger's tables in PostgreSQL: rows are changed behind chatd's back, and it names
//! packet and rule, also where all sums are right.
//!
//! Invariant: every packet is sound before it is tampered with, and the sound ones stay so.

use chat_tests::audit_bench::{APP, Bench};
use chat_tests::fault_site::FaultSite;
use chat_tests::money_site::deposit;

/// Moves cents between two accounts, without a transfer.
fn moves(cents: &str, from: &str, to: &str) -> String {
    format!(
        "INSERT INTO chat_account(app, name, balance) VALUES ({APP}, '{to}', 0) ON CONFLICT DO NOTHING;
         UPDATE chat_account SET balance = balance - {cents} WHERE app = {APP} AND name = '{from}';
         UPDATE chat_account SET balance = balance + {cents} WHERE app = {APP} AND name = '{to}';"
    )
}

/// A transfer, with the balances it moves.
fn pays(id: &str, kind: &str, cents: u64, from: &str, to: &str) -> String {
    let row = format!(
        "INSERT INTO chat_transfer(app, id, debit, credit, amount, kind, packet, time)
         VALUES ({APP}, '{id}', '{from}', '{to}', {cents}, '{kind}', CASE '{kind}' WHEN 'deposit' THEN NULL ELSE 'PACKET' END, 1);"
    );
    row + &moves(&cents.to_string(), from, to)
}

/// What is done, the rules of the packet that are broken then, and what the audit of the app finds besides: a packet, or
/// none, and a rule.
type Tampering = (String, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// With `PACKET` for a packet, `WHO` for its first winner, and `GRAB` for the payment of that.
fn tamperings() -> Vec<Tampering> {
    let (escrow, who) = ("escrow:PACKET", "wallet:WHO");
    let grabbed = format!("(SELECT amount FROM chat_transfer WHERE app = {APP} AND id = 'GRAB')");
    let of_grab = |change: &str| format!("{change} WHERE app = {APP} AND id = 'GRAB';");
    let of_row =
        |change: &str| format!("UPDATE chat_escrow SET {change} WHERE app = {APP} AND packet = 'PACKET';");
    let terms = |name: &str, value: &str| {
        of_row(&format!("terms = jsonb_set(terms::jsonb, '{{{name}}}', '{value}')::json"))
    };
    let funding = |change: &str| {
        format!("UPDATE chat_transfer SET {change} WHERE app = {APP} AND id = 'packet:PACKET';")
    };
    vec![
        // Payments that nobody won.
        (pays("grab:32:PACKET:stranger", "grab", 7, escrow, "wallet:stranger"), &["settlement"], &[]),
        (pays("again PACKET", "grab", 7, escrow, who), &["transfer"], &[]),
        (pays("refund:PACKET", "refund", 9, escrow, "wallet:s"), &["refund"], &[]),
        (pays("rest:PACKET", "refund", 2, escrow, "wallet:u9"), &["refund"], &[]),
        (pays("d PACKET", "grab", 9, escrow, "escrow:x"), &["transfer"], &[("x", "escrow")]),
        (pays("e PACKET", "packet", 2, escrow, "wallet:u9"), &["transfer"], &[]),
        (pays("f PACKET", "deposit", 2, escrow, "wallet:u9"), &["transfer"], &[]),
        // Wins that nobody was paid.
        (moves(&grabbed, who, escrow) + &of_grab("DELETE FROM chat_transfer"), &["settlement"], &[]),
        (of_grab("DELETE FROM chat_transfer"), &["settlement", "escrow"], &[("", "ledger")]),
        (
            moves(&grabbed, who, "wallet:u9") + &of_grab("UPDATE chat_transfer SET credit = 'wallet:u9'"),
            &["transfer", "settlement"],
            &[],
        ),
        (
            of_grab("UPDATE chat_transfer SET amount = amount + 1"),
            &["settlement", "escrow"],
            &[("", "ledger")],
        ),
        // Another creation than the terms tell of.
        (moves("1", escrow, "wallet:s") + &funding("amount = amount - 1"), &["terms"], &[]),
        (moves("3000", "wallet:rich", "wallet:s") + &funding("debit = 'wallet:rich'"), &["terms"], &[]),
        (terms("total", "2999"), &["terms", "total"], &[]),
        (terms("sender", "\"u9\""), &["terms"], &[]),
        (terms("count", "11"), &["terms", "share"], &[]),
        (terms("packet", "\"other\""), &["terms"], &[]),
        (terms("expires_ms", "1"), &["terms", "refund"], &[]),
        (of_row("created = created + 1"), &["terms"], &[]),
        (of_row("expires = expires + 1"), &["terms"], &[]),
        (of_row("terms = '{}'"), &["unreadable"], &[]),
        // Rows that are not there.
        (
            format!("DELETE FROM chat_escrow WHERE app = {APP} AND packet = 'PACKET';"),
            &["unknown"],
            &[("PACKET", "escrow")],
        ),
        (
            format!(
                "UPDATE chat_account SET name = 'escrow:gone' WHERE app = {APP} AND name = '{escrow}';
                 UPDATE chat_transfer SET debit = 'escrow:gone' WHERE app = {APP} AND debit = '{escrow}';
                 UPDATE chat_transfer SET credit = 'escrow:gone' WHERE app = {APP} AND credit = '{escrow}';"
            ),
            &["escrow", "settlement"],
            &[("gone", "escrow"), ("PACKET", "transfer")],
        ),
        (
            format!("UPDATE chat_account SET balance = balance - 1 WHERE app = {APP} AND name = '{escrow}';"),
            &["escrow"],
            &[("", "ledger")],
        ),
    ]
}

/// What breaks no rule of a packet.
fn tamperings_of_the_app() -> Vec<(String, &'static [(&'static str, &'static str)])> {
    let set = |change: &str, name: &str| {
        format!("UPDATE chat_account SET {change} WHERE app = {APP} AND name = '{name}';")
    };
    vec![
        (pays("theft", "deposit", 20, "wallet:rich", "wallet:u9"), &[("", "transfer")]),
        (
            set("balance = balance + 1", "wallet:u0") + &set("balance = balance - 1", "wallet:u1"),
            &[("", "ledger")],
        ),
        (
            format!(
                "INSERT INTO chat_escrow(app, packet, terms, created, expires, look)
                 VALUES ({APP}, E'a\\tb', '{{}}', 1, 1, NULL);"
            ),
            &[("", "unreadable")],
        ),
        (pays("packet:y", "packet", 5, "wallet:rich", "escrow:y").replace("PACKET", "y"), &[("y", "escrow")]),
        (set("name = 'purse'", "wallet:rich"), &[("", "ledger")]),
    ]
}

#[tokio::test]
async fn what_is_wrong_in_the_tables_is_named() {
    let count = u32::try_from(tamperings().len()).expect("a few") + 2;
    let mut bench = Bench::new(FaultSite::shared(1, &[]).await, count).await;
    deposit(&bench.http, APP, "rich", 10_000).await;
    let change = async |bench: &Bench, sql: &str| {
        let sql = format!(
            "ALTER TABLE chat_transfer DISABLE TRIGGER ALL; {sql} ALTER TABLE chat_transfer ENABLE TRIGGER ALL"
        );
        bench.site.sql(&sql).await;
    };
    for (sql, rules, besides) in tamperings() {
        let packet = bench.take();
        let (who, _) = bench.first(&packet).await;
        let sql = sql.replace("GRAB", &format!("grab:32:{packet}:{who}")).replace("WHO", &who);
        let sql = sql.replace("PACKET", packet.as_str());
        change(&bench, &sql).await;
        bench.finds(&sql, &packet, rules).await;
        for (other, rule) in besides {
            bench.expect(&other.replace("PACKET", packet.as_str()), rule);
        }
    }
    for (sql, found) in tamperings_of_the_app() {
        change(&bench, &sql).await;
        found.iter().for_each(|(packet, rule)| bench.expect(packet, rule));
    }
    bench.finds_all().await;
}
