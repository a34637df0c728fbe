//! What leaves a writer, in which order, over sockets that take little.

use super::*;

/// A socket that takes so many bytes at a time, and so many in all until it blocks.
struct Narrow {
    at_once: usize,
    room: usize,
    taken: Vec<u8>,
}

impl Narrow {
    fn new(at_once: usize, room: usize) -> Self {
        Self { at_once, room, taken: Vec::new() }
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = bytes.len().min(self.at_once).min(self.room);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Result<usize> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.write(&all)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Outlet for Narrow {}

/// A socket that takes more than it can pass on.
struct Holding {
    below: Narrow,
    held: Vec<u8>,
}

impl Write for Holding {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        assert!(self.held.is_empty(), "it was to pass that on first");
        let passed = self.below.write(bytes).unwrap_or(0);
        self.held.extend_from_slice(&bytes[passed..]);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Result<usize> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.write(&all)
    }

    fn flush(&mut self) -> Result<()> {
        while !self.held.is_empty() {
            let passed = self.below.write(&self.held)?;
            self.held.drain(..passed);
        }
        Ok(())
    }
}

impl Outlet for Holding {
    fn held(&self) -> usize {
        self.held.len()
    }
}

/// Frames to be taken one after the other.
fn source(frames: &[&'static str]) -> impl FnMut(&mut Frames, usize) + use<> {
    let mut left: Frames = frames.iter().map(|frame| Bytes::from_static(frame.as_bytes())).collect();
    move |writing, max| left.move_to(writing, max)
}

#[test]
fn frames_leave_in_their_order_however_little_the_socket_takes() {
    for at_once in 1..12 {
        let (mut writer, mut socket) = (Writer::default(), Narrow::new(at_once, usize::MAX));
        let flushed = writer.flush(&mut socket, source(&["one", "two", "", "three"])).unwrap();
        assert_eq!((flushed, &*socket.taken), (Flushed::All, &b"onetwothree"[..]), "{at_once} at a time");
        assert_eq!((writer.bytes(), writer.unwritten()), (11, Waiting::default()));
        assert!(writer.rest.is_none(), "nobody who waits for nothing holds a queue");
    }
}

#[test]
fn what_a_socket_does_not_take_waits_and_the_first_frame_goes_on_where_it_was() {
    let (mut writer, mut socket) = (Writer::default(), Narrow::new(usize::MAX, 5));
    assert_eq!(writer.flush(&mut socket, source(&["one", "two", "three"])).unwrap(), Flushed::Blocked);
    assert_eq!(writer.unwritten(), Waiting { frames: 2, bytes: 6 });
    assert!(writer.has_moved() && !writer.has_moved());
    assert_eq!(writer.flush(&mut socket, source(&[])).unwrap(), Flushed::Blocked);
    assert!(!writer.has_moved());
    socket.room = usize::MAX;
    assert_eq!(writer.flush(&mut socket, source(&["four"])).unwrap(), Flushed::All);
    assert_eq!((&*socket.taken, writer.frames()), (&b"onetwothreefour"[..], 4));
}

#[test]
fn pongs_overtake_data_and_only_the_last_of_many_waits() {
    let (mut writer, mut socket) = (Writer::default(), Narrow::new(usize::MAX, usize::MAX));
    writer.pong(b"1");
    writer.pong(b"");
    writer.flush(&mut socket, source(&["data"])).unwrap();
    assert_eq!(socket.taken, b"\x8a\x011\x8a\x00data");
    socket.taken.clear();
    for number in 0..10_000_u32 {
        writer.pong(&number.to_be_bytes());
    }
    writer.flush(&mut socket, source(&[])).unwrap();
    assert_eq!(socket.taken.len(), MAX_PONGS * 6);
    assert!(socket.taken.ends_with(&9_999_u32.to_be_bytes()));
}

#[test]
fn a_close_stands_behind_all_that_waits_and_nothing_behind_it() {
    let (mut writer, mut socket) = (Writer::default(), Narrow::new(3, usize::MAX));
    writer.pong(b"p");
    writer.close(4001, "slow");
    writer.close(1000, "a second one");
    writer.confirm_close(Some(1000));
    let mut more = source(&["one", "two"]);
    assert_eq!(writer.flush(&mut socket, &mut more).unwrap(), Flushed::All);
    assert_eq!(socket.taken, b"\x8a\x01ponetwo\x88\x06\x0f\xa1slow");
    writer.pong(b"late");
    writer.flush(&mut socket, source(&["late"])).unwrap();
    assert!(socket.taken.ends_with(b"slow"), "{:x?}", socket.taken);
}

#[test]
fn a_close_of_the_client_is_confirmed_with_its_code() {
    for (code, frame) in [(Some(1000), &b"\x88\x02\x03\xe8"[..]), (None, b"\x88\x00")] {
        let (mut writer, mut socket) = (Writer::default(), Narrow::new(usize::MAX, usize::MAX));
        writer.confirm_close(code);
        writer.flush(&mut socket, source(&[])).unwrap();
        assert_eq!(socket.taken, frame);
    }
}

#[test]
fn who_is_given_up_gets_the_rest_of_a_begun_frame_and_the_close() {
    let (mut writer, mut socket) = (Writer::default(), Narrow::new(usize::MAX, 4));
    writer.flush(&mut socket, source(&["one", "two", "three"])).unwrap();
    assert_eq!(writer.cut(), Waiting { frames: 1, bytes: 5 });
    writer.close(4001, "");
    socket.room = usize::MAX;
    writer.flush(&mut socket, source(&[])).unwrap();
    assert_eq!(socket.taken, b"onetwo\x88\x02\x0f\xa1");
    // Nothing has begun: nothing stands before the close.
    let (mut writer, mut socket) = (Writer::default(), Narrow::new(usize::MAX, 3));
    writer.flush(&mut socket, source(&["one", "two"])).unwrap();
    assert_eq!(writer.cut(), Waiting { frames: 1, bytes: 3 });
}

#[test]
fn a_socket_that_takes_nothing_for_good_is_an_error() {
    struct Shut;
    impl Write for Shut {
        fn write(&mut self, _: &[u8]) -> Result<usize> {
            Ok(0)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }
    impl Outlet for Shut {}
    let error = Writer::default().flush(&mut Shut, source(&["x"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WriteZero);
}

#[test]
fn what_a_socket_holds_is_not_written_yet() {
    let mut socket = Holding { below: Narrow::new(usize::MAX, 4), held: Vec::new() };
    let mut writer = Writer::default();
    let mut frames = source(&["one", "two", "three"]);
    let mut flush = |writer: &mut Writer, socket: &mut Holding| writer.flush(socket, &mut frames).unwrap();
    assert_eq!(flush(&mut writer, &mut socket), Flushed::Blocked);
    assert!(writer.has_moved());
    assert_eq!((&*socket.below.taken, &*socket.held), (&b"onet"[..], &b"wothree"[..]));
    for (room, has_moved, flushed) in
        [(0, false, Flushed::Blocked), (3, true, Flushed::Blocked), (9, true, Flushed::All)]
    {
        socket.below.room = room;
        assert_eq!(flush(&mut writer, &mut socket), flushed, "room for {room}");
        assert_eq!(writer.has_moved(), has_moved, "room for {room}");
        assert!(writer.rest.is_none(), "nobody who waits for nothing holds a queue");
    }
    assert_eq!(socket.below.taken, b"onetwothree");
}
