//! Which place wins, and what is refused by name.

use super::*;

#[test]
fn the_stronger_place_wins_key_by_key() {
    let file = parse("listen = '127.0.0.1:1'\n[limits]\noutbox_frames = 7\nlogin_timeout = 3").unwrap();
    let flags = parse("listen = '127.0.0.1:2'\n[limits]\nlogin_timeout = 4").unwrap();
    let config = Config::resolve(flags, file);
    assert_eq!(config.serve.listen, "127.0.0.1:2");
    assert_eq!((config.limits.outbox_frames, config.limits.login_timeout), (7, Span::seconds(4)));
    assert_eq!(config.limits.heartbeat_timeout, Span::seconds(360));
}

#[test]
fn default_settings_are_a_valid_file_again() {
    let text = Config::default().to_toml();
    let again = Config::resolve(parse(&text).unwrap(), Given::default());
    assert_eq!(again, Config::default());
}

#[test]
fn wrong_keys_and_values_are_named() {
    for (text, named) in [
        ("lissten = 'x'", "lissten"),
        ("[limits]\nfoo = 1", "foo"),
        ("[storage]\nsync = 'maybe'", "maybe"),
        ("[limits]\noutbox_frames = -1", "-1"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn each_section_of_the_settings_is_read_from_a_file() {
    let names = sections();
    assert!(
        ["limits", "auth", "audit"].iter().all(|name| names.iter().any(|known| known == name)),
        "{names:?}"
    );
    for name in &names {
        parse(&format!("[{name}]")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = parse(&format!("[{name}]\nno_such_key = 1")).unwrap_err().to_string();
        assert!(error.contains("no_such_key"), "{name}: {error}");
    }
    let error = parse("[limit]").unwrap_err().to_string();
    assert!(error.contains("unknown section `limit`"), "{error}");
    assert!(names.iter().all(|name| error.contains(&format!("`{name}`"))), "{error}");
}
