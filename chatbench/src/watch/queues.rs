//! What waits in the kernel's queues of the connections to a port.
//!
//! Invariant: the kernel tells it only in one list with all sockets of the host, so it is asked so rarely that this takes
//! a hundredth of a core at most, however long the list is; and never from a thread that has clients.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::thread_ns;

/// A pause is so many times as long as the CPU time of the look before it.
const RARITY: u32 = 100;
/// The list is written anew for each piece that is read of it.
const PIECE_BYTES: usize = 256 * 1024;
const LISTEN: &str = "0A";

/// Bytes in the queues of all connections to a port.
#[derive(Debug)]
pub struct Queues {
    ports: Vec<u16>,
    rest_until: Instant,
}

impl Queues {
    /// Of the connections to these ports.
    pub fn new(ports: Vec<u16>) -> Self {
        Self { ports, rest_until: Instant::now() }
    }

    /// Bytes that wait on the side of the ports; none when it is too early to ask again, or nobody knows.
    pub async fn look(&mut self) -> Option<u64> {
        if self.ports.is_empty() || Instant::now() < self.rest_until {
            return None;
        }
        let ports = self.ports.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let before_ns = thread_ns();
            (waiting(&ports), Duration::from_nanos(thread_ns().saturating_sub(before_ns)))
        });
        let (waiting, spent) = looked.await.ok()?;
        self.rest_until = Instant::now() + pause(spent);
        waiting
    }
}

fn pause(spent: Duration) -> Duration {
    spent * RARITY
}

fn waiting(ports: &[u16]) -> Option<u64> {
    let lists: Vec<File> = ["/proc/net/tcp", "/proc/net/tcp6"].iter().flat_map(File::open).collect();
    let sums = lists.into_iter().map(|list| sum(BufReader::with_capacity(PIECE_BYTES, list), ports));
    sums.reduce(|mine, theirs| Some(mine? + theirs?))?
}

/// Of the lines `sl local:port remote:port state tx:rx …`, all in hexadecimal.
fn sum(mut list: impl BufRead, ports: &[u16]) -> Option<u64> {
    let (mut total, mut line) = (0, String::new());
    // The first line names the columns.
    list.read_line(&mut line).ok()?;
    loop {
        line.clear();
        if list.read_line(&mut line).ok()? == 0 {
            return Some(total);
        }
        let mut words = line.split_ascii_whitespace().skip(1);
        let local = words.next()?.rsplit_once(':')?.1;
        let state = words.nth(1)?;
        if state != LISTEN && ports.contains(&u16::from_str_radix(local, 16).ok()?) {
            let (tx, rx) = words.next()?.split_once(':')?;
            total += u64::from_str_radix(tx, 16).ok()? + u64::from_str_radix(rx, 16).ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queues_are_found_by_port_and_not_asked_for_again_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut client, &[7; 1000]).unwrap();
        let mut queues = Queues::new(vec![address.port()]);
        assert_eq!(queues.look().await, Some(1000));
        queues.rest_until = Instant::now() + Duration::from_secs(3600);
        assert_eq!(queues.look().await, None);
        drop(server);
        assert_eq!(Queues::new(Vec::new()).look().await, None);
    }

    #[test]
    fn looks_take_a_hundredth_of_the_time() {
        assert_eq!(pause(Duration::from_millis(100)), Duration::from_secs(10));
    }

    #[test]
    fn both_queues_count_and_listeners_do_not() {
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
                    0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000 00000000     0\n   \
                    1: 0100007F:1F90 0100007F:A000 01 0000000A:00000010 00:00000000 00000000     0\n   \
                    2: 0100007F:A000 0100007F:1F90 01 000000FF:00000000 00:00000000 00000000     0\n";
        assert_eq!(sum(list.as_bytes(), &[0x1F90]), Some(26));
        assert_eq!(sum(list.as_bytes(), &[0x1F90, 0xA000]), Some(281));
        assert_eq!(sum("head\n  0: garbage\n".as_bytes(), &[1]), None);
    }
}
