//! What RFC 6455 asks of the receiving half of a server, rule by rule.

use super::*;

const MAX: usize = 70_000;
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const CLOSE: u8 = 0x88;
/// A text that is not the last frame of its message, and what goes on after it.
const BEGIN: u8 = 0x01;
const GO_ON: u8 = 0x00;
const LAST: u8 = 0x80;

/// What was received, owned.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Other,
    Close(Option<(u16, String)>),
    Violation(u16),
}

fn own(received: Result<Received<'_>, Violation>) -> Got {
    match received {
        Ok(Received::Text(text)) => Got::Text(text.into_owned()),
        Ok(Received::Binary(bytes)) => Got::Binary(bytes.into_owned()),
        Ok(Received::Ping(content)) => Got::Ping(content.to_vec()),
        Ok(Received::Other) => Got::Other,
        Ok(Received::Close(close)) => Got::Close(close.map(|(code, reason)| (code, reason.to_owned()))),
        Err(violation) => Got::Violation(violation.code),
    }
}

/// Reads `input` when `step` more bytes of it are there at a time, up to a violation.
fn read(input: &[u8], step: usize) -> Vec<Got> {
    let (mut reader, mut got, mut kept) = (Reader::default(), Vec::new(), Vec::new());
    for piece in input.chunks(step) {
        kept.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match reader.next(&mut kept, &mut at, MAX) {
                Ok(None) => break,
                Ok(Some(received)) => got.push(own(Ok(received))),
                Err(violation) => {
                    got.push(own(Err(violation)));
                    return got;
                }
            }
        }
        kept.drain(..at);
    }
    got
}

/// A frame with its content masked.
fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match content.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend(mask);
    frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn frames(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, content)| frame(*first, content)).collect()
}

/// The same comes out however the bytes are cut.
#[track_caller]
fn gives(input: &[u8], expected: &[Got]) {
    for step in [1, 2, 3, 7, 64, 4096, usize::MAX] {
        assert_eq!(read(input, step), expected, "{step} bytes at a time");
    }
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // §5.7
    gives(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], &[Got::Text("Hello".into())]);
    gives(
        &[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58, 0x89, 0x80, 1, 2, 3, 4],
        &[Got::Other, Got::Ping(Vec::new())],
    );
}

#[test]
fn every_length_is_read_whole() {
    for length in [0, 1, 7, 8, 9, 15, 16, 17, 124, 125, 126, 127, 128, 255, 256, 65_535, 65_536, MAX] {
        let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for step in [1021, usize::MAX] {
            assert_eq!(read(&frame(BINARY, &content), step), [Got::Binary(content.clone())], "{length}");
        }
    }
}

#[test]
fn a_length_in_a_longer_form_than_it_needs_is_a_violation() {
    for length in [0, 1, 125] {
        let mut bytes = vec![TEXT, 0xfe, 0, length, 0, 0, 0, 0];
        bytes.extend(vec![b'x'; usize::from(length)]);
        gives(&bytes, &[Got::Violation(1002)]);
    }
    for length in [0_u64, 125, 126, 65_535] {
        let header = [&[TEXT, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
        gives(&header, &[Got::Violation(1002)]);
    }
    gives(&[&[TEXT, 0xff, 0x80][..], &[0; 11]].concat(), &[Got::Violation(1002)]);
}

#[test]
fn who_announces_more_than_a_message_may_have_is_refused_before_it_is_sent() {
    let mut too_long = frame(BINARY, &vec![0; MAX + 1]);
    too_long.truncate(14);
    assert_eq!(read(&too_long, usize::MAX), [Got::Violation(1009)]);
    let endless = [&[BINARY, 0xff][..], &i64::MAX.to_be_bytes(), &[0; 4]].concat();
    assert_eq!(read(&endless, usize::MAX), [Got::Violation(1009)]);
    // In parts too.
    let half = vec![b'x'; MAX / 2 + 1];
    let parts = frames(&[(BEGIN, &half), (LAST, &half)]);
    assert_eq!(read(&parts, usize::MAX), [Got::Other, Got::Violation(1009)]);
    let fits = frames(&[(BEGIN, &half), (LAST, &half[2..])]);
    assert_eq!(read(&fits, usize::MAX)[1], Got::Text("x".repeat(MAX)));
    let many = frames(&[(BEGIN, &half), (GO_ON, &half[2..]), (PING, b"p"), (GO_ON, b""), (LAST, b"x")]);
    let before = [Got::Other, Got::Other, Got::Ping(b"p".to_vec()), Got::Other];
    let got = read(&many, usize::MAX);
    assert_eq!((&got[..4], &got[4..]), (&before[..], &[Got::Violation(1009)][..]));
}

#[test]
fn reserved_bits_are_a_violation_in_every_frame() {
    for bits in (0x10..=0x70).step_by(0x10) {
        for first in [TEXT, BINARY, BEGIN, PING, PONG, CLOSE] {
            gives(&frame(first | bits, b""), &[Got::Violation(1002)]);
            gives(
                &frames(&[(TEXT, b"a"), (first | bits, b"b"), (PING, b"")]),
                &[Got::Text("a".into()), Got::Violation(1002)],
            );
        }
    }
}

#[test]
fn reserved_opcodes_are_a_violation() {
    for opcode in (3..=7).chain(11..=15) {
        for fin in [0, FIN] {
            gives(&frame(fin | opcode, b"x"), &[Got::Violation(1002)]);
            gives(&frames(&[(PING, b""), (fin | opcode, b"")]), &[Got::Ping(vec![]), Got::Violation(1002)]);
        }
    }
}

#[test]
fn a_frame_without_a_mask_is_a_violation() {
    for first in [TEXT, BINARY, BEGIN, GO_ON, LAST, PING, PONG, CLOSE] {
        for length in [0, 1, 125] {
            let bytes = [vec![first, length], vec![b'x'; usize::from(length)]].concat();
            gives(&bytes, &[Got::Violation(1002)]);
        }
    }
}

#[test]
fn control_frames_are_whole_and_short() {
    for first in [PING, PONG, CLOSE] {
        gives(&frame(first & !FIN, b""), &[Got::Violation(1002)]);
        for length in [126, 65_536] {
            assert_eq!(read(&frame(first, &vec![b'x'; length]), 4096), [Got::Violation(1002)]);
        }
    }
    for length in [0, 1, 124, 125] {
        let content = vec![b'x'; length];
        gives(&frame(PING, &content), &[Got::Ping(content.clone())]);
        gives(&frame(PONG, &content), &[Got::Other]);
    }
}

#[test]
fn a_message_comes_in_any_number_of_parts_with_control_frames_between_them() {
    let parts =
        frames(&[(BEGIN, b"a"), (PING, b"1"), (GO_ON, b""), (GO_ON, b"b"), (PONG, b""), (LAST, b"c")]);
    let (other, ping) = (|| Got::Other, Got::Ping(b"1".to_vec()));
    gives(&parts, &[other(), ping, other(), other(), other(), Got::Text("abc".into())]);
    let binary = frames(&[(0x02, b"\xff"), (LAST, b"\x00"), (TEXT, b"next")]);
    gives(&binary, &[other(), Got::Binary(vec![0xff, 0]), Got::Text("next".into())]);
    gives(&frames(&[(BEGIN, b""), (LAST, b"")]), &[other(), Got::Text(String::new())]);
}

#[test]
fn parts_out_of_order_are_a_violation() {
    for first in [GO_ON, LAST] {
        gives(&frame(first, b"x"), &[Got::Violation(1002)]);
        gives(&frames(&[(TEXT, b"a"), (first, b"x")]), &[Got::Text("a".into()), Got::Violation(1002)]);
        gives(
            &frames(&[(BEGIN, b"a"), (LAST, b"b"), (first, b"x")]),
            &[Got::Other, Got::Text("ab".into()), Got::Violation(1002)],
        );
    }
    for first in [TEXT, BINARY, BEGIN, 0x02] {
        gives(&frames(&[(BEGIN, b"a"), (first, b"b")]), &[Got::Other, Got::Violation(1002)]);
    }
}

#[test]
fn text_is_utf_8_and_a_character_may_stand_in_two_parts() {
    let text = "κόσμε 中文 😀 \u{10ffff}\u{0}";
    gives(&frame(TEXT, text.as_bytes()), &[Got::Text(text.into())]);
    for cut in 0..=text.len() {
        let (begin, end) = text.as_bytes().split_at(cut);
        let parts = frames(&[(BEGIN, begin), (PING, b"p"), (LAST, end)]);
        gives(&parts, &[Got::Other, Got::Ping(b"p".to_vec()), Got::Text(text.into())]);
    }
    // Byte by byte.
    let bytes = text.as_bytes();
    let mut parts: Vec<(u8, &[u8])> = bytes.chunks(1).map(|byte| (GO_ON, byte)).collect();
    parts[0].0 = BEGIN;
    parts.push((LAST, b""));
    assert_eq!(read(&frames(&parts), 5).pop(), Some(Got::Text(text.into())));
}

#[test]
fn what_is_not_utf_8_is_a_violation_as_soon_as_it_is_known() {
    let bad: [&[u8]; 12] = [
        b"\x80",
        b"\xc0\xaf",
        b"\xc1\x81",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xe4\xb8x",
    ];
    for bad in bad {
        gives(&frame(TEXT, bad), &[Got::Violation(1007)]);
        let text = [b"good \xce\xba ", bad].concat();
        gives(&frame(TEXT, &text), &[Got::Violation(1007)]);
        gives(&frames(&[(BEGIN, b"good"), (GO_ON, &text)]), &[Got::Other, Got::Violation(1007)]);
        gives(&frame(BINARY, bad), &[Got::Binary(bad.to_vec())]);
    }
    // Nothing follows that could make it whole.
    for cut in [&b"\xce"[..], b"\xe4\xb8", b"\xf0\x9f\x98"] {
        gives(&frame(TEXT, cut), &[Got::Violation(1007)]);
        gives(&frames(&[(BEGIN, cut), (LAST, b"")]), &[Got::Other, Got::Violation(1007)]);
        gives(&frames(&[(BEGIN, cut), (GO_ON, b"x")]), &[Got::Other, Got::Violation(1007)]);
    }
}

#[test]
fn a_close_may_bear_a_code_that_may_be_sent_and_a_reason() {
    gives(&frame(CLOSE, b""), &[Got::Close(None)]);
    gives(&frame(CLOSE, b"\x03"), &[Got::Violation(1002)]);
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        gives(&close(code, b""), &[Got::Close(Some((code, String::new())))]);
        gives(&close(code, "再见".as_bytes()), &[Got::Close(Some((code, "再见".into())))]);
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        gives(&close(code, b""), &[Got::Violation(1002)]);
    }
    gives(&close(1000, &[b'x'; 123]), &[Got::Close(Some((1000, "x".repeat(123))))]);
    gives(&close(1000, &[b'x'; 124]), &[Got::Violation(1002)]);
    gives(&close(1000, b"\xff"), &[Got::Violation(1007)]);
    gives(&frames(&[(BEGIN, b"a"), (CLOSE, b"")]), &[Got::Other, Got::Close(None)]);
}

#[test]
fn bytes_that_are_no_frames_are_a_violation_and_never_a_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..2_000 {
        let noise: Vec<u8> = (0..64)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        assert_eq!(read(&noise, 1), read(&noise, usize::MAX), "round {round}: {noise:x?}");
    }
}
