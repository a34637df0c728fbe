//! The order of a user's conversations while they change, on every adapter.

use std::collections::BTreeMap;

use chat_tests::broker::{APP, user};
use chat_tests::engine::Engine;
use chatd::conversations::Place;
use chatd::model::Conversation;

const START: u64 = 1_800_000_000_000;

async fn a_list_is_in_order_however_close_together_messages_came(engine: Engine) {
    let (node, clock) = (engine.node().await, &engine.clock);
    let (mut now, mut last) = (START, BTreeMap::new());
    for step in 0..300_usize {
        now += [0, 1, 500, 20_000, 61_000][step % 5];
        clock.set(now);
        let other = format!("b{}", step * 37 % 41);
        node.say("a", &format!("user:{other}"), &step.to_string()).await.expect("appended");
        last.insert(Conversation::Pair(APP, user("a"), user(&other)), now);
        if step % 50 != 49 {
            continue;
        }
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = node.conversations.heads(APP, &user("a"), after.as_ref(), 7).await.expect("a page");
            let Some(end) = page.last() else { break };
            after = Some(Place { last_time: end.last_time, conversation: end.conversation.clone() });
            found.extend(page.into_iter().filter(|head| head.conversation != Conversation::World(APP)));
        }
        assert!(found.is_sorted_by(|one, two| one.last_time >= two.last_time), "step {step}");
        let found: BTreeMap<_, _> =
            found.into_iter().map(|head| (head.conversation, head.last_time)).collect();
        assert_eq!(found, last, "step {step}");
    }
}

chat_tests::engine_laws! {
    a_list_is_in_order_however_close_together_messages_came,
}
