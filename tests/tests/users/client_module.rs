//! `client.js`, the reference client, in a real browser and in Node: what it promises when the connection is cut again
//! and again, and what becomes of files.
//!
//! Invariant: it talks through a proxy that cuts it; nothing of the page helps it.

use chat_tests::browser::{Browser, Window};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::javascript;
use chat_tests::node::Node;
use chat_tests::raw_http::get;
use serde_json::{Value, json};

const APP: u32 = 105;
/// Messages that each of the two sends.
const MESSAGES: u32 = 200;
/// Times that all connections are cut.
const CUTS: u32 = 5;

/// Two clients that send to the world and to each other, and note what they hear.
const TALK: &str = "const [app, count] = arguments;
    return import('/home/client.js').then(({ ChatClient }) => {
      const url = location.origin.replace('http', 'ws') + '/acc';
      const client = (userId) => {
        const chat = new ChatClient({ url, appId: app, userId });
        const it = { chat, heard: [], gaps: 0, states: [] };
        chat.on('message', ({ conversation, from, msg }) => it.heard.push(`${conversation} ${from} ${msg}`));
        chat.on('gap', () => { it.gaps += 1; });
        chat.on('state', ({ state }) => it.states.push(state));
        chat.start();
        return it;
      };
      Object.assign(window, { a: client('a'), b: client('b'), stored: [], refused: [] });
      const send = (chat, target, text) => chat.send(target, text)
        .then(({ offset }) => stored.push([offset, `${target} ${chat.userId} ${text}`]), (error) => refused.push(String(error)));
      let sent = 0;
      const timer = setInterval(() => {
        // Whoever comes later has not missed what was said before.
        if (sent === 0 && (a.chat.state !== 'online' || b.chat.state !== 'online')) return;
        sent += 1;
        send(a.chat, '', `m${sent}`);
        send(b.chat, 'user:a', `p${sent}`);
        if (sent === count) clearInterval(timer);
      }, 40);
    })";

/// A file goes by the client and is opened by it; who gives it up, or is refused, is told so.
const UPLOAD: &str = "async (ChatClient, url, appId) => {
      const chat = new ChatClient({ url, appId, userId: 'a' });
      const online = new Promise((done) => chat.on('state', ({ state }) => { if (state === 'online') done(); }));
      chat.start();
      await online;
      const film = new Blob(['\\0\\0\\0\\x18ftypmp42\\0\\0\\0\\0mp42isom', new Uint8Array(300_000)]);
      const parts = [];
      const onProgress = (bytes) => parts.push(bytes);
      const name = 'é\\n'.repeat(300);
      const { type, url: path, secret, fileId } = await chat.upload(film, { target: 'user:b', name, onProgress });
      await chat.send('user:b', { type, url: path, secret });
      const about = await chat.fileUrl('user:b', fileId);
      const bytes = (await (await fetch(about.url)).arrayBuffer()).byteLength;
      const why = (asked) => asked.then(() => 'taken', ({ name, code }) => (name === 'ChatError' ? code : name));
      const stop = new AbortController();
      const stopped = why(chat.upload(film, { target: '', signal: stop.signal }));
      stop.abort();
      const told = [film.size === bytes, film.size === parts.at(-1), new TextEncoder().encode(about.name).length,
        await stopped, await why(chat.upload(film, { target: '', signal: AbortSignal.abort() })),
        await why(chat.upload(new Blob(['text']), { target: '' })),
        await why(chat.upload(film, { target: 'group:none' })), await why(chat.fileUrl('user:b', 'none'))];
      chat.stop();
      return told;
    }";

/// What one has heard, and what the other has stored, in the order of the log.
async fn heard_and_stored(window: &Window, hearer: &str, said: &str) -> (Value, Value) {
    let stored = format!(
        "return stored.filter(([, text]) => text.startsWith('{said}')).sort(([a], [b]) => a - b)
           .map(([, text]) => text.replace('user:a b', 'user:b b'))"
    );
    let heard = format!("return {hearer}.heard");
    (window.run(&heard).await, window.run(&stored).await)
}

#[tokio::test]
async fn what_two_clients_say_arrives_once_and_in_order_however_often_they_are_cut() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    let window = browser.window(&format!("http://{}/home/index", proxy.address())).await;
    window.run_with(TALK, vec![json!(APP), json!(MESSAGES)]).await;
    for cut in 1..=CUTS {
        window.until("a.chat.state === 'online' && b.chat.state === 'online'").await;
        window.until(&format!("stored.length >= {}", cut * 2 * MESSAGES / (CUTS + 1))).await;
        proxy.cut();
        window.until("a.chat.state !== 'online' && b.chat.state !== 'online'").await;
        proxy.heal();
    }
    window.until(&format!("stored.length === {}", 2 * MESSAGES)).await;
    window.until("a.chat.state === 'online' && b.chat.state === 'online'").await;
    window.until(&format!("a.heard.length >= {MESSAGES} && b.heard.length >= {MESSAGES}")).await;
    for (hearer, said) in [("b", " a"), ("a", "user:a b")] {
        let (heard, stored) = heard_and_stored(&window, hearer, said).await;
        assert_eq!(heard, stored, "{hearer}");
        assert_eq!(heard.as_array().map(Vec::len), Some(MESSAGES as usize));
    }
    let rest = "return [a.gaps, b.gaps, refused, a.states.filter((state) => state === 'online').length]";
    assert_eq!(window.run(rest).await, json!([0, 0, [], CUTS + 1]));
}

#[tokio::test]
async fn a_refusal_a_lost_answer_and_an_end_are_told_apart() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let proxy = FaultProxy::start(node.server().authority().parse().expect("an address")).await;
    let window = browser.window(&format!("http://{}/home/index", proxy.address())).await;
    let alone = "return import('/home/client.js').then(({ ChatClient }) => {
      const url = location.origin.replace('http', 'ws') + '/acc';
      window.alone = new ChatClient({ url, appId: arguments[0], userId: 'alone' });
      alone.on('state', (change) => { window.last = change; });
      alone.start();
    })";
    window.run_with(alone, vec![json!(APP)]).await;
    window.until("alone.state === 'online'").await;
    let code = |call: &str| format!("return {call}.then(() => 200, ({{ code }}) => code)");
    assert_eq!(window.run(&code("alone.send('group:none', 'x')")).await, json!(1005));
    assert_eq!(window.run(&code("alone.request('user/none')")).await, json!(1010));
    proxy.stall();
    assert_eq!(window.run(&code("alone.request('user/list', {}, { patienceMs: 200 })")).await, json!(0));
    proxy.heal();
    // chatd ends it for good: not through the proxy, which may cut a connection that ends before its last words.
    let window = browser.window(&format!("{}/home/index", node.server())).await;
    window.run_with(alone, vec![json!(APP)]).await;
    window.until("alone.state === 'online'").await;
    let kick = json!({"appId": APP, "userId": "alone", "reason": "enough"});
    let kicked = node.http().call_raw("/system/kick", &kick).await.expect("kicked");
    assert_eq!(kicked["online"], true, "{}", window.run("return [alone.state, last]").await);
    window.until("alone.state === 'stopped'").await;
    assert_eq!(window.run("return [last.code, last.reason]").await, json!([4500, "enough"]));
    assert_eq!(window.run(&code("alone.send('', 'too late')")).await, json!(0));
}

/// What [`UPLOAD`] gives: that all of it came, whether it was told so on the way, and the bytes of a name of letters of
/// two, which has 255 at most.
fn told(is_progress_told: bool) -> Value {
    json!([true, is_progress_told, 254, "AbortError", "AbortError", 1009, 1005, 1005])
}

#[tokio::test]
async fn a_file_is_uploaded_opened_and_given_up() {
    let (node, browser) = tokio::join!(Node::ephemeral(&[]), Browser::start());
    let window = browser.window(&format!("{}/home/index", node.server())).await;
    let script = format!(
        "const [app] = arguments; return import('/home/client.js').then(({{ ChatClient }}) => \
         ({UPLOAD})(ChatClient, location.origin.replace('http', 'ws') + '/acc', app))"
    );
    assert_eq!(window.run_with(&script, vec![json!(APP)]).await, told(true));
}

/// The same without a browser, by what the node gives to such programs.
#[tokio::test]
async fn a_file_is_uploaded_opened_and_given_up_in_node() {
    let Some(mut command) = javascript::node() else {
        return eprintln!("node is missing or too old");
    };
    let node = Node::ephemeral(&[]).await;
    let client = get(node.server(), "/home/client.js").await;
    let directory = tempfile::tempdir().expect("a directory");
    let program = format!(
        "import {{ ChatClient }} from './client.mjs'; setTimeout(() => process.exit(1), 30_000).unref(); \
         console.log(JSON.stringify(await ({UPLOAD})(ChatClient, process.argv[2], {APP})))"
    );
    for (name, text) in [("client.mjs", &client.body), ("upload.mjs", &program)] {
        std::fs::write(directory.path().join(name), text).expect("written");
    }
    let address = format!("{}/acc", node.server().to_string().replacen("http", "ws", 1));
    command.arg(directory.path().join("upload.mjs")).arg(address);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("it runs").expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Only a browser tells how far an upload is.
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON"), told(false));
}
