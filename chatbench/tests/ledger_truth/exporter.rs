//! Servers that tell of their process at `/metrics`: what follows from their numbers is exact, and one that does not tell
//! costs the numbers and never the run.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bench::{Ran, bench};
use crate::double::{Fault, Shared};

/// 4 messages of warm-up and 20 measured ones.
const LINE: &str =
    "broadcast --clients 5 --rate 20/s --warmup 200ms --duration 1s --no-progress --resources metrics";
const MESSAGES: usize = 24;
/// What the last message costs.
const CPU_US: u64 = 1_234_500;
const BYTES_PER_CONNECTION: usize = 4096;

/// What the double says at `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Memory and files by its connections, CPU by its messages.
    Numbers,
    /// The same, and that it was started anew with every answer.
    Restarts,
    /// No line of the format.
    Garbage,
    /// Everything but the memory.
    Half,
    /// Status 404.
    NotFound,
    /// A body without end.
    Endless,
    /// Nothing, and it keeps the connection.
    Hangs,
}

/// Answers one scrape.
pub async fn serve(mut tcp: TcpStream, world: &Shared) {
    let mut head = [0; 1024];
    let _ = tcp.read(&mut head).await;
    let says = world.lock().unwrap().faults.iter().find_map(|fault| match fault {
        Fault::Metrics(says) => Some(*says),
        _ => None,
    });
    let Some(says) = says else { return };
    let numbers = numbers(world, says);
    let (status, body) = match says {
        Says::Numbers | Says::Restarts => ("200 OK", numbers),
        Says::Garbage => ("200 OK", "\u{0}<html>process_cpu_seconds_total</html>".to_owned()),
        Says::Half => ("200 OK", numbers.replace("process_resident", "process_other")),
        Says::NotFound => ("404 Not Found", numbers),
        Says::Endless => {
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await;
            let piece = numbers.repeat(1000);
            while tcp.write_all(piece.as_bytes()).await.is_ok() {}
            return;
        }
        Says::Hangs => return std::future::pending().await,
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = tcp.write_all((head + &body).as_bytes()).await;
}

fn numbers(world: &Shared, says: Says) -> String {
    let mut world = world.lock().unwrap();
    world.scrapes += 1;
    let online = world.clients();
    let taken: usize = world.logs.values().map(Vec::len).sum();
    let cpu_us = 2_500_000 + if taken >= MESSAGES { CPU_US } else { 0 };
    let started = if says == Says::Restarts { world.scrapes } else { 7 };
    format!(
        "# HELP process_cpu_seconds_total CPU\n# TYPE process_cpu_seconds_total counter\n\
         process_cpu_seconds_total {}\nprocess_resident_memory_bytes {}\nprocess_open_fds {}\n\
         process_start_time_seconds {started}\n",
        cpu_us as f64 / 1e6,
        8_000_000 + BYTES_PER_CONNECTION * online,
        10 + online
    )
}

fn points(ran: &Ran) -> impl Iterator<Item = &Value> {
    ran.json["series"]["points"].as_array().unwrap().iter()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_from_the_numbers_of_two_servers_is_exact() {
    let ran = bench(LINE, &[Fault::Metrics(Says::Numbers)]).await;
    ran.assert_nothing_broke();
    let processes = &ran.json["processes"];
    let servers = processes["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 2, "{processes}");
    for server in servers {
        assert_eq!((&server["source"], &server["pid"]), (&"metrics".into(), &Value::Null));
        assert!(server["server"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{server}");
        assert_eq!(server["cpu_us"], CPU_US);
        assert_eq!(server["rss_before_bytes"], 8_000_000);
        assert_eq!(server["rss_connected_bytes"], 8_000_000 + 6 * BYTES_PER_CONNECTION);
        assert!(ran.out.contains(server["server"].as_str().unwrap()), "{}", ran.out);
    }
    let per_delivery = (2 * CPU_US) as f64 / ran.part("measured", "delivered") as f64;
    assert_eq!(processes["server_cpu_us_per_delivery"], (per_delivery * 1000.0).round() / 1000.0);
    assert_eq!(processes["server_kib_per_connection"], 8.0);
    let measured: Vec<_> = points(&ran).filter(|point| point["phase"] == "measure").collect();
    for server in measured.iter().flat_map(|point| point["servers"].as_array().unwrap()) {
        assert_eq!((&server["files"], &server["pid"]), (&16.into(), &Value::Null));
        assert_eq!(server["rss_kib"], (8_000_000 + 6 * BYTES_PER_CONNECTION) / 1024);
        assert!(server["cpu_percent"].is_number() && server["server"].is_string(), "{server}");
    }
    assert!(!measured.is_empty(), "{}", ran.json["series"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_tell_costs_the_numbers_and_not_the_run() {
    for (says, why) in [
        (Says::Garbage, "does not say what its process uses"),
        (Says::Half, "does not say what its process uses"),
        (Says::NotFound, "HTTP status 404"),
        (Says::Endless, "more than"),
        (Says::Hangs, "within 500 ms"),
    ] {
        let ran = bench(LINE, &[Fault::Metrics(says)]).await;
        ran.assert_nothing_broke();
        let processes = &ran.json["processes"];
        assert_eq!(processes["servers"].as_array().map(Vec::len), Some(0), "{says:?}: {processes}");
        for derived in ["server_cpu_us_per_delivery", "server_kib_per_connection"] {
            assert_eq!(processes[derived], Value::Null, "{says:?}");
        }
        assert!(ran.out.contains(why) && ran.out.contains("are unknown"), "{says:?}: {}", ran.out);
        assert!(points(&ran).count() > 0, "{says:?}");
        for point in points(&ran) {
            let servers = point["servers"].as_array().unwrap();
            assert!(
                servers.len() == 2 && servers.iter().all(|server| server["rss_kib"].is_null()),
                "{point}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cpu_of_a_server_started_anew_is_unknown() {
    let ran = bench(LINE, &[Fault::Metrics(Says::Restarts)]).await;
    ran.assert_nothing_broke();
    assert!(ran.out.contains("was started anew during the run"), "{}", ran.out);
    for server in points(&ran).flat_map(|point| point["servers"].as_array().unwrap()) {
        assert!(server["cpu_percent"].is_null() && server["rss_kib"].is_number(), "{server}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_process_here_is_asked_unless_that_is_not_wanted() {
    let by = |way: &str| LINE.replace("metrics", way);
    let ran = bench(&by("auto"), &[Fault::Metrics(Says::Numbers)]).await;
    assert_eq!(ran.json["processes"]["servers"][0]["source"], "metrics");
    let ran = bench(&by("pid"), &[Fault::Metrics(Says::Numbers)]).await;
    assert_eq!(ran.json["processes"]["servers"], Value::Array(Vec::new()), "half a sum is none");
    assert!(ran.out.contains("no process on this host was found"), "{}", ran.out);
}
