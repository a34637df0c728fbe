//! Readers and senders who stay while `restart` does something to their servers: what they are told is all that is judged.
//!
//! Invariant: the readers and senders are the client that programs use.

use std::collections::BTreeSet;
use std::time::Duration;

use chat_client::live::{Identity, Item, Options, Requests};
use chat_client::{Error, Live, Server};
use chat_protocol::session::{Msg, Receipt};
use chat_protocol::{Code, MsgId, Target, UserId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::stream::Answered;
use crate::wait::{SOON, pace};

const APP: u32 = 632;
const READERS: usize = 200;
const SENDERS: usize = 3;
/// Ends what everybody waits for.
const LAST: &str = "last";
/// Between two messages of a sender.
const REST: Duration = Duration::from_millis(60);

fn live(servers: &[Server], user: &str, turn: usize) -> Live {
    let mut servers = servers.to_vec();
    let count = servers.len();
    servers.rotate_left(turn % count);
    let user_id = UserId::new(user).expect("a valid name");
    let identity = Identity { app_id: APP, user_id, token: None };
    Live::start(servers, identity, Options { timeout: SOON, ..Options::default() })
}

/// What a reader got until the last message.
struct Got {
    ids: Vec<String>,
    closes: Vec<u16>,
}

async fn read(mut live: Live, name: String, ready: tokio::sync::mpsc::Sender<()>) -> Got {
    let (mut got, mut last) = (Got { ids: Vec::new(), closes: Vec::new() }, 0);
    while let Some(item) = live.next().await {
        match item {
            Item::Message(message) => {
                assert!(message.offset > last, "{name}: {} behind {last}", message.offset);
                last = message.offset;
                let id = message.msg_id.to_string();
                if id == LAST {
                    return got;
                }
                got.ids.push(id);
            }
            Item::Gap(gap) => panic!("{name}: {gap:?}"),
            Item::Refused(error) => panic!("{name}: {error}"),
            Item::Disconnected { code, .. } => got.closes.push(code),
            Item::Connected { .. } => _ = ready.try_send(()),
            Item::Push(_) | Item::NewEpoch { .. } | Item::Retrying { .. } => {}
        }
    }
    panic!("{name}: the session is over");
}

/// Sends one message until it is answered, as a program would: with the same id.
async fn insist(requests: &Requests, id: &str) -> Receipt {
    let msg = Msg { msg_id: MsgId::new(id).ok(), ..Msg::text(Target::World, id) };
    loop {
        match requests.send(&msg).await {
            Ok(receipt) => return receipt,
            Err(Error::Unreachable { .. } | Error::Interrupted { .. }) => pace(REST).await,
            Err(error) if error.code() == Some(Code::StoreUnreachable) => pace(REST).await,
            Err(error) => panic!("{id}: {error}"),
        }
    }
}

async fn send(mut live: Live, name: String, answered: Answered, stop: watch::Receiver<bool>) {
    let requests = live.requests();
    let draining = tokio::spawn(async move { while live.next().await.is_some() {} });
    for number in 0.. {
        if *stop.borrow() {
            break;
        }
        answered.add(&name, insist(&requests, &format!("{name}-{number}")).await);
        pace(REST).await;
    }
    draining.abort();
}

/// Everybody is here, `restart` runs amid their talk, and afterwards each reader has got each message once, in order.
/// Gives the close codes that each of them met.
///
/// # Panics
/// When one has not.
pub async fn all_is_shown_once(servers: Vec<Server>, restart: impl AsyncFnOnce(&Answered)) -> Vec<Vec<u16>> {
    let (answered, (stop, stopped), mut reading) =
        (Answered::default(), watch::channel(false), JoinSet::new());
    let (ready, mut are_ready) = tokio::sync::mpsc::channel(READERS);
    for number in 0..READERS {
        let name = format!("reader-{number}");
        reading.spawn(read(live(&servers, &name, number), name, ready.clone()));
    }
    for _ in 0..READERS {
        are_ready.recv().await.expect("a reader");
    }
    let mut sending = JoinSet::new();
    for number in 0..SENDERS {
        let name = format!("sender-{number}");
        sending.spawn(send(live(&servers, &name, number), name, answered.clone(), stopped.clone()));
    }
    answered.grows_by(20).await;
    restart(&answered).await;
    answered.grows_by(20).await;
    stop.send_replace(true);
    while let Some(ended) = sending.join_next().await {
        ended.expect("all was answered");
    }
    let closer = live(&servers, "closer", 0);
    insist(&closer.requests(), LAST).await;
    let expected: BTreeSet<String> =
        answered.all().into_iter().map(|(_, receipt)| receipt.msg_id.to_string()).collect();
    let mut met = Vec::new();
    for Got { ids, closes } in reading.join_all().await {
        let seen: BTreeSet<_> = ids.iter().cloned().collect();
        assert_eq!(seen.len(), ids.len(), "shown twice");
        assert!(seen == expected, "lost: {:?}", expected.difference(&seen).collect::<Vec<_>>());
        met.push(closes);
    }
    closer.close().await;
    met
}
