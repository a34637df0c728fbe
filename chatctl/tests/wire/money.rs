//! Red packets against a scripted server.
//!
//! Invariant: money is whole cents on the wire, whatever way it was written on the line.

use crate::scripted::{Reply, Server};
use serde_json::{Value, json};

const ME: [&str; 4] = ["--app", "1", "--as", "黄帝"];

fn created(body: &Value) -> Reply {
    Reply::Success(json!({
        "packetId": "p1", "expires": 86_400_000, "msgId": body["msgId"], "offset": 7, "epoch": "e", "time": 0,
        "duplicate": body["msgId"] == "again"
    }))
}

async fn run(server: &Server, words: &[&str]) -> (u8, String, String) {
    server.run(&[&ME, words].concat()).await
}

#[tokio::test]
async fn an_amount_is_cents_however_it_is_written() {
    let server = Server::start(|_, _, body| created(body)).await;
    for amount in ["10.00", "1000"] {
        let words =
            ["redpacket", "create", "group:tea", "--total", amount, "--count", "3", "--mode", "equal"];
        let (exit, out, err) = run(&server, &[&words[..], &["--greeting", "恭喜"]].concat()).await;
        let (path, body) = server.requests().pop().expect("a request");
        let id = body["msgId"].clone();
        let told =
            format!("redPacket p1: 10.00 in 3 shares to group:tea (message {})\n", id.as_str().unwrap());
        assert_eq!((exit, out), (0, told), "{err}");
        assert_eq!(path, "/redPacket/create");
        assert_eq!(id.as_str().map(str::len), Some(36));
        assert_eq!(
            body,
            json!({"appId": 1, "userId": "黄帝", "target": "group:tea", "total": 1000, "count": 3, "mode": "equal",
                   "greeting": "恭喜", "msgId": id})
        );
    }
    let words = ["redpacket", "create", "", "--total", "1", "--count", "1", "--msg-id", "again"];
    let (exit, out, _) = run(&server, &words).await;
    assert_eq!(
        (exit, out.as_str()),
        (
            0,
            "offered before; nothing was paid again: redPacket p1: 0.01 in 1 share to (world) (message again)\n"
        )
    );
    assert_eq!(run(&server, &[&words[..], &["-o", "name"]].concat()).await.1, "p1\n");
}

#[tokio::test]
async fn a_wrong_amount_sends_nothing() {
    let server = Server::start(|_, _, _| Reply::HangUp).await;
    let amounts =
        ["", "10.5", "1e3", "-5", "-0.01", "0", "NaN", "10.", ".10", "1,000", "99999999999999999999"];
    for amount in amounts {
        for words in [
            &["redpacket", "create", "", "--count", "1", "--total", amount][..],
            &["wallet", "deposit", "马超", amount, "--transfer-id", "t"],
            &["wallet", "withdraw", "马超", amount, "--transfer-id", "t"],
        ] {
            let (exit, out, err) = run(&server, words).await;
            assert_eq!((exit, out.as_str()), (2, ""), "{words:?}");
            assert!(err.contains("two digits behind a dot (10.00)"), "{words:?}: {err}");
        }
    }
    for (words, cause) in [
        ("redpacket create g --total 1.00 --count 1", "must be \"\" (world)"),
        ("redpacket create group:g --total 200000.01 --count 1", "at most 200000.00"),
        ("redpacket create group:g --total 9 --count 10", "every share needs a cent"),
        ("redpacket create group:g --total 9 --count 0", "0"),
        ("redpacket create group:g --total 9 --count -1", "-1"),
        ("redpacket create group:g --total 20000 --count 10001", "10001"),
        ("redpacket create group:g --total 9 --count 1 --mode fair", "must be lucky or equal"),
        ("redpacket dead-letters --limit 1001", "1001"),
        ("redpacket list --state shut", "must be open, empty or expired"),
        ("redpacket list --limit 0", "0"),
        ("redpacket list --limit 5 --all", "--all"),
        ("redpacket audit p --since 2h", "--since"),
        ("redpacket audit --since 2d", "this is no stretch of time"),
        ("redpacket audit --since 0", "nothing is younger"),
        ("wallet deposit 马超 10000000000.01 --transfer-id t", "at most 10000000000.00"),
        ("wallet deposit 马超 1.00", "--transfer-id"),
        ("wallet withdraw 马超 10000000000.01 --transfer-id t", "at most 10000000000.00"),
        ("wallet withdraw 马超 1.00", "--transfer-id"),
        ("wallet balance", "USER"),
        ("wallet transfers 马超 --limit 0", "0"),
        ("wallet transfers 马超 --limit 5 --all", "--all"),
    ] {
        let words: Vec<_> = words.split(' ').collect();
        let (exit, out, err) = run(&server, &words).await;
        assert_eq!((exit, out.as_str()), (2, ""), "{words:?}");
        assert!(err.contains(cause), "{words:?}: {err}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_lost_answer_names_what_makes_the_repeat_safe() {
    let server = Server::start(|_, _, _| Reply::Silence).await;
    for (words, again) in [
        ("redpacket create group:g --total 9 --count 1 --msg-id m-7", "--msg-id m-7"),
        ("wallet deposit 马超 1.00 --transfer-id t-7", "--transfer-id t-7"),
        ("wallet withdraw 马超 1.00 --transfer-id t-7", "--transfer-id t-7"),
    ] {
        let before = server.requests().len();
        let words: Vec<_> = words.split(' ').chain(["--timeout", "1s"]).collect();
        let (exit, _, err) = run(&server, &words).await;
        assert_eq!((exit, server.requests().len()), (8, before + 1));
        assert!(err.contains(again), "{err}");
    }
}

#[tokio::test]
async fn too_little_money_breaks_a_rule() {
    let server = Server::start(|_, _, _| Reply::Refusal(1014, 402, Value::Null)).await;
    let (exit, _, err) = run(&server, &["redpacket", "create", "", "--total", "9.00", "--count", "1"]).await;
    assert_eq!((exit, server.requests().len()), (6, 1), "{err}");
}

#[tokio::test]
async fn a_grab_tells_a_share_from_none() {
    for (outcome, amount, exit, words) in [
        ("won", 1234, 0, "won 12.34\n"),
        ("already", 5, 0, "won 0.05 before\n"),
        ("empty", 0, 6, "nothing is left\n"),
        ("expired", 0, 6, "the packet has expired\n"),
    ] {
        let server =
            Server::start(move |_, _, _| Reply::Success(json!({"outcome": outcome, "amount": amount}))).await;
        let (ended, out, err) = run(&server, &["redpacket", "grab", "p1", "--as", "马超"]).await;
        assert_eq!((ended, out.as_str()), (exit, words), "{err}");
        let sent = server.requests().pop().expect("a request");
        assert_eq!(
            sent,
            ("/redPacket/grab".to_owned(), json!({"appId": 1, "userId": "马超", "packetId": "p1"}))
        );
        let (ended, out, _) = run(&server, &["redpacket", "grab", "p1", "-o", "jsonl"]).await;
        assert_eq!((ended, out), (exit, format!("{{\"outcome\":\"{outcome}\",\"amount\":{amount}}}\n")));
    }
}

fn detail(winners: u32, body: &Value, is_endless: bool) -> Reply {
    let after =
        if is_endless { 0 } else { u32::try_from(body["after"].as_u64().unwrap_or(0)).expect("a number") };
    let last =
        winners.min(after + u32::try_from(body["limit"].as_u64().expect("a number")).expect("a number"));
    let page: Vec<_> = (after + 1..=last)
        .map(|n| {
            let user = if n == 2 { "马超".to_owned() } else { format!("u{n}") };
            json!({"number": n, "userId": user, "amount": n * 50, "time": 1000 * u64::from(n)})
        })
        .collect();
    let next = if is_endless { Some(1) } else { (last < winners).then_some(last) };
    let mut found = json!({
        "packetId": "p1", "from": "黄帝", "target": "group:tea", "mode": "lucky", "greeting": "恭喜", "state": "empty",
        "total": 450, "count": winners, "grabbed": 150, "grabbedCount": 2, "refunded": 100, "open": 200,
        "created": 0, "expires": 86_400_000, "winners": page, "luckiest": "马超"
    });
    if let Some(next) = next {
        found["next"] = next.into();
    }
    Reply::Success(found)
}

#[tokio::test]
async fn a_packet_is_shown_with_its_winners_in_line() {
    let server = Server::start(|_, _, body| detail(2, body, false)).await;
    let (exit, out, err) = server.run(&["--app", "1", "redpacket", "show", "p1"]).await;
    assert_eq!((exit, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "packet      p1\n\
         from        黄帝\n\
         to          group:tea\n\
         greeting    恭喜\n\
         mode        lucky\n\
         state       empty\n\
         total       4.50 in 2 shares\n\
         taken       1.50 in 2 shares\n\
         open        2.00\n\
         given back  1.00\n\
         created     1970-01-01 00:00:00Z\n\
         expires     1970-01-02 00:00:00Z\n\
         \n\
         WINNER  NUMBER  AMOUNT  TIME                  LUCKIEST\n\
         u1           1    0.50  1970-01-01 00:00:01Z\n\
         马超         2    1.00  1970-01-01 00:00:02Z  luckiest\n"
    );
    let (_, out, _) = server.run(&["--app", "1", "redpacket", "show", "p1", "-o", "csv"]).await;
    assert_eq!(out, "userId,number,amount,time,luckiest\nu1,1,50,1000,false\n马超,2,100,2000,true\n");
}

#[tokio::test]
async fn all_winners_come_in_pages() {
    let server = Server::start(|_, _, body| detail(2500, body, false)).await;
    let (exit, out, err) = server.run(&["--app", "1", "redpacket", "show", "p1", "--json"]).await;
    assert_eq!((exit, server.requests().len()), (0, 3), "{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let numbers =
        found["winners"].as_array().unwrap().iter().map(|winner| winner["number"].as_u64().unwrap());
    assert!(numbers.eq(1..=2500));
    assert_eq!((&found["total"], &found["open"], &found["next"]), (&json!(450), &json!(200), &Value::Null));
    let server = Server::start(|_, _, body| detail(2500, body, true)).await;
    let (exit, out, err) = server.run(&["--app", "1", "redpacket", "show", "p1"]).await;
    assert_eq!((exit, out.as_str()), (1, ""));
    assert!(err.contains("does not come to an end"), "{err}");
}

#[tokio::test]
async fn dead_letters_are_listed_and_queued_again_after_a_yes() {
    let server = Server::start(|index, path, _| match (path, index) {
        ("/redPacket/replay", _) => Reply::Success(json!({"replayed": 2})),
        (_, 0) => Reply::Success(json!({"deadLetters": []})),
        _ => Reply::Success(json!({"deadLetters": [
            {"id": "7", "reason": "no such user", "transferId": "grab:p1:马超", "packetId": "p1", "userId": "马超", "amount": 5},
            {"id": "8", "reason": "cannot be read\u{1b}[2J"}
        ]})),
    })
    .await;
    let (exit, out, err) = server.run(&["--app", "1", "redpacket", "dead-letters"]).await;
    assert_eq!((exit, out.as_str(), err.as_str()), (0, "", "none\n"));
    let (_, out, err) = server.run(&["--app", "1", "redpacket", "dead-letters"]).await;
    assert_eq!(
        out,
        "ID  USER  AMOUNT  PACKET  TRANSFER      REASON\n\
         7   马超  0.05    p1      grab:p1:马超  no such user\n\
         8   -     -       -       -             cannot be read\\u{1b}[2J\n",
        "{err}"
    );
    let (exit, _, err) = server.run(&["--app", "1", "redpacket", "replay"]).await;
    let asked = server.requests();
    assert_eq!((exit, asked.iter().filter(|(path, _)| path == "/redPacket/replay").count()), (2, 0));
    assert!(err.contains("queue all 2 dead letters of app 1 again?") && err.contains("-y"), "{err}");
    let (exit, out, _) = server.run(&["--app", "1", "redpacket", "replay", "7", "-y"]).await;
    assert_eq!((exit, out.as_str()), (0, "2 queued again\n"));
    assert_eq!(server.requests().pop().expect("a request").1, json!({"appId": 1, "id": "7"}));
}

#[tokio::test]
async fn a_rehearsal_moves_no_money() {
    let server = Server::start(|_, _, _| Reply::HangUp).await;
    for words in [
        "redpacket create group:g --total 9 --count 1",
        "redpacket grab p",
        "redpacket show p",
        "redpacket audit",
        "redpacket audit --since 2h",
        "redpacket list --state open",
        "redpacket dead-letters",
        "redpacket replay",
        "wallet balance a b",
        "wallet deposit a 9 --transfer-id t",
        "wallet withdraw a 9 --transfer-id t",
        "wallet transfers a",
    ] {
        let words: Vec<_> = words.split(' ').chain(["--dry-run"]).collect();
        let (exit, out, err) = run(&server, &words).await;
        assert_eq!(exit, 0, "{words:?}: {err}");
        assert!(out.contains(&server.address), "{out}");
    }
    assert!(server.requests().is_empty());
}
