//! `chatctl nginx print`: the configuration that the project ships, with addresses in it.
//!
//! Invariant: nothing that was written on the command line can become another directive.

use std::fmt::Write as _;

use chat_client::Server;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;

/// What is filled in.
const TEMPLATE: &str = include_str!("../../../../scripts/deploy/nginx.conf");
/// The lines of it that change.
const LISTEN: &str = "    listen 80;\n";
const NAME: &str = "    server_name _;\n";
const NODES: &str = "    server node1:8080 max_fails=1 fail_timeout=10s;\n    server node2:8080 max_fails=1 fail_timeout=10s;\n";
/// The same for gRPC.
const GRPC_TEMPLATE: &str = include_str!("../../../../scripts/deploy/nginx-grpc.conf");
const GRPC_LISTEN: &str = "    listen 50051 http2;\n";
const GRPC_NODES: &str = "    server node1:50051 max_fails=1 fail_timeout=10s;\n    server node2:50051 max_fails=1 fail_timeout=10s;\n";

const EXAMPLES: &str = "\
It belongs into /etc/nginx/conf.d; afterwards `nginx -t` and `nginx -s reload`.
Start the nodes with --trusted-proxies and the address that nginx has for them.

Examples:
  chatctl nginx print --node 10.0.0.7:8080 --node 10.0.0.8:8080 > chatd.conf
  chatctl nginx print --listen 443 --name chat.example --node 10.0.0.7:8080 \\
      --tls-cert /etc/ssl/chat.pem --tls-key /etc/ssl/chat.key
  chatctl nginx print --node 10.0.0.7:8080 --grpc-node 10.0.0.7:50051";

/// Arguments of `nginx print`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A node, as nginx reaches it (repeatable)
    #[arg(long = "node", value_name = "HOST:PORT", required = true, value_parser = node)]
    nodes: Vec<String>,
    /// Port, or address and port, where nginx listens
    #[arg(long, value_name = "ADDR", default_value = "80", value_parser = word)]
    listen: String,
    /// Name it is asked for; _ for any (repeatable)
    #[arg(long = "name", value_name = "NAME", default_value = "_", value_parser = word)]
    names: Vec<String>,
    /// Certificate to show, a PEM file, which makes it speak https and wss
    #[arg(long, value_name = "FILE", requires = "tls_key", value_parser = word)]
    tls_cert: Option<String>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_parser = word)]
    tls_key: Option<String>,
    /// A node, as nginx reaches it for gRPC (repeatable); without any, gRPC is left out
    #[arg(long = "grpc-node", value_name = "HOST:PORT", value_parser = node)]
    grpc_nodes: Vec<String>,
    /// Port, or address and port, where nginx listens for gRPC
    #[arg(long, value_name = "ADDR", default_value = "50051", value_parser = word)]
    grpc_listen: String,
}

/// Something that is one word to nginx.
fn word(text: &str) -> Result<String, String> {
    let special = |c: char| c.is_whitespace() || c.is_control() || "{};\"'#$\\".contains(c);
    match text.chars().find(|c| special(*c)) {
        Some(c) => Err(format!("{c:?} means something else to nginx")),
        None if text.is_empty() => Err("must not be empty".to_owned()),
        None => Ok(text.to_owned()),
    }
}

fn node(text: &str) -> Result<String, String> {
    let text = word(text)?;
    let server: Server = format!("http://{text}").parse().map_err(|_| "write HOST:PORT".to_owned())?;
    // The default port of HTTP is left out of it.
    match server.authority() == text {
        true => Ok(text),
        false => Err("write HOST:PORT, without a scheme or a path".to_owned()),
    }
}

/// Runs the command.
pub fn run(args: &Args, operator: &Operator) -> Result<Exit, Failure> {
    let text = filled(args);
    let report = Report::record([("configuration", "configuration", text.as_str().into())]);
    operator.print(&report.in_words(text.lines().map(str::to_owned).collect()))?;
    Ok(Exit::Done)
}

fn filled(args: &Args) -> String {
    let Args { nodes, listen, names, tls_cert, tls_key, grpc_nodes, grpc_listen } = args;
    let secured = tls_cert.as_ref().zip(tls_key.as_ref());
    let listening = |listen: &str, more: &str| match secured {
        Some((certificate, key)) => format!(
            "    listen {listen} ssl{more};\n    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n"
        ),
        None => format!("    listen {listen}{more};\n"),
    };
    let named = format!("    server_name {};\n", names.join(" "));
    let mut text = TEMPLATE
        .replace(NODES, &servers(nodes))
        .replace(LISTEN, &listening(listen, ""))
        .replace(NAME, &named);
    if !grpc_nodes.is_empty() {
        text.push('\n');
        text += &GRPC_TEMPLATE
            .replace(GRPC_NODES, &servers(grpc_nodes))
            .replace(GRPC_LISTEN, &listening(grpc_listen, " http2"))
            .replace(NAME, &named);
    }
    text
}

fn servers(nodes: &[String]) -> String {
    let mut lines = String::new();
    for node in nodes {
        let _ = writeln!(lines, "    server {node} max_fails=1 fail_timeout=10s;");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(nodes: &[&str]) -> Args {
        Args {
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
            listen: "127.0.0.1:81".to_owned(),
            names: vec!["a.example".to_owned(), "b.example".to_owned()],
            tls_cert: None,
            tls_key: None,
            grpc_nodes: Vec::new(),
            grpc_listen: "50051".to_owned(),
        }
    }

    #[test]
    fn every_address_stands_where_it_belongs() {
        for changed in [LISTEN, NAME, NODES] {
            assert_eq!(TEMPLATE.matches(changed).count(), 1, "{changed}");
        }
        let text = filled(&args(&["10.0.0.7:1", "[::1]:2", "node:3"]));
        for node in ["10.0.0.7:1", "[::1]:2", "node:3"] {
            assert_eq!(text.matches(&format!("    server {node} max_fails")).count(), 1, "{text}");
        }
        assert!(!text.contains("node1") && !text.contains("ssl"), "{text}");
        assert!(text.contains("    listen 127.0.0.1:81;\n    server_name a.example b.example;\n"), "{text}");
        let (certificate, key) = (Some("/c.pem".to_owned()), Some("/k.pem".to_owned()));
        let text = filled(&Args { tls_cert: certificate, tls_key: key, ..args(&["a:1"]) });
        assert!(
            text.contains(" ssl;\n    ssl_certificate /c.pem;\n    ssl_certificate_key /k.pem;\n"),
            "{text}"
        );
    }

    #[test]
    fn grpc_is_there_where_nodes_speak_it() {
        for changed in [GRPC_LISTEN, NAME, GRPC_NODES] {
            assert_eq!(GRPC_TEMPLATE.matches(changed).count(), 1, "{changed}");
        }
        assert!(!filled(&args(&["a:1"])).contains("grpc"));
        let with =
            Args { grpc_nodes: vec!["a:2".to_owned()], grpc_listen: "[::1]:3".to_owned(), ..args(&["a:1"]) };
        let text = filled(&with);
        assert!(text.contains("    server a:2 max_fails=1 fail_timeout=10s;\n    keepalive"), "{text}");
        assert!(text.contains("    listen [::1]:3 http2;") && !text.contains("node1"), "{text}");
        let (certificate, key) = (Some("/c.pem".to_owned()), Some("/k.pem".to_owned()));
        let text = filled(&Args { tls_cert: certificate, tls_key: key, ..with });
        assert!(text.contains("    listen [::1]:3 ssl http2;\n    ssl_certificate /c.pem;\n"), "{text}");
    }

    #[test]
    fn nothing_becomes_another_directive() {
        for text in
            ["a:1; }", "a b:1", "$host:1", "http://a:1", "a", "a:1/path", "a:0x1", "", "\"a\":1", "a:1#"]
        {
            assert!(node(text).is_err(), "{text}");
        }
        for text in ["a:1", "10.0.0.7:8080", "[fd00::1]:8080", "chat-1.example:80"] {
            assert_eq!(node(text).as_deref(), Ok(text));
        }
        assert!(word("/etc/ssl/a b.pem").is_err() && word("/etc/ssl/a.pem").is_ok());
    }
}
