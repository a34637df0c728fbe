//! The rules of the house that a program can check.
//!
//! Invariant: a broken rule is named with file and line; nothing is excused by a list of exceptions.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use chat_tidy::imports::{Import, circles, imports};
use chat_tidy::{Source, files, root};
use regex::Regex;
use serde_json::Value;

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

/// `path:line` of every line of code that matches.
fn lines_with(sources: &[Source], found: &Regex, applies: impl Fn(&Source) -> bool) -> Vec<String> {
    let matching = |source: &Source| {
        let hits = source.code().filter(|(_, line)| found.is_match(line));
        hits.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())).collect::<Vec<_>>()
    };
    sources.iter().filter(|source| applies(source)).flat_map(matching).collect()
}

fn none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn a_file_has_at_most_400_lines() {
    let long = files(".rs").into_iter().map(|source| (source.text.lines().count(), source.path));
    let long = long.filter(|(lines, _)| *lines > MAX_FILE_LINES);
    none(&long.map(|(lines, path)| format!("{path}: {lines}")).collect::<Vec<_>>(), "too long");
}

#[test]
fn a_function_has_fewer_than_70_lines() {
    let head = pattern(r"^(\s*)(pub(\(\w+\))? )?(const )?(async )?fn (\w+)");
    let mut long = Vec::new();
    for source in files(".rs") {
        let lines: Vec<_> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let Some(found) = head.captures(line) else { continue };
            let end = format!("{}}}", &found[1]);
            let length = lines[start..].iter().position(|line| *line == end).map_or(1, |end| end + 1);
            if length >= MAX_FUNCTION_LINES && !line.trim_end().ends_with('}') {
                long.push(format!("{}:{}: {} has {length} lines", source.path, start + 1, &found[6]));
            }
        }
    }
    none(&long, "too long");
}

#[test]
fn a_file_begins_with_what_it_is() {
    let silent = files(".rs").into_iter().filter(|source| !source.text.starts_with("//! "));
    none(&silent.map(|source| source.path).collect::<Vec<_>>(), "the first line must be `//! …`");
}

#[test]
fn no_file_is_named_after_nothing() {
    let banned = pattern(r"(^|/)(utils?|common|helpers?|misc|managers?)(\.rs)?(/|$)");
    let named = files(".rs").into_iter().filter(|source| banned.is_match(&source.path));
    none(&named.map(|source| source.path).collect::<Vec<_>>(), "a name that says nothing");
}

#[test]
fn driver_crates_stay_in_their_rooms() {
    let sources = files(".rs");
    // A crate's own path begins without `::` before it; `crate::engine::redis::…` is a room, not the driver.
    for (driver, rooms) in [
        ("redis", &["redis"][..]),
        ("rusqlite", &["sqlite"]),
        ("tokio_postgres", &["postgres"]),
        ("lapin", &["rabbitmq"]),
        ("object_store", &["objects"]),
        ("image|infer", &["files"]),
        ("axum|hyper|hyper_util|http_body_util|multer|tower", &["http", "listener", "listener.rs"]),
        ("tonic|tonic_health|tonic_reflection|chat_proto", &["grpc"]),
        ("tokio_tungstenite|tungstenite", &["transport", "http"]),
        ("rustls", &["tls"]),
        ("toml", &["config"]),
        ("prometheus_client|procfs", &["metrics"]),
    ] {
        let used = pattern(&format!(r"(^|[^:\w])({driver})::"));
        let outside = |source: &Source| {
            source.path.starts_with("chatd/src/") && !rooms.iter().any(|room| source.is_in_room(room))
        };
        none(&lines_with(&sources, &used, outside), &format!("{driver} outside of {rooms:?}"));
    }
}

/// The tables of the protocol say what there is, to the description, the tests of rights, the metrics and chatctl.
#[test]
fn paths_come_from_the_tables() {
    let adding = pattern(r"\.(route|nest|merge|fallback)(_service)?\(");
    let in_edge =
        |source: &Source| ["http", "listener", "listener.rs"].iter().any(|room| source.is_in_room(room));
    let sources = files(".rs");
    let added =
        lines_with(&sources, &adding, |source| source.path.starts_with("chatd/src/") && in_edge(source));
    let expected = |line: &&String| {
        let tables = [".route(route.path, leads(route))", ".route(operation.path, any(operate))"];
        let mut ways = tables.into_iter().chain([".fallback(operate)", ".fallback(other)"]);
        line.starts_with("chatd/src/http/routes.rs:") && ways.any(|way| line.contains(way))
    };
    let (known, other): (Vec<_>, Vec<_>) = added.iter().partition(expected);
    none(
        &other.into_iter().cloned().collect::<Vec<_>>(),
        "a path that neither table of chat_protocol::table knows",
    );
    assert!(known.len() >= 3, "where paths are added is not understood any more");
}

#[test]
fn a_result_neither_runs_nor_waits_nor_opens_anything() {
    let acting = pattern(
        r"\b(tokio|socket2|nix|reqwest)::|\bstd::(env|fs|net|process|thread)\b|\b(Instant|SystemTime)\b",
    );
    let in_result = |source: &Source| source.path.starts_with("chatbench/result/src/");
    let sources = files(".rs");
    none(&lines_with(&sources, &acting, in_result), "a result is made of what it is given");
    let groping = pattern(r"\.pointer(_mut)?\(");
    let in_bench = |source: &Source| source.path.starts_with("chatbench/") && source.is_product();
    none(&lines_with(&sources, &groping, in_bench), "a result is read as the type it is");
}

#[test]
fn engines_are_named_only_where_they_are_put_together() {
    let outside = |import: &&Import| {
        import.to.first().is_some_and(|room| room == "engine")
            && !import.from.first().is_some_and(|room| room == "engine" || room == "app")
    };
    let imports = imports("chatd/src").found;
    let broken =
        imports.iter().filter(outside).map(|import| format!("{}: {}", import.place, import.to.join("::")));
    none(&broken.collect::<Vec<_>>(), "an engine outside of app");
}

#[test]
fn the_model_imports_nothing() {
    let leads_out =
        |import: &&Import| import.from.first().is_some_and(|room| room == "model") && import.to[0] != "model";
    let imports = imports("chatd/src").found;
    let broken =
        imports.iter().filter(leads_out).map(|import| format!("{}: {}", import.place, import.to.join("::")));
    none(&broken.collect::<Vec<_>>(), "the lowest floor leads up");
}

/// Crates whose modules stand on floors.
const ON_FLOORS: [&str; 6] = [
    "chatd/protocol/src",
    "chatd/src",
    "chatd/client/src",
    "chatctl/src",
    "chatbench/src",
    "chatbench/result/src",
];

#[test]
fn no_circle_joins_rooms() {
    for crate_root in ON_FLOORS {
        let imports = imports(crate_root);
        let mut arrows: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (from, to) in imports.found.iter().filter_map(|import| imports.rooms(import)) {
            arrows.entry(from).or_default().insert(to);
        }
        for circle in circles(&arrows) {
            let within = |import: &&Import| {
                imports.rooms(import).is_some_and(|(from, to)| circle.contains(from) && circle.contains(to))
            };
            let places = imports
                .found
                .iter()
                .filter(within)
                .map(|import| format!("{}: {}", import.place, import.to.join("::")));
            none(&places.collect::<Vec<_>>(), &format!("{crate_root}: {circle:?} lead to each other"));
        }
    }
}

#[test]
fn no_circle_joins_files_of_different_folders() {
    for crate_root in ON_FLOORS {
        let imports = imports(crate_root);
        let mut arrows: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for import in &imports.found {
            arrows.entry(&import.from).or_default().insert(&import.to);
        }
        for circle in circles(&arrows) {
            let folders: BTreeSet<_> = circle.iter().map(|module| &imports.folders[*module]).collect();
            let within = |import: &&Import| {
                circle.contains(&import.from)
                    && circle.contains(&import.to)
                    && imports.folders[&import.from] != imports.folders[&import.to]
            };
            let places = imports.found.iter().filter(within);
            let places: Vec<_> =
                places.map(|import| format!("{}: {}", import.place, import.to.join("::"))).collect();
            none(&places, &format!("{crate_root}: files of {folders:?} lead to each other"));
        }
    }
}

#[test]
fn no_circle_joins_the_modules_of_the_page() {
    let modules: Vec<_> =
        files(".js").into_iter().filter(|module| module.path.starts_with("chatd/page/")).collect();
    let found = pattern(r"(?:from|import\()\s*'\./([\w-]+\.js)'");
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in &modules {
        let name = module.path.rsplit('/').next().expect("a name").to_owned();
        let named = found.captures_iter(&module.text).map(|named| named[1].to_owned());
        arrows.insert(name, named.collect());
    }
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > modules.len(), "none is understood");
    let circles: Vec<_> = circles(&arrows).iter().map(|circle| format!("{circle:?}")).collect();
    none(&circles, "modules of the page lead to each other");
}

/// The rooms of the load generator, floor by floor, the lowest first.
const FLOORS: [&[&str]; 6] =
    [&["net"], &["ledger"], &["chaos", "watch"], &["phases"], &["scenario"], &["cli"]];

#[test]
fn the_load_generator_stands_on_its_floors() {
    let imports = imports("chatbench/src");
    none(&imports.climbs(&FLOORS), "a lower floor of chatbench knows a higher one");
    for room in FLOORS.concat() {
        assert!(imports.folders.values().any(|folder| folder == room), "chatbench has no {room}");
    }
}

#[test]
fn redis_keys_are_built_in_keys_rs_only() {
    let literal = pattern(r#""([^"\\]|\\.)*(\{chat|chat:|:\{[a-z_]*\}:)([^"\\]|\\.)*""#);
    let outside = |source: &Source| {
        source.path.starts_with("chatd/src/") && !source.path.starts_with("chatd/src/engine/redis/keys")
    };
    none(&lines_with(&files(".rs"), &literal, outside), "a key outside of keys.rs");
    // A script gets every key from its caller, so that a cluster knows which keys it touches.
    // Commands with a subcommand have the key behind it.
    let own_key = pattern(r#"redis\.p?call\(\s*['"]([A-WYZa-z]|X[A-FHJ-Z])[A-Za-z]*['"]\s*,\s*['"]"#);
    let mut broken = Vec::new();
    for script in files(".lua") {
        let lines = (1..).zip(script.text.lines()).filter(|(_, line)| own_key.is_match(line));
        broken.extend(lines.map(|(number, line)| format!("{}:{number}: {}", script.path, line.trim())));
    }
    none(&broken, "a script with a key of its own");
}

#[test]
fn nothing_shipped_unwraps_or_queues_without_bound() {
    let sources = files(".rs");
    let unwrap = pattern(r"\.unwrap\(\)|\btodo!|\bunimplemented!|\bdbg!");
    none(&lines_with(&sources, &unwrap, Source::is_product), "handle it, or expect(…) with the reason");
    let unbounded = pattern(r"unbounded_channel|mpsc::unbounded|UnboundedSender");
    none(&lines_with(&sources, &unbounded, Source::is_product), "every queue has a bound");
}

#[test]
fn tests_wait_for_conditions_and_none_is_switched_off() {
    let sources = files(".rs");
    let is_test = |source: &Source| source.path.starts_with("tests/tests/");
    let sleep = pattern(r"\bsle{2}p(_until)?\(");
    none(&lines_with(&sources, &sleep, is_test), "wait with chat_tests::wait");
    let ignored = pattern(r"#\[ignore");
    none(&lines_with(&sources, &ignored, |_| true), "a test that is not run");
}

#[test]
fn every_code_map_names_every_module() {
    let module = pattern(r"(?m)^pub mod (\w+);");
    let mut maps = 0;
    for source in files("/src/lib.rs").into_iter().filter(|source| source.text.contains("//! | module |")) {
        maps += 1;
        let map: String = source.text.lines().filter(|line| line.starts_with("//! | [")).collect();
        for found in module.captures_iter(&source.text) {
            let name = format!("[`{}`]", &found[1]);
            assert!(map.contains(&name), "{}: the code map lacks {name}", source.path);
        }
        let named = pattern(r"\[`(\w+)`\]");
        for found in named.captures_iter(&map) {
            let line = format!("pub mod {};", &found[1]);
            assert!(source.text.contains(&line), "{}: no module {}", source.path, &found[1]);
        }
    }
    assert!(maps >= 4, "chatd, chat-protocol, chatctl and chatbench-result have code maps");
}

/// The dependencies of each package, without those for its tests.
fn dependencies(package: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(root());
    let output = cargo.output().expect("cargo can be started");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|found| found["name"] == package).expect("a package of the workspace");
    let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
    let shipped = dependencies.filter(|dependency| dependency["kind"] != "dev");
    shipped.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn crates_depend_in_one_direction() {
    let plain = ["schemars", "serde", "serde_json", "thiserror"].map(str::to_owned).into();
    assert_eq!(dependencies("chat-protocol"), plain, "the words of the wire need nothing more");
    let pure = ["base64", "hdrhistogram", "jiff", "rand", "serde", "serde_json", "unicode-width"]
        .map(str::to_owned)
        .into();
    assert_eq!(
        dependencies("chatbench-result"),
        pure,
        "a result needs nothing of ours, and nothing that runs"
    );
    for package in ["chat-client", "chatctl", "chatbench"] {
        let found = dependencies(package);
        for foreign in ["chatd", "chat-tests", "redis", "rusqlite", "axum"] {
            assert!(!found.contains(foreign), "{package} depends on {foreign}");
        }
    }
    assert!(!dependencies("chatd").contains("chat-client"), "the server does not know its clients");
}

#[test]
fn one_tls_stack_and_one_registry() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    for foreign in ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"] {
        assert!(!lock.contains(&format!("name = \"{foreign}\"\n")), "{foreign} beside rustls with ring");
    }
    let sources = lock.lines().filter(|line| line.starts_with("source = "));
    let foreign: BTreeSet<_> = sources.filter(|line| !line.contains("rust-lang/crates.io-index")).collect();
    assert!(foreign.is_empty(), "from elsewhere: {foreign:?}");
}
