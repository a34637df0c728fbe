//! `scripts/services`: every store in every shape by one command, and nothing left of it.
//!
//! Invariant: what runs belongs to a directory of the test's own.

use std::path::Path;
use std::process::{Command, Output};

use chat_tidy::root;

/// What stands in `NAME=url` lines.
fn url<'a>(told: &'a str, name: &str) -> &'a str {
    let line = told.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')));
    line.unwrap_or_else(|| panic!("no {name} in {told}"))
}

fn services(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(root().join("scripts/services"));
    command.args(arguments).env("SERVICES_DIR", directory).output().expect("bash")
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Processes that work below the directory.
fn workers(directory: &Path) -> Vec<String> {
    let processes = procfs::process::all_processes().expect("processes").flatten();
    let below = processes.filter(|process| process.cwd().is_ok_and(|cwd| cwd.starts_with(directory)));
    below.map(|process| format!("{} {:?}", process.pid(), process.cmdline())).collect()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    said(&output.unwrap_or_else(|error| panic!("{program}: {error}")))
}

#[test]
fn every_shape_of_every_store_comes_up_by_one_command_and_leaves_nothing() {
    // PostgreSQL and RabbitMQ run as users of their own, who must reach it.
    let directory = tempfile::tempdir().expect("a directory");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), permissions).expect("reachable");
    let at = directory.path();
    let told = said(&services(at, &["up", "all"]));
    let first_port = |name: &str| url(&told, name).rsplit('@').next().expect("places").to_owned();
    let port = |name: &str| {
        let places = first_port(name);
        let port = places.split("127.0.0.1:").nth(1).expect("a place");
        port.chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    let cluster = run("redis-cli", &["-p", &port("REDIS_CLUSTER_URL"), "cluster", "info"]);
    assert!(cluster.contains("cluster_state:ok") && cluster.contains("cluster_known_nodes:6"), "{cluster}");
    let masters = run("redis-cli", &["-p", &port("REDIS_SENTINEL_URL"), "sentinel", "masters"]);
    assert!(masters.contains("num-slaves\n2\n") && masters.contains("num-other-sentinels\n2\n"), "{masters}");
    let pair = run(
        "psql",
        &[
            "-h",
            "127.0.0.1",
            "-p",
            &port("POSTGRES_PAIR_URL"),
            "-U",
            "postgres",
            "-Atc",
            "SELECT sync_state FROM pg_stat_replication",
        ],
    );
    assert_eq!(pair, "sync\n");
    // Whoever shows no key is refused by S3, which is an answer.
    let bucket = format!("{}/chat", url(&told, "S3_URL"));
    assert_eq!(run("curl", &["-s", "-o", "/dev/null", "-w", "%{http_code}", &bucket]), "403");
    let listed = said(&services(at, &["status"]));
    assert_eq!(listed.lines().filter(|line| line.contains(" up ")).count(), 9, "{listed}");
    let node = listed.lines().find(|line| line.starts_with("rabbitmq-cluster")).expect("listed");
    assert_eq!(node.split("pid ").nth(1).expect("processes").split(',').count(), 3, "{node}");
    assert!(workers(at).len() > 20, "{:?}", workers(at));

    said(&services(at, &["down"]));
    assert_eq!(workers(at), Vec::<String>::new());
    let left: Vec<_> =
        std::fs::read_dir(at).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name == "env" || name == "lock"), "{left:?}");
    assert_eq!(std::fs::read_to_string(at.join("env")).expect("told"), "");
}

#[test]
fn what_it_does_not_know_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = services(directory.path(), &["up", "mysql"]);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("mysql") && why.contains("redis-cluster"), "{why}");
    assert_eq!(services(directory.path(), &["frobnicate"]).status.code(), Some(2));
}
