//! How many groups a user is in at most, and how many members a group has, whoever comes at the same moment.

use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, GROUPS_PER_USER, Node, dismiss, group_id, join, leave, names};
use chatd::groups::GroupError;

const EVERYONE: usize = 10_000;
/// Members of a group on the nodes that have such a limit.
const MEMBERS_PER_GROUP: u64 = 2_000;

async fn members_of(node: &Node, name: &str) -> Vec<String> {
    let found = node.groups.members(APP, &group_id(name), None, EVERYONE).await.expect("listed");
    names(&found.users).into_iter().map(str::to_owned).collect()
}

async fn a_group_has_so_many_members_at_most(mut engine: Engine) {
    engine.members_per_group = MEMBERS_PER_GROUP;
    let nodes = [engine.node().await, engine.node().await];
    nodes[0].create("g", &["o"]).await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..MEMBERS_PER_GROUP + 20 {
        let node = nodes[usize::from(number % 2 == 0)].clone();
        running.spawn(async move { node.try_change("g", join(&format!("u{number}"))).await });
    }
    let (joined, refused): (Vec<_>, Vec<_>) = running.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(joined.len() as u64, MEMBERS_PER_GROUP - 1, "and the owner");
    let full = GroupError::Full(MEMBERS_PER_GROUP);
    assert!(
        refused.len() == 21 && refused.iter().all(|refusal| *refusal == Err(full.clone())),
        "{refused:?}"
    );
    assert_eq!(members_of(&nodes[1], "g").await.len() as u64, MEMBERS_PER_GROUP);
    assert!(!nodes[0].change("g", join("o")).await.changed, "who is in stays in");
    let member = members_of(&nodes[0], "g").await.into_iter().find(|name| name != "o").expect("somebody");
    assert!(nodes[0].change("g", leave(&member)).await.changed);
    assert!(nodes[1].change("g", join("late")).await.changed, "there is room again");
    assert_eq!(nodes[0].try_change("g", join("later")).await, Err(full));
    nodes[0].create("other", &["o", "later"]).await;
}

async fn a_user_is_in_so_many_groups_at_most(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    nodes[0].create("open", &["o"]).await;
    nodes[0].create("other", &["o"]).await;
    for number in 0..GROUPS_PER_USER - 10 {
        nodes[0].create(&format!("g{number}"), &["u"]).await;
    }
    nodes[0].change("open", join("u")).await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20 {
        let node = nodes[number % 2].clone();
        running.spawn(async move {
            node.groups.create(APP, &group_id(&format!("h{number}")), &user("u"), "its name").await
        });
    }
    let (created, refused): (Vec<_>, Vec<_>) = running.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(created.len(), 9, "{refused:?}");
    let too_many = GroupError::TooMany(GROUPS_PER_USER);
    assert!(refused.iter().all(|refusal| *refusal == Err(too_many.clone())), "{refused:?}");
    assert_eq!(nodes[0].try_change("other", join("u")).await, Err(too_many));
    assert_eq!(members_of(&nodes[0], "other").await, ["o"]);
    assert!(!nodes[1].change("g0", join("u")).await.changed, "who is in stays in");
    // A group that its owner ends leaves room, although nobody told the user's own list.
    nodes[1].change("open", dismiss("o")).await;
    assert!(nodes[0].change("other", join("u")).await.changed);
}

chat_tests::engine_laws! {
    a_group_has_so_many_members_at_most,
    a_user_is_in_so_many_groups_at_most,
}
