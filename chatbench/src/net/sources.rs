//! The addresses this host connects from: a pair of addresses has ports for some 28,000 to 64,000 connections only.
//!
//! Invariant: without need or wish the system chooses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Ports the system gives out, where it does not say: Linux's default.
const USUAL_PORTS: u64 = 60_999 - 32_768 + 1;
/// Most addresses of a range.
const MOST: u32 = 4096;

/// Addresses, as written after `--source-ips`: `127.0.0.2-127.0.0.9` or `10.0.0.5,10.0.0.6`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(pub Vec<Ipv4Addr>);

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for part in text.split(',') {
            let bad = || format!("{part:?} is no address; write for example 127.0.0.2-127.0.0.9");
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let address = |text: &str| text.trim().parse::<Ipv4Addr>().map_err(|_| bad());
            let (from, to) = (u32::from(address(from)?), u32::from(address(to)?));
            if to < from || to - from >= MOST {
                return Err(format!("{part:?} must be 1 to {MOST} addresses, the lower first"));
            }
            all.extend((from..=to).map(Ipv4Addr::from));
        }
        Ok(Self(all))
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join(","))
    }
}

impl Sources {
    /// Enough of them for this many connections to each of these destinations: on loopback every 127.x.x.x is ours.
    pub fn enough(destinations: &[IpAddr], each: u64) -> Self {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        Self::over(ports(range.as_deref().unwrap_or_default()).unwrap_or(USUAL_PORTS), destinations, each)
    }

    /// As [`Sources::enough`] where an address has so many ports. A tenth is left for those who come and go: a port that
    /// was in use rests for a minute.
    fn over(ports: u64, destinations: &[IpAddr], each: u64) -> Self {
        let loopback = destinations.iter().all(|address| address.is_ipv4() && address.is_loopback());
        let per_address = (ports * 9 / 10).max(1);
        if !loopback || each <= per_address {
            return Self::default();
        }
        let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
        let count = u32::try_from(each.div_ceil(per_address)).unwrap_or(MOST).min(MOST);
        Self((first..first + count).map(Ipv4Addr::from).collect())
    }

    /// The address for connection number `number` of those to one destination; `None` when the system may choose.
    pub fn of(&self, number: u32) -> Option<IpAddr> {
        let place = number as usize % self.0.len().max(1);
        self.0.get(place).copied().map(IpAddr::V4)
    }
}

/// How many ports a range holds, written as the system writes it: the lowest, a tab, the highest.
fn ports(range: &str) -> Option<u64> {
    let (low, high) = range.trim().split_once(char::is_whitespace)?;
    let [low, high] = [low, high].map(|port| port.trim().parse::<u64>().ok());
    high?.checked_sub(low?).map(|between| between + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_refused() {
        let sources: Sources = "127.0.0.254-127.0.1.1,10.0.0.5".parse().unwrap();
        assert_eq!(sources.to_string(), "127.0.0.254,127.0.0.255,127.0.1.0,127.0.1.1,10.0.0.5");
        for bad in ["", "x", "::1", "127.0.0.9-127.0.0.2", "10.0.0.0-10.255.0.0", "127.0.0.2-"] {
            assert!(bad.parse::<Sources>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_machine_says_how_many_ports_it_gives_out() {
        assert_eq!(ports("32768\t60999\n"), Some(USUAL_PORTS));
        assert_eq!(ports("40000\t40059\n"), Some(60));
        assert_eq!(["", "1", "9 1", "a b"].map(ports), [None; 4]);
    }

    #[test]
    fn they_are_chosen_only_where_they_are_needed() {
        let here = IpAddr::from([127, 0, 0, 1]);
        let enough = |destinations: &[IpAddr], each| Sources::over(USUAL_PORTS, destinations, each);
        assert_eq!(enough(&[here], 25_000), Sources::default());
        assert_eq!(enough(&[here], 60_000).to_string(), "127.0.0.2,127.0.0.3,127.0.0.4");
        assert_eq!(enough(&[here, [10, 0, 0, 1].into()], 60_000), Sources::default());
        assert_eq!(Sources::default().of(7), None);
        assert_eq!(enough(&[here], 60_000).of(4), Some([127, 0, 0, 3].into()));
        assert_eq!(
            Sources::over(60, &[here], 58).to_string(),
            "127.0.0.2,127.0.0.3",
            "a machine with few ports"
        );
    }
}
