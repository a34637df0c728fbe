//! What the kernel of this host holds for connections.

use crate::watch::slab;
use chatbench_result::model::HostPoint;

/// Now; zeroes where the kernel does not say.
pub fn now() -> HostPoint {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (sockets, memory) = (read("/proc/net/sockstat"), read("/proc/meminfo"));
    let page_kib = procfs::page_size() / 1024;
    HostPoint {
        tcp_sockets: word_after(&sockets, "TCP:", "inuse"),
        tcp_memory_kib: word_after(&sockets, "TCP:", "mem") * page_kib,
        slab_kib: word_after(&memory, "Slab:", "Slab:"),
        socket_objects_kib: slab::sockets_kib(),
    }
}

/// The number behind a word of the line that begins with `line`.
fn word_after(text: &str, line: &str, word: &str) -> u64 {
    let found = text.lines().find(|candidate| candidate.starts_with(line));
    let mut words = found.into_iter().flat_map(str::split_whitespace);
    words.find(|candidate| *candidate == word);
    words.next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_words_are_read() {
        let text = "sockets: used 290\nTCP: inuse 7 orphan 0 tw 3 alloc 9 mem 12\nUDP: inuse 1 mem 5\n";
        assert_eq!((word_after(text, "TCP:", "inuse"), word_after(text, "TCP:", "mem")), (7, 12));
        assert_eq!(word_after("Slab:          165536 kB\n", "Slab:", "Slab:"), 165_536);
        assert_eq!(word_after("", "TCP:", "mem"), 0);
        assert!(now().slab_kib > 0);
    }
}
