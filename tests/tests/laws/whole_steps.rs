//! A step over Redis happens whole or not at all: what is wrong with a key is met before the first change, and what
//! can be mended is.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat_protocol::{Code, GroupId, Target};
use chat_tests::broker::{APP, HandClock, Recorder, message, to_user, user};
use chat_tests::engine::said;
use chat_tests::redis_server::RedisServer;
use chatd::broker::{BrokerError, Log, Outgoing, REPEAT_WINDOW_MS, Range, Retention};
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::friends::RedisFriends;
use chatd::engine::redis::groups::RedisGroups;
use chatd::engine::redis::keys::Keys;
use chatd::friends::{Action, Friends, Limits};
use chatd::groups::{Change, Groups};
use chatd::model::{Conversation, Topic};
use redis::aio::MultiplexedConnection;

struct Bench {
    /// Ends with the bench.
    _server: RedisServer,
    broker: Arc<RedisBroker>,
    clock: Arc<HandClock>,
    raw: MultiplexedConnection,
    keys: Keys,
}

impl Bench {
    async fn new() -> Self {
        let server = RedisServer::start().await;
        let (keys, clock) = (Keys::default(), Arc::<HandClock>::default());
        let retention = Retention { max_messages: 100, max_age_ms: 0 };
        let seen = Arc::<Recorder>::default();
        let url = server.url();
        let broker =
            RedisBroker::connect(&url, keys.clone(), 1, retention, clock.clone(), Arc::default(), seen);
        let broker = broker.await.expect("a broker");
        let client = redis::Client::open(url.as_str()).expect("a URL");
        let raw = client.get_multiplexed_async_connection().await.expect("connected");
        Self { _server: server, broker, clock, raw, keys }
    }

    /// When the lists of a pair's users are due again.
    fn later(&self) {
        self.clock.set(1_800_000_100_000);
    }

    async fn send(&self, message: Outgoing) -> Result<u64, BrokerError> {
        Ok(self.broker.append(message).await?.offset)
    }

    /// Everything that is kept.
    async fn all(&mut self) -> BTreeMap<String, Vec<u8>> {
        let names: Vec<String> =
            redis::cmd("KEYS").arg("*").query_async(&mut self.raw).await.expect("listed");
        let mut all = BTreeMap::new();
        for name in names {
            let dump = redis::cmd("DUMP").arg(&name).query_async(&mut self.raw).await.expect("dumped");
            all.insert(name, dump);
        }
        all
    }

    /// Does `step` with each key that it touches holding something else than it should: it must fail for good, not
    /// "for now", and change nothing; afterwards it succeeds.
    async fn whole<T, E: std::fmt::Debug>(
        &mut self,
        names: &[String],
        code: impl Fn(&E) -> Code,
        step: impl AsyncFn() -> Result<T, E>,
    ) {
        for name in names {
            let kept: Option<Vec<u8>> =
                redis::cmd("DUMP").arg(name).query_async(&mut self.raw).await.expect("dumped");
            redis::cmd("SET").arg(name).arg("x").query_async::<()>(&mut self.raw).await.expect("set");
            let before = self.all().await;
            let refused = step().await.err().unwrap_or_else(|| panic!("done with {name} of another kind"));
            assert_eq!(code(&refused), Code::ServerError, "{name}: {refused:?}");
            assert_eq!(self.all().await, before, "{name}: done by halves");
            redis::cmd("DEL").arg(name).query_async::<()>(&mut self.raw).await.expect("removed");
            if let Some(kept) = kept {
                let mut restore = redis::cmd("RESTORE");
                restore.arg(name).arg(0).arg(kept).query_async::<()>(&mut self.raw).await.expect("restored");
            }
        }
        step().await.expect("done now");
    }
}

fn pair() -> Conversation {
    Conversation::Pair(APP, user("a"), user("b"))
}

/// The keys of a pair and its inboxes.
fn of_pair(keys: &Keys) -> Vec<String> {
    let mut names = vec![keys.log(&pair())];
    for name in ["a", "b"] {
        let inbox = Topic::Inbox(APP, user(name));
        names.extend([keys.topic_log(&inbox), keys.pairs(APP, &user(name)), keys.reads(APP, &user(name))]);
    }
    names
}

#[tokio::test]
async fn a_message_is_appended_whole_or_not_at_all() {
    let mut bench = Bench::new().await;
    bench.send(to_user("a", "b", "first")).await.expect("sent");
    bench.later();
    let period = 1_800_000_000_000 / REPEAT_WINDOW_MS;
    let mut names = of_pair(&bench.keys);
    names.push(bench.keys.sent(APP, &user("a"), period));
    names.push(bench.keys.blocked(APP, &user("b")));
    let broker = bench.broker.clone();
    bench.whole(&names, BrokerError::code, async || broker.append(to_user("a", "b", "second")).await).await;
    let page = bench.broker.read(&pair(), Range::After(0), 10).await.expect("read");
    assert_eq!(page.entries.len(), 2, "sent many times, there once");
}

#[tokio::test]
async fn a_message_is_recalled_whole_or_not_at_all() {
    let mut bench = Bench::new().await;
    let offset = bench.send(said("a", "user:b", "first")).await.expect("sent");
    bench.later();
    let names = of_pair(&bench.keys);
    let broker = bench.broker.clone();
    bench.whole(&names, BrokerError::code, async || broker.recall(&pair(), offset, None).await).await;
}

#[tokio::test]
async fn a_group_is_changed_whole_or_not_at_all() {
    let mut bench = Bench::new().await;
    let (groups, group) = (RedisGroups::new(&bench.broker, u64::MAX), GroupId::new("g").expect("an id"));
    groups.create(APP, &group, &user("a"), "name").await.expect("created");
    let (keys, log) = (bench.keys.clone(), Conversation::Group(APP, group.clone()));
    let names = [
        keys.log(&log),
        keys.group(APP, &group),
        keys.members(APP, &group),
        keys.groups_of(APP, &user("b")),
        keys.reads(APP, &user("b")),
    ];
    let join = Change::Join(user("b"));
    bench
        .whole(&names, chatd::groups::GroupError::code, async || groups.change(APP, &group, &join).await)
        .await;
}

#[tokio::test]
async fn a_friendship_is_changed_whole_or_not_at_all() {
    let mut bench = Bench::new().await;
    let (friends, keys) =
        (RedisFriends::new(&bench.broker, Limits { requests: 10, friends: 10 }), bench.keys.clone());
    let (a, b) = (user("a"), user("b"));
    let names =
        [keys.standings(APP, &a), keys.standings(APP, &b), keys.blocked(APP, &a), keys.blocked(APP, &b)];
    let request = Action::Request { greeting: None, time: 1 };
    for (who, whom, action) in [(&a, &b, request), (&b, &a, Action::Accept), (&a, &b, Action::Block)] {
        let act = async || friends.act(APP, who, whom, &action).await;
        bench.whole(&names, chatd::friends::FriendError::code, act).await;
    }
}

#[tokio::test]
async fn whoever_lost_the_list_of_their_groups_is_told_and_may_join_anew() {
    let mut bench = Bench::new().await;
    let (groups, group) = (RedisGroups::new(&bench.broker, u64::MAX), GroupId::new("g").expect("an id"));
    groups.create(APP, &group, &user("a"), "name").await.expect("created");
    let join = Change::Join(user("b"));
    groups.change(APP, &group, &join).await.expect("joined");
    let list = bench.keys.groups_of(APP, &user("b"));
    redis::cmd("DEL").arg(&list).query_async::<()>(&mut bench.raw).await.expect("lost");
    let target = Target::Group(group.clone());
    let refused = bench.send(message("b", &target, "1")).await.expect_err("they are served nothing");
    assert!(matches!(refused, BrokerError::NotMember), "{refused:?}");
    let joined = groups.change(APP, &group, &join).await.expect("joined");
    assert_eq!((joined.changed, joined.member_count), (true, 2));
    assert!(!groups.change(APP, &group, &join).await.expect("joined").changed, "once is enough");
    bench.send(message("b", &target, "2")).await.expect("sent");
    assert_eq!(groups.of_user(APP, &user("b")).await.expect("listed").len(), 1);
}

#[tokio::test]
async fn a_group_made_anew_after_it_was_lost_has_no_members_of_before() {
    let mut bench = Bench::new().await;
    let (groups, group) = (RedisGroups::new(&bench.broker, u64::MAX), GroupId::new("g").expect("an id"));
    groups.create(APP, &group, &user("a"), "name").await.expect("created");
    groups.change(APP, &group, &Change::Join(user("b"))).await.expect("joined");
    let key = bench.keys.group(APP, &group);
    redis::cmd("DEL").arg(&key).query_async::<()>(&mut bench.raw).await.expect("lost");
    assert!(groups.create(APP, &group, &user("b"), "name").await.expect("created"));
    let members = groups.members(APP, &group, None, 10).await.expect("listed").users;
    assert_eq!(members, [user("b")]);
    let refused = bench.send(message("a", &Target::Group(group), "1")).await;
    assert!(matches!(refused, Err(BrokerError::NotMember)), "{refused:?}");
}

/// The clock of another node may still be in the day before.
#[tokio::test]
async fn a_repeat_is_known_whichever_side_of_midnight_it_was_sent_on() {
    let bench = Bench::new().await;
    let midnight = (1_800_000_000_000 / REPEAT_WINDOW_MS + 1) * REPEAT_WINDOW_MS;
    for (at, id, offset) in
        [(midnight + 3_000, "b", 1), (midnight - 20_000, "m", 2), (midnight + 9_000, "c", 3)]
    {
        bench.clock.set(at);
        assert_eq!(bench.send(to_user("a", "b", id)).await.expect("sent"), offset);
    }
    for later in [0, 90 * 60_000, REPEAT_WINDOW_MS - 60_000] {
        bench.clock.set(midnight + later);
        let repeat = bench.broker.append(to_user("a", "b", "m")).await.expect("a repeat");
        assert_eq!((repeat.duplicate, repeat.offset), (true, 2), "{later} ms after midnight");
    }
}

/// What a message to somebody who never came leaves: its log and what belongs to it, which are history; all else ends.
#[tokio::test]
async fn a_message_to_somebody_who_never_came_leaves_only_history_without_an_end() {
    let mut bench = Bench::new().await;
    bench.send(to_user("a", "b", "1")).await.expect("sent");
    let keys = bench.keys.clone();
    let history = [
        keys.log(&pair()),
        keys.reads(APP, &user("a")),
        keys.pairs(APP, &user("a")),
        keys.pairs(APP, &user("b")),
    ];
    let mut ends = Vec::new();
    for name in bench.all().await.into_keys() {
        let left_ms: i64 = redis::cmd("PTTL").arg(&name).query_async(&mut bench.raw).await.expect("told");
        assert_eq!(left_ms < 0, history.contains(&name) || name == keys.layout(), "{name}: {left_ms} ms");
        ends.push((name, left_ms));
    }
    let inbox = keys.topic_log(&Topic::Inbox(APP, user("b")));
    let left_ms = ends.iter().find(|(name, _)| *name == inbox).expect("an inbox").1;
    assert!((1..=2 * 60 * 60 * 1000).contains(&left_ms), "nobody listens: {left_ms} ms");
}
