//! The ledger in PostgreSQL while the server is killed and the link is cut or stalled.
//!
//! Invariant: a call ends within a bound, and what it did not confirm can be repeated; what it confirmed stays.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use chat_tests::broker::{APP, HandClock, user};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::ledger::{BEFORE, balance, endow, grab, holds, packet, terms};
use chat_tests::postgres_server::PostgresServer;
use chat_tests::wait::{SOON, until};
use chatd::engine::postgres::PostgresLedger;
use chatd::money::ledger::{Funded, Ledger, LedgerError, Posted};
use chatd::money::settlement::Settlement;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A packet has so many shares of one cent, and so many winners.
const SHARES: usize = 400;
const BATCH: usize = 20;

async fn ledger(url: &str) -> Arc<dyn Ledger> {
    PostgresLedger::connect(url, Arc::<HandClock>::default()).await.expect("a ledger")
}

/// A call that ends within a bound.
async fn ends<T>(call: impl Future<Output = T>) -> T {
    timeout(SOON, call).await.expect("an end of the call")
}

fn is_unreachable<T>(result: &Result<T, LedgerError>) -> bool {
    matches!(result, Err(LedgerError::Unreachable(_)))
}

fn share(number: usize) -> Settlement {
    grab("p", &format!("u{number}"), 1)
}

async fn fund(ledger: &dyn Ledger) {
    endow(ledger, "s", SHARES as u64).await;
    assert_eq!(ledger.fund(&terms("p", "s", SHARES as u64)).await, Ok(Funded::Now));
}

/// Settles the shares of one lane, each batch until it is confirmed. How often each was answered to be new.
async fn settle_until_done(ledger: Arc<dyn Ledger>, numbers: Vec<usize>) -> HashMap<usize, usize> {
    let mut new = HashMap::new();
    for batch in numbers.chunks(BATCH) {
        let settlements: Vec<_> = batch.iter().copied().map(share).collect();
        // Once more when all is well, so that what was confirmed is asked for again.
        let mut confirmed = 0;
        while confirmed < 2 {
            match ends(ledger.settle(&settlements)).await {
                Ok(results) => {
                    confirmed += 1;
                    for (number, result) in batch.iter().zip(results) {
                        let posted = result.expect("there is money for everyone");
                        *new.entry(*number).or_default() += usize::from(posted == Posted::Now);
                    }
                }
                Err(LedgerError::Unreachable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    new
}

/// Several lanes at once, each share in two of them.
fn settle_all(ledgers: &[Arc<dyn Ledger>]) -> JoinSet<HashMap<usize, usize>> {
    let mut lanes = JoinSet::new();
    for lane in 0..4 {
        let numbers = (0..SHARES).filter(|number| number % 4 == lane || (number + 1) % 4 == lane);
        lanes.spawn(settle_until_done(ledgers[lane % ledgers.len()].clone(), numbers.collect()));
    }
    lanes
}

/// Everyone has their cent, and nobody was told twice that it came just now.
async fn each_was_settled_once(ledger: &dyn Ledger, lanes: JoinSet<HashMap<usize, usize>>) {
    let mut new: HashMap<usize, usize> = HashMap::new();
    for (number, times) in lanes.join_all().await.into_iter().flatten() {
        *new.entry(number).or_default() += times;
    }
    assert_eq!(new.len(), SHARES);
    assert!(new.values().all(|times| *times <= 1), "confirmed and forgotten: {new:?}");
    assert_eq!(ledger.paid(APP, &packet("p")).await.expect("listed").len(), SHARES);
    for number in 0..SHARES {
        assert_eq!(balance(ledger, &format!("u{number}")).await, 1);
    }
    holds(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_forgets_nothing_it_confirmed() {
    let mut server = PostgresServer::start().await;
    let url = server.url(&server.database().await, None);
    let ledgers = [ledger(&url).await, ledger(&url).await];
    fund(&*ledgers[0]).await;
    let lanes = settle_all(&ledgers);
    let settled = async || ledgers[0].paid(APP, &packet("p")).await.map_or(0, |paid| paid.len());
    for goal in [40, 120, 200] {
        until("something was settled", SOON, async || settled().await >= goal).await;
        server.restart().await;
    }
    each_was_settled_once(&*ledgers[0], lanes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_every_call_says_so() {
    let mut server = PostgresServer::start().await;
    let url = server.url(&server.database().await, None);
    let ledger = ledger(&url).await;
    fund(&*ledger).await;
    server.kill9();
    let (p, s) = (packet("p"), user("s"));
    assert!(is_unreachable(&ends(ledger.ready()).await));
    assert!(is_unreachable(&ends(ledger.balance(APP, &s)).await));
    assert!(is_unreachable(&ends(ledger.settle(&[share(0)])).await));
    assert!(is_unreachable(&ends(ledger.fund(&terms("q", "s", 1))).await));
    assert!(is_unreachable(&ends(ledger.announced(APP, &p)).await));
    let refused = ends(ledger.sum(APP)).await.expect_err("no server").to_string();
    assert!(!refused.contains("gehe"), "the password in {refused}");
    server.restart().await;
    assert_eq!(ends(ledger.ready()).await, Ok(()));
    assert_eq!(ends(ledger.settle(&[share(0)])).await.expect("settled").len(), 1);
    holds(&*ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_cut_again_and_again_doubles_nothing() {
    let server = PostgresServer::shared().await;
    let database = server.database().await;
    let proxy = FaultProxy::start(server.address()).await;
    let through = ledger(&server.url(&database, Some(proxy.address()))).await;
    let direct = ledger(&server.url(&database, None)).await;
    fund(&*direct).await;
    // Slow enough that a cut finds something on its way.
    proxy.delay(Duration::from_millis(2));
    let lanes = settle_all(std::slice::from_ref(&through));
    let settled = async || direct.paid(APP, &packet("p")).await.expect("listed").len();
    for goal in (0..SHARES).step_by(SHARES / 4).skip(1) {
        until("something was settled", SOON, async || settled().await >= goal).await;
        proxy.cut();
        assert!(is_unreachable(&ends(through.ready()).await));
        proxy.delay(Duration::from_millis(2));
    }
    each_was_settled_once(&*direct, lanes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_link_holds_up_nobody_else_for_long() {
    let server = PostgresServer::shared().await;
    let database = server.database().await;
    let proxy = FaultProxy::start(server.address()).await;
    let through = ledger(&server.url(&database, Some(proxy.address()))).await;
    let direct = ledger(&server.url(&database, None)).await;
    fund(&*direct).await;
    proxy.delay(Duration::from_millis(1));
    let stop = Arc::new(AtomicBool::new(false));
    let mut calls = JoinSet::new();
    for lane in 0..4 {
        let (through, stop) = (through.clone(), stop.clone());
        calls.spawn(async move {
            let mut failed = 0;
            for number in (0..SHARES).cycle().skip(lane * 7) {
                if stop.load(SeqCst) {
                    break;
                }
                failed += usize::from(is_unreachable(&ends(through.settle(&[share(number)])).await));
            }
            failed
        });
    }
    let settled = async || direct.paid(APP, &packet("p")).await.expect("listed").len();
    until("something was settled", SOON, async || settled().await >= 20).await;
    // Probably between a lock and its commit.
    proxy.stall();
    stop.store(true, SeqCst);
    let everyone: Vec<_> = (0..SHARES).map(share).collect();
    let settle = async {
        loop {
            // What others hold at the moment is not waited for, but said to pass.
            let passing =
                |result: &Result<_, LedgerError>| result.as_ref().is_err_and(LedgerError::is_passing);
            match direct.settle(&everyone).await {
                Ok(results) if !results.iter().any(passing) => return results,
                _ => {}
            }
        }
    };
    assert!(ends(settle).await.iter().all(Result::is_ok));
    let failed: usize = calls.join_all().await.into_iter().sum();
    assert!(failed > 0, "nothing was under way");
    proxy.heal();
    assert_eq!(ends(through.settle(&everyone)).await, Ok(vec![BEFORE; SHARES]));
    assert_eq!(ends(through.ready()).await, Ok(()));
    assert_eq!(through.paid(APP, &packet("p")).await.expect("listed").len(), SHARES);
    holds(&*direct).await;
}
