//! Where a message went, and whether one of its readers got it.

use chat_protocol::message::RECALLED_KIND;
use chat_protocol::session::Push;
use chat_protocol::{AppId, Code, MsgId, Refusal, Target, UserId};

use super::{Explainer, Told};
use crate::broker::Range;
use crate::friends::Part;
use crate::hub::frame;
use crate::journal::{Event, What};
use crate::model::{Conversation, Entry, Identity, Skip};

/// Entries among which a message is looked for by its id.
const NEWEST: usize = 500;
/// How long before a message what happened to its reader is told, in milliseconds.
const BEFORE_MS: u64 = 60 * 60 * 1000;
/// Users whom a reader blocks that are looked at.
const BLOCKED: usize = 1000;
/// Conversations of a reader among which that of the message is looked for.
const CONVERSATIONS: usize = 500;

impl Explainer {
    /// Where a message went, by its offset or its id, and whether a reader got it.
    ///
    /// # Errors
    /// When there is none, or a store does not answer.
    pub async fn message(
        &self,
        app: AppId,
        user: Option<&UserId>,
        target: &Target,
        offset: Option<u64>,
        msg_id: Option<&MsgId>,
    ) -> Result<Told, Refusal> {
        let conversation = match (target, user) {
            (Target::World, _) => Conversation::World(app),
            (Target::Group(group), _) => Conversation::Group(app, group.clone()),
            (Target::User(_), Some(user)) => Conversation::of(app, user, target),
            // A rule of the operation.
            (Target::User(_), None) => return Err(Refusal::parameter("userId", "missing")),
        };
        let (entry, head) = self.entry(&conversation, offset, msg_id).await?;
        let sent = frame::sent(&entry)?;
        let reader = match (&conversation, user) {
            (Conversation::Pair(_, a, b), _) => Some(if *a == sent.from { b } else { a }),
            (_, Some(user)) if *user != sent.from => Some(user),
            _ => None,
        };
        let reader = reader.map(|user| Identity { app, user: user.clone() });
        let mut told = Told::default();
        self.logged(&entry, &sent, head, &mut told);
        let events = self.course(&conversation, &entry, &sent, reader.as_ref(), &mut told).await?;
        if let Some(reader) = reader {
            self.reader(&conversation, &entry, &sent, &reader, &events, &mut told).await?;
        }
        told.next.insert(0, "/message/history");
        Ok(told)
    }

    /// The message, and the offset of the newest one.
    async fn entry(
        &self,
        conversation: &Conversation,
        offset: Option<u64>,
        msg_id: Option<&MsgId>,
    ) -> Result<(Entry, u64), Refusal> {
        let log = &self.sources.log;
        let page = match offset {
            Some(offset) => log.read(conversation, Range::After(offset.saturating_sub(1)), 1).await?,
            None => log.read(conversation, Range::Before(u64::MAX), NEWEST).await?,
        };
        let is_meant = |entry: &Entry| match (offset, msg_id) {
            (Some(offset), _) => entry.offset == offset,
            (None, msg_id) => msg_id == Some(&entry.msg_id),
        };
        let head = page.head;
        let found = page.entries.into_iter().rev().find(is_meant);
        let reason = format!(
            "no such message: it never was, or the history does not reach back so far; it ends at {head}"
        );
        Ok((found.ok_or_else(|| Refusal::new(Code::NotFound, reason))?, head))
    }

    fn logged(&self, entry: &Entry, sent: &Push, head: u64, told: &mut Told) {
        let over = match &entry.skip {
            Skip::Connection(id) => format!("over connection {} of node {:016x}", id.number, id.node),
            Skip::Nobody | Skip::User(_) => "over HTTP, or by the node".to_owned(),
        };
        let kind = &sent.content.kind;
        let text = format!("in the log at offset {}: {kind} by {}, {over}", entry.offset, sent.from);
        told.events.push(self.event(entry.time, "logged", text));
        if *kind == RECALLED_KIND {
            let text = "its content was taken back since, and is gone".to_owned();
            told.events.push(self.event(entry.time, "recalled", text));
        }
        told.is("offset", entry.offset);
        told.is("epoch", &*entry.epoch);
        told.is("lastOffset", head);
        told.is("from", sent.from.as_str());
        told.is("msgId", entry.msg_id.as_str());
        told.is("type", kind.as_str());
    }

    /// What the node saw of it; gives what it saw of its reader.
    async fn course(
        &self,
        conversation: &Conversation,
        entry: &Entry,
        sent: &Push,
        reader: Option<&Identity>,
        told: &mut Told,
    ) -> Result<Vec<Event>, Refusal> {
        let (of, offset, since) = (conversation.clone(), entry.offset, entry.time.saturating_sub(BEFORE_MS));
        let sender = Identity { app: conversation.app(), user: sent.from.clone() };
        let (msg_id, reader) = (entry.msg_id.to_string(), reader.cloned());
        let wanted = move |event: &Event| {
            let repeats = event.what == What::Duplicate && event.is_about(&sender);
            event.is_of(&of, offset)
                || (repeats && event.number == offset && event.detail == msg_id)
                || reader.as_ref().is_some_and(|reader| event.time >= since && event.is_about(reader))
        };
        let (events, remembered) = self.remembered(wanted).await?;
        told.since = remembered;
        told.events.extend(events.iter().map(|event| self.shown(event)));
        Ok(events)
    }

    /// Whether a reader should have got it, and did.
    async fn reader(
        &self,
        conversation: &Conversation,
        entry: &Entry,
        sent: &Push,
        reader: &Identity,
        events: &[Event],
        told: &mut Told,
    ) -> Result<(), Refusal> {
        if told.since.is_some_and(|since| since <= entry.time) && !was_here(events, reader, entry.time) {
            let user = &reader.user;
            let text = format!("{user} had no connection to this node; history and recover have it");
            told.events.push(self.event(entry.time, "away", text));
        }
        self.presence_of(reader, told).await?;
        if let Conversation::Group(app, group) = conversation {
            let is_member = self.sources.groups.is_member(*app, group, &reader.user).await?;
            told.is("member", is_member);
            if !is_member {
                told.next.push("/group/members");
            }
        }
        let (app, user) = (reader.app, &reader.user);
        let circle = self.sources.friends.circle(app, user, Part::Others, None, BLOCKED).await?;
        told.is("blocksSender", circle.blocked.contains(&sent.from));
        let states = self.sources.conversations.list(app, user, None, CONVERSATIONS).await?;
        if let Some(state) = states.iter().find(|state| state.head.conversation == *conversation) {
            told.is("readOffset", state.read_offset);
            told.is("read", state.read_offset >= entry.offset);
        }
        Ok(())
    }
}

/// Whether one of the user's connections had come and not ended by then.
fn was_here(events: &[Event], reader: &Identity, time: u64) -> bool {
    let came = |event: &&Event| event.what == What::LoggedIn && event.is_about(reader) && event.time <= time;
    let went = |came: &Event| {
        let ends = |event: &Event| event.what == What::Ended && event.number == came.number;
        events.iter().any(|event| ends(event) && event.time < time)
    };
    events.iter().filter(came).any(|came| !went(came))
}
