//! What the server tells of itself: versions, limits, nodes, stores, money.
//!
//! Invariant: a finding names the setting or the command that changes it.

use chat_client::Http;
use chat_protocol::node::Node;
use chat_protocol::system::StateResponse;

use super::{Finding, Health, Told};
use crate::calendar::rough;
use crate::command::top::samples::Samples;
use crate::operator::Operator;
use crate::plural::counted;

/// A node says what it does every three seconds.
const SILENT_MS: u64 = 10_000;
/// A settlement is done within a second or so.
const OLDEST_S: f64 = 60.0;
/// Full so far, in percent, is worth telling.
const FULL_PERCENT: u64 = 80;

/// Looks at all of it.
pub async fn look(told: &Told, operator: &Operator) -> Vec<Finding> {
    let Told { state, nodes, samples } = told;
    let mut found = vec![
        versions(state, nodes, env!("CARGO_PKG_VERSION")),
        access(operator),
        room(state),
        limits(state),
        readers(samples),
        stores(state, samples),
        money(samples),
        heard(nodes, (operator.clock)()),
    ];
    found.extend(reached(nodes, operator).await);
    found
}

fn versions(state: &StateResponse, nodes: &[Node], own: &str) -> Finding {
    let mut all: Vec<&str> =
        nodes.iter().map(|node| node.version.as_str()).chain([state.version.as_str()]).collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [one] if *one == own => Finding::fine("version", format!("chatd and chatctl are {own}")),
        [one] => Finding::of(
            "version",
            Health::Warning,
            format!("chatd is {one}, this chatctl {own}"),
            "install the chatctl of that version: what is new in one the other may not know",
        ),
        several => Finding::of(
            "version",
            Health::Warning,
            format!("the nodes are of several versions: {}", several.join(", ")),
            "fine while they are renewed one by one; `chatctl nodes` shows which are left",
        ),
    }
}

/// Whether anybody may do what this one did.
fn access(operator: &Operator) -> Finding {
    let server = &operator.settings.server;
    let is_here = matches!(server.host(), "localhost" | "127.0.0.1" | "[::1]" | "::1");
    match (server.token(), is_here) {
        (Some(_), _) => Finding::fine("access", "it was asked with a key"),
        (None, true) => Finding::fine("access", "without a key, from its own host"),
        (None, false) => Finding::of(
            "access",
            Health::Bad,
            "it answers without a key: whoever reaches it is an operator",
            "make a key with `chatd api-key`, put its line into [auth] keys, and give it here with --token-file",
        ),
    }
}

fn room(state: &StateResponse) -> Finding {
    let words = format!("{} of {}", state.connections, counted(state.max_connections, "connection"));
    match state.connections.saturating_mul(100) >= state.max_connections.saturating_mul(FULL_PERCENT)
        && state.max_connections > 0
    {
        false => Finding::fine("room", words),
        true => Finding::of(
            "room",
            Health::Warning,
            words,
            "start another node, or raise limits.max_connections and the open files of the service (LimitNOFILE)",
        ),
    }
}

fn limits(state: &StateResponse) -> Finding {
    let hit = state.limits.iter().filter(|limit| limit.refused > 0);
    let hit: Vec<String> =
        hit.map(|limit| format!("{} ({}) refused {}", limit.name, limit.value, limit.refused)).collect();
    match hit.is_empty() {
        true => Finding::fine("limits", "none refused anything since the node began"),
        false => Finding::of(
            "limits",
            Health::Warning,
            hit.join(", "),
            "`chatctl explain user NAME` tells whom; those that refuse honest users are raised in [limits], then `chatctl reload`",
        ),
    }
}

fn readers(samples: &Samples) -> Finding {
    let closed = ["chatd_slow_closes_total", "chatd_stalled_closes_total", "chatd_shed_closes_total"];
    let closed: f64 = closed.iter().map(|name| samples.of(name)).sum();
    let (waiting, most) = (samples.of("chatd_queued_bytes"), samples.of("chatd_queued_max_bytes"));
    if most > 0.0 && waiting * 100.0 > most * 80.0 {
        return Finding::of(
            "readers",
            Health::Bad,
            format!("of {most:.0} bytes that may wait for readers {waiting:.0} do"),
            "`chatctl connections` shows for whom; beyond it those for whom most waits are closed",
        );
    }
    match closed > 0.0 {
        false => Finding::fine("readers", "none was given up"),
        true => Finding::of(
            "readers",
            Health::Warning,
            format!("given up because they read too slowly: {closed:.0}"),
            "they come back and recover; when it is many, raise limits.outbox_bytes or look at their network",
        ),
    }
}

fn stores(state: &StateResponse, samples: &Samples) -> Finding {
    let down = samples.of("chatd_redis_connections_down");
    let failures = samples.of("chatd_redis_failures_total");
    match (state.unready.is_empty(), down > 0.0, failures > 0.0) {
        (false, ..) => Finding::of(
            "stores",
            Health::Bad,
            format!("nothing can be stored in: {}", state.unready.join(", ")),
            "look whether it runs and has room: its own log and that of chatd say what ails it",
        ),
        (true, true, _) => Finding::of(
            "stores",
            Health::Bad,
            format!("connections to Redis that are being restored: {down:.0}"),
            "look whether Redis runs, and whether its maxclients and the way there let the node in",
        ),
        (true, false, true) => Finding::of(
            "stores",
            Health::Warning,
            format!("commands to Redis that failed since the node began: {failures:.0}"),
            "chatd's log names them; `redis-cli info stats` and `slowlog get` tell Redis' side",
        ),
        (true, false, false) => {
            Finding::fine("stores", format!("engine {}, all take what is sent", state.engine))
        }
    }
}

fn money(samples: &Samples) -> Finding {
    if !samples.has("chatd_settlements_waiting") {
        return Finding::fine("money", "no ledger: there is none");
    }
    let (dead, oldest) = (samples.of("chatd_dead_letters"), samples.of("chatd_settlement_oldest_seconds"));
    if dead > 0.0 {
        let remedy =
            "`chatctl redpacket dead-letters` says why; `chatctl redpacket replay` queues them again";
        return Finding::of(
            "money",
            Health::Bad,
            format!("settlements that were given up: {dead:.0}"),
            remedy,
        );
    }
    match oldest > OLDEST_S {
        true => Finding::of(
            "money",
            Health::Bad,
            format!("the oldest settlement waits for {oldest:.0} s"),
            "look at the ledger and the queue behind chatd: its log names the one that does not answer",
        ),
        false => Finding::fine("money", "what was won is paid"),
    }
}

fn heard(nodes: &[Node], now_ms: u64) -> Finding {
    let newest = nodes.iter().map(|node| node.last_heard).max().unwrap_or(now_ms);
    let silent = nodes.iter().filter(|node| newest.saturating_sub(node.last_heard) > SILENT_MS);
    let silent: Vec<String> = silent
        .map(|node| format!("{} on {} for {}", node.node_id, node.host, rough(newest - node.last_heard)))
        .collect();
    match silent.is_empty() {
        true => Finding::fine("nodes", format!("{} live", nodes.len())),
        false => Finding::of(
            "nodes",
            Health::Warning,
            format!("nothing was heard of {}", silent.join(", ")),
            "look whether it runs and reaches Redis, and whether its clock is right",
        ),
    }
}

/// Whether the nodes can be asked where they listen: `top`, `explain` and `latency` do.
async fn reached(nodes: &[Node], operator: &Operator) -> Option<Finding> {
    let mut lost = Vec::new();
    for node in nodes {
        let asked = async {
            let server = operator.settings.server.elsewhere(&node.address)?;
            Http::new(server, operator.settings.timeout.get())?.get_at_most("/livez", 1024).await
        };
        if asked.await.is_err() {
            lost.push(format!("{} at {}", node.node_id, node.address));
        }
    }
    (!lost.is_empty()).then(|| {
        Finding::of(
            "addresses",
            Health::Warning,
            format!("not reached from here: {}", lost.join(", ")),
            "run this where the nodes' addresses can be reached; --listen of chatd says where it listens",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, version: &str, last_heard: u64) -> Node {
        Node {
            node_id: name.to_owned(),
            host: "h".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            version: version.to_owned(),
            since: 0,
            connections: 0,
            users: 0,
            draining: false,
            last_heard,
        }
    }

    fn state(version: &str) -> StateResponse {
        let state = serde_json::json!({
            "nodeId": "n", "version": version, "engine": "redis", "ready": true, "pid": 1, "uptimeMs": 1, "nodes": 2,
            "connections": 80, "sessions": 1, "maxConnections": 100, "connectionsTotal": 1, "messagesTotal": 1,
            "deliveriesTotal": 1, "slowClosesTotal": 0, "gapFillsTotal": 0,
            "limits": [{"name": "rate_per_user", "value": "20/s", "refused": 3}]
        });
        serde_json::from_value(state).unwrap()
    }

    #[test]
    fn versions_are_compared_with_each_other_and_with_this() {
        let health = |nodes: &[Node]| versions(&state("1"), nodes, "1").health;
        assert_eq!(health(&[node("a", "1", 0)]), Health::Fine);
        assert_eq!(health(&[node("a", "2", 0)]), Health::Warning);
        assert!(versions(&state("2"), &[node("a", "2", 0)], "1").words.contains("this chatctl 1"));
    }

    #[test]
    fn what_is_full_stuck_or_silent_is_told_with_what_to_do() {
        assert_eq!(room(&state("1")).health, Health::Warning);
        assert!(limits(&state("1")).words.contains("rate_per_user (20/s) refused 3"));
        let stuck = Samples::read("chatd_settlements_waiting 2\nchatd_settlement_oldest_seconds 90\n");
        assert_eq!(money(&stuck).health, Health::Bad);
        let dead = Samples::read("chatd_settlements_waiting 0\nchatd_dead_letters 1\n");
        assert!(money(&dead).remedy.unwrap().contains("redpacket replay"));
        assert_eq!(money(&Samples::default()).health, Health::Fine);
        let down = Samples::read("chatd_redis_connections_down 2\n");
        assert_eq!(stores(&state("1"), &down).health, Health::Bad);
        let silent = heard(&[node("a", "1", 50_000), node("b", "1", 20_000)], 0);
        assert_eq!((silent.health, silent.words.contains("b on h for 30s")), (Health::Warning, true));
    }
}
