//! The beginning of a connection from a proxy that says first for whom it is: the PROXY protocol, versions 1 and 2.
//!
//! Invariant: who speaks it is a trusted proxy; its header is bounded in bytes and time, and what comes behind it stays
//! in the kernel.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Guest;
use super::places::Tongue;
use crate::quota::Quotas;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a header of version 1 at most, with its end.
const LONGEST_LINE: usize = 107;
/// Bytes behind the head of version 2 at most: two addresses, and what proxies add.
const LONGEST_REST: usize = 4096;

/// Learns who came, and lets them in as one who came without a proxy; none when that failed, or they may not.
pub(super) async fn meet(
    mut tcp: TcpStream,
    mut guest: Guest,
    quotas: &Quotas,
    tongue: Tongue,
    stop: &CancellationToken,
) -> Option<(TcpStream, Guest)> {
    let introduced = tokio::select! {
        biased;
        introduced = read(&mut tcp) => introduced,
        () = guest.course.ceased() => Err(ErrorKind::TimedOut.into()),
        () = stop.cancelled() => return None,
    };
    match introduced {
        Ok(Some(client)) => guest.peer = client,
        // The proxy speaks for itself, as it does when it looks whether the node is well.
        Ok(None) => return Some((tcp, guest)),
        Err(error) => {
            let (proxy, why) = (guest.peer, error.to_string());
            tracing::info!(%proxy, why, setting = "proxy_protocol", "a proxy did not say for whom it speaks");
            return None;
        }
    }
    match quotas.address_enters(guest.peer.ip()) {
        Ok(visit) => {
            guest.place.is_of(visit);
            Some((tcp, guest))
        }
        Err(refusal) => {
            guest.places.refuse(tcp, tongue, guest.peer, &refusal);
            None
        }
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.to_owned())
}

/// Reads a header; none where the proxy speaks for itself or does not know for whom.
async fn read(tcp: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; SIGNATURE.len() + 4];
    let (begin, end) = head.split_at_mut(SIGNATURE.len());
    tcp.read_exact(begin).await?;
    if *begin != SIGNATURE {
        return line(&rest_of_line(tcp, begin).await?);
    }
    tcp.read_exact(end).await?;
    let length = usize::from(u16::from_be_bytes([end[2], end[3]]));
    if length > LONGEST_REST {
        return Err(bad("a header of version 2 that is too long"));
    }
    let mut rest = vec![0; length];
    tcp.read_exact(&mut rest).await?;
    binary(end[0], end[1], &rest)
}

/// The line that begins so, and nothing of what is behind it.
async fn rest_of_line(tcp: &mut TcpStream, begin: &[u8]) -> io::Result<Vec<u8>> {
    if !begin.starts_with(b"PROXY ") {
        return Err(bad("it does not begin with a header of the PROXY protocol"));
    }
    let mut line = begin.to_vec();
    while !line.ends_with(b"\n") {
        let mut more = [0; LONGEST_LINE];
        let room = LONGEST_LINE - line.len();
        if room == 0 {
            return Err(bad("a header of version 1 that is too long"));
        }
        let came = tcp.peek(&mut more[..room]).await?;
        if came == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let wanted = more[..came].iter().position(|byte| *byte == b'\n').map_or(came, |end| end + 1);
        tcp.read_exact(&mut more[..wanted]).await?;
        line.extend_from_slice(&more[..wanted]);
    }
    Ok(line)
}

/// Version 1.
fn line(line: &[u8]) -> io::Result<Option<SocketAddr>> {
    let unreadable = || bad("a header of version 1 that cannot be read");
    let text =
        std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix("\r\n")).ok_or_else(unreadable)?;
    let words: Vec<_> = text.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, port, other_port] => {
            let address = |text: &str| match family {
                "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
                _ => text.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
            };
            let (source, _) = address(source).zip(address(destination)).ok_or_else(unreadable)?;
            let number = |text: &str| text.parse::<u16>().ok();
            let (port, _) = number(port).zip(number(other_port)).ok_or_else(unreadable)?;
            Ok(Some(SocketAddr::new(source, port)))
        }
        _ => Err(unreadable()),
    }
}

/// Version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> io::Result<Option<SocketAddr>> {
    let short = || bad("a header of version 2 without its addresses");
    match (command, family) {
        (0x20, _) => Ok(None),
        (0x21, 0x11) => {
            let (source, ports) = (rest.first_chunk::<4>(), rest.get(8..12));
            let (source, ports) = source.zip(ports).ok_or_else(short)?;
            Ok(Some(SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([ports[0], ports[1]]))))
        }
        (0x21, 0x21) => {
            let (source, ports) = (rest.first_chunk::<16>(), rest.get(32..36));
            let (source, ports) = source.zip(ports).ok_or_else(short)?;
            Ok(Some(SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([ports[0], ports[1]]))))
        }
        // A socket of a file, a datagram, or what nobody knows: no address of ours.
        (0x21, _) => Ok(None),
        _ => Err(bad("a header of a version that is not known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_client() {
        for (text, client) in [
            ("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n", Ok(Some("192.0.2.1:56324"))),
            ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Ok(Some("[2001:db8::1]:1"))),
            ("PROXY UNKNOWN\r\n", Ok(None)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Ok(None)),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\n", Err(())),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n", Err(())),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n", Err(())),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n", Err(())),
            ("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", Err(())),
            ("PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n", Err(())),
            ("PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n", Err(())),
            ("PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n", Err(())),
            ("PROXY \u{fc}\r\n", Err(())),
        ] {
            let told = line(text.as_bytes()).map(|client| client.map(|client| client.to_string()));
            assert_eq!(told.as_ref().map(Option::as_deref).map_err(|_| ()), client, "{text:?}");
        }
    }

    #[test]
    fn version_two_tells_the_client() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 187];
        let mut v6 = [0; 36];
        (v6[0], v6[15], v6[32]) = (0xfd, 1, 1);
        let told = |command, family, rest: &[u8]| {
            binary(command, family, rest)
                .map(|client| client.map(|client| client.to_string()))
                .map_err(|_| ())
        };
        assert_eq!(told(0x21, 0x11, &v4), Ok(Some("192.0.2.1:4660".to_owned())));
        assert_eq!(
            told(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()),
            Ok(Some("192.0.2.1:4660".to_owned()))
        );
        assert_eq!(told(0x21, 0x21, &v6), Ok(Some("[fd00::1]:256".to_owned())));
        assert_eq!(told(0x20, 0x11, &[]), Ok(None));
        assert_eq!(told(0x21, 0x00, &[]), Ok(None));
        for (command, family, rest) in
            [(0x21, 0x11, &v4[..11]), (0x21, 0x21, &v6[..35]), (0x11, 0x11, &v4[..]), (0x22, 0x11, &v4)]
        {
            assert_eq!(told(command, family, rest), Err(()), "{command:x} {family:x}");
        }
    }
}
