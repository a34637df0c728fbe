//! The double's memory: what it brings back after a log-in, its groups, and its history in pages.
//!
//! Invariant: without a fault a recovery brings each missed message once, in order, and pages tile.

use chat_protocol::Target;
use chat_protocol::envelope::Answer;
use chat_protocol::session::{MSG, Position};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::double::{Fault, Logged, World, number};

impl Logged {
    /// The members of its push.
    pub fn data(&self, offset: u64, text: &str) -> Value {
        json!({"target": self.target.to_string(), "type": "text", "msg": text, "from": self.from,
            "msgId": self.id, "offset": offset, "epoch": "e1", "time": 1})
    }

    /// The frame that delivers it.
    pub fn push(&self, offset: u64, text: &str) -> Message {
        let push = Answer::push(&self.id, MSG, self.data(offset, text));
        Message::Text(serde_json::to_string(&push).unwrap().into())
    }
}

impl World {
    /// Data of the answer to a log-in, and the messages that follow it.
    pub fn recover(&self, app: u32, user: &str, positions: &[Position]) -> (Value, Vec<Message>) {
        let me = number(user);
        if positions.is_empty() || self.faults.contains(&Fault::NoRecovery { receiver: me }) {
            return (Value::Null, Vec::new());
        }
        let (mut recovered, mut missed) = (Vec::new(), Vec::new());
        for position in positions {
            let conversation = match &position.target {
                Target::User(peer) => format!("{peer} {user}"),
                other => other.to_string(),
            };
            let log = self.logs.get(&(app, conversation)).map_or(&[][..], Vec::as_slice);
            let gap = self.faults.iter().find_map(|fault| match fault {
                Fault::Gap { receiver, offset } if *receiver == me => Some(*offset),
                _ => None,
            });
            recovered.push(json!({"target": position.target.to_string(), "epoch": "e1",
                "offset": log.len(), "complete": gap.is_none()}));
            for (offset, logged) in (1..).zip(log).skip(usize::try_from(position.offset).unwrap()) {
                let times = match () {
                    () if gap.is_some_and(|gap| offset <= gap) => 0,
                    () if self.faults.contains(&Fault::Forget { receiver: me, offset }) => 0,
                    () if self.faults.contains(&Fault::Repeat { receiver: me, offset }) => 2,
                    () => 1,
                };
                missed.extend((0..times).map(|_| logged.push(offset, &logged.text)));
            }
        }
        (json!({ "recovered": recovered }), missed)
    }

    /// Performs an operation on groups or on a history; none for any other path.
    pub fn operate(&mut self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        match path {
            "/group/create" | "/group/join" => {
                let group = self.members.entry(text("groupId")).or_default();
                let changed = group.insert(text("userId"));
                let count = group.len();
                let mut data = json!({"changed": changed, "memberCount": count, "offset": 0, "epoch": "e1"});
                for (name, value) in [("groupId", "groupId"), ("name", "name"), ("owner", "userId")] {
                    data[name] = json!(text(value));
                }
                Some((200, data))
            }
            "/message/history" => Some((200, self.page(body))),
            _ => self.vault.operate(path, body),
        }
    }

    fn page(&self, body: &Value) -> Value {
        let app = u32::try_from(body["appId"].as_u64().unwrap()).unwrap();
        let log = self.logs.get(&(app, String::new())).map_or(&[][..], Vec::as_slice);
        let limit = body["limit"].as_u64().unwrap();
        let last = log.len() as u64;
        let (first, end, next) = match (body["after"].as_u64(), body["before"].as_u64()) {
            (Some(after), _) => {
                let end = last.min(after + limit);
                (after + 1, end, (end < last).then_some(end))
            }
            (None, before) => {
                let end = before.map_or(last, |before| before - 1);
                let first = (end + 1).saturating_sub(limit).max(1);
                (first, end, (first > 1).then_some(first))
            }
        };
        let mut offsets: Vec<u64> = (first..=end).collect();
        offsets.retain(|offset| !self.faults.contains(&Fault::PageHole { offset: *offset }));
        if first > 1 && self.faults.contains(&Fault::PageRepeat { offset: first - 1 }) {
            offsets.insert(0, first - 1);
        }
        let message = |offset: &u64| {
            let logged = &log[usize::try_from(offset - 1).unwrap()];
            logged.data(*offset, &logged.text)
        };
        let messages: Vec<Value> = offsets.iter().map(message).collect();
        let mut page = json!({"messages": messages, "epoch": "e1"});
        if let Some(next) = next {
            page["next"] = json!(next);
        }
        page
    }
}
