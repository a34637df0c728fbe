//! The room in front, what is typed, and what both ask for.
//!
//! Invariant: nothing here waits: what has to be asked of the server is a wish, and what it said comes back.

use chat_client::live::{Gap, conversation_of};
use chat_protocol::session::{ENTER, EXIT, Movement, PRESENCE, Presence, Push, Receipt};
use chat_protocol::{PacketId, Target, UserId};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::editor::Editor;
use super::lines::{Line, understand};
use super::names::Names;
use super::rooms::Rooms;
use crate::message;

/// Lines that a page key moves by.
const PAGE: usize = 10;

/// What `/help` says.
const HELP: &str = "\
/to TARGET: another conversation (group:ID, user:NAME, nothing for the world) | /rooms: what is unread | \
/who: who is online | /older or PgUp at the top: what was said before | /grab: opens the newest red packet | \
/packet 10.00 5 恭喜: gives one | Tab: names | Alt-Enter: a new line | Ctrl-W, Ctrl-U: delete | //x says /x | \
/quit or Ctrl-D";

/// What is to be asked of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// To send a text to a conversation.
    Send(Target, String),
    /// Messages of a conversation before an offset, or the newest.
    Older(Target, Option<u64>),
    /// What is missing in a conversation.
    Fill(Gap),
    /// To open a red packet.
    Grab(PacketId),
    /// To give one.
    Packet(Target, Value),
    /// Who is online.
    Who,
    /// To end.
    End,
    /// To end by Ctrl-C.
    Interrupt,
}

/// All of it.
#[derive(Debug)]
pub struct State {
    /// Who speaks.
    pub me: UserId,
    /// The conversation in front.
    pub current: Target,
    /// What was said where.
    pub rooms: Rooms,
    /// What is typed.
    pub editor: Editor,
    /// How many lines further up than the newest the window is.
    pub scroll: usize,
    /// What the connection is like.
    pub connection: String,
    /// Whether it is there.
    pub is_connected: bool,
    names: Names,
    now_ms: u64,
}

impl State {
    /// In front of this conversation; nothing is known yet.
    #[must_use]
    pub fn new(me: UserId, current: Target) -> Self {
        let mut rooms = Rooms::default();
        rooms.room(&current).is_begun = true;
        Self {
            me,
            current,
            rooms,
            editor: Editor::default(),
            scroll: 0,
            connection: "connecting".to_owned(),
            is_connected: false,
            names: Names::default(),
            now_ms: 0,
        }
    }

    /// What time it is.
    pub fn at(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Takes in a message.
    pub fn hear(&mut self, push: &Push) {
        let target = conversation_of(push, &self.me);
        self.names.meet([push.from.as_str()]);
        let is_in_front = target == self.current;
        let room = self.rooms.room(&target);
        if room.insert(push) && !is_in_front && push.from != self.me {
            room.unread += 1;
        }
    }

    /// Takes in a page of the history.
    pub fn page(&mut self, target: &Target, messages: &[Push], is_first: bool) {
        self.names.meet(messages.iter().map(|push| push.from.as_str()));
        let room = self.rooms.room(target);
        for push in messages {
            room.insert(push);
        }
        room.is_whole |= is_first;
    }

    /// An own message is in the log.
    pub fn sent(&mut self, target: &Target, text: &str, receipt: &Receipt) {
        let push = json!({
            "target": target, "type": "text", "msg": text, "from": self.me, "msgId": receipt.msg_id,
            "offset": receipt.offset, "epoch": receipt.epoch, "time": receipt.time
        });
        if let Ok(push) = serde_json::from_value(push) {
            self.rooms.room(target).insert(&push);
        }
    }

    /// An own message is not: it comes back into the line.
    pub fn not_sent(&mut self, target: &Target, text: &str, why: &str) {
        self.rooms.room(target).note(self.now_ms, format!("not sent: {why}"));
        self.editor.give_back(text);
    }

    /// Something else the server sent.
    pub fn pushed(&mut self, cmd: &str, data: &Value) {
        match cmd {
            ENTER | EXIT => {
                let Ok(movement) = serde_json::from_value::<Movement>(data.clone()) else { return };
                self.names.meet([movement.from.as_str()]);
                let verb = if cmd == ENTER { "came" } else { "left" };
                self.rooms.room(&movement.target).note(movement.time, format!("{} {verb}", movement.from));
            }
            PRESENCE => {
                let Ok(presence) = serde_json::from_value::<Presence>(data.clone()) else { return };
                self.names.meet(presence.entered.iter().map(UserId::as_str));
            }
            _ => {}
        }
    }

    /// Notes something in front.
    pub fn note(&mut self, text: impl Into<String>) {
        let (now_ms, current) = (self.now_ms, self.current.clone());
        self.rooms.room(&current).note(now_ms, text);
    }

    /// Learns who is online.
    pub fn meet(&mut self, users: &[UserId]) {
        self.names.meet(users.iter().map(UserId::as_str));
    }

    /// Up to where the room in front was read.
    #[must_use]
    pub fn read(&self) -> Option<(Target, u64)> {
        let is_at_end = self.scroll == 0;
        self.rooms
            .find(&self.current)
            .filter(|_| is_at_end)?
            .last()
            .map(|offset| (self.current.clone(), offset))
    }

    /// Text from a clipboard.
    pub fn paste(&mut self, text: &str) {
        self.names.end();
        self.editor.insert(text);
    }

    /// What a key does.
    pub fn press(&mut self, key: KeyEvent) -> Wish {
        if key.code != KeyCode::Tab {
            self.names.end();
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return self.control(key.code);
        }
        match key.code {
            KeyCode::Enter if key.modifiers.contains(KeyModifiers::ALT) => self.editor.insert("\n"),
            KeyCode::Enter => return self.enter(),
            KeyCode::Tab => self.complete(),
            KeyCode::Char(c) => self.editor.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace => self.editor.backspace(),
            KeyCode::Delete => self.editor.delete(),
            KeyCode::Left => self.editor.left(),
            KeyCode::Right => self.editor.right(),
            KeyCode::Home => self.editor.home(),
            KeyCode::End => self.editor.end(),
            KeyCode::Up => self.editor.older(),
            KeyCode::Down => self.editor.newer(),
            KeyCode::PageUp => return self.up(),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::Esc => self.scroll = 0,
            _ => {}
        }
        Wish::Nothing
    }

    fn control(&mut self, key: KeyCode) -> Wish {
        match key {
            KeyCode::Char('c') => return Wish::Interrupt,
            KeyCode::Char('d') if self.editor.text().is_empty() => return Wish::End,
            KeyCode::Char('d') => self.editor.delete(),
            KeyCode::Char('w') => self.editor.delete_word(),
            KeyCode::Char('u') => self.editor.delete_to_start(),
            KeyCode::Char('a') => self.editor.home(),
            KeyCode::Char('e') => self.editor.end(),
            KeyCode::Char('j') => self.editor.insert("\n"),
            _ => {}
        }
        Wish::Nothing
    }

    fn complete(&mut self) {
        let rooms = self.rooms.all().map(|room| room.target.to_string()).filter(|name| !name.is_empty());
        self.names.know_rooms(rooms.collect());
        if let Some((bytes, word)) = self.names.turn(self.editor.before_cursor()) {
            self.editor.replace_before(bytes, &word);
        }
    }

    /// A page up; at the top what was said before is wanted.
    fn up(&mut self) -> Wish {
        self.scroll += PAGE;
        // Where the top is only the window knows: see `bound`.
        Wish::Nothing
    }

    /// Bounds the scroll to what there is; gives what to ask for at the top.
    pub fn bound(&mut self, most: usize) -> Wish {
        if self.scroll <= most {
            return Wish::Nothing;
        }
        self.scroll = most;
        self.older()
    }

    fn older(&mut self) -> Wish {
        match self.rooms.find(&self.current) {
            Some(room) if !room.is_whole => Wish::Older(self.current.clone(), room.first()),
            _ => Wish::Nothing,
        }
    }

    fn enter(&mut self) -> Wish {
        let line = self.editor.take();
        self.scroll = 0;
        let target = self.current.clone();
        match understand(&line) {
            Line::Empty => {}
            Line::Say(text) => return Wish::Send(target, text),
            Line::To(target) => return self.go(target),
            Line::Rooms => self.tell_rooms(),
            Line::Who => return Wish::Who,
            Line::Older => return self.older(),
            Line::Help => HELP.split(" | ").for_each(|line| self.note(line)),
            Line::Quit => return Wish::End,
            Line::Wrong(why) => self.note(why),
            Line::Packet(total, count, greeting) => {
                let mut data = json!({"target": target, "total": total, "count": count});
                if let Some(greeting) = greeting {
                    data["greeting"] = greeting.into();
                }
                return Wish::Packet(target, data);
            }
            Line::Grab(named) => {
                let newest = self.rooms.find(&target).and_then(|room| room.packet().cloned());
                match named.or(newest) {
                    Some(packet) => return Wish::Grab(packet),
                    None => self.note("there is no red packet here"),
                }
            }
        }
        Wish::Nothing
    }

    fn go(&mut self, target: Target) -> Wish {
        self.current = target.clone();
        let room = self.rooms.room(&target);
        room.unread = 0;
        if std::mem::replace(&mut room.is_begun, true) {
            return Wish::Nothing;
        }
        Wish::Older(target, None)
    }

    fn tell_rooms(&mut self) {
        let line = |room: &super::rooms::Room| match room.unread {
            0 => message::name(&room.target),
            unread => format!("{} ({unread} unread)", message::name(&room.target)),
        };
        let all: Vec<String> = self.rooms.all().map(line).collect();
        self.note(all.join("  "));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::chat::rooms::tests::said;

    /// 马超 in the world.
    pub fn state() -> State {
        State::new(UserId::new("马超").unwrap(), Target::World)
    }

    pub fn press(state: &mut State, code: KeyCode) -> Wish {
        state.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn line(state: &mut State, text: &str) -> Wish {
        state.paste(text);
        press(state, KeyCode::Enter)
    }

    fn last(state: &State) -> &str {
        &state.rooms.find(&state.current).unwrap().items.last().unwrap().text
    }

    #[test]
    fn what_could_not_be_sent_comes_back_into_the_line() {
        let mut state = state();
        assert_eq!(line(&mut state, "hello"), Wish::Send(Target::World, "hello".to_owned()));
        state.not_sent(&Target::World, "hello", "too many requests");
        assert_eq!((state.editor.text(), last(&state)), ("hello", "not sent: too many requests"));
    }

    #[test]
    fn what_is_said_elsewhere_is_unread_until_one_goes_there() {
        let mut state = state();
        let tea: Target = "group:tea".parse().unwrap();
        let mut push = said("e", 1, "黄帝", "tea?");
        push.target = tea.clone();
        state.hear(&push);
        state.hear(&push);
        assert_eq!(state.rooms.find(&tea).unwrap().unread, 1);
        line(&mut state, "/rooms");
        assert_eq!(last(&state), "(world)  group:tea (1 unread)");
        assert_eq!(line(&mut state, "/to group:tea"), Wish::Older(tea.clone(), None));
        assert_eq!(state.rooms.find(&tea).unwrap().unread, 0);
        assert_eq!(state.read(), Some((tea.clone(), 1)));
        line(&mut state, "/to");
        assert_eq!(line(&mut state, "/to group:tea"), Wish::Nothing, "it was fetched before");
    }

    #[test]
    fn the_newest_packet_is_opened_and_a_tab_names_who_spoke() {
        let mut state = state();
        assert_eq!(line(&mut state, "/grab"), Wish::Nothing);
        let mut push = said("e", 1, "黄帝", "");
        (push.content.kind, push.content.packet_id) =
            ("redPacket".to_owned(), Some(PacketId::new("p1").unwrap()));
        state.hear(&push);
        assert_eq!(line(&mut state, "/grab"), Wish::Grab(PacketId::new("p1").unwrap()));
        state.paste("黄");
        press(&mut state, KeyCode::Tab);
        assert_eq!(state.editor.text(), "黄帝: ");
    }

    #[test]
    fn at_the_top_older_messages_are_asked_for_until_there_are_none() {
        let mut state = state();
        state.page(&Target::World, &[said("e", 7, "a", "x")], false);
        press(&mut state, KeyCode::PageUp);
        assert_eq!(state.bound(3), Wish::Older(Target::World, Some(7)));
        state.page(&Target::World, &[said("e", 1, "a", "x")], true);
        press(&mut state, KeyCode::PageUp);
        assert_eq!((state.bound(3), state.scroll), (Wish::Nothing, 3));
    }
}
