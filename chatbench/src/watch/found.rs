//! Which process of this host listens on a port.

use std::collections::BTreeMap;

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, all_processes};

/// The processes of this host, but not this one, that listen on one of these ports, each with the port.
pub fn listeners(ports: &[u16]) -> Vec<(u16, i32)> {
    let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let listens = |entry: &TcpNetEntry| {
        entry.state == TcpState::Listen && ports.contains(&entry.local_address.port()) && entry.inode > 0
    };
    let port_of: BTreeMap<u64, u16> =
        sockets.filter(listens).map(|entry| (entry.inode, entry.local_address.port())).collect();
    let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    let Ok(processes) = all_processes() else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes.flatten().filter(|process| process.pid != own && !port_of.is_empty()) {
        let Ok(files) = process.fd() else { continue };
        found.extend(files.flatten().filter_map(|file| match file.target {
            FDTarget::Socket(inode) => Some((*port_of.get(&inode)?, process.pid)),
            _ => None,
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_not_among_the_listeners() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listeners(&[listener.local_addr().unwrap().port()]), Vec::new());
        assert_eq!(listeners(&[]), Vec::new());
    }
}
