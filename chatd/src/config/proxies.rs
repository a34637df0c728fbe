//! Proxies whose word about the clients behind them is believed.
//!
//! Invariant: whoever is not listed is who they are, whatever they say; a listed proxy is believed about the one before
//! it, who is believed in turn only if listed, too.

use std::net::{IpAddr, SocketAddr};

/// The networks of trusted proxies, and how these say for whom they speak.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<Network>,
    introduce: bool,
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    begin: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let begin: IpAddr = address.parse().map_err(|_| "it is no address")?;
        let begin = begin.to_canonical();
        let most = if begin.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most));
        Ok(Self { begin, bits: bits.ok_or("behind the / stands how many bits count, 32 or 128 at most")? })
    }

    fn has(self, address: IpAddr) -> bool {
        let differ = match (self.begin, address) {
            (IpAddr::V4(begin), IpAddr::V4(address)) => (begin.to_bits() ^ address.to_bits()).leading_zeros(),
            (IpAddr::V6(begin), IpAddr::V6(address)) => (begin.to_bits() ^ address.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= self.bits
    }
}

impl Proxies {
    /// The networks of the setting; blank entries are left out.
    ///
    /// # Errors
    /// For the operator: an entry that is no network, or that nobody could introduce anybody.
    pub fn parse(entries: &[String], introduce: bool) -> Result<Self, String> {
        let given = entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
        let network = |entry: &str| {
            let bad = |why| {
                format!("trusted_proxies has {entry:?}: {why}; write for example 10.0.0.7 or 10.0.0.0/8")
            };
            Network::parse(entry).map_err(bad)
        };
        let networks = given.map(network).collect::<Result<Vec<_>, _>>()?;
        if introduce && networks.is_empty() {
            return Err(
                "proxy_protocol needs the proxies that speak it; give --trusted-proxies ADDRESSES".to_owned()
            );
        }
        Ok(Self { networks, introduce })
    }

    /// Whether a proxy at this address is believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.has(address))
    }

    /// Whether a connection from this address begins with a header of the PROXY protocol.
    #[must_use]
    pub fn introduces(&self, address: IpAddr) -> bool {
        self.introduce && self.trusts(address)
    }

    /// Who asks, where a request came from `peer` and was forwarded by these, the nearest last. Where a port was not told
    /// it is 0.
    pub fn client<'a>(
        &self,
        peer: SocketAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> SocketAddr {
        let mut client = peer;
        for entry in forwarded.rev() {
            let entry = entry.trim();
            let told = entry.parse().or_else(|_| {
                let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
                bare.parse().map(|address| SocketAddr::new(address, 0))
            });
            match told {
                Ok(before) if self.trusts(client.ip()) => client = before,
                _ => break,
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(entries: &[&str]) -> Proxies {
        let entries: Vec<_> = entries.iter().map(|&entry| entry.to_owned()).collect();
        Proxies::parse(&entries, false).unwrap()
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_so() {
        let listed = proxies(&["10.1.0.0/16", "192.0.2.7", "fd00::/8", "2001:db8::1"]);
        for (address, trusted) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.2.6", false),
            ("fdff::1", true),
            ("fe00::1", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(listed.trusts(address.parse().unwrap()), trusted, "{address}");
        }
        assert!(proxies(&["0.0.0.0/0"]).trusts("8.8.8.8".parse().unwrap()));
        assert!(!proxies(&[" "]).trusts("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for entry in ["nginx", "10.0.0.0/33", "10.0.0.0/", "fd00::/129", "10.0.0.0/-1", "*"] {
            let refused = Proxies::parse(&[entry.to_owned()], false).unwrap_err();
            assert!(refused.contains("trusted_proxies") && refused.contains(entry), "{refused}");
        }
        assert!(Proxies::parse(&[], true).unwrap_err().contains("--trusted-proxies"));
    }

    #[test]
    fn only_who_is_trusted_is_believed() {
        let listed = proxies(&["10.0.0.0/8"]);
        for (peer, forwarded, client) in [
            ("192.0.2.1:5", "198.51.100.1", "192.0.2.1:5"),
            ("10.0.0.1:5", "198.51.100.1", "198.51.100.1:0"),
            ("10.0.0.1:5", "198.51.100.1:77", "198.51.100.1:77"),
            ("10.0.0.1:5", "[2001:db8::1]:77", "[2001:db8::1]:77"),
            ("10.0.0.1:5", "[2001:db8::1]", "[2001:db8::1]:0"),
            ("10.0.0.1:5", "203.0.113.9, 198.51.100.1", "198.51.100.1:0"),
            ("10.0.0.1:5", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1:0"),
            ("10.0.0.1:5", "10.0.0.3, 10.0.0.2", "10.0.0.3:0"),
            ("10.0.0.1:5", "203.0.113.9, unknown", "10.0.0.1:5"),
            ("10.0.0.1:5", "203.0.113.9, , 10.0.0.2", "10.0.0.2:0"),
            ("10.0.0.1:5", "", "10.0.0.1:5"),
        ] {
            let found = listed.client(peer.parse().unwrap(), forwarded.split(','));
            assert_eq!(found.to_string(), client, "{forwarded}");
        }
    }
}
