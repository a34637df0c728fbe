//! Names are told apart, and end as their table says.

use std::collections::HashSet;

use super::*;

fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

#[test]
fn hostile_ids_never_share_a_name() {
    let keys = Keys::default();
    let pairs = [("a", "b:c"), ("a:b", "c"), ("1:a", "b"), ("a", "1:b"), ("}", "{"), ("{x}", "a")];
    let mut names: Vec<String> =
        pairs.iter().map(|(a, b)| keys.log(&Conversation::Pair(1, user(a), user(b)))).collect();
    for group in ["world", "a:b", "pair:1:a:b", "inbox:a"] {
        let group = GroupId::new(group).unwrap();
        names.push(keys.log(&Conversation::Group(1, group.clone())));
        names.push(keys.group(1, &group));
        names.push(keys.members(1, &group));
    }
    for name in ["world", "a", "a:b", "group:a"] {
        names.push(keys.topic_log(&Topic::Inbox(1, user(name))));
        names.push(keys.channel(&Topic::Inbox(1, user(name))));
        names.push(keys.sent(1, &user(name), 1));
        names.push(keys.groups_of(1, &user(name)));
        names.push(keys.pairs(1, &user(name)));
        names.push(keys.reads(1, &user(name)));
        names.push(keys.standings(1, &user(name)));
        names.push(keys.blocked(1, &user(name)));
        names.push(keys.ban(1, &user(name)));
    }
    for name in ["outbox", "dead", "a", "shares:a"] {
        let packet = PacketId::new(name).unwrap();
        names.push(keys.packet(1, &packet));
        names.push(keys.shares(1, &packet));
        names.push(keys.winners(1, &packet));
    }
    for name in ["bytes", "ends", "over:", "over:a"] {
        names.push(keys.file(1, name));
        names.push(keys.files_of(1, &GroupId::new(name).unwrap()));
    }
    names.extend([
        keys.file_bytes(1),
        keys.file_ends(1),
        keys.files_over(1, OVER),
        keys.files_over(1, "over:a"),
    ]);
    names.extend([keys.file_apps(), keys.file_secret()]);
    names.push(keys.outbox(1));
    names.push(keys.dead_letters(1));
    names.push(keys.outboxes());
    names.push(keys.dismissed());
    names.push(keys.admitted());
    names.push(keys.sent(1, &user("2:a"), 1));
    names.push(keys.sent(1, &user("a"), 12));
    names.push(keys.log(&Conversation::World(1)));
    names.push(keys.log(&Conversation::World(11)));
    names.push(keys.here(1, "l"));
    names.push(keys.lease_apps("l"));
    names.extend([keys.bans(1), keys.card("l")]);
    let distinct: HashSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:#?}");
}

#[test]
fn the_hash_tag_is_the_app_whatever_the_ids() {
    let keys = Keys::new("x").unwrap();
    let name = keys.log(&Conversation::Pair(7, user("}{"), user("{y}")));
    assert!(name.starts_with("{x:7}:"), "{name}");
}

#[test]
fn a_topic_reads_the_log_of_its_conversation() {
    let keys = Keys::default();
    let group = GroupId::new("g").unwrap();
    assert_eq!(keys.topic_log(&Topic::World(3)), keys.log(&Conversation::World(3)));
    let conversation = Conversation::Group(3, group.clone());
    assert_eq!(keys.topic_log(&Topic::Group(3, group)), keys.log(&conversation));
}

#[test]
fn what_knows_no_databases_is_named_by_them() {
    let (first, other) = (Keys::default(), Keys::default().in_database(1));
    let topic = Topic::Inbox(1, user("a"));
    assert_eq!(first, Keys::default().in_database(0));
    assert_ne!(first.channel(&topic), other.channel(&topic));
    assert_ne!(first.echo(1, 0), other.echo(1, 0));
    assert_ne!(first.amqp_settlements(), other.amqp_settlements());
    assert_ne!(first.amqp_dead_settlements(), other.amqp_dead_settlements());
    assert_ne!(first.amqp_later_settlements(), other.amqp_later_settlements());
    assert_ne!(first.amqp_dead_turn(), other.amqp_dead_turn());
    assert_eq!(first.topic_log(&topic), other.topic_log(&topic));
}

#[test]
fn a_packet_is_known_by_each_of_its_keys() {
    let keys = Keys::default();
    for hostile in ["p", "shares:p", "a:b", "帝"] {
        let packet = PacketId::new(hostile).unwrap();
        assert_eq!(keys.packet_named_by(7, &keys.packet(7, &packet)), Some(hostile));
        assert_eq!(keys.packet_named_by(77, &keys.packet(7, &packet)), None);
        for part in [keys.shares(7, &packet), keys.winners(7, &packet)] {
            assert_eq!(keys.part_named_by(7, &part), Some(hostile));
            assert_eq!(keys.packet_named_by(7, &part), None);
        }
    }
    assert_eq!(keys.packet_named_by(7, &keys.outbox(7)), None);
    assert_eq!(keys.all_of_app(7), "{chat:7}:*");
}

#[test]
fn prefixes_that_break_the_tag_are_refused() {
    for bad in ["", "a:b", "{", "a}", "a b", &"x".repeat(33)] {
        assert_eq!(Keys::new(bad), Err(BadPrefix), "{bad:?}");
    }
}
