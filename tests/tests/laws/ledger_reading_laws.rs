//! The law of the ledger, what can be read from it, run against every adapter: `embedded::…` and `postgres::…`.

use std::collections::BTreeSet;

use chat_protocol::wallet::{Transfer, TransferKind};
use chat_protocol::{Target, TransferId};
use chat_tests::broker::{APP, user};
use chat_tests::ledger::{
    BEFORE, NOW, Vault, all_transfers, balance, cashed, check, endow, escrow, grab, holds, packet, refund,
    terms, with_packet,
};
use chat_tests::money::cents;
use chatd::money::Terms;
use chatd::money::ledger::records::{AccountRow, PacketRow, Place, Placed};
use chatd::money::ledger::{FIRST_LOOK_MS, Funded, Ledger, LedgerError, Paid, Posted};
use chatd::money::settlement::Kind;

/// Id, kind, cents and time of transfers.
fn seen(transfers: &[Transfer]) -> Vec<(&str, TransferKind, i64, u64)> {
    transfers.iter().map(|t| (t.transfer_id.as_str(), t.kind, t.amount, t.time)).collect()
}

async fn a_wallet_knows_its_transfers(vault: Vault) {
    vault.clock.set(70);
    let ledger = with_packet(&vault, 100).await;
    vault.clock.set(80);
    ledger.settle(&[grab("p", "s", 10), grab("p", "a", 20), refund("p", "s", 70)]).await.expect("settled");
    let page = ledger.transfers(APP, &user("s"), u64::MAX, 200).await.expect("listed");
    let wanted = [
        ("refund:p", TransferKind::Refund, 70, 80),
        ("grab:1:p:s", TransferKind::Grab, 10, 80),
        ("packet:p", TransferKind::Packet, -100, 70),
        ("to s", TransferKind::Deposit, 100, 70),
    ];
    assert_eq!(seen(&page), wanted);
    let packets: Vec<_> = page.iter().map(|transfer| transfer.packet_id.clone()).collect();
    assert_eq!(packets, [Some(packet("p")), Some(packet("p")), Some(packet("p")), None]);
    assert_eq!(ledger.transfers(APP, &user("nobody"), u64::MAX, 200).await, Ok(vec![]));
    assert_eq!(ledger.transfers(APP, &user("s"), u64::MAX, 0).await, Ok(vec![]));
    assert_eq!(ledger.transfers(APP, &user("s"), 0, 200).await, Ok(vec![]));
    let paid = |kind, name, amount| Paid { kind, user: user(name), amount: cents(amount), time_ms: 80 };
    let wanted = [paid(Kind::Grab, "s", 10), paid(Kind::Grab, "a", 20), paid(Kind::Refund, "s", 70)];
    assert_eq!(ledger.paid(APP, &packet("p")).await, Ok(wanted.to_vec()));
    assert_eq!(ledger.paid(APP, &packet("q")).await, Ok(vec![]));
}

async fn pages_tile_while_others_post(vault: Vault) {
    let ledger = vault.ledger().await;
    endow(&*ledger, "s", 1000).await;
    let writers: Vec<_> = [vault.ledger().await, vault.ledger().await].into_iter().collect();
    let mut posting = tokio::task::JoinSet::new();
    for (lane, writer) in writers.into_iter().enumerate() {
        posting.spawn(async move {
            for number in 0..60 {
                let id = format!("{lane}-{number}");
                assert_eq!(writer.fund(&terms(&id, "s", 2)).await, Ok(Funded::Now));
                assert_eq!(writer.settle(&[grab(&id, "s", 1)]).await, Ok(vec![NOW]));
            }
        });
    }
    // What was seen once stays, and nothing appears below it later.
    let mut known: Vec<Transfer> = Vec::new();
    while known.len() < 241 {
        let all = all_transfers(&*ledger, "s", 7).await;
        assert!(all.is_sorted_by(|a, b| a.number > b.number));
        assert!(all.ends_with(&known), "{} transfers, of which {} were known", all.len(), known.len());
        known = all;
    }
    while let Some(done) = posting.join_next().await {
        done.expect("posted");
    }
    let ids: BTreeSet<_> = known.iter().map(|transfer| &transfer.transfer_id).collect();
    assert_eq!((ids.len(), known.iter().map(|transfer| transfer.amount).sum::<i64>()), (241, 880));
    assert_eq!(balance(&*ledger, "s").await, 880);
}

async fn what_is_due_is_taken_by_one(vault: Vault) {
    let (ledger, other) = (vault.ledger().await, vault.ledger().await);
    endow(&*ledger, "s", 1000).await;
    for (id, created_ms, expires_ms) in [("a", 100, 90_000), ("b", 200, 80_000), ("c", 300, 70_000)] {
        let given = Terms { created_ms, expires_ms, ..terms(id, "s", 2) };
        ledger.fund(&given).await.expect("funded");
    }
    let due = async |ledger: &dyn Ledger, now_ms, limit| {
        let found = ledger.take_due(now_ms, now_ms + 50, limit).await.expect("listed");
        let mut found: Vec<_> = found.into_iter().map(|(app, id)| (app, id.to_string())).collect();
        found.sort_unstable();
        assert!(found.iter().all(|(app, _)| *app == APP));
        found.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    assert_eq!(due(&*ledger, FIRST_LOOK_MS + 99, 10).await, [""; 0]);
    assert_eq!(due(&*ledger, FIRST_LOOK_MS + 300, 0).await, [""; 0]);
    assert_eq!(due(&*ledger, FIRST_LOOK_MS + 300, 2).await, ["a", "b"], "who waits longest");
    assert_eq!(due(&*other, FIRST_LOOK_MS + 300, 10).await, ["c"], "the others are somebody's");
    assert_eq!(due(&*other, FIRST_LOOK_MS + 349, 10).await, [""; 0]);
    assert_eq!(due(&*other, FIRST_LOOK_MS + 350, 10).await, ["a", "b", "c"], "until then");
    for _ in 0..2 {
        assert_eq!(ledger.announced(APP, &packet("a")).await, Ok(()));
    }
    assert_eq!(due(&*ledger, 89_999, 10).await, ["b", "c"]);
    assert_eq!(due(&*ledger, 90_000, 10).await, ["a"], "at its end");
    assert_eq!(ledger.announced(APP, &packet("a")).await, Ok(()));
    assert_eq!(due(&*ledger, 90_049, 10).await, ["b", "c"], "announcing again changes nothing");
    for at_ms in [u64::MAX, 95_000] {
        assert_eq!(ledger.postpone(APP, &packet("a"), at_ms).await, Ok(()));
    }
    assert_eq!(due(&*ledger, 94_999, 10).await, ["b", "c"]);
    assert_eq!(due(&*ledger, 95_000, 1).await, ["a"]);
}

async fn what_was_offered_to_a_target_is_looked_at_at_once(vault: Vault) {
    let ledger = vault.ledger().await;
    endow(&*ledger, "s", 1000).await;
    let group: Target = "group:帝'".parse().expect("a target");
    for (id, target) in [("a", group.clone()), ("b", Target::World)] {
        ledger.fund(&Terms { target, ..terms(id, "s", 2) }).await.expect("funded");
    }
    for (app, due) in [(APP + 1, vec![]), (APP, vec![(APP, packet("a"))])] {
        assert_eq!(ledger.hasten(app, &group).await, Ok(()));
        assert_eq!(ledger.take_due(0, 50, 10).await, Ok(due));
    }
    assert_eq!(ledger.hasten(APP, &"group:none".parse().expect("a target")).await, Ok(()));
    assert_eq!(ledger.take_due(0, 50, 10).await, Ok(vec![]));
}

async fn all_who_use_a_ledger_share_its_secret(vault: Vault) {
    let secret = vault.ledger().await.secret().await.expect("a secret");
    assert_eq!(vault.ledger().await.secret().await, Ok(secret.clone()));
    assert!(secret.secret.len() == 64 && !format!("{secret:?}").contains(&secret.secret), "{secret:?}");
    let other = Vault::embedded().ledger().await.secret().await.expect("a secret");
    assert_ne!(other.secret, secret.secret);
}

async fn an_empty_escrow_is_looked_at_until_somebody_says_never(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    let later = async |at_ms| assert_eq!(ledger.postpone(APP, &packet("p"), at_ms).await, Ok(()));
    let due = async |now_ms| ledger.take_due(now_ms, u64::MAX, 10).await.map(|due| due.len());
    for (left, looks) in [(refund("p", "s", 60), 1), (grab("p", "a", 40), 0)] {
        assert_eq!(ledger.settle(&[left]).await, Ok(vec![NOW]));
        later(5).await;
        assert_eq!((due(4).await, due(5).await), (Ok(0), Ok(1)));
        later(u64::MAX).await;
        assert_eq!(ledger.announced(APP, &packet("p")).await, Ok(()));
        later(5).await;
        assert_eq!(due(u64::MAX).await, Ok(looks));
    }
}

async fn packets_of_the_version_before_are_looked_after(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    for id in ["q", "r"] {
        endow(&*ledger, id, 5).await;
        ledger.fund(&terms(id, id, 5)).await.expect("funded");
    }
    ledger.announced(APP, &packet("q")).await.expect("announced");
    ledger.settle(&[refund("r", "r", 5)]).await.expect("settled");
    drop(ledger);
    vault.forget_senders().await;
    // Then a packet could be closed although its escrow held money.
    for before in [
        "DROP TABLE #discard",
        "DROP TABLE #discarded",
        "DROP TABLE #secret",
        "ALTER TABLE #escrow DROP COLUMN target",
        "DROP INDEX #escrow_look",
        "ALTER TABLE #escrow DROP COLUMN look",
        "ALTER TABLE #escrow ADD COLUMN closed INT NOT NULL DEFAULT 1",
        "CREATE INDEX #escrow_open ON #escrow(expires)",
        "CREATE INDEX #escrow_silent ON #escrow(expires)",
    ] {
        vault.tamper(before).await.expect("changed");
    }
    let versions =
        [vault.tamper("PRAGMA user_version = 1").await, vault.tamper("UPDATE #ledger SET version = 1").await];
    assert_eq!(versions.iter().flatten().count(), 1, "{versions:?}");
    let ledger = vault.ledger().await;
    let Terms { expires_ms, .. } = terms("p", "s", 1);
    assert_eq!(ledger.take_due(0, u64::MAX, 10).await, Ok(vec![(APP, packet("p"))]));
    assert_eq!(ledger.take_due(expires_ms, u64::MAX, 10).await, Ok(vec![(APP, packet("q"))]));
    assert_eq!(ledger.settle(&[refund("p", "s", 100), refund("q", "q", 5)]).await, Ok(vec![NOW, NOW]));
    holds(&*ledger).await;
    // A node of that version may still be there for a moment.
    let old = "INSERT INTO #escrow(app, packet, terms, created, expires) VALUES (7, 'x', '{}', 1000, 2000)";
    vault.tamper(old).await.expect("put");
    assert_eq!(ledger.take_due(0, u64::MAX, 10).await, Ok(vec![(APP, packet("x"))]));
}

async fn transfers_of_the_version_before_are_kept(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    ledger.settle(&[grab("p", "a", 40)]).await.expect("settled");
    let before = all_transfers(&*ledger, "a", 7).await;
    drop(ledger);
    vault.forget_senders().await;
    for before in [
        "DROP INDEX #discard_place",
        "ALTER TABLE #discard DROP COLUMN place",
        "ALTER TABLE #discard DROP COLUMN digest",
        "DROP TABLE #discarded",
    ] {
        vault.tamper(before).await.expect("changed");
    }
    let versions =
        [vault.tamper("PRAGMA user_version = 3").await, vault.tamper("UPDATE #ledger SET version = 3").await];
    assert_eq!(versions.iter().flatten().count(), 1, "{versions:?}");
    let ledger = vault.ledger().await;
    assert_eq!(all_transfers(&*ledger, "a", 7).await, before);
    let id = TransferId::new("out").expect("a valid id");
    assert_eq!(ledger.withdraw(APP, &user("a"), cents(15), &id).await, cashed(Posted::Now, 25));
    let numbers: Vec<_> =
        all_transfers(&*ledger, "a", 7).await.iter().map(|transfer| transfer.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a > b) && numbers.len() == 2, "{numbers:?}");
    holds(&*ledger).await;
    for forbidden in
        ["UPDATE #transfer SET amount = 1 WHERE id = 'out'", "DELETE FROM #transfer WHERE id = 'out'"]
    {
        assert!(vault.tamper(forbidden).await.is_err(), "{forbidden}");
    }
}

async fn a_packet_without_a_name_hides_no_other(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    vault.tamper("UPDATE #escrow SET packet = '' WHERE packet = 'p'").await.expect("changed");
    endow(&*ledger, "t", 5).await;
    ledger.fund(&terms("q", "t", 5)).await.expect("funded");
    assert_eq!(ledger.take_due(u64::MAX, u64::MAX, 10).await, Ok(vec![(APP, packet("q"))]));
}

async fn what_is_not_there_is_no_packet(vault: Vault) {
    let ledger = vault.ledger().await;
    let (q, gone) = (packet("q"), || Err(LedgerError::NoSuchPacket));
    assert_eq!(ledger.announced(APP, &q).await, gone());
    assert_eq!(ledger.postpone(APP, &q, 5).await, Ok(()));
    assert_eq!(ledger.escrow(APP, &q).await.map(|_| ()), gone());
    assert_eq!(ledger.settle(&[refund("q", "s", 1)]).await, Ok(vec![Err(LedgerError::NoSuchPacket)]));
    assert_eq!(balance(&*ledger, "s").await, 0);
    assert_eq!(ledger.ready().await, Ok(()));
}

/// Everything, page by page.
async fn walked<T, P: Clone>(
    limit: usize,
    page: impl AsyncFn(Option<P>) -> Vec<T>,
    place: impl Fn(&T) -> P,
) -> Vec<T> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let more = page(after.clone()).await;
        assert!(more.len() <= limit);
        let Some(last) = more.last() else { return found };
        after = Some(place(last));
        found.extend(more);
    }
}

async fn pages_of_packets_tile_by_age(vault: Vault) {
    let ledger = vault.ledger().await;
    endow(&*ledger, "s", 100).await;
    let ids = ["b", "a", "\u{5e1d}", "a:1", "{", "A", "aa", "-", "é", "~", "'", "%", "_"];
    for (number, id) in (0..).zip(ids) {
        // Three of each moment.
        let given = Terms { created_ms: 1000 + number / 3, ..terms(id, "s", 1) };
        ledger.fund(&given).await.expect("funded");
    }
    let mut wanted: Vec<_> = (0..).zip(ids).map(|(number, id)| (1000 + number / 3, id.to_owned())).collect();
    wanted.sort_unstable();
    let place = |row: &PacketRow| row.place();
    let listed =
        |rows: Vec<PacketRow>| rows.into_iter().map(|row| (row.created, row.packet)).collect::<Vec<_>>();
    for limit in [1, 4, 13, 14] {
        let page = async |after: Option<Place>| {
            ledger.packets(APP, 1001, after.as_ref(), limit).await.expect("listed")
        };
        assert_eq!(listed(walked(limit as usize, page, place).await), wanted[3..], "pages of {limit}");
        let page =
            async |before: Option<Place>| ledger.latest(APP, before.as_ref(), limit).await.expect("listed");
        let mut newest = listed(walked(limit as usize, page, place).await);
        newest.reverse();
        assert_eq!(newest, wanted, "pages of {limit}");
    }
    assert_eq!(ledger.packets(APP + 1, 0, None, 10).await, Ok(vec![]));
    let asked = ["a", "nothing", "A", "a\0"].map(str::to_owned);
    let mut known = ledger.known(APP, &asked).await.expect("known");
    known.sort_unstable();
    assert_eq!(known, ["A", "a"]);
}

async fn rows_are_given_as_they_are(vault: Vault) {
    vault.clock.set(70);
    let ledger = with_packet(&vault, 100).await;
    vault.clock.set(80);
    ledger.settle(&[grab("p", "a", 20), refund("p", "s", 70)]).await.expect("settled");
    for odd in [
        "UPDATE #escrow SET terms = '{}', created = -5",
        "INSERT INTO #transfer(app, id, debit, credit, amount, kind, time)
         VALUES (7, 'odd', 'escrow:q', 'nobody', 3, 'deposit', 90)",
        "INSERT INTO #account(app, name, balance) VALUES (7, 'escrow:q', 5)",
    ] {
        vault.tamper(odd).await.expect("changed");
    }
    let row = ledger.packet(APP, "p").await.expect("read").expect("a row");
    assert_eq!((row.terms.as_str(), row.created, row.expires, row.announced), ("{}", -5, 2000, false));
    assert_eq!(ledger.packet(APP, "q").await, Ok(None));
    let statement =
        ledger.statement(APP, &["escrow:p".to_owned(), "escrow:x".to_owned()]).await.expect("statement");
    assert_eq!(statement.balances, [("escrow:p".to_owned(), cents(10))]);
    let ids: Vec<_> = statement.transfers.iter().map(|transfer| transfer.id.as_str()).collect();
    assert_eq!(ids, ["packet:p", "grab:1:p:a", "refund:p"], "in the order of posting");
    for (since, wanted) in [
        (0, &["grab:1:p:a", "odd", "packet:p", "refund:p", "to s"][..]),
        (80, &["grab:1:p:a", "odd", "refund:p"]),
    ] {
        let page = async |after: Option<String>| {
            ledger.postings(APP, since, after.as_deref().unwrap_or_default(), 2).await.expect("listed")
        };
        let found = walked(2, page, |placed: &Placed| placed.transfer.id.clone()).await;
        let ids: Vec<_> = found.iter().map(|placed| placed.transfer.id.as_str()).collect();
        assert_eq!(ids, wanted);
        for Placed { transfer, has_accounts, is_of_packet } in &found {
            let of_packet = transfer.packet.is_some();
            assert_eq!((*has_accounts, *is_of_packet), (transfer.id != "odd", of_packet), "{transfer:?}");
        }
    }
    let page = async |after: Option<String>| {
        ledger.accounts(APP, after.as_deref().unwrap_or_default(), 2).await.expect("listed")
    };
    let found = walked(2, page, |row: &AccountRow| row.name.clone()).await;
    let found: Vec<_> = found
        .iter()
        .map(|row| (row.name.as_str(), row.balance.get(), row.moved.get(), row.is_of_packet))
        .collect();
    let wanted = [
        ("bank", -100, -100, false),
        ("escrow:p", 10, 10, true),
        ("escrow:q", 5, -3, false),
        ("wallet:a", 20, 20, false),
        ("wallet:s", 70, 70, false),
    ];
    assert_eq!(found, wanted);
    assert_eq!(ledger.sum(APP).await, Ok(cents(5)));
}

async fn the_check_finds_what_was_tampered_with(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    holds(&*ledger).await;
    vault.tamper("UPDATE #account SET balance = balance + 5 WHERE name = 'wallet:s'").await.expect("changed");
    vault.tamper("UPDATE #account SET balance = balance - 3 WHERE name = 'escrow:p'").await.expect("changed");
    let wrong = [("escrow:p".to_owned(), -3), ("wallet:s".to_owned(), 5)];
    assert_eq!(check(&*ledger, APP).await, (2, wrong.to_vec()));
    vault.tamper("DELETE FROM #account WHERE name = 'bank'").await.expect("deleted");
    assert_eq!(check(&*ledger, APP).await, (102, wrong.to_vec()));
}

async fn the_database_guards_transfers_and_balances(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    for forbidden in [
        "UPDATE #transfer SET amount = 1 WHERE id = 'packet:p'",
        "DELETE FROM #transfer WHERE id = 'packet:p'",
        "UPDATE #account SET balance = -1 WHERE name = 'wallet:s'",
        "INSERT INTO #transfer(app, id, debit, credit, amount, kind, time)
         VALUES (7, 'packet:p', 'bank', 'wallet:s', 1, 'deposit', 0)",
        "INSERT INTO #transfer(app, id, debit, credit, amount, kind, time)
         VALUES (7, 'x', 'bank', 'wallet:s', 0, 'deposit', 0)",
        "INSERT INTO #transfer(app, id, debit, credit, amount, kind, time)
         VALUES (7, 'x', 'wallet:s', 'wallet:s', 1, 'deposit', 0)",
    ] {
        assert!(vault.tamper(forbidden).await.is_err(), "{forbidden}");
    }
    assert_eq!(all_transfers(&*ledger, "s", 10).await.len(), 2);
    holds(&*ledger).await;
}

async fn everything_is_there_again(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    ledger.settle(&[grab("p", "a", 10)]).await.expect("settled");
    ledger.announced(APP, &packet("p")).await.expect("announced");
    let before = (escrow(&*ledger, "p").await, all_transfers(&*ledger, "s", 10).await);
    drop(ledger);
    let ledger = vault.ledger().await;
    assert_eq!((escrow(&*ledger, "p").await, all_transfers(&*ledger, "s", 10).await), before);
    assert_eq!(ledger.settle(&[grab("p", "a", 10)]).await, Ok(vec![BEFORE]));
    holds(&*ledger).await;
}

chat_tests::ledger_laws!(
    a_wallet_knows_its_transfers,
    pages_tile_while_others_post,
    what_is_due_is_taken_by_one,
    what_was_offered_to_a_target_is_looked_at_at_once,
    all_who_use_a_ledger_share_its_secret,
    an_empty_escrow_is_looked_at_until_somebody_says_never,
    packets_of_the_version_before_are_looked_after,
    transfers_of_the_version_before_are_kept,
    a_packet_without_a_name_hides_no_other,
    what_is_not_there_is_no_packet,
    pages_of_packets_tile_by_age,
    rows_are_given_as_they_are,
    the_check_finds_what_was_tampered_with,
    the_database_guards_transfers_and_balances,
    everything_is_there_again,
);
