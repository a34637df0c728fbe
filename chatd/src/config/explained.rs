//! A file of settings with what each of them is about.
//!
//! Invariant: comments are all that is added.

use super::{Audit, Auth, Files, History, Limits, Money, Presence, Serve, Storage};

/// Each section by its name, that of keys outside of any first.
const SECTIONS: [(&str, &[(&str, &str)]); 9] = [
    ("", Serve::ABOUT),
    ("storage", Storage::ABOUT),
    ("history", History::ABOUT),
    ("money", Money::ABOUT),
    ("presence", Presence::ABOUT),
    ("audit", Audit::ABOUT),
    ("files", Files::ABOUT),
    ("limits", Limits::ABOUT),
    ("auth", Auth::ABOUT),
];

/// The same file, which has one line for each key, with a comment above each.
pub(super) fn explained(file: &str) -> String {
    let (mut text, mut about) = (String::with_capacity(4 * file.len()), SECTIONS[0].1);
    for line in file.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            about = SECTIONS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, about)| about);
        }
        let key = line.split_once(" = ").map(|(key, _)| key);
        if let Some((_, words)) = about.iter().find(|(known, _)| Some(*known) == key) {
            text.push_str("# ");
            text.push_str(words.trim_start());
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn every_setting_says_what_it_is_about() {
        let text = Config::default().to_toml();
        let lines: Vec<_> = text.lines().collect();
        let keys: Vec<_> = (0..lines.len()).filter(|at| lines[*at].contains(" = ")).collect();
        assert!(keys.len() > 50, "{}", keys.len());
        for at in keys {
            assert!(lines[at - 1].starts_with("# ") && lines[at - 1].len() > 10, "{}", lines[at]);
        }
        let shown = "# Requests over one WebSocket, messages included, such as 20/s; 0 for any number\n\
                     rate_per_connection = \"0\"\n";
        assert!(text.contains(shown), "{text}");
    }
}
