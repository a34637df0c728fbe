//! How the chat page shows the names that people give themselves.
//!
//! Invariant: two names that differ by something that cannot be seen are not shown alike.

use chat_client::Session;
use chat_tests::browser::{Browser, Window};
use chat_tests::node::Node;
use chat_tests::wait::{SOON, until};

const APP: u32 = 102;

async fn say(session: &mut Session, text: &str) {
    session.send("".parse().expect("the world"), text).await.expect("it is sent");
}

/// Somebody of this name speaks and is shown so.
async fn shows(node: &Node, window: &Window, name: &str, shown: &str) {
    let mut odd = node.login(APP, name).await;
    say(&mut odd, "here").await;
    window.run("return document.querySelector('#people button').click()").await;
    window.until_last(".message bdi.from", shown).await;
}

#[tokio::test]
async fn no_name_passes_for_another() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let mut odd = node.login(APP, "admin\u{202e}\u{200b}").await;
    let window = browser.enter(node.server(), APP, "reader").await;
    say(&mut odd, "\u{202e}txt").await;
    window.until_last(".message bdi.from", "admin⟨U+202E⟩⟨U+200B⟩").await;
    let row = "#people button[data-target^='user:admin']";
    window.until_last(&format!("{row} bdi"), "admin⟨U+202E⟩⟨U+200B⟩").await;
    window.click(row).await;
    window.until_last("#title bdi", "admin⟨U+202E⟩⟨U+200B⟩").await;
    assert_eq!(window.run("return document.title").await, "\u{2068}admin⟨U+202E⟩⟨U+200B⟩\u{2069} · 聊天室");
    let style = window.run("return getComputedStyle(document.querySelector('#title bdi')).unicodeBidi").await;
    assert_eq!(style, "isolate");
    // What differs and cannot be seen is written out; an emoji that is drawn as one, and a composed sign, are not.
    for (name, shown) in [
        ("jose\u{301}", "jose⟨U+0301⟩"),
        ("\u{212b}ngström", "⟨U+212B⟩ngström"),
        ("\u{1112}\u{1161}\u{11ab}", "\u{1112}⟨U+1161⟩⟨U+11AB⟩"),
        ("bo\u{200d}b", "bo⟨U+200D⟩b"),
        ("bob\u{fe0f}", "bob⟨U+FE0F⟩"),
        ("👍\u{fe0f}", "👍⟨U+FE0F⟩"),
        ("👍\u{200d}👍", "👍⟨U+200D⟩👍"),
        ("bob\u{3164}", "bob⟨U+3164⟩"),
        ("bob\u{e0101}", "bob⟨U+E0101⟩"),
        ("bob\u{34f}", "bob⟨U+034F⟩"),
        ("josé 👩\u{200d}💻❤\u{fe0f}한", "josé 👩\u{200d}💻❤\u{fe0f}한"),
        ("a\u{334}\u{301}", "a⟨U+0334⟩⟨U+0301⟩"),
        // Written by hand as if it were written out.
        ("bob⟨U+200B⟩", "bob⟨U+27E8⟩U+200B⟩"),
    ] {
        shows(&node, &window, name, shown).await;
    }
}

/// One letter of another alphabet is written out; a name of one alphabet, beside Chinese too, is not.
#[tokio::test]
async fn letters_of_two_alphabets_are_told_apart() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let window = browser.enter(node.server(), APP, "reader").await;
    for (name, shown) in [
        ("b\u{43e}b", "b⟨U+043E⟩b"),
        ("\u{391}dmin", "⟨U+0391⟩dmin"),
        ("Иван\u{61}", "Иван⟨U+0061⟩"),
        ("\u{43e}k", "⟨U+043E⟩k"),
        ("Ελλη\u{43d}", "Ελλη⟨U+043D⟩"),
        ("bob \u{585}", "bob ⟨U+0585⟩"),
        ("Иван\u{200b}", "Иван⟨U+200B⟩"),
        ("Иван Петров", "Иван Петров"),
        ("张三Bob 7", "张三Bob 7"),
    ] {
        shows(&node, &window, name, shown).await;
    }
    let mut bob = node.login(APP, "b\u{43e}b").await;
    bob.send("user:reader".parse().expect("a target"), "look").await.expect("it is sent");
    let row = "#people button[data-target='user:b\u{43e}b']";
    window.until_last(&format!("{row} bdi"), "b⟨U+043E⟩b").await;
    window.click(row).await;
    window.until_last("#title bdi", "b⟨U+043E⟩b").await;
    let is_read = async || window.run("return document.title").await == "\u{2068}b⟨U+043E⟩b\u{2069} · 聊天室";
    until("the title names who is read, without a number", SOON, is_read).await;
}

/// What Firefox before 116 and 125 cannot do.
#[tokio::test]
async fn a_browser_that_knows_less_shows_the_page_and_hides_nothing() {
    let older = "delete Intl.Segmenter; const New = RegExp; window.RegExp = class extends New { \
                 constructor(pattern, flags = '') { \
                 if (flags.includes('v') || /RGI_Emoji/.test(pattern)) throw new SyntaxError('invalid'); \
                 super(pattern, flags) } }";
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let window = browser.enter_with(older, node.server(), APP, "reader").await;
    assert_eq!(window.run("return Intl.Segmenter === undefined").await, true);
    for (name, shown) in [
        ("bo\u{200d}b", "bo⟨U+200D⟩b"),
        ("jose\u{301}", "jose⟨U+0301⟩"),
        ("\u{1112}\u{1161}\u{11ab}", "\u{1112}⟨U+1161⟩⟨U+11AB⟩"),
        ("b\u{43e}b", "b⟨U+043E⟩b"),
        ("josé 👍 한", "josé 👍 한"),
        ("👩\u{200d}💻", "👩⟨U+200D⟩💻"),
    ] {
        shows(&node, &window, name, shown).await;
    }
}
