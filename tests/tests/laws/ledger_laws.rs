//! The law of the ledger, what is posted to it, run against every adapter: `embedded::…` and `postgres::…`.

use std::sync::Arc;

use chat_protocol::TransferId;
use chat_tests::broker::{APP, user};
use chat_tests::ledger::{
    BEFORE, NOW, Vault, all_transfers, balance, cashed, check, endow, escrow, escrows, grab, holds, packet,
    refund, terms, with_packet,
};
use chat_tests::money::cents;
use chatd::money::ledger::{Escrow, Funded, LedgerError, Posted};
use chatd::money::settlement::Settlement;
use chatd::money::{Cents, Terms};

fn transfer_id(text: &str) -> TransferId {
    TransferId::new(text).expect("a valid id")
}

async fn funding_moves_the_total_once(vault: Vault) {
    let ledger = vault.ledger().await;
    endow(&*ledger, "s", 1000).await;
    let given = terms("p", "s", 600);
    assert_eq!(ledger.fund(&given).await, Ok(Funded::Now));
    assert_eq!(ledger.fund(&given).await, Ok(Funded::Before(given.clone())));
    let other = Terms { total: cents(7), greeting: "another".to_owned(), ..terms("p", "x", 7) };
    assert_eq!(ledger.fund(&other).await, Ok(Funded::Before(given.clone())), "the first terms stand");
    assert_eq!(balance(&*ledger, "s").await, 400);
    let wanted = Escrow { terms: given, balance: cents(600), announced: false };
    assert_eq!(escrow(&*ledger, "p").await, wanted);
    holds(&*ledger).await;
}

async fn funding_without_the_money_leaves_nothing(vault: Vault) {
    let ledger = vault.ledger().await;
    let refused = Err(LedgerError::Insufficient);
    assert_eq!(ledger.fund(&terms("p", "nobody", 1)).await, refused);
    endow(&*ledger, "s", 100).await;
    assert_eq!(ledger.fund(&terms("p", "s", 101)).await, refused);
    for none in [0, -1, i64::MIN] {
        let given = Terms { total: Cents::new(none), ..terms("p", "s", 1) };
        assert_eq!(ledger.fund(&given).await, Err(LedgerError::TooLarge));
    }
    assert_eq!(ledger.escrow(APP, &packet("p")).await, Err(LedgerError::NoSuchPacket));
    assert_eq!(balance(&*ledger, "s").await, 100);
    assert_eq!(ledger.fund(&terms("p", "s", 100)).await, Ok(Funded::Now), "a refusal is not remembered");
    holds(&*ledger).await;
}

async fn settling_again_changes_nothing(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    let first = [grab("p", "a", 10), grab("p", "b", 20)];
    assert_eq!(ledger.settle(&first).await, Ok(vec![NOW, NOW]));
    assert_eq!(ledger.settle(&first).await, Ok(vec![BEFORE, BEFORE]));
    let mixed = [grab("p", "b", 20), grab("p", "c", 30), grab("p", "c", 30), grab("p", "a", 10)];
    assert_eq!(ledger.settle(&mixed).await, Ok(vec![BEFORE, NOW, BEFORE, BEFORE]));
    let later = Settlement { time_ms: 9999, ..grab("p", "a", 10) };
    assert_eq!(ledger.settle(&[later]).await, Ok(vec![BEFORE]), "the time makes no other transfer");
    assert_eq!(ledger.settle(&[]).await, Ok(vec![]));
    for (name, cents) in [("a", 10), ("b", 20), ("c", 30), ("s", 0)] {
        assert_eq!(balance(&*ledger, name).await, cents, "{name}");
    }
    assert_eq!(escrow(&*ledger, "p").await.balance, cents(40));
    holds(&*ledger).await;
}

async fn what_is_refused_does_not_hinder_the_others(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    assert_eq!(ledger.settle(&[grab("p", "a", 10)]).await, Ok(vec![NOW]));
    let batch = [
        (grab("p", "b", 20), NOW),
        (grab("q", "b", 1), Err(LedgerError::NoSuchPacket)),
        (grab("p", "a", 11), Err(LedgerError::IdTaken)),
        (grab("p", "c", 71), Err(LedgerError::Insufficient)),
        (grab("p", "d", 0), Err(LedgerError::TooLarge)),
        (Settlement { amount: Cents::new(-30), ..grab("p", "d", 0) }, Err(LedgerError::TooLarge)),
        (grab("p", "d", 30), NOW),
        (grab("p", "d", 30), BEFORE),
        (grab("p", "d", 31), Err(LedgerError::IdTaken)),
        (refund("p", "s", 41), Err(LedgerError::Insufficient)),
        (grab("p", "c", 40), NOW),
        (grab("p", "e", 1), Err(LedgerError::Insufficient)),
    ];
    let (settlements, wanted): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    assert_eq!(ledger.settle(&settlements).await, Ok(wanted));
    for (name, cents) in [("a", 10), ("b", 20), ("c", 40), ("d", 30), ("e", 0), ("s", 0)] {
        assert_eq!(balance(&*ledger, name).await, cents, "{name}");
    }
    holds(&*ledger).await;
}

async fn a_refund_goes_once(vault: Vault) {
    let ledger = with_packet(&vault, 100).await;
    let batch = [grab("p", "a", 10), refund("p", "s", 90), refund("p", "s", 90)];
    assert_eq!(ledger.settle(&batch).await, Ok(vec![NOW, NOW, BEFORE]));
    let again = [refund("p", "s", 90), refund("p", "x", 90), refund("p", "s", 89)];
    let taken = || Err(LedgerError::IdTaken);
    assert_eq!(ledger.settle(&again).await, Ok(vec![BEFORE, taken(), taken()]));
    assert_eq!((escrow(&*ledger, "p").await.balance.unsigned(), balance(&*ledger, "s").await), (0, 90));
    assert_eq!(ledger.fund(&terms("p", "s", 90)).await, Ok(Funded::Before(terms("p", "s", 100))));
    holds(&*ledger).await;
}

async fn a_deposit_is_made_once(vault: Vault) {
    let ledger = with_packet(&vault, 50).await;
    let deposit = async |name: &str, amount, id: &str| {
        ledger.deposit(APP, &user(name), Cents::new(amount), &transfer_id(id)).await
    };
    assert_eq!(deposit("a", 30, "1").await, cashed(Posted::Now, 30));
    assert_eq!(deposit("a", 40, "2").await, cashed(Posted::Now, 70));
    assert_eq!(deposit("a", 30, "1").await, cashed(Posted::Before, 70), "the balance is today's");
    for (name, amount, id) in [("a", 31, "1"), ("b", 30, "1"), ("s", 50, "packet:p"), ("a", 5, "grab:1:p:a")]
    {
        assert_eq!(deposit(name, amount, id).await, Err(LedgerError::IdTaken), "{name} {amount} {id}");
    }
    for amount in [0, -1, i64::MIN] {
        assert_eq!(deposit("a", amount, "3").await, Err(LedgerError::TooLarge), "{amount}");
    }
    assert_eq!(ledger.settle(&[grab("p", "a", 5)]).await, Ok(vec![NOW]), "nobody took its id");
    assert_eq!((balance(&*ledger, "a").await, balance(&*ledger, "b").await), (75, 0));
    holds(&*ledger).await;
}

async fn apps_are_apart(vault: Vault) {
    let ledger = with_packet(&vault, 50).await;
    let (there, s) = (APP + 1, user("s"));
    let id = transfer_id("to s");
    assert_eq!(ledger.deposit(there, &s, cents(7), &id).await, cashed(Posted::Now, 7));
    assert_eq!(ledger.fund(&Terms { app: there, ..terms("p", "s", 6) }).await, Ok(Funded::Now));
    let both = [grab("p", "a", 50), Settlement { app: there, ..grab("p", "a", 6) }];
    assert_eq!(ledger.settle(&both).await, Ok(vec![NOW, NOW]));
    assert_eq!(ledger.balance(there, &user("a")).await, Ok(cents(6)));
    assert_eq!(ledger.transfers(there, &s, u64::MAX, 10).await.expect("listed").len(), 2);
    assert_eq!(escrows(&*ledger, there).await.len(), 1);
    assert_eq!(ledger.paid(there, &packet("p")).await.expect("listed").len(), 1);
    assert_eq!(
        check(&*ledger, there).await,
        check(&*ledger, u32::MAX).await,
        "an app without accounts holds too"
    );
    holds(&*ledger).await;
}

async fn what_would_overflow_is_refused(vault: Vault) {
    let ledger = vault.ledger().await;
    let most = i64::MAX as u64;
    endow(&*ledger, "s", most).await;
    let one_more = transfer_id("more");
    assert_eq!(ledger.deposit(APP, &user("s"), Cents::ONE, &one_more).await, Err(LedgerError::TooLarge));
    assert_eq!(ledger.fund(&terms("p", "s", most)).await, Ok(Funded::Now));
    assert_eq!(
        ledger.deposit(APP, &user("s"), cents(2), &one_more).await,
        Err(LedgerError::TooLarge),
        "the bank"
    );
    assert_eq!(ledger.deposit(APP, &user("s"), Cents::ONE, &one_more).await, cashed(Posted::Now, 1));
    let results = ledger.settle(&[grab("p", "s", most), grab("p", "a", most)]).await;
    assert_eq!(results, Ok(vec![Err(LedgerError::TooLarge), NOW]));
    assert_eq!((balance(&*ledger, "s").await, balance(&*ledger, "a").await), (1, most));
    holds(&*ledger).await;
}

async fn hostile_names_are_names(vault: Vault) {
    let ledger = vault.ledger().await;
    let long = "\u{1f9e7}".repeat(16);
    let names =
        ["'; DROP TABLE account; --", "a:b", "帝", "\"", "bank", "wallet:s", "%_\\", "$1 {} ?1", &long];
    for name in names {
        endow(&*ledger, name, 10).await;
        assert_eq!(ledger.fund(&terms(name, name, 10)).await, Ok(Funded::Now), "{name}");
        assert_eq!(ledger.settle(&[grab(name, name, 4)]).await, Ok(vec![NOW]), "{name}");
        assert_eq!(balance(&*ledger, name).await, 4);
        assert_eq!(escrow(&*ledger, name).await.terms, terms(name, name, 10));
        assert_eq!(all_transfers(&*ledger, name, 1).await.len(), 3);
    }
    // Ids with a separator in them, put together differently.
    assert_eq!(ledger.settle(&[grab("a:b", "c", 1)]).await, Ok(vec![NOW]));
    endow(&*ledger, "s", 10).await;
    assert_eq!(ledger.fund(&terms("a", "s", 10)).await, Ok(Funded::Now));
    assert_eq!(ledger.settle(&[grab("a", "b:c", 1)]).await, Ok(vec![NOW]));
    holds(&*ledger).await;
}

async fn two_ledgers_settle_each_once(vault: Vault) {
    let ledger = vault.ledger().await;
    endow(&*ledger, "s", 3000).await;
    for id in ["p", "q", "r"] {
        ledger.fund(&terms(id, "s", 1000)).await.expect("funded");
    }
    let of = |number: usize| grab(["p", "q", "r"][number % 3], &format!("u{}", number % 400), 2);
    let all: Arc<[Settlement]> = (0..1000).map(of).collect();
    let mut settling = tokio::task::JoinSet::new();
    for lane in 0..4 {
        let (ledger, all) = (vault.ledger().await, all.clone());
        settling.spawn(async move {
            let mut now = 0;
            // Each in another order, so that they meet in every way.
            for start in (0..5).map(|step| (step * (lane + 1) + lane) % 5 * 200) {
                let mut batch = all[start..start + 200].to_vec();
                if lane % 2 == 1 {
                    batch.reverse();
                }
                let results = ledger.settle(&batch).await.expect("settled");
                now += results
                    .into_iter()
                    .filter(|result| *result.as_ref().expect("posted") == Posted::Now)
                    .count();
            }
            now
        });
    }
    let now: usize = settling.join_all().await.into_iter().sum();
    assert_eq!(now, all.len());
    let paid = async |id| ledger.paid(APP, &packet(id)).await.expect("listed").len();
    assert_eq!(paid("p").await + paid("q").await + paid("r").await, all.len());
    holds(&*ledger).await;
}

async fn a_wallet_is_never_overdrawn(vault: Vault) {
    let ledgers = [vault.ledger().await, vault.ledger().await];
    endow(&*ledgers[0], "s", 1050).await;
    let mut funding = tokio::task::JoinSet::new();
    for number in 0..40_usize {
        let ledger = ledgers[number % 2].clone();
        // Every packet from both.
        funding.spawn(async move { ledger.fund(&terms(&format!("p{}", number / 2), "s", 100)).await });
    }
    let results = funding.join_all().await;
    let now = results.iter().filter(|result| **result == Ok(Funded::Now)).count();
    let fitting =
        |result: &_| matches!(result, Ok(Funded::Now | Funded::Before(_)) | Err(LedgerError::Insufficient));
    assert!(results.iter().all(fitting), "{results:?}");
    assert_eq!((now, balance(&*ledgers[0], "s").await), (10, 50));
    assert_eq!(escrows(&*ledgers[1], APP).await.len(), 10);
    holds(&*ledgers[0]).await;
}

async fn no_more_packets_of_a_sender_are_open_than_may_be(vault: Vault) {
    const MOST: u64 = 3;
    let ledgers = [vault.ledger().await, vault.ledger().await];
    endow(&*ledgers[0], "s", 1000).await;
    endow(&*ledgers[0], "t", 100).await;
    let mut funding = tokio::task::JoinSet::new();
    for number in 0..20_usize {
        let ledger = ledgers[number % 2].clone();
        let given = terms(&format!("p{}", number / 2), "s", 10);
        funding.spawn(async move { (ledger.fund_within(&given, MOST).await, given.packet) });
    }
    let results = funding.join_all().await;
    let of =
        |wanted: &Result<Funded, LedgerError>| results.iter().filter(|(result, _)| result == wanted).count();
    assert_eq!(of(&Ok(Funded::Now)), 3, "{results:?}");
    assert_eq!(of(&Err(LedgerError::TooManyOpen(MOST))), 14, "three are repeated: {results:?}");
    let first = results.iter().find(|(result, _)| *result == Ok(Funded::Now)).expect("one").1.clone();
    let again = terms(first.as_str(), "s", 10);
    assert_eq!(
        ledgers[0].fund_within(&again, MOST).await,
        Ok(Funded::Before(again)),
        "a repeat is none more"
    );
    assert_eq!(ledgers[0].fund_within(&terms("of-another", "t", 10), MOST).await, Ok(Funded::Now));
    let elsewhere = Terms { app: APP + 1, ..terms("elsewhere", "s", 10) };
    assert_eq!(
        ledgers[0].fund_within(&elsewhere, MOST).await,
        Err(LedgerError::Insufficient),
        "but none is open there"
    );
    assert_eq!(ledgers[0].fund_within(&terms("q", "s", 10), 0).await, Err(LedgerError::TooManyOpen(MOST)));
    assert_eq!(ledgers[1].settle(&[grab(first.as_str(), "a", 4)]).await, Ok(vec![NOW]));
    assert_eq!(ledgers[0].fund_within(&terms("q", "s", 10), MOST).await, Err(LedgerError::TooManyOpen(MOST)));
    assert_eq!(ledgers[1].settle(&[refund(first.as_str(), "s", 6)]).await, Ok(vec![NOW]));
    assert_eq!(
        ledgers[0].fund_within(&terms("q", "s", 10), MOST).await,
        Ok(Funded::Now),
        "with the last cent it ends"
    );
    holds(&*ledgers[1]).await;
}

async fn deposits_of_many_at_once_are_all_there(vault: Vault) {
    let ledgers = [vault.ledger().await, vault.ledger().await];
    let mut depositing = tokio::task::JoinSet::new();
    for number in 0..60_usize {
        let ledger = ledgers[number % 2].clone();
        depositing.spawn(async move {
            let (name, id) = (format!("u{}", number / 2 % 5), transfer_id(&format!("d{}", number / 2)));
            ledger.deposit(APP, &user(&name), cents(10), &id).await.expect("deposited").posted
        });
    }
    let posted = depositing.join_all().await;
    assert_eq!(posted.iter().filter(|posted| **posted == Posted::Now).count(), 30);
    for number in 0..5 {
        assert_eq!(balance(&*ledgers[0], &format!("u{number}")).await, 60);
    }
    holds(&*ledgers[1]).await;
}

async fn a_batch_of_500_is_one(vault: Vault) {
    let ledger = with_packet(&vault, 500).await;
    let batch: Vec<_> = (0..500).map(|number| grab("p", &format!("u{number}"), 1)).collect();
    assert_eq!(ledger.settle(&batch).await, Ok(vec![NOW; 500]));
    assert_eq!(ledger.settle(&batch).await, Ok(vec![BEFORE; 500]));
    assert_eq!(escrow(&*ledger, "p").await.balance, cents(0));
    holds(&*ledger).await;
}

chat_tests::ledger_laws!(
    funding_moves_the_total_once,
    funding_without_the_money_leaves_nothing,
    settling_again_changes_nothing,
    what_is_refused_does_not_hinder_the_others,
    a_refund_goes_once,
    a_deposit_is_made_once,
    apps_are_apart,
    what_would_overflow_is_refused,
    hostile_names_are_names,
    two_ledgers_settle_each_once,
    a_wallet_is_never_overdrawn,
    no_more_packets_of_a_sender_are_open_than_may_be,
    deposits_of_many_at_once_are_all_there,
    a_batch_of_500_is_one,
);
