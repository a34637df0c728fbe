//! Contexts of chatctl: what they stand for, which of them wins, where their keys go, and what they protect.
//!
//! Invariant: no file and no output holds a key.

use chat_client::Http;
use chat_tests::closed::Closed;
use chat_tests::jwt::{Signer, claims};
use chat_tests::node::Node;
use chat_tests::program::{self, run};
use chat_tests::wait::SOON;
use chatctl::surroundings::Surroundings;
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "a secret of at least thirty-two bytes";

/// How a run ended: exit code, data, messages.
type Ended = (u8, String, String);

/// An operator with a folder of settings of their own.
struct Desk {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Desk {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder"), variables: Vec::new() }
    }

    fn with(&self, name: &'static str, value: &str) -> Self {
        let mut variables = self.variables.clone();
        variables.push((name, value.to_owned()));
        let folder = TempDir::new().expect("a folder");
        let to = folder.path().join("chatd");
        std::fs::create_dir(&to).expect("a folder");
        for file in std::fs::read_dir(self.folder.path().join("chatd")).expect("files") {
            let file = file.expect("a file");
            std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
        }
        Self { folder, variables }
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("chatd/contexts.toml")).expect("the file")
    }

    async fn typed(&self, words: &[&str], typed: Option<&str>) -> Ended {
        let folder = self.folder.path().to_str().expect("a path");
        let mut variables = vec![("XDG_CONFIG_HOME", folder), ("CHATCTL_RETRIES", "0")];
        variables.extend(self.variables.iter().map(|(name, value)| (*name, value.as_str())));
        let stdin = typed.unwrap_or_default();
        let (mut surroundings, written) = Surroundings::in_memory(stdin.as_bytes(), &variables);
        surroundings.terminals.stdin = typed.is_some();
        let line = std::iter::once("chatctl").chain(words.iter().copied()).map(Into::into);
        let exit = chatctl::run(line, surroundings).await;
        (exit, written.stdout(), written.stderr())
    }

    async fn chatctl(&self, words: &[&str]) -> Ended {
        self.typed(words, None).await
    }

    async fn done(&self, words: &[&str]) -> String {
        let (exit, out, err) = self.chatctl(words).await;
        assert_eq!(exit, 0, "{words:?}: {err}");
        out
    }
}

#[tokio::test]
async fn one_word_stands_for_server_app_and_user() {
    let (a, b) = (Node::ephemeral(&[]).await, Node::ephemeral(&[]).await);
    let (at_a, at_b) = (a.server().to_string(), b.server().to_string());
    let _users = [a.login(7, "of-a").await, b.login(8, "of-b").await];
    let desk = Desk::new();
    desk.done(&["context", "add", "a", "--server", &at_a, "--app", "7", "--as", "马超", "--use"]).await;
    desk.done(&["context", "add", "生产", "--server", &at_b, "--app", "8"]).await;
    assert_eq!(desk.done(&["list", "-o", "name"]).await, "of-a\n");
    assert_eq!(desk.done(&["--context", "生产", "list", "-o", "name"]).await, "of-b\n");
    assert_eq!(desk.done(&["--app", "9", "list"]).await, "", "a flag wins");
    let in_words = desk.done(&["conversation", "list", "--dry-run"]).await;
    assert!(in_words.contains("\"appId\":7") && in_words.contains("马超"), "{in_words}");
    desk.done(&["context", "use", "生产"]).await;
    assert_eq!(desk.done(&["list", "-o", "name"]).await, "of-b\n");
    assert_eq!(desk.with("CHATCTL_CONTEXT", "a").done(&["list", "-o", "name"]).await, "of-a\n");
    let both = desk.with("CHATCTL_SERVER", &at_a).with("CHATCTL_APP", "7");
    assert_eq!(both.done(&["list", "-o", "name"]).await, "of-a\n", "variables win over what is in use");
    let named = both.done(&["--context", "生产", "list", "-o", "name"]).await;
    assert_eq!(named, "of-b\n", "what is named on the line wins over variables");
    let known: Value =
        serde_json::from_str(&desk.done(&["context", "ls", "-o", "json"]).await).expect("JSON");
    assert_eq!(
        (&known[0]["name"], &known[0]["used"], &known[1]["used"]),
        (&json!("a"), &json!(false), &json!(true))
    );
    desk.done(&["context", "rm", "生产"]).await;
    assert_eq!(desk.chatctl(&["list"]).await.0, 2, "none is in use, so there is no app");
    assert_eq!(desk.chatctl(&["--context", "生产", "list"]).await.0, 2);
    assert_eq!(desk.chatctl(&["context", "show", "生产"]).await.0, 5);
}

#[tokio::test]
async fn a_key_is_read_where_it_is_kept_goes_to_its_server_alone_and_is_never_shown() {
    let closed = Node::ephemeral(&["--auth-jwt-secret", SECRET]).await;
    let open = Node::ephemeral(&[]).await;
    let token = Signer::secret(SECRET).of(&claims(7, "马超"));
    let at = closed.server().to_string();
    let desk = Desk::new();
    let file = desk.folder.path().join("key");
    std::fs::write(&file, format!("{token}\n")).expect("written");
    let file = file.to_str().expect("a path");
    let command = format!("cat '{file}'");
    let add = ["context", "add", "--server", &at, "--app", "7", "--as", "马超"];
    for (name, place) in
        [("f", ["--token-file", file]), ("e", ["--token-env", "KEY"]), ("c", ["--token-command", &command])]
    {
        desk.done(&[&add[..], &[name], &place].concat()).await;
    }
    let desk = desk.with("KEY", &token);
    for name in ["f", "e", "c"] {
        let (exit, out, err) = desk.chatctl(&["-v", "--context", name, "wallet", "balance", "马超"]).await;
        assert_eq!(exit, 0, "{name}: {err}");
        let shown = desk.done(&["context", "show", name]).await + &desk.file() + &out + &err;
        assert!(!shown.contains(&token[..20]), "{name}: {shown}");
        let elsewhere = ["--context", name, "--server", &open.server().to_string(), "--curl", "list"];
        let line = desk.done(&elsewhere).await;
        assert!(!line.contains("Authorization"), "a key of another server: {line}");
        let here = desk.done(&["--context", name, "--curl", "list"]).await;
        assert!(here.contains("Bearer $CHATCTL_TOKEN") && !here.contains(&token[..20]), "{here}");
    }
    desk.done(&["context", "use", "f"]).await;
    let (exit, _, err) = desk.chatctl(&["--server", &at, "--app", "7", "list"]).await;
    assert_eq!(exit, 4, "a server that is named gets no key of a context: {err}");
    for refused in [["--token", token.as_str()], ["--server", "http://u:hush@h"]] {
        let words = [&["context", "add", "x"][..], &refused].concat();
        let (exit, out, err) = desk.chatctl(&words).await;
        assert_eq!((exit, out.as_str()), (2, ""), "{err}");
        assert!(!err.contains(&token[..20]) && !err.contains("hush"), "{err}");
    }
}

#[tokio::test]
async fn a_protected_context_asks_before_every_change() {
    let node = Node::ephemeral(&[]).await;
    let at = node.server().to_string();
    let desk = Desk::new();
    desk.done(&["context", "add", "prod", "--server", &at, "--app", "7", "--protected", "--use"]).await;
    assert_eq!(desk.chatctl(&["list"]).await.0, 0, "reading asks nothing");
    let (exit, _, err) = desk.chatctl(&["send", "a", "hi"]).await;
    assert!(exit == 2 && err.contains("prod is protected") && err.contains("-y"), "{err}");
    let (exit, _, err) = desk.typed(&["send", "a", "hi"], Some("n\n")).await;
    assert!(exit == 1 && err.starts_with("[prod] prod is protected: /user/sendMessage at "), "{err}");
    let (exit, _, err) = desk.typed(&["ban", "a", "--for", "1h"], Some("\n")).await;
    assert_eq!(exit, 1, "{err}");
    assert_eq!(desk.done(&["bans", "-o", "name"]).await, "", "nothing was done without a yes");
    assert_eq!(desk.typed(&["send", "a", "hi"], Some("y\n")).await.0, 0);
    assert_eq!(desk.chatctl(&["-y", "send", "a", "ho"]).await.0, 0);
    let sent = desk.done(&["--as", "a", "history", "user:system", "-o", "template={msg}"]).await;
    assert_eq!(sent, "hi\nho\n", "the refused one was not sent");
}

/// The program itself, because it reads the folder and the variables of its process.
#[tokio::test]
async fn chatbench_loads_the_server_of_a_context_with_its_app_and_key() {
    let desk = Desk::new();
    let log = desk.folder.path().join("audit.jsonl");
    let closed = Closed::start("", &["--audit-log", log.to_str().expect("a path")]).await;
    let folder = desk.folder.path();
    let [file, out] =
        ["key", "result.json"].map(|name| folder.join(name).to_str().expect("a path").to_owned());
    std::fs::write(&file, closed.key("talks")).expect("written");
    let at = closed.node.server().to_string();
    desk.done(&["context", "add", "prod", "--server", &at, "--app", "7", "--token-file", &file]).await;
    desk.done(&["context", "add", "生产", "--server", &at, "--token-env", "CHAT_KEY"]).await;
    desk.done(&["context", "add", "keyless", "--server", &at, "--app", "7"]).await;
    desk.done(&["context", "add", "odd", "--server", &at, "--token-env", "NOT_SET"]).await;
    let home = folder.to_str().expect("a path");
    let variables = [("XDG_CONFIG_HOME", home), ("CHAT_KEY", closed.key("talks"))];
    let bench = async |context: &str, more: &[&str]| {
        let words =
            ["unicast", "--clients", "4", "--rate", "20/s", "--warmup", "100ms", "--duration", "500ms"];
        let words = [&words[..], &["--out", out.as_str(), "--context", context], more].concat();
        let ended = run("chatbench", &words, &variables).await;
        let said = ended.stdout.clone() + &ended.stderr + &std::fs::read_to_string(&out).unwrap_or_default();
        assert!(!said.contains(closed.key("talks")), "{said}");
        ended
    };
    let spoke_in = async |app: u32| {
        let http = Http::new(closed.server(closed.key("all")), SOON).expect("a client");
        let audited = json!({"operation": "login", "limit": 200});
        let records = http.call_raw("/system/audit", &audited).await.expect("an audit log");
        let all = records["records"].as_array().expect("a list").clone();
        all.iter().filter(|record| record["appId"] == app && record["who"] == "talks").count()
    };
    // 96 judges the machine the test runs on.
    let is_done = |ended: &program::Ended| matches!(ended.code, Some(0 | 96));
    let ended = bench("prod", &[]).await;
    assert!(is_done(&ended), "{ended:?}");
    let in_seven = spoke_in(7).await;
    assert!(in_seven >= 4, "{in_seven}");
    let ended = bench("生产", &["--app", "8"]).await;
    assert!(is_done(&ended), "{ended:?}");
    assert!(spoke_in(8).await >= 4 && spoke_in(7).await == in_seven, "the flag wins");
    for (context, more, code, says) in [
        ("keyless", &[][..], 1, "token"),
        ("odd", &[], 2, "NOT_SET"),
        ("nothing", &[], 2, "nothing"),
        ("prod", &["--server", "http://127.0.0.1:1"], 2, "--server"),
    ] {
        let ended = bench(context, more).await;
        assert_eq!(ended.code, Some(code), "{context}: {ended:?}");
        assert!(ended.stderr.contains(says), "{context}: {ended:?}");
    }
}

#[tokio::test]
async fn what_a_person_wrote_in_the_file_stays() {
    let desk = Desk::new();
    desk.done(&["context", "add", "a", "--server", "http://a"]).await;
    let path = desk.folder.path().join("chatd/contexts.toml");
    let written = format!("# of the team\n{}\n[b] # the other\nserver = 'http://b'\n", desk.file());
    std::fs::write(&path, &written).expect("written");
    assert_eq!(desk.chatctl(&["context", "add", "b", "--server", "http://c"]).await.0, 2, "there is one");
    desk.done(&["context", "add", "b", "--server", "http://c", "--replace"]).await;
    assert!(desk.file().starts_with("# of the team\n[a]\n"), "{}", desk.file());
    assert!(desk.file().contains("http://c") && !desk.file().contains("http://b"), "{}", desk.file());
    desk.done(&["--dry-run", "context", "remove", "a"]).await;
    desk.done(&["context", "remove", "b"]).await;
    assert_eq!(desk.done(&["context", "list", "-o", "name"]).await, "a\n");
    std::fs::write(&path, "[a]\nserver = 'http://a'\ntoken = 'hush'\n").expect("written");
    let (exit, _, err) = desk.chatctl(&["--app", "1", "list"]).await;
    assert!(exit == 2 && err.contains("token") && !err.contains("hush"), "{err}");
}
