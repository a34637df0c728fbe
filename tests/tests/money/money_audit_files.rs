//! The audit finds what is wrong in the files of a node alone: rows are changed behind chatd's back, and it names packet
//! and rule.
//!
//! Invariant: every packet is sound before it is tampered with, and the sound ones stay so.

use chat_tests::audit_bench::{APP, Bench};
use chat_tests::fault_site::FaultSite;
use chat_tests::wait::SOON;

/// A row of the packet; a winner who is not the luckiest.
const ROW: &str = "(SELECT id FROM packet WHERE packet = 'PACKET')";
const WINNER: &str =
    "packet = (SELECT id FROM packet WHERE packet = 'PACKET') AND number = (SELECT min(number) FROM share
    WHERE packet = (SELECT id FROM packet WHERE packet = 'PACKET')
    AND user <> (SELECT luckiest FROM packet WHERE packet = 'PACKET'))";

/// SQL on the file of the packets, and the rules that are broken then.
const PACKETS: &[(&str, &[&str])] = &[
    ("UPDATE packet SET grabbed = grabbed - 1 WHERE id = ROW", &["winner"]),
    ("UPDATE packet SET grabbed = 3001 WHERE id = ROW", &["winner"]),
    ("UPDATE packet SET taken = taken + 1 WHERE id = ROW", &["share"]),
    ("UPDATE packet SET best = best + 1 WHERE id = ROW", &["winner"]),
    ("UPDATE packet SET luckiest = 'stranger' WHERE id = ROW", &["winner"]),
    ("UPDATE packet SET total = total - 1 WHERE id = ROW", &["terms"]),
    ("UPDATE packet SET expires_ms = expires_ms + 1 WHERE id = ROW", &["terms"]),
    ("UPDATE packet SET terms = json_set(terms, '$.sender', 'thief') WHERE id = ROW", &["terms"]),
    ("UPDATE packet SET terms = '{}' WHERE id = ROW", &["unreadable"]),
    ("UPDATE packet SET refunded = 5 WHERE id = ROW", &["total", "share", "refund"]),
    ("UPDATE packet SET app = app + 1 WHERE id = ROW", &["lost"]),
    ("DELETE FROM packet WHERE id = ROW", &["lost"]),
    ("UPDATE share SET amount = amount + 1 WHERE number = 10 AND packet = ROW", &["total"]),
    ("UPDATE share SET amount = 'x' WHERE number = 10 AND packet = ROW", &["unreadable"]),
    ("UPDATE share SET number = 11 WHERE number = 10 AND packet = ROW", &["share"]),
    ("DELETE FROM share WHERE number = 10 AND packet = ROW", &["share", "total"]),
    ("UPDATE share SET user = 'thief', time_ms = 1 WHERE WINNER", &["settlement"]),
    ("UPDATE share SET user = NULL WHERE WINNER", &["winner", "share", "settlement"]),
    (
        "INSERT INTO dead_letter(app, reason, body) VALUES (APP, 'x', CAST(
            '{\"app\":APP,\"packet\":\"PACKET\",\"kind\":\"grab\",\"user\":\"u0\",\"amount\":1,\"time_ms\":1}' AS BLOB))",
        &["deadLetter"],
    ),
];

/// SQL on the file of the ledger, the rules that are broken then, and whether those of wallets are.
const LEDGER: &[(&str, &[&str], bool)] = &[
    (
        "INSERT INTO transfer(app, id, debit, credit, amount, kind, packet, time)
            VALUES (APP, 'grab:32:PACKET:nobody', 'escrow:PACKET', 'wallet:nobody', 7, 'grab', 'PACKET', 1)",
        &["settlement", "escrow"],
        true,
    ),
    (
        "INSERT INTO transfer(app, id, debit, credit, amount, kind, packet, time)
            VALUES (APP, 'x', 'escrow:PACKET', 'wallet:u0', 7, 'grab', 'PACKET', 1)",
        &["transfer", "escrow"],
        true,
    ),
    (
        "DROP TRIGGER IF EXISTS transfer_stays; DELETE FROM transfer WHERE packet = 'PACKET' AND kind = 'grab'",
        &["escrow", "settlement"],
        true,
    ),
    (
        "UPDATE escrow SET terms = json_set(terms, '$.total', 2999) WHERE packet = 'PACKET'",
        &["terms", "total"],
        false,
    ),
    ("UPDATE escrow SET terms = x'ff' || '' WHERE packet = 'PACKET'", &["unreadable"], false),
    ("UPDATE escrow SET created = created + 1 WHERE packet = 'PACKET'", &["terms"], false),
    ("UPDATE account SET balance = balance - 1 WHERE name = 'escrow:PACKET'", &["escrow"], true),
];

#[tokio::test]
async fn what_is_wrong_in_the_files_is_named() {
    let count = u32::try_from(PACKETS.len() + LEDGER.len()).expect("a few") + 2;
    let mut bench = Bench::new(FaultSite::alone(&[]).await, count).await;
    let open = |site: &FaultSite, name| {
        let file = rusqlite::Connection::open(site.file(name)).expect("the file");
        file.busy_timeout(SOON).expect("a time");
        file
    };
    let (money, ledger) = (open(&bench.site, "money.sqlite3"), open(&bench.site, "ledger.sqlite3"));
    let packets = PACKETS.iter().map(|(sql, rules)| (&money, sql, rules, false));
    let all = packets.chain(LEDGER.iter().map(|(sql, rules, wallets)| (&ledger, sql, rules, *wallets)));
    for (file, sql, rules, wallets) in all {
        let packet = bench.take();
        let sql = sql.replace("WINNER", WINNER).replace("ROW", ROW);
        let sql = sql.replace("PACKET", packet.as_str()).replace("APP", &APP.to_string());
        file.execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        bench.finds(&sql, &packet, rules).await;
        if wallets {
            bench.expect("", "ledger");
        }
    }
    let strange = "INSERT INTO packet(app, packet, terms, total, count, expires_ms) VALUES (861, 'strange', '{}', 1, 1, 1)";
    money.execute_batch(strange).expect("put");
    bench.expect("strange", "unknown");
    bench.finds_all().await;
}
