//! Records over sockets that give and take little, against a client of the same library.

use std::collections::VecDeque;

use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// A socket that gives and takes so many bytes at a time, and takes so many in all until it blocks.
struct Wire {
    at_once: usize,
    room: usize,
    /// On their way here.
    coming: VecDeque<u8>,
    /// Gone.
    taken: VecDeque<u8>,
}

impl Wire {
    fn new(at_once: usize) -> Self {
        Self { at_once, room: usize::MAX, coming: VecDeque::new(), taken: VecDeque::new() }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.at_once).min(self.coming.len());
        match count {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => self.coming.read(&mut into[..count]),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.at_once).min(self.room);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.taken.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client and the node's side, whose handshake is done.
fn pair(at_once: usize) -> (ClientConnection, Box<Tls>, Wire) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let server =
        server.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut known = RootCertStore::empty();
    known.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(known).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    client.set_buffer_limit(None);
    let (mut tls, mut wire) = (Tls::new(Arc::new(server)).unwrap(), Wire::new(at_once));
    loop {
        client.write_tls(&mut wire.coming).unwrap();
        match tls.shake(&mut wire) {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        hear(&mut client, &mut wire);
    }
    hear(&mut client, &mut wire);
    assert!(!client.is_handshaking());
    (client, tls, wire)
}

/// What the client reads of all that was written, and the lengths of the records of content.
fn hear(client: &mut ClientConnection, wire: &mut Wire) -> (Vec<u8>, Vec<usize>) {
    let (mut heard, mut lengths, mut at) = (Vec::new(), Vec::new(), 0);
    let sent: Vec<u8> = wire.taken.iter().copied().collect();
    while at + 5 <= sent.len() {
        let length = usize::from(u16::from_be_bytes([sent[at + 3], sent[at + 4]]));
        lengths.push(length);
        at += 5 + length;
    }
    while !wire.taken.is_empty() {
        client.read_tls(&mut wire.taken).unwrap();
        client.process_new_packets().unwrap();
        let _ = client.reader().read_to_end(&mut heard);
    }
    (heard, lengths)
}

fn is_at_rest(tls: &Tls) -> bool {
    tls.unopened.capacity() == 0 && tls.unread.is_empty() && tls.held() == 0
}

#[test]
fn content_comes_whole_both_ways_however_little_a_socket_gives_or_takes() {
    let content: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    for (at_once, room) in [(1, 1), (7, 1000), (1000, 16 * 1024), (usize::MAX, 16 * 1024), (usize::MAX, 9)] {
        let (mut client, mut tls, mut wire) = pair(at_once);
        client.writer().write_all(&content).unwrap();
        while client.wants_write() {
            client.write_tls(&mut wire.coming).unwrap();
        }
        let (mut read, mut into) = (Vec::new(), vec![0; room]);
        while read.len() < content.len() {
            let count = tls.read(&mut wire, &mut into).unwrap();
            read.extend_from_slice(&into[..count]);
        }
        assert!(read == content, "{at_once} at once, read {room} at a time");
        assert_eq!(tls.read(&mut wire, &mut into).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(is_at_rest(&tls), "who has nothing under way holds nothing");

        let slices: Vec<_> = content.chunks(3000).map(IoSlice::new).collect();
        let mut written = 0;
        while written < content.len() {
            let mut left = &mut slices.clone()[..];
            IoSlice::advance_slices(&mut left, written);
            written += tls.write(&mut wire, left).unwrap();
        }
        tls.push(&mut wire).unwrap();
        let (heard, lengths) = hear(&mut client, &mut wire);
        assert!(heard == content && is_at_rest(&tls), "{at_once} at once");
        assert_eq!(lengths.len(), content.len().div_ceil(MOST_CONTENT), "as few records as can be");

        tls.end(&mut wire).unwrap();
        tls.end(&mut wire).unwrap();
        let _ = hear(&mut client, &mut wire);
        client.send_close_notify();
        client.write_tls(&mut wire.coming).unwrap();
        assert_eq!(tls.read(&mut wire, &mut into).unwrap(), 0, "the client says nothing more");
    }
}

#[test]
fn what_a_socket_does_not_take_is_held_counts_and_goes_first() {
    let (mut client, mut tls, mut wire) = pair(usize::MAX);
    wire.room = 1000;
    let (first, second) = (vec![b'1'; 50_000], [b'2'; 10]);
    assert_eq!(tls.write(&mut wire, &[IoSlice::new(&first)]).unwrap(), MOST_CONTENT);
    let held = tls.held();
    assert!((MOST_CONTENT - 1000..MOST_RECORD).contains(&held), "{held}");
    assert!(queued::bytes() >= held, "it counts among what waits for readers");
    for _ in 0..3 {
        let refused = tls.write(&mut wire, &[IoSlice::new(&second)]).unwrap_err();
        assert_eq!((refused.kind(), tls.held()), (ErrorKind::WouldBlock, held));
    }
    wire.room = 500;
    assert_eq!(tls.push(&mut wire).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(tls.held(), held - 500);
    wire.room = usize::MAX;
    assert_eq!(tls.write(&mut wire, &[IoSlice::new(&second)]).unwrap(), second.len());
    let (heard, _) = hear(&mut client, &mut wire);
    assert!(heard[..MOST_CONTENT].iter().all(|byte| *byte == b'1') && heard[MOST_CONTENT..] == second);
    assert!(is_at_rest(&tls));
}

#[test]
fn what_was_read_can_be_given_back_and_a_client_that_breaks_the_rules_is_told() {
    let (mut client, mut tls, mut wire) = pair(usize::MAX);
    client.writer().write_all(b"GET /acc").unwrap();
    client.write_tls(&mut wire.coming).unwrap();
    let mut into = [0; 3];
    for _ in 0..2 {
        assert_eq!(tls.read(&mut wire, &mut into).unwrap(), 3);
        assert_eq!(&into, b"GET");
        tls.unread(&into);
    }
    let mut all = [0; 20];
    assert_eq!(tls.read(&mut wire, &mut all).unwrap(), 8);
    wire.coming.extend(b"\x17\x03\x03\0\x20no client has sealed this record");
    assert_eq!(tls.read(&mut wire, &mut all).unwrap_err().kind(), ErrorKind::InvalidData);
    tls.push(&mut wire).unwrap();
    client.read_tls(&mut wire.taken).unwrap();
    let heard = client.process_new_packets().unwrap_err();
    assert!(matches!(heard, rustls::Error::AlertReceived(_)), "{heard}");
}
