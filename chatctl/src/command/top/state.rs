//! What a person made of `top` with the keys: what is looked at, how it is sorted, what is chosen.
//!
//! Invariant: what is chosen stays chosen while the lines around it move, and a key never waits for a node.

use chat_protocol::{AppId, Target, UserId};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::columns::Column;
use super::gather::{Detail, Look, Subject, Told};
use super::rows::{Row, Totals, rows};

/// Lines that a page key moves by.
const PAGE: isize = 20;

/// What is shown.
#[derive(Debug)]
pub struct State {
    /// The server that was named.
    pub server: String,
    /// Lines of the nodes, sorted.
    pub rows: Vec<Row>,
    /// All nodes together.
    pub totals: Totals,
    /// Why nobody says which nodes there are.
    pub trouble: Option<String>,
    /// By which column the nodes are sorted.
    pub sort: Column,
    /// Whether the other way round.
    pub is_reversed: bool,
    /// Whether what is shown stays as it is.
    pub is_paused: bool,
    /// Whether the keys are explained.
    pub is_help: bool,
    /// What is looked at, the last one in front of the others; the nodes behind all of them.
    pub path: Vec<Subject>,
    /// What was found out about it.
    pub detail: Option<Detail>,
    /// The line of it that is chosen, from 0.
    pub line: usize,
    /// What a person is asked for, and has typed.
    pub asking: Option<(Ask, String)>,
    /// What was wrong with that.
    pub note: Option<String>,
    /// The name of the chosen node.
    chosen: Option<String>,
    app: Option<AppId>,
    side: Option<UserId>,
    before: Vec<Told>,
}

/// What a person is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The name of a user.
    User,
    /// A conversation.
    Conversation,
}

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing but to be drawn.
    Draw,
    /// To look at this.
    Look(Subject),
    /// To end.
    End,
    /// To end by Ctrl-C.
    Interrupt,
}

impl State {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(server: String, app: Option<AppId>, side: Option<UserId>, sort: Column) -> Self {
        Self {
            server,
            rows: Vec::new(),
            totals: Totals::default(),
            trouble: None,
            sort,
            is_reversed: false,
            is_paused: false,
            is_help: false,
            path: Vec::new(),
            detail: None,
            line: 0,
            asking: None,
            note: None,
            chosen: None,
            app,
            side,
            before: Vec::new(),
        }
    }

    /// Takes over what the nodes said.
    pub fn take(&mut self, look: Look) {
        if self.is_paused {
            return;
        }
        match look.nodes {
            Ok(told) => {
                (self.rows, self.totals) = rows(&told, &self.before);
                (self.before, self.trouble) = (told, None);
                self.sort();
            }
            Err(why) => self.trouble = Some(why),
        }
        if let Some((subject, detail)) = look.detail
            && self.path.last() == Some(&subject)
        {
            self.detail = Some(detail);
        }
    }

    /// Where the chosen node stands.
    #[must_use]
    pub fn chosen(&self) -> usize {
        let at = |name: &String| self.rows.iter().position(|row| row.node.node_id == *name);
        self.chosen.as_ref().and_then(at).unwrap_or(0)
    }

    /// What a key does.
    pub fn press(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Wish::Interrupt } else { Wish::Draw };
        }
        self.note = None;
        if self.asking.is_some() {
            return self.answer(key.code);
        }
        if std::mem::take(&mut self.is_help) {
            return Wish::Draw;
        }
        match key.code {
            KeyCode::Char('q') => return Wish::End,
            KeyCode::Esc | KeyCode::Backspace if self.path.pop().is_some() => return self.begin(),
            KeyCode::Esc => return Wish::End,
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-PAGE),
            KeyCode::PageDown => self.step(PAGE),
            KeyCode::Home => self.step(isize::MIN / 2),
            KeyCode::End => self.step(isize::MAX / 2),
            KeyCode::Left | KeyCode::Char('<') => self.sort_by(self.sort.beside(-1)),
            KeyCode::Right | KeyCode::Char('>') => self.sort_by(self.sort.beside(1)),
            KeyCode::Char('r') => {
                self.is_reversed = !self.is_reversed;
                self.sort();
            }
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('h' | '?') => self.is_help = true,
            KeyCode::Char('u') => self.ask(Ask::User),
            KeyCode::Char('c') => self.ask(Ask::Conversation),
            KeyCode::Enter => return self.open(),
            _ => {}
        }
        Wish::Draw
    }

    /// Text from a clipboard: part of an answer, and nothing else.
    pub fn paste(&mut self, text: &str) {
        if let Some((_, typed)) = &mut self.asking {
            typed.extend(text.chars().filter(|c| !c.is_control()));
        }
    }

    fn step(&mut self, by: isize) {
        let move_from = |at: usize, count: usize| at.saturating_add_signed(by).min(count.saturating_sub(1));
        if self.path.is_empty() {
            let at = move_from(self.chosen(), self.rows.len());
            self.chosen = self.rows.get(at).map(|row| row.node.node_id.clone());
        } else {
            // How many lines there are is known where they are drawn, which bounds it.
            self.line = self.line.saturating_add_signed(by);
        }
    }

    fn sort_by(&mut self, column: Column) {
        self.sort = column;
        self.sort();
    }

    fn sort(&mut self) {
        let (column, is_reversed) = (self.sort, self.is_reversed);
        self.rows.sort_by(|a, b| if is_reversed { column.order(b, a) } else { column.order(a, b) });
    }

    fn ask(&mut self, what: Ask) {
        match self.app {
            Some(_) => self.asking = Some((what, String::new())),
            None => self.note = Some("give --app N to look at a user or a conversation".to_owned()),
        }
    }

    fn answer(&mut self, key: KeyCode) -> Wish {
        let Some((what, mut text)) = self.asking.take() else { return Wish::Draw };
        match key {
            KeyCode::Esc => return Wish::Draw,
            KeyCode::Enter => return self.answered(what, text.trim()),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(c) => text.push(c),
            _ => {}
        }
        self.asking = Some((what, text));
        Wish::Draw
    }

    fn answered(&mut self, what: Ask, text: &str) -> Wish {
        let app = self.app.unwrap_or_default();
        let subject = match what {
            Ask::User => {
                UserId::new(text).map(|user| Subject::User(app, user)).map_err(|why| why.to_string())
            }
            Ask::Conversation => match text.parse::<Target>() {
                Ok(target) => Ok(Subject::Conversation(app, target, self.side.clone())),
                Err(why) => Err(why.to_string()),
            },
        };
        match subject {
            Ok(subject) => {
                self.path.push(subject);
                self.begin()
            }
            Err(why) => {
                self.note = Some(why);
                Wish::Draw
            }
        }
    }

    /// Looks into what is chosen.
    fn open(&mut self) -> Wish {
        let subject = match (self.path.last(), &self.detail) {
            (None, _) => self.rows.get(self.chosen()).map(|row| Subject::Node(row.node.node_id.clone())),
            (Some(Subject::Node(_)), Some(Detail::Connections(found))) => {
                let connection = super::details::in_order(&found.connections).into_iter().nth(self.line);
                connection.and_then(|found| Some(Subject::User(found.app_id?, found.user_id.clone()?)))
            }
            _ => None,
        };
        let Some(subject) = subject else { return Wish::Draw };
        self.path.push(subject);
        self.begin()
    }

    /// Looks at what is in front now.
    fn begin(&mut self) -> Wish {
        (self.detail, self.line) = (None, 0);
        Wish::Look(self.path.last().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::command::top::rows::tests::told;
    use std::time::Instant;

    pub fn press(state: &mut State, code: KeyCode) -> Wish {
        state.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    /// Three nodes: `aaaaaaaa` with 1 connection, `bbbbbbbb` with 2, `cccccccc` that says nothing.
    pub fn three(app: Option<AppId>) -> State {
        let begun = Instant::now();
        let mut state = State::new("http://chat.example".to_owned(), app, None, Column::Open);
        for seconds in [0, 2] {
            let page = |open: u64| {
                let messages = open * 100 * (seconds + 1);
                format!(
                    "chatd_connections {open}\nchatd_max_connections 1000\nchatd_messages_total {messages}\n"
                )
            };
            let nodes = vec![
                told("aaaaaaaa", begun, seconds, Ok(&page(1))),
                told("bbbbbbbb", begun, seconds, Ok(&page(2))),
                told("cccccccc", begun, seconds, Err("Connection refused")),
            ];
            state.take(Look { nodes: Ok(nodes), detail: None });
        }
        state
    }

    fn names(state: &State) -> String {
        state.rows.iter().map(|row| &row.node.node_id[..1]).collect()
    }

    #[test]
    fn what_is_chosen_stays_so_when_the_order_changes() {
        let mut state = three(None);
        assert_eq!(names(&state), "cba", "the third told the others of 7 connections");
        press(&mut state, KeyCode::Down);
        press(&mut state, KeyCode::Char('r'));
        assert_eq!((names(&state), state.chosen()), ("abc".to_owned(), 1));
        press(&mut state, KeyCode::End);
        press(&mut state, KeyCode::Down);
        assert_eq!(state.chosen(), 2);
        press(&mut state, KeyCode::Char('r'));
        assert_eq!(state.chosen(), 0);
    }

    #[test]
    fn a_look_that_fails_leaves_what_was_seen() {
        let mut state = three(None);
        state.take(Look { nodes: Err("gone".to_owned()), detail: None });
        assert_eq!((state.trouble.as_deref(), state.rows.len()), (Some("gone"), 3));
        press(&mut state, KeyCode::Char('p'));
        state.take(Look { nodes: Ok(Vec::new()), detail: None });
        assert_eq!(state.rows.len(), 3, "it is paused");
    }

    #[test]
    fn one_looks_into_a_node_a_user_and_back() {
        let mut state = three(Some(7));
        assert_eq!(press(&mut state, KeyCode::Enter), Wish::Look(Subject::Node("cccccccc".to_owned())));
        assert_eq!(press(&mut state, KeyCode::Char('u')), Wish::Draw);
        state.paste("马\u{1b}超");
        let user = Subject::User(7, UserId::new("马超").unwrap());
        assert_eq!(press(&mut state, KeyCode::Enter), Wish::Look(user));
        assert_eq!(state.path.len(), 2);
        press(&mut state, KeyCode::Esc);
        assert_eq!(press(&mut state, KeyCode::Esc), Wish::Look(Subject::Nodes));
        assert_eq!(press(&mut state, KeyCode::Esc), Wish::End);
    }

    #[test]
    fn a_wrong_name_is_told_and_no_app_too() {
        let mut state = three(Some(7));
        press(&mut state, KeyCode::Char('c'));
        "nobody:x".chars().for_each(|c| drop(press(&mut state, KeyCode::Char(c))));
        assert_eq!(press(&mut state, KeyCode::Enter), Wish::Draw);
        assert!(state.note.is_some() && state.path.is_empty());
        let mut state = three(None);
        press(&mut state, KeyCode::Char('u'));
        assert!(state.note.as_deref().unwrap().contains("--app") && state.asking.is_none());
    }
}
