//! A chatd whose answers are a script.
//!
//! Invariant: the script sees every request, so that "nothing was sent" and "sent once" are facts.

use std::io;
use std::sync::{Arc, Mutex};

use chatctl::surroundings::Surroundings;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a request.
pub enum Reply {
    Success(Value),
    Refusal(u16, u16, Value),
    /// HTTP status and the whole answer.
    Answer(u16, Value),
    Page(&'static str),
    Redirect(u16, &'static str),
    /// Begins an answer that does not end.
    Endless,
    HangUp,
    Silence,
}

/// Which request it is, its path, its body.
pub type Script = dyn Fn(usize, &str, &Value) -> Reply + Send + Sync;
/// Path and body of each request so far.
pub type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that answers by a script.
pub struct Server {
    pub address: String,
    pub requests: Requests,
}

impl Server {
    pub async fn start(script: impl Fn(usize, &str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_for(usize::MAX, script).await
    }

    /// A server that takes so many connections and then is gone.
    pub async fn start_for(
        connections: usize,
        script: impl Fn(usize, &str, &Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Requests::default();
        let (seen, script): (_, Arc<Script>) = (requests.clone(), Arc::new(script));
        tokio::spawn(async move {
            for left in (0..connections).rev() {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (seen, script) = (seen.clone(), script.clone());
                if left == 0 {
                    // Nobody listens any more when the last answer arrives.
                    drop(listener);
                    let _ = serve(stream, seen, script).await;
                    return;
                }
                tokio::spawn(serve(stream, seen, script));
            }
        });
        Self { address, requests }
    }

    pub fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().expect("no panic").clone()
    }

    pub async fn run(&self, words: &[&str]) -> (u8, String, String) {
        let (surroundings, written) =
            Surroundings::in_memory(b"from stdin\n", &[("CHATCTL_SERVER", &self.address)]);
        let exit = chatctl::run(line(words), surroundings).await;
        (exit, written.stdout(), written.stderr())
    }
}

/// A command line, the program's name first.
pub fn line(words: &[&str]) -> Vec<std::ffi::OsString> {
    std::iter::once("chatctl").chain(words.iter().copied()).map(Into::into).collect()
}

/// Answers the one request of a connection.
pub async fn serve(stream: TcpStream, seen: Requests, script: Arc<Script>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let index = {
        let mut seen = seen.lock().expect("no panic");
        seen.push((path.clone(), body.clone()));
        seen.len() - 1
    };
    let (status, kind, text) = match script(index, &path, &body) {
        Reply::Success(data) => {
            (200, "json", json!({"code": 200, "msg": "Success", "data": data}).to_string())
        }
        Reply::Refusal(code, status, data) => {
            (status, "json", json!({"code": code, "msg": "told\u{1b}[2J why", "data": data}).to_string())
        }
        Reply::Answer(status, answer) => (status, "json", answer.to_string()),
        Reply::Page(html) => (200, "html", html.to_owned()),
        Reply::Redirect(status, location) => {
            let head = format!("HTTP/1.1 {status} X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            return stream.write_all(head.as_bytes()).await;
        }
        Reply::Endless => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\"";
            stream.write_all(head.as_bytes()).await?;
            // Ends when the client has had enough.
            loop {
                stream.write_all(&[b'x'; 64 * 1024]).await?;
            }
        }
        Reply::HangUp => return Ok(()),
        Reply::Silence => std::future::pending().await,
    };
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await
}
