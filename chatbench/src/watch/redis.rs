//! What a Redis says of itself (INFO), asked in its own protocol.
//!
//! Invariant: a Redis that does not answer costs half a second and no more, and is asked again at the next look.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_millis(500);
/// More than any INFO.
const MOST_BYTES: usize = 1024 * 1024;

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    authority: String,
    /// User and password as they stand in AUTH.
    credentials: Option<Vec<String>>,
}

/// A Redis to be asked.
#[derive(Debug)]
pub struct Redis {
    address: Address,
    connection: Option<BufReader<TcpStream>>,
}

/// What it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Commands so far.
    pub commands: u64,
    /// Connected clients.
    pub clients: u64,
    /// Bytes.
    pub used_memory: u64,
    /// User and system time so far.
    pub cpu_us: u64,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no address; write redis://[user:password@]host:port");
        let rest = text.strip_prefix("redis://").ok_or_else(bad)?;
        let rest = rest.split('/').next().unwrap_or(rest);
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, rest),
        };
        let authority = if host.contains(':') { host.to_owned() } else { format!("{host}:6379") };
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if host.is_empty() || host.starts_with(':') || port.is_none() {
            return Err(bad());
        }
        let credentials = credentials.map(|credentials| {
            let words = credentials.split(':').filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        });
        Ok(Self { authority, credentials })
    }
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

impl Redis {
    /// Not connected yet.
    pub fn new(address: Address) -> Self {
        Self { address, connection: None }
    }

    /// Asks; `None` without an answer.
    pub async fn info(&mut self) -> Option<Info> {
        let asked = tokio::time::timeout(PATIENCE, self.ask()).await;
        let info = asked.ok().and_then(Result::ok);
        if info.is_none() {
            self.connection = None;
        }
        info
    }

    async fn ask(&mut self) -> std::io::Result<Info> {
        if self.connection.is_none() {
            let mut fresh = BufReader::new(TcpStream::connect(&self.address.authority).await?);
            if let Some(words) = &self.address.credentials {
                let words: Vec<&str> =
                    std::iter::once("AUTH").chain(words.iter().map(String::as_str)).collect();
                command(&mut fresh, &words).await?;
            }
            self.connection = Some(fresh);
        }
        let Some(connection) = &mut self.connection else {
            return Err(std::io::ErrorKind::NotConnected.into());
        };
        Ok(read(&command(connection, &["INFO"]).await?))
    }
}

/// Sends a command and gives its answer, a line or a string of known length.
async fn command(connection: &mut BufReader<TcpStream>, words: &[&str]) -> std::io::Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.get_mut().write_all(request.as_bytes()).await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    let refused = || std::io::Error::other(line.trim_end().to_owned());
    match line.chars().next() {
        Some('+') => Ok(line),
        Some('$') => {
            let length: usize = line[1..].trim_end().parse().map_err(|_| refused())?;
            if length > MOST_BYTES {
                return Err(refused());
            }
            let mut text = vec![0; length + 2];
            connection.read_exact(&mut text).await?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        _ => Err(refused()),
    }
}

fn read(text: &str) -> Info {
    let member = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.and_then(|value| value.trim_end().parse::<f64>().ok()).unwrap_or(0.0)
    };
    Info {
        commands: member("total_commands_processed") as u64,
        clients: member("connected_clients") as u64,
        used_memory: member("used_memory") as u64,
        cpu_us: ((member("used_cpu_sys") + member("used_cpu_user")) * 1e6) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_answers_are_read() {
        let address: Address = "redis://me:secret@h:7000/2".parse().unwrap();
        assert_eq!(address.authority, "h:7000");
        assert_eq!(address.credentials, Some(vec!["me".to_owned(), "secret".to_owned()]));
        assert_eq!("redis://127.0.0.1".parse::<Address>().unwrap().authority, "127.0.0.1:6379");
        for bad in ["", "127.0.0.1:6379", "redis://", "redis://:6379", "redis://h:x", "http://h:1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        let text = "# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:0.25\r\nconnected_clients:3\r\n\
                    used_memory:2048\r\nused_memory_human:2K\r\ntotal_commands_processed:77\r\n";
        let info = Info { commands: 77, clients: 3, used_memory: 2048, cpu_us: 1_750_000 };
        assert_eq!(read(text), info);
    }
}
