//! Several runs against servers whose difference is known: the gate must find it, and find nothing where there is none.
//!
//! Invariant: delays are large against the noise of a busy machine, and a session the machine spoilt is repeated.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chatbench_result::capacity::Capacity;
use chatbench_result::search::End;
use serde_json::Value;
use tempfile::TempDir;

use crate::double::{Double, Fault};
use crate::schema;

/// What an ended program left behind.
#[derive(Debug)]
struct Ended {
    code: u8,
    out: String,
    err: String,
}

async fn chatbench_until(words: &[&str], interrupt: impl Future<Output = ()> + Send + 'static) -> Ended {
    let words: Vec<String> =
        std::iter::once("chatbench").chain(words.iter().copied()).map(str::to_owned).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = chatbench::run_until(words, &mut out, &mut err, interrupt).await;
    Ended { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// Runs a line whose words have no spaces; `{x}` in it stands for a name in `names`.
async fn chatbench(line: &str, names: &[(&str, &str)]) -> Ended {
    let line = names.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, value));
    chatbench_until(&line.split_whitespace().collect::<Vec<_>>(), std::future::pending()).await
}

async fn delayed(ms: u64) -> String {
    format!("http://{}", Double::start(&[Fault::Delay(Duration::from_millis(ms))]).await.addresses[0])
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
}

const ROUND: &str = "broadcast --clients 3 --rate 40/s --warmup 50ms --duration 300ms";

/// Sessions that a busy machine may spoil until nothing can be said of the gate.
const SPOILT_MAX: usize = 20;

/// Repeats a session until the machine has not spoilt it: there were measurements, and `is_clear` finds they suffice.
async fn unspoilt(mut session: impl AsyncFnMut() -> Ended, is_clear: impl Fn() -> bool) -> Ended {
    for _ in 0..SPOILT_MAX {
        let ended = session().await;
        if ended.code != 96 && is_clear() {
            return ended;
        }
    }
    panic!("the machine spoilt {SPOILT_MAX} sessions");
}

/// Whether a comparison was made and says something; one that was not made is for the exit code to tell of.
fn is_conclusive(comparison: &str) -> bool {
    !Path::new(comparison).exists() || read(Path::new(comparison))["verdict"] != "inconclusive"
}

/// Compares two delays in turns; gives exit code and comparison of the first session the machine did not spoil.
async fn ab(a_ms: u64, b_ms: u64, folder: &TempDir) -> (Ended, Value) {
    let (a, b) = (delayed(a_ms).await, delayed(b_ms).await);
    let file = folder.path().join("comparison.json").display().to_string();
    let line = "ab --a {a} --b {b} --rounds 5 --metric e2e_time:p(50) --fail-on-regression --out {file} -- ";
    let names = [("{a}", a.as_str()), ("{b}", b.as_str()), ("{file}", file.as_str())];
    let session = async || chatbench(&format!("{line}{ROUND}"), &names).await;
    let ended = unspoilt(session, || is_conclusive(&file)).await;
    (ended, read(Path::new(&file)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_compared_with_itself_is_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (ended, comparison) = ab(300, 300, &folder).await;
    assert_eq!((ended.code, &comparison["verdict"]), (0, &"unchanged".into()), "{}{}", ended.out, ended.err);
    assert_eq!(comparison["method"]["blocks"], 3);
    assert!(ended.err.contains("round 10 of 10, B: "), "{}", ended.err);
    assert!(ended.out.contains("B (5 rounds) against A (5 rounds)"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenth_more_delay_is_a_regression() {
    let folder = tempfile::tempdir().unwrap();
    let (ended, comparison) = ab(300, 330, &folder).await;
    assert_eq!((ended.code, &comparison["verdict"]), (98, &"regressed".into()), "{}{}", ended.out, ended.err);
    let ratio = comparison["metrics"][0]["ratio"].as_f64().unwrap();
    assert!(ratio > 1.05, "{comparison}");
    assert!(ended.out.contains("regressed: e2e_time:p(50)"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baseline_is_kept_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (base, result) = (file("base.json"), file("result.json"));
    let (comparison, verdict) = (file("comparison.md"), file("comparison.json"));
    let (same, slower) = (delayed(100).await, delayed(200).await);
    let names = |server: &str| {
        [
            ("{base}", base.clone()),
            ("{md}", comparison.clone()),
            ("{verdict}", verdict.clone()),
            ("{out}", result.clone()),
            ("{server}", server.to_owned()),
        ]
    };
    let run = async |options: &str, server: &str| {
        let names = names(server);
        let names: Vec<(&str, &str)> = names.iter().map(|(name, value)| (*name, value.as_str())).collect();
        chatbench(&format!("{ROUND} --server {{server}} {options}"), &names).await
    };
    let absent = run("--baseline {base}", &same).await;
    assert!(absent.code == 1 && absent.err.contains("--save-baseline"), "{}", absent.err);
    let failed = "--baseline {base} --save-baseline --threshold e2e_time:max<1ms";
    let failed = unspoilt(async || run(failed, &same).await, || true).await;
    assert!(failed.code == 99 && failed.err.contains("was not written"), "{}", failed.err);
    assert!(!Path::new(&base).exists());

    let saved = "--runs 5 --baseline {base} --save-baseline --out {out}";
    let saved = unspoilt(async || run(saved, &same).await, || true).await;
    assert_eq!(saved.code, 0, "{}{}", saved.out, saved.err);
    assert!(saved.out.contains("5 rounds: median"), "{}", saved.out);
    let kept = read(Path::new(&base));
    assert_eq!(
        (&kept["schema"], kept["rounds"].as_array().unwrap().len()),
        (&"chatbench.baseline/v1".into(), 5)
    );
    for name in ["cpu_model", "cores", "kernel", "chatbench_version"] {
        assert!(!kept["environment"][name].is_null(), "{name}");
    }
    for number in 1..=5 {
        assert_eq!(read(Path::new(&file(&format!("result.{number}.json"))))["scenario"], "broadcast");
    }
    let worse =
        "--runs 5 --baseline {base} --fail-on-regression=20% --comparison {md} --comparison {verdict}";
    let worse = unspoilt(async || run(worse, &slower).await, || is_conclusive(&verdict)).await;
    assert_eq!(worse.code, 98, "{}{}", worse.out, worse.err);
    assert!(std::fs::read_to_string(&comparison).unwrap().contains("❌"), "the comparison as Markdown");

    let other = run("--baseline {base} --senders 2", &same).await;
    assert!(other.code == 2 && other.err.contains("traffic.senders 1 and 2"), "{}", other.err);
    let files =
        chatbench("compare {base} {out}", &[("{base}", &base), ("{out}", &file("result.1.json"))]).await;
    assert!(files.code == 2 && files.err.contains("are the same run"), "{}", files.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capacity_is_where_the_condition_stops_to_hold() {
    let server = delayed(0).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capacity.json").display().to_string();
    let names = [("{server}", server.as_str()), ("{file}", &file)];
    let search = async |options: &str, threshold: &str| {
        let line = "capacity --vary clients --out {file}";
        chatbench(&format!("{line} {options} -- connect --server {{server}} --threshold {threshold}"), &names)
            .await
    };
    let found = search("--from 3 --precision 1%", "connected<=40").await;
    assert_eq!(found.code, 0, "{}{}", found.out, found.err);
    assert!(found.out.contains("capacity 40 clients: held twice; 41 clients failed twice"), "{}", found.out);
    let written = read(Path::new(&file));
    let capacity: Capacity = serde_json::from_value(written.clone()).unwrap();
    assert_eq!((capacity.level, capacity.at_least, capacity.end), (Some(40), false, Some(End::Found)));
    assert_eq!(serde_json::to_value(capacity).unwrap(), written, "the type is the whole file");
    schema::check(&written);

    let most = search("--from 3 --max 10", "connected<=40").await;
    assert!(most.code == 0 && most.out.contains("capacity at least 10 clients"), "{}", most.out);
    let nothing = search("--from 3", "connected<=0").await;
    assert!(nothing.code == 99 && nothing.out.contains("capacity below 1 clients"), "{}", nothing.out);
    let few = search("--from 3 --rounds 3", "connected<=40").await;
    assert!(few.code == 99 && few.out.contains("--rounds"), "{}", few.out);
}

/// Ctrl-C as soon as a round has written its file.
async fn when_written(file: PathBuf) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_session_tells_what_is_complete() {
    let server = delayed(1).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("r.json").display().to_string();
    let round = format!("broadcast --clients 2 --rate 20/s --warmup 0s --duration 100ms --out {out}");
    let ab = format!("ab --a {server} --b {server} --rounds 100 -- {round}");
    // The second round of A is the fourth of all, and a round that is no measurement is not passed over.
    let ended =
        chatbench_until(&ab.split(' ').collect::<Vec<_>>(), when_written(folder.path().join("r.a2.json")))
            .await;
    assert_eq!(ended.code, 130, "{}{}", ended.out, ended.err);
    assert!(
        ended.out.contains("e2e_time:p(50)") && ended.out.contains("inconclusive"),
        "{}{}",
        ended.out,
        ended.err
    );

    let runs = format!("{round} --server {server} --runs 100");
    let ended =
        chatbench_until(&runs.split(' ').collect::<Vec<_>>(), when_written(folder.path().join("r.2.json")))
            .await;
    assert!(ended.code == 130 && ended.out.contains("rounds: median"), "{}{}", ended.out, ended.err);

    // The runs before may have been as far as their third.
    let out = folder.path().join("c.json").display().to_string();
    let search = format!(
        "capacity --vary clients --from 1 -- connect --server {server} --threshold connected>0 --out {out}"
    );
    let ended =
        chatbench_until(&search.split(' ').collect::<Vec<_>>(), when_written(folder.path().join("c.3.json")))
            .await;
    assert_eq!(ended.code, 130, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("the search was cut short"), "{}", ended.out);
}

#[tokio::test]
async fn wrong_usage_names_what_is_right() {
    for (line, says) in [
        ("compare", "give two files"),
        ("compare a.json", "give two files"),
        ("compare a.json b.json c.json", "give two files"),
        ("compare a.json b.json --out c.csv", ".json, .md or .html"),
        ("compare a.json b.json --metric speed", "unknown metric"),
        ("compare a.json b.json --min-effect=-5", "for example 5%"),
        ("ab --a http://x --b http://y", "<SCENARIO>"),
        ("ab --a http://x -- broadcast", "--b"),
        ("ab --a http://x --b http://y -- dance", "unrecognized subcommand"),
        ("ab --a http://x --b http://y -- ab --a x --b y -- connect", "stands a scenario"),
        ("ab --a http://x --b http://y -- connect --runs 3", "leave out --runs"),
        ("ab --a http://x --b http://y -- connect --pid 1", "--a-pid"),
        ("ab --a http://x --b http://y --rounds 0 -- connect", "--rounds"),
        ("capacity -- broadcast", "at least one --threshold"),
        ("capacity --vary rate -- connect --threshold connected>0", "has no rate"),
        ("capacity --vary clients -- group --threshold lost==0", "--groups times --members"),
        ("capacity --from 10 --max 5 -- broadcast --threshold lost==0", "above --max"),
        ("connect --save-baseline", "--baseline"),
        ("connect --fail-on-regression", "--baseline"),
        ("connect --runs 0", "--runs"),
    ] {
        let ended = chatbench(line, &[]).await;
        assert_eq!(ended.code, 2, "{line}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(says), "{line}: {}", ended.err);
    }
    let absent = chatbench("compare /no/such/a.json /no/such/b.json", &[]).await;
    assert!(absent.code == 1 && absent.err.contains("/no/such/a.json cannot be read"), "{}", absent.err);
    for command in ["compare", "ab", "capacity"] {
        let help = chatbench(&format!("{command} --help"), &[]).await;
        assert!(
            help.code == 0 && help.out.contains("Examples:") && help.out.contains("Exit codes:"),
            "{}",
            help.out
        );
    }
}
