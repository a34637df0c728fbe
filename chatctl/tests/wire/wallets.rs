//! Wallets against a scripted server.
//!
//! Invariant: money is whole cents on the wire, whatever way it was written on the line.

use crate::scripted::{Reply, Server};
use serde_json::{Value, json};

#[tokio::test]
async fn balances_of_some_are_better_than_none() {
    let server = Server::start(|_, _, body| match body["userId"].as_str() {
        Some("马超") => Reply::Success(json!({"userId": "马超", "balance": 123_456})),
        Some("b") => Reply::Success(json!({"userId": "b", "balance": 5})),
        _ => Reply::Refusal(1003, 403, Value::Null),
    })
    .await;
    let ask =
        async |users: &[&str]| server.run(&[&["--app", "1", "wallet", "balance"], users].concat()).await;
    let (exit, out, _) = ask(&["马超", "b"]).await;
    assert_eq!((exit, out.as_str()), (0, "USER  BALANCE\n马超  1234.56\nb        0.05\n"));
    let (exit, out, err) = ask(&["b", "x", "马超", "-o", "csv"]).await;
    assert_eq!((exit, out.as_str()), (3, "userId,balance\nb,5\n马超,123456\n"));
    assert!(err.starts_with("error: x: ") && err.contains("(code 1003)"), "{err}");
    let (exit, out, _) = ask(&["x", "y"]).await;
    assert_eq!((exit, out.as_str()), (4, ""));
}

#[tokio::test]
async fn a_deposit_tells_a_repeat() {
    let server = Server::start(|index, _, body| {
        Reply::Success(json!({"userId": body["userId"], "balance": 10_050, "duplicate": index > 0}))
    })
    .await;
    let words = ["--app", "1", "wallet", "deposit", "马超", "100.50", "--transfer-id", "t-1"];
    assert_eq!(server.run(&words).await.1, "100.50 deposited: 马超 has 100.50\n");
    assert_eq!(server.run(&words).await.1, "deposited before; nothing was added: 马超 has 100.50\n");
    let sent = json!({"appId": 1, "userId": "马超", "amount": 10_050, "transferId": "t-1"});
    assert!(server.requests().iter().all(|(path, body)| path == "/wallet/deposit" && *body == sent));
}

#[tokio::test]
async fn a_withdrawal_tells_a_repeat_and_an_empty_wallet() {
    let server = Server::start(|index, _, body| match index {
        2 => Reply::Refusal(1014, 402, Value::Null),
        _ => Reply::Success(json!({"userId": body["userId"], "balance": 5, "duplicate": index > 0})),
    })
    .await;
    let words = ["--app", "1", "wallet", "withdraw", "马超", "100.50", "--transfer-id", "t-1"];
    assert_eq!(server.run(&words).await.1, "100.50 withdrawn: 马超 has 0.05\n");
    assert_eq!(server.run(&words).await.1, "withdrawn before; nothing was taken again: 马超 has 0.05\n");
    let (exit, out, _) = server.run(&words).await;
    assert_eq!((exit, out.as_str()), (6, ""));
    let sent = json!({"appId": 1, "userId": "马超", "amount": 10_050, "transferId": "t-1"});
    assert!(server.requests().iter().all(|(path, body)| path == "/wallet/withdraw" && *body == sent));
}

/// The newest first, as the server reads them.
fn transfers(total: u64, body: &Value) -> Reply {
    let last = body["before"].as_u64().map_or(total, |before| before - 1);
    let first = last.saturating_sub(body["limit"].as_u64().expect("a number")) + 1;
    let page: Vec<_> = (first..=last)
        .rev()
        .map(|n| match n {
            1 => json!({"number": 1, "transferId": "t", "kind": "deposit", "amount": 1000, "time": 0}),
            _ => json!({"number": n, "transferId": "x", "kind": "packet", "amount": -50, "packetId": "p", "time": 0}),
        })
        .collect();
    Reply::Success(json!({"transfers": page, "next": (first > 1).then_some(first)}))
}

#[tokio::test]
async fn transfers_come_in_pages_with_their_signs() {
    let server = Server::start(|_, _, body| transfers(450, body)).await;
    let ask = async |words: &[&str]| {
        let before = server.requests().len();
        let line = [&["--app", "1", "wallet", "transfers", "马超"], words].concat();
        let (exit, out, err) = server.run(&line).await;
        assert_eq!(exit, 0, "{err}");
        (out, err, server.requests().len() - before)
    };
    let (out, err, pages) = ask(&["-o", "name", "--all"]).await;
    assert_eq!((out.lines().count(), out.lines().last(), err.as_str(), pages), (450, Some("1"), "", 3));
    let (out, err, pages) = ask(&["--limit", "250"]).await;
    assert_eq!((out.lines().count(), err.as_str(), pages), (251, "older ones: --before 201\n", 2));
    let (out, ..) = ask(&["--before", "3"]).await;
    assert_eq!(
        out,
        "NUMBER  TIME                  KIND     AMOUNT  PACKET  TRANSFER\n     \
         2  1970-01-01 00:00:00Z  packet    -0.50  p       x\n     \
         1  1970-01-01 00:00:00Z  deposit   10.00  -       t\n"
    );
    let (out, ..) = ask(&["--before", "3", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()[0]["amount"], -50);
    let endless = json!({"transfers": [], "next": 9});
    let server = Server::start(move |_, _, _| Reply::Success(endless.clone())).await;
    let (exit, _, err) = server.run(&["--app", "1", "wallet", "transfers", "马超", "--all"]).await;
    assert_eq!(exit, 1);
    assert!(err.contains("does not come to an end"), "{err}");
}
