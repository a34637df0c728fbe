//! The memory of the kernel's objects that belong to sockets.
//!
//! Invariant: only objects in use count. What the kernel keeps of freed ones, and what it gives back of its other caches
//! when memory is short, is in the sum of all slabs (`Slab:` of /proc/meminfo) and hides the sockets there.

/// Of sockets alone.
const OWN: [&str; 3] = ["TCP", "TCPv6", "sock_inode_cache"];
/// Of files as well, or brought together with others of their size: each socket of a server or a generator has one.
const SHARED: [&str; 6] =
    ["filp", "dentry", "lsm_file_cache", "lsm_inode_cache", "eventpoll_epi", "eventpoll_pwq"];
/// One for each socket.
const INODE: &str = "sock_inode_cache";

/// Now; none for whom the kernel does not let read it (it needs root).
pub fn sockets_kib() -> Option<u64> {
    sum(&std::fs::read_to_string("/proc/slabinfo").ok()?)
}

/// Of the lines `name active_objs num_objs objsize objperslab pagesperslab …`.
fn sum(text: &str) -> Option<u64> {
    let caches: Vec<(&str, u64, u64)> = text.lines().filter_map(cache).collect();
    let sockets = caches.iter().find(|(name, ..)| *name == INODE).map(|(_, active, _)| *active)?;
    let bytes = caches.iter().map(|(name, active, bytes_each)| match name {
        name if OWN.contains(name) => active * bytes_each,
        name if SHARED.contains(name) => sockets * bytes_each,
        _ => 0,
    });
    Some(bytes.sum::<u64>() / 1024)
}

/// Name, objects in use, and the bytes an object takes of its slab.
fn cache(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let mut number = |skipped: usize| words.nth(skipped)?.parse::<u64>().ok();
    let (active, objects_each, pages_each) = (number(0)?, number(2)?, number(0)?);
    Some((name, active, (pages_each * procfs::page_size()).checked_div(objects_each)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_in_use_count_with_their_part_of_the_slab() {
        let page = procfs::page_size();
        let text = "slabinfo - version: 2.1\n\
                    # name  <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables …\n\
                    TCP 100 130 2368 8 8 : tunables 0 0 0 : slabdata 10 10 0\n\
                    sock_inode_cache 110 120 832 4 1 : tunables 0 0 0 : slabdata 6 6 0\n\
                    filp 90000 90000 192 16 1 : tunables 0 0 0 : slabdata 0 0 0\n\
                    kmalloc-64 90000 90000 64 64 1 : tunables 0 0 0 : slabdata 0 0 0\n";
        let expected = 100 * page + 110 * (page / 4) + 110 * (page / 16);
        assert_eq!(sum(text), Some(expected / 1024));
        assert_eq!(sum("slabinfo - version: 2.1\n"), None);
    }
}
