//! Files of settings with anything in them: they are read or refused with the place, and never stop the program.
//!
//! Invariant: nothing here needs a server; `PROPTEST_CASES` says how many cases there are (256 without it).

use std::path::Path;

use chatd::config::{Config, Given};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn load(text: &[u8]) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let hide = |why: String| why.replace(&*file.path().to_string_lossy(), "FILE");
    Config::load(Given::default(), Some(Path::new(file.path()))).map_err(hide)
}

/// The default settings, of which each key has a line, without those that say what they are about.
fn defaults() -> Vec<String> {
    let text = Config::default().to_toml();
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

/// Any value of TOML, right for its key or not.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|yes| yes.to_string()),
        "'[^'\\x00-\\x1f]{0,20}'",
        "'[0-9]{1,20}(us|ms|s|m|h|/s|/m|/h)'",
        "\"\\PC{0,10}\"",
        select(vec!["[]", "{}", "[1, 'a']", "1979-05-27", "nan", "-inf", "''", "0", "[[[]]]"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_settings_or_refused(text in vec(any::<u8>(), 0..200)) {
        let _ = load(&text);
    }

    #[test]
    fn any_value_of_any_key_is_taken_or_refused_by_its_name(at in any::<Index>(), value in value()) {
        let mut lines = defaults();
        let line = at.get_mut(&mut lines);
        let Some((key, _)) = line.split_once(" = ") else { return Ok(()) };
        let key = key.to_owned();
        *line = format!("{key} = {value}");
        if let Err(why) = load(lines.join("\n").as_bytes()) {
            prop_assert!(why.contains(&key) || why.contains("line ") || why.contains("FILE"), "{}: {}", line_of(&key, &value), why);
        }
    }

    #[test]
    fn a_key_that_is_none_is_named_with_those_there_are(at in any::<Index>(), place in any::<Index>(), letter in "[a-z_]") {
        let mut lines = defaults();
        let line = at.get_mut(&mut lines);
        let Some((key, value)) = line.split_once(" = ") else { return Ok(()) };
        let mut other = key.to_owned();
        let place = place.index(other.len());
        other.replace_range(place..=place, &letter);
        let is_known = defaults().iter().any(|line| line.split_once(" = ").is_some_and(|(known, _)| known == other));
        *line = format!("{other} = {value}");
        match load(lines.join("\n").as_bytes()) {
            Ok(_) => prop_assert!(is_known, "{other} was passed over"),
            Err(why) => prop_assert!(is_known || (why.contains(&other) && why.contains("expected")), "{}: {}", other, why),
        }
    }

    #[test]
    fn changed_settings_are_read_or_refused(changes in vec((any::<Index>(), any::<char>()), 1..6)) {
        let mut text: Vec<char> = defaults().join("\n").chars().collect();
        changes.into_iter().for_each(|(at, c)| *at.get_mut(&mut text) = c);
        let _ = load(text.into_iter().collect::<String>().as_bytes());
    }
}

fn line_of(key: &str, value: &str) -> String {
    format!("{key} = {value}")
}

#[test]
fn a_section_that_is_none_is_named_with_those_there_are() {
    for name in ["limts", "server", "Auth", "'l i'", "listen"] {
        let why = load(format!("[{name}]\nrate_per_user = '5/s'").as_bytes()).expect_err("no section");
        let named = format!("unknown section `{}`, expected one of ", name.trim_matches('\''));
        assert!(why.contains(&named) && why.contains("`limits`"), "{why}");
    }
}

#[test]
fn settings_as_deep_as_they_are_long_are_refused_and_no_more() {
    for depth in [100, 1000, 20_000] {
        let nested = format!("listen = {}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(load(nested.as_bytes()).is_err(), "{depth}");
        let tables = format!("[{}a]", "a.".repeat(depth));
        assert!(load(tables.as_bytes()).is_err(), "{depth}");
    }
}
