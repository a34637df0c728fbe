//! Which process of this host listens on a port.

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

fn sockets() -> impl Iterator<Item = TcpNetEntry> {
    [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_not_among_the_listeners() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listeners(&[listener.local_addr().unwrap().port()]), Vec::<i32>::new());
        assert_eq!(listeners(&[]), Vec::<i32>::new());
    }
}
