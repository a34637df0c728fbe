//! Which process of this host listens on a port, and what waits in the queues of its connections.

use std::collections::BTreeSet;

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, all_processes};

/// The processes of this host, but not this one, that listen on one of these ports.
pub fn listeners(ports: &[u16]) -> Vec<i32> {
    let listens =
        |entry: &TcpNetEntry| entry.state == TcpState::Listen && ports.contains(&entry.local_address.port());
    let inodes: BTreeSet<u64> =
        sockets().filter(listens).map(|entry| entry.inode).filter(|inode| *inode > 0).collect();
    let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    let Ok(processes) = all_processes() else { return Vec::new() };
    let mut pids = Vec::new();
    for process in processes.flatten().filter(|process| process.pid != own && !inodes.is_empty()) {
        let Ok(files) = process.fd() else { continue };
        let mut targets = files.flatten().map(|file| file.target);
        if targets.any(|target| matches!(target, FDTarget::Socket(inode) if inodes.contains(&inode))) {
            pids.push(process.pid);
        }
    }
    pids
}

/// Bytes that wait in the queues of all connections to these ports, on their side.
pub fn queued_bytes(ports: &[u16]) -> Option<u64> {
    if ports.is_empty() {
        return None;
    }
    let theirs = sockets()
        .filter(|entry| entry.state != TcpState::Listen && ports.contains(&entry.local_address.port()));
    Some(theirs.map(|entry| u64::from(entry.tx_queue) + u64::from(entry.rx_queue)).sum())
}

fn sockets() -> impl Iterator<Item = TcpNetEntry> {
    [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_found_by_port_and_this_process_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut client, &[7; 1000]).unwrap();
        assert_eq!(queued_bytes(&[address.port()]), Some(1000));
        assert_eq!(listeners(&[address.port()]), Vec::<i32>::new(), "this process");
        drop(server);
        assert_eq!(queued_bytes(&[]), None);
    }
}
