//! What the chat page weighs and how fast it is, in a real browser.
//!
//! Invariant: each figure is the browser's own; the node runs beside it on the same machine.

use std::time::Duration;

use chat_client::Session;
use chat_protocol::UserId;
use chat_tests::browser::{Browser, Window};
use chat_tests::node::Node;
use chat_tests::wait::pace;

const APP: u32 = 1;
/// Messages that are loaded.
const MESSAGES: usize = 10_000;
/// Names that are listed.
const NAMES: usize = 5_000;
/// How often the page is opened.
const OPENED: usize = 9;
/// Messages a second, and for so many seconds.
const RATE: u64 = 50;
const SECONDS: u64 = 10;

/// Notes when the fiftieth message was drawn.
const DRAWN: &str = "const look = () => { if (document.querySelectorAll('.message').length >= 50) \
                     requestAnimationFrame(() => { window.drawn = performance.now() }); \
                     else requestAnimationFrame(look) }; requestAnimationFrame(look)";
/// Bytes of the page and of all it loads, as they came.
const WEIGHT: &str = "return performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource')) \
                      .filter(({ name }) => name.includes('/home/')).map(({ encodedBodySize }) => encodedBodySize)";
/// Frames a second, the longest pause between two, and how busy the page's thread is, from now on.
const FRAMES: &str = "window.pauses = []; window.long = 0; let last = performance.now(); \
                      const next = (now) => { pauses.push(now - last); last = now; requestAnimationFrame(next) }; \
                      requestAnimationFrame(next); \
                      new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => { long += duration })) \
                      .observe({ type: 'longtask' })";
const FIGURES: &str = "const [count, sum] = [pauses.length, pauses.reduce((a, b) => a + b, 0)]; \
                       const sorted = [...pauses].sort((a, b) => a - b); \
                       const text = `${(1000 * count / sum).toFixed(1)} frames/s, pauses p99 ${sorted[Math.floor(count * 0.99)].toFixed(1)} ms, \
longest ${sorted.at(-1).toFixed(1)} ms, tasks over 50 ms ${long.toFixed(0)} ms, ${document.querySelectorAll('*').length} nodes`; \
                       pauses.length = 0; window.long = 0; return text";

async fn speak(session: &mut Session, number: usize) {
    let text = format!("line {number} of a talk in which somebody says something of a usual length");
    session.send("".parse().expect("the world"), &text).await.expect("sent");
}

async fn figures(window: &Window, what: &str) {
    println!("{what}: {}", window.run(FIGURES).await.as_str().unwrap_or_default());
}

#[tokio::main]
async fn main() {
    let names = NAMES.to_string();
    let arguments = ["--presence-announce-limit", "1", "--history-max-messages", "20000"];
    let (node, browser) = tokio::join!(Node::ephemeral(&arguments), Browser::start());
    let mut speaker = node.login(APP, "speaker").await;
    for number in 1..=MESSAGES {
        speak(&mut speaker, number).await;
    }
    let mut opened = Vec::new();
    let mut weight = 0;
    for _ in 0..OPENED {
        let window = browser.enter_with(DRAWN, node.server(), APP, "reader").await;
        window.until("window.drawn").await;
        opened.push(window.run("return window.drawn").await.as_f64().expect("a number"));
        let sizes: Vec<u64> = serde_json::from_value(window.run(WEIGHT).await).expect("sizes");
        // What was kept from an earlier opening weighs the same.
        weight = weight.max(sizes.iter().sum());
    }
    opened.sort_by(f64::total_cmp);
    println!("page weight: {weight} B");
    let (first, last) = (opened[0], opened[OPENED - 1]);
    println!("from opening to 50 messages drawn: {:.0} ms ({first:.0}–{last:.0})", opened[OPENED / 2]);

    let mut crowd = Vec::new();
    for number in 1..=NAMES {
        let user = UserId::new(&format!("u{number:0width$}", width = names.len())).expect("a name");
        crowd.push(Session::login(node.server(), APP, &user).await.expect("logged in"));
    }
    let window = browser.enter(node.server(), APP, "reader").await;
    window.until("document.querySelectorAll('.message').length >= 50").await;
    let all = format!(
        "return (async () => {{ const pause = () => new Promise((done) => setTimeout(done, 20)); \
         const log = document.getElementById('log'); \
         for (let tries = 0; tries < 4000 && !document.querySelector('.message .body')?.textContent.startsWith('line 1 '); tries += 1) {{ \
           document.querySelector('.history button')?.click(); log.scrollTop = -1e9; await pause() }} \
         const list = document.getElementById('people'); \
         for (let tries = 0; tries < 4000 && Number(list.lastElementChild.ariaPosInSet) < {NAMES}; tries += 1) {{ \
           list.scrollTop = list.scrollHeight; await pause() }} \
         return [document.querySelector('.message .body').textContent.split(' ')[1], list.lastElementChild.ariaPosInSet] }})()"
    );
    let loaded = window.run(&all).await;
    println!("loaded up to message {} and name {}", loaded[0], loaded[1]);
    window.run(FRAMES).await;
    for (what, place) in [("a reader above", "-log.scrollHeight / 2"), ("a reader at the end", "0")] {
        let go = format!(
            "const log = document.getElementById('log'); log.scrollTop = {place}; \
                          if ({place} === 0) document.getElementById('to-end').click()"
        );
        window.run(&go).await;
        window.run(FIGURES).await;
        let mut tick = tokio::time::interval(Duration::from_millis(1000 / RATE));
        for number in 1..=RATE * SECONDS {
            tick.tick().await;
            speak(&mut speaker, MESSAGES + usize::try_from(number).unwrap_or_default()).await;
        }
        figures(&window, &format!("{what}, {RATE} messages a second")).await;
    }
    window
        .run("window.away = setInterval(() => { document.getElementById('log').scrollTop -= 40 }, 16)")
        .await;
    window.run(FIGURES).await;
    pace(Duration::from_secs(SECONDS)).await;
    figures(&window, "scrolling up, 2,500 px a second").await;
}
