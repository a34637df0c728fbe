//! The end of a group with very many members, on a node alone: what is left of it goes a part at a time.
//!
//! Invariant: for everyone who asks it is gone at once; the judge of what still lies there is the file.

use std::path::Path;
use std::sync::Arc;

use chat_protocol::Target;
use chat_tests::broker::{APP, HandClock, Recorder, user};
use chat_tests::engine::{ALL, dismiss, group_id, said};
use chat_tests::wait::{SOON, until};
use chatd::broker::{BrokerError, Log};
use chatd::conversations::Conversations;
use chatd::engine::sqlite::Close;
use chatd::engine::sqlite::broker::{Embedded, Place, Sync};
use chatd::engine::sqlite::conversations::EmbeddedConversations;
use chatd::engine::sqlite::groups::EmbeddedGroups;
use chatd::groups::{Change, GroupError, Groups};
use rusqlite::Connection;

/// A hundred parts' worth.
const MEMBERS: u64 = 50_000;
/// One of them, who may be in no other group.
const MEMBER: &str = "m49999";

struct Node {
    engine: Arc<Embedded>,
    groups: EmbeddedGroups,
    conversations: EmbeddedConversations,
}

fn open(directory: &Path) -> Node {
    let (place, clock) = (Place::Directory(directory.to_owned()), Arc::<HandClock>::default());
    let sink = Arc::<Recorder>::default();
    let engine = Embedded::open(&place, Sync::Normal, ALL, clock, sink).expect("an engine");
    let groups = EmbeddedGroups::new(engine.clone(), 1);
    Node { groups, conversations: EmbeddedConversations::new(engine.clone()), engine }
}

fn file(directory: &Path) -> Connection {
    let file = Connection::open(directory.join("chat.sqlite3")).expect("the file");
    file.busy_timeout(SOON).expect("a time");
    file
}

fn rows(file: &Connection, table: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM {table}");
    file.query_row(&sql, [], |row| row.get(0)).expect("counted")
}

/// A node with a group of so many, and its file.
async fn grown(directory: &Path) -> (Node, Connection) {
    let node = open(directory);
    assert_eq!(node.groups.create(APP, &group_id("g"), &user("owner"), "name").await, Ok(true));
    node.engine.append(said("owner", "group:g", "m")).await.expect("appended");
    let file = file(directory);
    for table in ["member(conversation, app, since, user)", "read_state(conversation, offset, user)"] {
        let app = if table.starts_with("member") { format!("{APP}, ") } else { String::new() };
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {MEMBERS})
             INSERT INTO {table} SELECT (SELECT conversation FROM chat_group), {app}1, 'm' || i FROM n"
        );
        file.execute_batch(&sql).expect("filled");
    }
    file.execute("UPDATE chat_group SET member_count = ?1", [MEMBERS + 1]).expect("counted");
    (node, file)
}

/// The group is no more, whatever still lies there.
async fn is_gone(node: &Node) {
    let (group, member) = (group_id("g"), user(MEMBER));
    assert_eq!(node.groups.group(APP, &group).await.err(), Some(GroupError::NoSuchGroup));
    assert_eq!(node.groups.is_member(APP, &group, &member).await.err(), Some(GroupError::NoSuchGroup));
    assert_eq!(node.groups.of_user(APP, &member).await, Ok(Vec::new()));
    let heads = node.conversations.heads(APP, &member, None, 10).await.expect("listed");
    assert!(heads.iter().all(|head| head.conversation.named_by(&member) == Target::World), "{heads:?}");
    let refused = node.engine.append(said(MEMBER, "group:g", "late")).await;
    assert!(matches!(refused, Err(BrokerError::NoSuchGroup)), "{refused:?}");
}

async fn nothing_is_left(file: &Connection, of: &[(&str, u64)]) {
    for (table, left) in of {
        until(table, SOON, async || rows(file, table) == *left).await;
    }
}

#[tokio::test]
async fn others_are_answered_before_a_large_group_is_taken_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let (node, file) = grown(directory.path()).await;
    let group = group_id("g");
    let first = node.engine.append(said("owner", "group:g", "before")).await.expect("appended");
    node.groups.change(APP, &group, &dismiss("owner")).await.expect("dismissed");
    node.engine.append(said("other", "", "a word")).await.expect("appended");
    let left = rows(&file, "member");
    assert!(left > 0, "all was removed before the other was answered");
    is_gone(&node).await;

    // They may be in one group only, which is no more.
    assert_eq!(node.groups.create(APP, &group, &user(MEMBER), "anew").await, Ok(true));
    let again = node.groups.group(APP, &group).await.expect("a group");
    assert_eq!((again.owner, again.member_count), (user(MEMBER), 1));
    let members = node.groups.members(APP, &group, None, 10).await.expect("listed");
    assert_eq!(members.users, [user(MEMBER)]);
    let second = node.engine.append(said(MEMBER, "group:g", "after")).await.expect("appended");
    assert_eq!(second.offset, 2);
    assert_ne!(second.epoch, first.epoch);

    let last = [("ended", 0), ("member", 1), ("read_state", 2), ("conversation", 2), ("chat_group", 1)];
    nothing_is_left(&file, &last).await;
    assert_eq!(rows(&file, "entry"), 3, "of the world and of the new group");
    assert_eq!(node.groups.group(APP, &group).await.map(|group| group.member_count), Ok(1));
}

#[tokio::test]
async fn what_a_stop_left_of_a_large_group_goes_after_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (node, file) = grown(directory.path()).await;
    node.groups.change(APP, &group_id("g"), &Change::Dismiss(user("owner"))).await.expect("dismissed");
    node.engine.close().await;
    drop(node);
    assert!(rows(&file, "member") > 0, "the stop did not wait for it");
    let node = open(directory.path());
    is_gone(&node).await;
    nothing_is_left(&file, &[("ended", 0), ("member", 0), ("read_state", 0), ("conversation", 0)]).await;
    assert_eq!(rows(&file, "entry"), 0);
}

/// Removing is nobody's work in particular: it holds no file that its node has let go.
#[tokio::test]
async fn a_node_that_ends_while_it_removes_leaves_its_files_to_the_next() {
    let directory = tempfile::tempdir().expect("a directory");
    let (node, file) = grown(directory.path()).await;
    node.groups.change(APP, &group_id("g"), &dismiss("owner")).await.expect("dismissed");
    drop(node);
    let node = open(directory.path());
    is_gone(&node).await;
    nothing_is_left(&file, &[("ended", 0), ("member", 0), ("conversation", 0)]).await;
}
