//! A connection without a network: bytes in, frames out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chat_protocol::code::close;
use chat_protocol::user::{Online, OnlineRequest, OnlineResponse};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::broker::Retention;
use crate::clock::SystemClock;
use crate::engine::sqlite::bans::EmbeddedBans;
use crate::engine::sqlite::broker::{Embedded, Place, Sync};
use crate::engine::sqlite::conversations::EmbeddedConversations;
use crate::engine::sqlite::groups::EmbeddedGroups;
use crate::engine::sqlite::presence::EmbeddedPresence;
use crate::engine::sqlite::worlds::EmbeddedWorlds;
use crate::hub::outbox::{Close, Limits};
use crate::membership::resync_queue::ResyncQueue;
use crate::membership::router::Router;
use crate::presence::Announcer;

const LIMITS: Limits = Limits { frames: 200, bytes: 100_000 };

/// What a node's connections share, in memory.
fn sessions() -> Arc<Sessions> {
    let (clock, counters) = (Arc::new(SystemClock), Arc::new(Counters::default()));
    let hub = Arc::new(Hub::new(1, LIMITS, counters.clone()));
    let retention = Retention { max_messages: 100, max_age_ms: 0 };
    let resyncs = Arc::new(ResyncQueue::default());
    let router = Arc::new(Router::new(hub.clone(), resyncs.clone()));
    let broker = Embedded::open(&Place::Memory, Sync::Normal, retention, clock.clone(), router).unwrap();
    let presence = Arc::new(EmbeddedPresence::new(broker.clone(), Announcer { limit: 10, clock }));
    let registry = Arc::new(Registry::new(hub.clone(), presence.clone()));
    tokio::spawn(registry.clone().run(CancellationToken::new()));
    let mut operations = Table::default();
    operations.bind::<Online, _>(&Arc::new(()), |(), _, OnlineRequest { user_id, .. }| {
        async { Ok(OnlineResponse { online: true, user_id }) }.boxed()
    });
    let quotas = Quotas::new(&crate::config::Config::default().limits, Arc::default());
    let groups = Arc::new(EmbeddedGroups::new(broker.clone(), 10));
    let conversations = Arc::new(EmbeddedConversations::new(broker.clone()));
    Arc::new(Sessions {
        subscriptions: Arc::new(Subscriptions::new(hub.clone(), broker.clone(), resyncs, registry.noting())),
        registry,
        chat: Arc::new(Chat::new(broker.clone(), counters.clone())),
        counters,
        marks: Arc::new(Marks::new(hub.clone(), broker.clone())),
        operations: Arc::new(operations),
        standing: Arc::new(Standing::new(hub.clone(), conversations.clone(), groups.clone(), presence)),
        groups,
        bans: Arc::new(EmbeddedBans::new(broker.clone(), Arc::new(SystemClock))),
        gate: Arc::new(Gate::new(Arc::new(EmbeddedWorlds::new(broker.clone())), quotas.clone())),
        conversations,
        broker,
        recoveries: Arc::new(Semaphore::new(1)),
        max_frame_bytes: 1000,
        auth: Arc::new(Auth::open()),
        quotas,
        hub,
    })
}

/// A connection, and what a client would have received of it.
struct Talk {
    session: Session,
    now: Instant,
}

impl Talk {
    fn new(sessions: &Arc<Sessions>) -> Self {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let session = Session::new(sessions.clone(), Rope::default(), peer, &[]);
        Self { session, now: Instant::now() }
    }

    async fn logged_in(sessions: &Arc<Sessions>, user: &str) -> Self {
        let mut talk = Self::new(sessions);
        talk.run(talk_of(&[&login(user)])).await;
        assert_eq!(talk.answers(), [("l".to_owned(), 200)]);
        talk
    }

    /// Sends these bytes and waits for what they ask.
    async fn run(&mut self, mut bytes: Vec<u8>) {
        let mut pending = self.session.receive(&mut bytes);
        loop {
            self.settle().await;
            if let Some(running) = pending.take() {
                let done = running.await;
                self.session.done(done);
            } else if self.session.has_kept() && self.session.listens() {
                pending = self.session.resume();
            } else {
                return;
            }
        }
    }

    /// Waits for the message that is on its way to its log.
    async fn settle(&mut self) {
        let is_stored = async {
            while self.session.running.is_some() {
                self.session.run();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_stored).await.expect("stored");
    }

    /// What was written now: texts, and the code of a close.
    fn written(&mut self) -> Vec<Result<Value, u16>> {
        let mut bytes = Vec::new();
        self.session.flush(&mut bytes, self.now).unwrap();
        let (mut frames, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (begin, length) = match bytes[at + 1] {
                126 => (at + 4, usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]))),
                length => (at + 2, usize::from(length)),
            };
            let content = &bytes[begin..begin + length];
            frames.push(match bytes[at] {
                0x81 => Ok(serde_json::from_slice(content).unwrap()),
                0x88 if content.is_empty() => Err(0),
                0x88 => Err(u16::from_be_bytes([content[0], content[1]])),
                other => panic!("frame {other:x}"),
            });
            at = begin + length;
        }
        frames
    }

    /// `seq` and code of the answers written now.
    fn answers(&mut self) -> Vec<(String, u64)> {
        let answer = |value: Value| {
            let code = value["response"]["code"].as_u64().unwrap();
            (value["seq"].as_str().unwrap().to_owned(), code)
        };
        let texts = self.written().into_iter().filter_map(Result::ok);
        let answers = texts.filter(|value| value["response"]["codeMsg"] != "Ok");
        answers.map(answer).collect()
    }

    fn goes_on(&mut self) -> Stage {
        self.session.go_on(self.now, |_| ())
    }
}

fn login(user: &str) -> Value {
    json!({"seq": "l", "cmd": "login", "data": {"appId": 1, "userId": user}})
}

fn message(seq: &str) -> Value {
    json!({"seq": seq, "cmd": "msg", "data": {"target": "", "msg": "hello"}})
}

/// What is answered elsewhere.
fn question(seq: &str) -> Value {
    json!({"seq": seq, "cmd": "user/online", "data": {"userId": "b"}})
}

fn ping(seq: &str) -> Value {
    json!({"seq": seq, "cmd": "ping"})
}

/// Frames of a client, under a mask that changes nothing.
fn talk_of(requests: &[&Value]) -> Vec<u8> {
    let frame = |request: &&Value| {
        let text = request.to_string();
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 126, "{text}");
        [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
    };
    requests.iter().flat_map(frame).collect()
}

fn seqs(answers: Vec<(String, u64)>) -> Vec<String> {
    assert!(answers.iter().all(|(_, code)| *code == 200), "{answers:?}");
    answers.into_iter().map(|(seq, _)| seq).collect()
}

#[tokio::test]
async fn requests_are_answered_in_their_order_one_at_a_time() {
    let sessions = sessions();
    let mut talk = Talk::logged_in(&sessions, "a").await;
    let mut bytes = talk_of(&[&ping("1"), &question("2"), &ping("3"), &question("4")]);
    let pending = talk.session.receive(&mut bytes).expect("the first question waits");
    assert!(!talk.session.listens() && talk.session.has_kept(), "what stands behind it waits too");
    assert_eq!(seqs(talk.answers()), ["1"]);
    talk.session.done(pending.await);
    assert_eq!(seqs(talk.answers()), ["2"]);
    let pending = talk.session.resume().expect("the second question waits");
    assert_eq!(seqs(talk.answers()), ["3"]);
    talk.session.done(pending.await);
    assert_eq!(seqs(talk.answers()), ["4"]);
    assert!(talk.session.listens() && !talk.session.has_kept());
}

#[tokio::test]
async fn messages_behind_each_other_go_together_and_everything_is_answered_in_its_order() {
    let sessions = sessions();
    let mut talk = Talk::logged_in(&sessions, "a").await;
    let empty = json!({"seq": "4", "cmd": "msg", "data": {"target": "", "msg": ""}});
    let requests =
        [message("1"), message("2"), message("3"), empty, message("5"), question("6"), message("7")];
    let mut bytes = talk_of(&requests.each_ref());
    bytes.extend([0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa0]);
    assert!(talk.session.receive(&mut bytes).is_none(), "what waits is kept by the session");
    assert!(talk.session.has_kept(), "what stands behind them waits");
    talk.settle().await;
    talk.run(Vec::new()).await;
    assert_eq!(talk.goes_on(), Stage::Parting { patience_s: 5, until: talk.now + Duration::from_secs(5) });
    let written = talk.written();
    let told: Vec<_> = written
        .iter()
        .flatten()
        .map(|answer| {
            let response = &answer["response"];
            (
                answer["seq"].as_str().unwrap(),
                response["code"].as_u64().unwrap(),
                response["data"]["offset"].as_u64(),
            )
        })
        .collect();
    let stored = |seq, offset| (seq, 200, Some(offset));
    let refused = ("4", 1001, None);
    assert_eq!(
        told,
        [
            stored("1", 1),
            stored("2", 2),
            stored("3", 3),
            refused,
            stored("5", 4),
            ("6", 200, None),
            stored("7", 5)
        ]
    );
    assert_eq!(written.last(), Some(&Err(4000)), "the close comes last");
}

#[tokio::test]
async fn who_breaks_the_protocol_behind_messages_hears_of_them_first() {
    let sessions = sessions();
    for broken in [&[0xc1, 0x80, 0, 0, 0, 0][..], &[]] {
        let mut talk = Talk::logged_in(&sessions, "a").await;
        let mut bytes = talk_of(&[&message("1"), &message("2")]);
        bytes.extend(broken);
        assert!(talk.session.receive(&mut bytes).is_none());
        if broken.is_empty() {
            talk.session.hang_up();
        }
        talk.settle().await;
        talk.run(Vec::new()).await;
        assert!(talk.session.listens() || matches!(talk.goes_on(), Stage::Parting { .. }));
        let written = talk.written();
        assert_eq!((written[0].is_ok(), written[1].is_ok()), (true, true));
        assert_eq!(written.get(2), if broken.is_empty() { None } else { Some(&Err(1002)) });
    }
}

#[tokio::test]
async fn frames_may_come_in_any_pieces() {
    let sessions = sessions();
    let bytes = talk_of(&[&login("a"), &ping("1"), &message("2"), &ping("3")]);
    for size in [1, 2, 3, 50, 199] {
        let mut talk = Talk::new(&sessions);
        for piece in bytes.chunks(size) {
            talk.run(piece.to_vec()).await;
            assert!(!talk.session.has_kept(), "a part of a frame is no request");
        }
        assert_eq!(seqs(talk.answers()), ["l", "1", "2", "3"], "{size} bytes at a time");
    }
}

#[tokio::test]
async fn many_requests_that_wait_for_nothing_go_a_turn_at_a_time() {
    let sessions = sessions();
    let mut talk = Talk::new(&sessions);
    let all: Vec<Value> = (0..50).map(|number| ping(&number.to_string())).collect();
    let mut bytes = talk_of(&all.iter().collect::<Vec<_>>());
    assert!(talk.session.receive(&mut bytes).is_none());
    let mut turns = 1;
    let mut answered = talk.answers().len();
    while talk.session.has_kept() {
        assert!(talk.session.resume().is_none());
        answered += talk.answers().len();
        turns += 1;
    }
    assert_eq!((answered, turns), (50, 50_usize.div_ceil(REQUESTS_PER_TURN as usize)));
}

#[tokio::test]
async fn who_hangs_up_or_closes_still_gets_the_answers() {
    let sessions = sessions();
    for closes in [false, true] {
        let mut talk = Talk::logged_in(&sessions, "a").await;
        let mut bytes = talk_of(&[&question("1"), &question("2")]);
        if closes {
            bytes.extend([0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa0]);
        }
        let pending = talk.session.receive(&mut bytes).expect("waits");
        talk.session.hang_up();
        assert_eq!(talk.goes_on(), Stage::Open);
        talk.session.done(pending.await);
        let pending = talk.session.resume().expect("the second one was sent before");
        talk.session.done(pending.await);
        assert!(talk.session.resume().is_none());
        assert!(matches!(talk.goes_on(), Stage::Parting { .. }));
        let written = talk.written();
        let closing: Vec<u16> = written.iter().filter_map(|frame| frame.as_ref().err().copied()).collect();
        assert_eq!((written.len(), closing), (2 + usize::from(closes), vec![4000; usize::from(closes)]));
    }
}

#[tokio::test]
async fn a_close_of_ours_waits_for_the_last_answer_but_not_for_ever() {
    let sessions = sessions();
    for is_answered in [true, false] {
        let mut talk = Talk::logged_in(&sessions, "a").await;
        let pending = talk.session.receive(&mut talk_of(&[&question("1"), &ping("2")])).expect("waits");
        talk.session.connection.outbox.close(Close::new(close::GOING_AWAY, "stop"));
        let stage = talk.goes_on();
        assert!(matches!(stage, Stage::Answering(_)));
        assert!(talk.written().is_empty());
        if is_answered {
            talk.session.done(pending.await);
        } else {
            talk.now = stage.until().unwrap();
        }
        assert!(matches!(talk.goes_on(), Stage::Parting { .. }));
        let end = talk.session.stage().until().unwrap();
        assert!(
            !talk.session.insists(talk.now) && talk.session.insists(end),
            "a last try before it is given up"
        );
        let written = talk.written();
        assert_eq!(written.len(), 1 + usize::from(is_answered));
        assert_eq!(written.last().unwrap().as_ref().err(), Some(&close::GOING_AWAY));
        talk.session.said_all(talk.now);
        assert!(matches!(talk.goes_on(), Stage::Draining { .. }));
        talk.now += Duration::from_secs(6);
        assert_eq!(talk.goes_on(), Stage::Over);
    }
}

#[tokio::test]
async fn who_is_given_up_as_too_slow_hears_that_and_nothing_else() {
    let sessions = sessions();
    let mut talk = Talk::logged_in(&sessions, "a").await;
    talk.written();
    let _pending = talk.session.receive(&mut talk_of(&[&question("1")])).expect("waits");
    talk.session.connection.outbox.answer(bytes::Bytes::from_static(b"\x81\x02{}"));
    talk.session.connection.outbox.shed();
    assert!(matches!(talk.goes_on(), Stage::Parting { .. }));
    assert_eq!(talk.written(), [Err(close::SLOW_CONSUMER)]);
    assert!(!talk.session.is_busy());
}

#[tokio::test]
async fn who_is_lost_after_our_close_ended_by_that() {
    let (sessions, lost) = (sessions(), std::io::ErrorKind::ConnectionReset);
    let mut talk = Talk::logged_in(&sessions, "a").await;
    talk.session.connection.outbox.shed();
    talk.session.lost(&lost.into());
    drop(talk);
    assert_eq!([close::SLOW_CONSUMER, 1006].map(|code| sessions.counters.closes.of(code)), [1, 0]);
}

#[tokio::test]
async fn a_violation_ends_the_connection_with_its_code_and_nothing_behind_it_is_read() {
    let sessions = sessions();
    let mut talk = Talk::logged_in(&sessions, "a").await;
    let unmasked = [0x81, 0x02, b'{', b'}'];
    let mut bytes = [talk_of(&[&ping("1")]), unmasked.to_vec(), talk_of(&[&ping("2")])].concat();
    assert!(talk.session.receive(&mut bytes).is_none());
    assert!(matches!(talk.goes_on(), Stage::Parting { .. }));
    let written = talk.written();
    assert_eq!((written.len(), written[1].as_ref().err()), (2, Some(&1002)));
}

#[tokio::test]
async fn who_ends_is_in_no_room_and_not_counted() {
    let sessions = sessions();
    let talk = Talk::logged_in(&sessions, "a").await;
    let counts = || (sessions.hub.connections(), sessions.hub.sessions());
    assert_eq!(counts(), (1, 1));
    drop(talk);
    assert_eq!(counts(), (0, 0));
    let mut late = Talk::new(&sessions);
    let pending = late.session.receive(&mut talk_of(&[&login("b")])).expect("waits");
    late.session.lost(&io::ErrorKind::BrokenPipe.into());
    drop(late);
    drop(pending.await);
    assert_eq!(counts(), (0, 0));
}
