//! The hot functions of chatd, one at a time, for `scripts/bench-ci`, which counts their instructions.
//!
//! Usage: `hot` lists them, a line each: name, calls to count, what one call does. `hot NAME CALLS` calls one so often.

use std::hint::black_box;
use std::io::sink;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::asked::Asked;
use chat_protocol::{MsgId, Target, UserId};
use chatd::broker::{BrokerError, Bus, Event, Fingerprint, Log, Outgoing, Retention, Sink};
use chatd::clock::SystemClock;
use chatd::config::Config;
use chatd::engine::sqlite::Close;
use chatd::engine::sqlite::broker::{Embedded, Place, Sync};
use chatd::hub::bell::{Bell, Rope};
use chatd::hub::outbox::{Delivery, Limits, Outbox};
use chatd::hub::{Hub, frame};
use chatd::membership::router::Router;
use chatd::membership::subscriptions::Subscriptions;
use chatd::model::{Conversation, Effect, Entry, Identity, Language, Notice, Skip, Topic};
use chatd::quota::{Bucket, Quotas};
use chatd::tls::Line;
use chatd::transport::frames::Frames;
use chatd::transport::reader::Reader;
use chatd::transport::writer::Writer;
use futures_util::FutureExt;

/// Text of a message.
const SAID: &str = "天下大势，分久必合，合久必分。 Here begins our tale: the empire, long divided, must unite; long united, \
                    must divide. Thus it has ever been, and so the three of them met in the garden of peaches.";
/// Frames that wait for one connection.
const GATHERED: usize = 16;
const READERS: usize = 1000;
const LIMITS: Limits = Limits { frames: 1024, bytes: 1 << 20 };
const MAX_FRAME: usize = 64 * 1024;

/// A function to be counted.
struct Hot {
    name: &'static str,
    /// Calls that are enough for a count.
    calls: usize,
    /// What one call does.
    what: &'static str,
    /// Calls it so often.
    call: fn(usize),
}

const HOT: [Hot; 9] = [
    Hot { name: "read", calls: 20_000, what: "a frame of a client: header, unmask, UTF-8", call: read },
    Hot { name: "envelope", calls: 20_000, what: "its request: seq, cmd, parameters of msg", call: envelope },
    Hot { name: "quota-off", calls: 20_000, what: "a request where there is no rate", call: quota_off },
    Hot {
        name: "quota-on",
        calls: 20_000,
        what: "a request against the rates of its connection and its user",
        call: quota_on,
    },
    Hot { name: "encode", calls: 20_000, what: "the push of a logged message, with header", call: encode },
    Hot { name: "outbox", calls: 4_000, what: "16 frames into an outbox and out of it", call: outbox },
    Hot {
        name: "flush",
        calls: 4_000,
        what: "16 frames in one write, without the system's part",
        call: flush,
    },
    Hot {
        name: "append",
        calls: 100,
        what: "16 messages between 40 users into a log on SQLite",
        call: append,
    },
    Hot { name: "fan-out", calls: 40, what: "a message to 1,000 outboxes and out of them", call: fan_out },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        HOT.iter().for_each(|Hot { name, calls, what, .. }| println!("{name}\t{calls}\t{what}"));
        return ExitCode::SUCCESS;
    }
    let found = HOT.iter().find(|hot| hot.name == arguments[0]);
    let calls = arguments.get(1).and_then(|calls| calls.parse().ok());
    let (Some(hot), Some(calls)) = (found, calls) else {
        eprintln!("usage: hot [NAME CALLS]");
        return ExitCode::from(2);
    };
    (hot.call)(calls);
    ExitCode::SUCCESS
}

fn read(calls: usize) {
    let text = request();
    // A mask of zeros leaves the bytes as they are, for the next call, and costs what others do.
    let mut input = vec![0x81, 0x80 | 126];
    input.extend_from_slice(&u16::try_from(text.len()).expect("it is short").to_be_bytes());
    input.extend_from_slice(&[0; 4]);
    input.extend_from_slice(text.as_bytes());
    let mut reader = Reader::default();
    for _ in 0..calls {
        let received = reader.next(black_box(&mut input), &mut 0, MAX_FRAME);
        assert!(matches!(black_box(received), Ok(Some(_))));
    }
}

fn envelope(calls: usize) {
    let text = request();
    for _ in 0..calls {
        let asked = Asked::read(black_box(&text));
        assert!(black_box(asked).is_ok_and(|asked| asked.msg.is_some()));
    }
}

fn quota_off(calls: usize) {
    let quotas = Quotas::new(&Config::default().limits, Arc::default());
    for _ in 0..calls {
        assert!(!black_box(&quotas).paces_sessions());
    }
}

fn quota_on(calls: usize) {
    let mut limits = Config::default().limits;
    let rate = "1000000/s".parse().expect("a rate");
    (limits.rate_per_connection, limits.rate_per_user) = (rate, rate);
    (limits.burst_per_connection, limits.burst_per_user) = (1_000_000, 1_000_000);
    let (quotas, now) = (Quotas::new(&limits, Arc::default()), Instant::now());
    let identity = Identity { app: 1, user: UserId::new("马超").expect("a name") };
    let (connection, user) = (Bucket::default(), quotas.user(&identity, now));
    for _ in 0..calls {
        assert!(black_box(&quotas).paces_sessions());
        assert!(quotas.connection_asks(black_box(&connection), now).is_ok());
        assert!(quotas.paces_users() && quotas.user_asks(black_box(&user), now).is_ok());
    }
}

fn encode(calls: usize) {
    let entry = entry();
    for _ in 0..calls {
        black_box(frame::message(black_box(&entry), Language::English));
    }
}

fn outbox(calls: usize) {
    let (conversation, entry) = (Conversation::World(1), entry());
    let pushed = frame::message(&entry, Language::English);
    let outbox = Outbox::new(LIMITS, Rope::default());
    for _ in 0..calls {
        for _ in 0..GATHERED {
            outbox.push(&Delivery { frame: pushed.clone(), message: Some((&conversation, &entry)) });
        }
        let mut taken = Frames::default();
        outbox.take(&mut taken, GATHERED);
        assert_eq!(black_box(taken).len(), GATHERED);
    }
}

fn flush(calls: usize) {
    let pushed = frame::message(&entry(), Language::English);
    let mut writer = Writer::default();
    for _ in 0..calls {
        let mut left = GATHERED;
        let flushed = writer.flush(&mut Line { tcp: sink(), tls: None }, |frames, max| {
            (0..left.min(max)).for_each(|_| frames.push(pushed.clone()));
            left -= left.min(max);
        });
        assert!(black_box(flushed).is_ok() && left == 0);
    }
}

fn append(calls: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Place::Directory(directory.path().to_owned());
    let retention = Retention { max_messages: 10_000, max_age_ms: 0 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let engine = Embedded::open(&place, Sync::Normal, retention, Arc::new(SystemClock), Arc::new(Still));
        let engine = engine.expect("an empty store");
        for call in 0..calls {
            let run = (0..GATHERED).map(|number| said(call * GATHERED + number)).collect();
            let stored = engine.append_all(black_box(run)).await;
            assert!(black_box(stored).iter().all(Result::is_ok));
        }
        engine.close().await;
    });
}

/// A message of its own between two of 40 users, from one to each of the others in turn.
fn said(number: usize) -> Outgoing {
    let user = |number: usize| UserId::new(&format!("user{}", number % 40)).expect("a name");
    let (sender, msg_id) = (user(number), MsgId::new(&format!("1700000000000-{number}")).expect("a name"));
    let members = format!(r#""target":"","type":"text","msg":"{SAID}","from":"{sender}","msgId":"{msg_id}""#);
    Outgoing {
        conversation: Conversation::of(1, &sender, &Target::User(user(number + 1 + number / 40 % 39))),
        fingerprint: Some(Fingerprint::of(members.as_bytes())),
        sender,
        msg_id,
        members: members.into(),
        skip: Skip::Nobody,
    }
}

fn fan_out(calls: usize) {
    let (hub, bell) = (Arc::new(Hub::new(1, LIMITS, Arc::default())), Bell::new(Box::new(|| ())));
    let subscriptions =
        Arc::new(Subscriptions::new(hub.clone(), Arc::new(Still), Arc::default(), Box::new(|_| ())));
    let router = Router::new(hub.clone(), Arc::default());
    let topic = Topic::World(1);
    let mut readers = Vec::new();
    for number in 0..READERS {
        let user = UserId::new(&format!("user{number}")).expect("a name");
        let place = u32::try_from(number).expect("it is small");
        let connection = hub.open(Rope::new(bell.clone(), place));
        let membership = subscriptions.join(&connection, &Identity { app: 1, user });
        let followed = subscriptions.follow(&connection, std::slice::from_ref(&topic)).now_or_never();
        assert!(matches!(followed, Some(Ok(()))));
        readers.push((connection, membership));
    }
    let event = Event::Message { conversation: Conversation::World(1), entry: entry() };
    let mut rung = Vec::new();
    for _ in 0..calls {
        router.deliver(&topic, black_box(&event));
        bell.take(&mut rung);
        assert_eq!(rung.len(), READERS);
        for place in rung.drain(..) {
            let (connection, _) = &readers[place as usize];
            let mut taken = Frames::default();
            connection.outbox.look();
            connection.outbox.take(&mut taken, GATHERED);
            assert!(!black_box(taken).is_empty());
        }
    }
}

/// A message as a client sends it.
fn request() -> String {
    format!(r#"{{"seq":"1700000000000-1","cmd":"msg","data":{{"target":"","type":"text","msg":"{SAID}"}}}}"#)
}

/// The same in the log.
fn entry() -> Entry {
    let members =
        format!(r#""target":"","type":"text","msg":"{SAID}","from":"马超","msgId":"1700000000000-1""#);
    Entry {
        offset: 1,
        epoch: "0190d5c8b1c27b3a".into(),
        time: 1_700_000_000_000,
        msg_id: MsgId::new("1700000000000-1").expect("a name"),
        members: Bytes::from(members),
        skip: Skip::Nobody,
        effect: Effect::None,
    }
}

/// A bus over which nothing comes, and a reader who waits for nothing.
struct Still;

impl Sink for Still {
    fn deliver(&self, _: &Topic, _: &Event) {}
    fn lost(&self, _: &Topic) {}
    fn interrupted(&self, _: &Topic) {}
}

#[async_trait]
impl Bus for Still {
    async fn notify(&self, _: &Topic, _: Notice) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn subscribe(&self, _: &Topic) -> Result<(), BrokerError> {
        Ok(())
    }

    fn unsubscribe(&self, _: &Topic) {}
}
