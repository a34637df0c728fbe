//! Who, where and what can be named by pressing Tab.
//!
//! Invariant: a Tab after a Tab goes on to the next one that fits what was typed before the first.

/// Names of users that are kept.
const KEPT: usize = 5000;

/// Commands of the room.
pub const COMMANDS: [&str; 9] =
    ["/help", "/to", "/rooms", "/who", "/older", "/grab", "/packet", "/history", "/quit"];

/// What is known, and where a row of Tabs is.
#[derive(Debug, Default)]
pub struct Names {
    users: Vec<String>,
    rooms: Vec<String>,
    turning: Option<Turn>,
}

#[derive(Debug)]
struct Turn {
    found: Vec<String>,
    at: usize,
    /// What the last Tab put before the cursor.
    put: String,
}

impl Names {
    /// Learns of users, the newest last.
    pub fn meet<'a>(&mut self, users: impl IntoIterator<Item = &'a str>) {
        for user in users {
            if !self.users.iter().any(|known| known == user) {
                self.users.push(user.to_owned());
            }
        }
        let too_many = self.users.len().saturating_sub(KEPT);
        self.users.drain(..too_many);
    }

    /// Learns of conversations.
    pub fn know_rooms(&mut self, rooms: Vec<String>) {
        self.rooms = rooms;
    }

    /// Any other key ends the row.
    pub fn end(&mut self) {
        self.turning = None;
    }

    /// What a Tab makes of the text before the cursor: how many bytes of it go, and what comes there instead.
    pub fn turn(&mut self, before: &str) -> Option<(usize, String)> {
        if let Some(turn) = &mut self.turning
            && before.ends_with(&turn.put)
        {
            turn.at = (turn.at + 1) % turn.found.len();
            let put = std::mem::replace(&mut turn.put, turn.found[turn.at].clone());
            return Some((put.len(), turn.put.clone()));
        }
        let start = before
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let (word, is_first) = (&before[start..], start == 0);
        let found = self.fitting(word, is_first, before);
        let put = found.first()?.clone();
        self.turning = Some(Turn { found, at: 0, put: put.clone() });
        Some((word.len(), put))
    }

    fn fitting(&self, word: &str, is_first: bool, line: &str) -> Vec<String> {
        let (at, name) = word.strip_prefix('@').map_or(("", word), |name| ("@", name));
        if name.is_empty() && !line.starts_with("/to ") {
            return Vec::new();
        }
        if is_first && word.starts_with('/') {
            return COMMANDS
                .iter()
                .filter(|command| command.starts_with(word))
                .map(|command| format!("{command} "))
                .collect();
        }
        if line.starts_with("/to ") {
            let users = self.users.iter().map(|user| format!("user:{user}"));
            let places = self.rooms.iter().cloned().chain(users);
            let mut found: Vec<_> = places.filter(|place| place.starts_with(word)).collect();
            found.dedup();
            return found;
        }
        let name = name.to_lowercase();
        let fits = |user: &&String| user.to_lowercase().starts_with(&name);
        let end = if is_first && at.is_empty() { ": " } else { " " };
        // Who spoke last is meant first.
        self.users.iter().rev().filter(fits).map(|user| format!("{at}{user}{end}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.meet(["马超", "Anna", "anton", "马超"]);
        names.know_rooms(vec!["group:tea".to_owned()]);
        names
    }

    #[test]
    fn tab_after_tab_goes_round() {
        let mut names = names();
        assert_eq!(names.turn("hi an"), Some((2, "anton ".to_owned())));
        assert_eq!(names.turn("hi anton "), Some((6, "Anna ".to_owned())));
        assert_eq!(names.turn("hi Anna "), Some((5, "anton ".to_owned())));
        names.end();
        assert_eq!(names.turn("hi anton "), None, "nothing is begun there");
    }

    #[test]
    fn names_places_and_commands_are_told_apart() {
        let mut names = names();
        let mut once = |before: &str| {
            names.end();
            names.turn(before).map(|(_, put)| put)
        };
        assert_eq!(once("马").as_deref(), Some("马超: "));
        assert_eq!(once("say @马").as_deref(), Some("@马超 "));
        assert_eq!(once("/gr").as_deref(), Some("/grab "));
        assert_eq!(once("/to gr").as_deref(), Some("group:tea"));
        assert_eq!(once("/to user:an").as_deref(), Some("user:anton"));
        assert_eq!(once(""), None);
    }
}
