//! The law of what there is of files (`chatd::files`), run against every adapter.

use chat_protocol::UserId;
use chat_protocol::file::About;
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, Node, dismiss, group_id, join};
use chat_tests::engine_laws;
use chatd::counters::Limit;
use chatd::files::{FileError, FileId, Record, Usage};
use futures_util::future::join_all;

engine_laws!(
    however_many_come_at_once_nobody_has_more_than_may_be,
    what_is_repeated_changes_nothing,
    what_has_ended_is_found_by_nobody_and_due_until_it_is_forgotten,
    a_dismissed_group_takes_its_files_along_and_no_others,
    the_secret_stays,
);

const ANY: Usage = Usage { user: 0, app: 0 };
const LATER: u64 = u64::MAX >> 12;

fn record(owner: &UserId, place: &str, incarnation: Option<&str>, bytes: u64) -> Record {
    let about = About {
        name: "a/../b\n帝".to_owned(),
        kind: "img".to_owned(),
        content_type: "image/png".to_owned(),
        bytes,
        sha256: "00".repeat(32),
        size: None,
        thumbnail: false,
    };
    Record {
        owner: owner.clone(),
        place: place.to_owned(),
        incarnation: incarnation.map(str::to_owned),
        secret: "secret".to_owned(),
        about,
        thumbnail_bytes: 1,
    }
}

fn of_world(owner: &str, bytes: u64) -> Record {
    record(&user(owner), "world", None, bytes)
}

async fn add(node: &Node, record: &Record) -> FileId {
    let id = FileId::random();
    node.files.add(APP, &id, record, LATER, ANY).await.expect("added");
    id
}

async fn however_many_come_at_once_nobody_has_more_than_may_be(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let most = Usage { user: 100, app: 250 };
    let adding = (0..60).map(|number: usize| {
        let owner = ["a", "帝", "c"][number % 3];
        let node = &nodes[number % 2];
        async move { node.files.add(APP, &FileId::random(), &of_world(owner, 9), LATER, most).await }
    });
    let added = join_all(adding).await;
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 25);
    let held =
        join_all(["a", "帝", "c"].map(|owner| async { nodes[0].files.usage(APP, &user(owner)).await }));
    let held: Vec<_> = held.await.into_iter().map(|held| held.expect("known")).collect();
    assert!(held.iter().all(|held| held.app == 250 && held.user <= 100), "{held:?}");
    assert_eq!(held.iter().map(|held| held.user).sum::<u64>(), 250);
    let refused: Vec<_> = added.into_iter().filter_map(Result::err).collect();
    assert!(
        refused.contains(&FileError::Full { limit: Limit::FileBytesPerApp, held: 250, most: 250 }),
        "{refused:?}"
    );
}

async fn what_is_repeated_changes_nothing(engine: Engine) {
    let node = engine.node().await;
    let (id, record) = (FileId::random(), of_world("a", 9));
    for _ in 0..2 {
        node.files.add(APP, &id, &record, LATER, Usage { user: 10, app: 10 }).await.expect("added");
        assert_eq!(node.files.usage(APP, &user("a")).await, Ok(Usage { user: 10, app: 10 }));
        assert_eq!(node.files.find(APP, &id).await, Ok(Some(record.clone())));
        assert_eq!(node.files.find(APP + 1, &id).await, Ok(None));
        assert_eq!(node.files.keep(APP, &id, None).await, Ok(true));
    }
    let node = engine.reopen(node).await;
    assert_eq!(node.files.find(APP, &id).await, Ok(Some(record)));
    for _ in 0..2 {
        node.files.end(APP, &id).await.expect("ended");
        assert_eq!(node.files.keep(APP, &id, None).await, Ok(false));
    }
    for _ in 0..2 {
        node.files.forget(APP, &id).await.expect("forgotten");
        assert_eq!(node.files.usage(APP, &user("a")).await, Ok(Usage { user: 0, app: 0 }));
    }
}

async fn what_has_ended_is_found_by_nobody_and_due_until_it_is_forgotten(engine: Engine) {
    let node = engine.node().await;
    engine.clock.set(1_000);
    let ids: Vec<_> = (0..4).map(|_| FileId::random()).collect();
    for id in &ids {
        node.files.add(APP, id, &of_world("a", 9), 2_000, ANY).await.expect("added");
    }
    let [unsent, kept, aged, ended] = &ids[..] else { unreachable!("there are four") };
    assert_eq!(node.files.keep(APP, kept, None).await, Ok(true));
    assert_eq!(node.files.keep(APP, aged, Some(3_000)).await, Ok(true));
    node.files.end(APP, ended).await.expect("ended");
    for (now, due) in [(1_999, vec![ended]), (2_000, vec![ended, unsent]), (3_000, vec![ended, unsent, aged])]
    {
        engine.clock.set(now);
        let mut found = node.files.due(10).await.expect("known");
        found.sort();
        let mut expected: Vec<_> = due.iter().map(|id| (APP, (*id).clone())).collect();
        expected.sort();
        assert_eq!(found, expected, "at {now}");
        assert!(node.files.due(1).await.expect("known").len() <= 1);
        for id in &ids {
            let is_found = node.files.find(APP, id).await.expect("known").is_some();
            assert_eq!(is_found, !due.contains(&id), "at {now}");
            assert_eq!(node.files.keep(APP, id, None).await, Ok(is_found), "at {now}");
            if is_found && id != kept {
                let ends = if id == aged { 3_000 } else { 2_000 };
                assert_eq!(node.files.keep(APP, id, Some(ends)).await, Ok(true));
            }
        }
        assert_eq!(node.files.usage(APP, &user("a")).await, Ok(Usage { user: 40, app: 40 }));
    }
    for (app, id) in node.files.due(10).await.expect("known") {
        node.files.forget(app, &id).await.expect("forgotten");
    }
    assert_eq!(node.files.due(10).await, Ok(Vec::new()));
    assert_eq!(node.files.usage(APP, &user("a")).await, Ok(Usage { user: 10, app: 10 }));
}

async fn a_dismissed_group_takes_its_files_along_and_no_others(engine: Engine) {
    const MANY: usize = 1_200;
    let node = engine.node().await;
    for group in ["g", "h"] {
        node.create(group, &["a"]).await;
    }
    let of = async |group: &str| {
        let incarnation =
            node.groups.membership(APP, &group_id(group), &user("a")).await.expect("known").incarnation;
        record(&user("a"), &format!("group\n{group}"), Some(&incarnation), 9)
    };
    let (former, other) = (of("g").await, of("h").await);
    for _ in 0..MANY {
        add(&node, &former).await;
    }
    let stays = [add(&node, &other).await, add(&node, &of_world("a", 9)).await];
    node.change("g", dismiss("a")).await;
    // Another group of the id has files of its own.
    node.create("g", &["a"]).await;
    node.change("g", join("b")).await;
    let again = add(&node, &of("g").await).await;
    let mut gone = 0;
    loop {
        let due = node.files.due(100).await.expect("known");
        if due.is_empty() {
            break;
        }
        gone += due.len();
        for (app, id) in due {
            assert_eq!(node.files.find(app, &id).await, Ok(None));
            node.files.forget(app, &id).await.expect("forgotten");
        }
    }
    assert_eq!(gone, MANY);
    for id in stays.iter().chain([&again]) {
        assert!(node.files.find(APP, id).await.expect("known").is_some());
    }
    assert_eq!(node.files.usage(APP, &user("a")).await, Ok(Usage { user: 30, app: 30 }));
}

async fn the_secret_stays(engine: Engine) {
    let node = engine.node().await;
    let secret = node.files.secret().await.expect("a secret");
    assert!(secret.len() >= 64, "{secret}");
    assert_eq!(engine.reopen(node).await.files.secret().await, Ok(secret));
}
