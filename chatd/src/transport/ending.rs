//! How a connection ended, and what went over it until then.

/// Codes that no close frame bears (RFC 6455 §7.4.1): there was none in it, or no close frame at all.
pub mod unsaid {
    /// The close frame had no code.
    pub const NO_CODE: u16 = 1005;
    /// There was no close frame.
    pub const NO_CLOSE: u16 = 1006;
}

/// Why a connection ended that nobody closed.
pub const LOST: &str = "the connection was lost";

/// How a client broke the protocol, or asked for more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// Close code (RFC 6455 §7.4.1).
    pub code: u16,
    /// What the client is told.
    pub reason: &'static str,
    /// Which rule it was.
    pub detail: &'static str,
}

impl Violation {
    /// Of the rule that is named.
    #[must_use]
    pub const fn protocol(detail: &'static str) -> Self {
        Self { code: 1002, reason: "protocol error", detail }
    }

    /// Of the rule that text is UTF-8.
    #[must_use]
    pub const fn not_utf8() -> Self {
        Self { code: 1007, reason: "text is not UTF-8", detail: "bytes that are no UTF-8" }
    }

    /// Of the bound of a message.
    #[must_use]
    pub const fn too_big() -> Self {
        Self { code: 1009, reason: "frame too large", detail: "a message that is too long" }
    }
}

/// Why the peer's side of a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Close code, the peer's or ours, or one that stands for the lack of it.
    pub code: u16,
    /// Why, in our words.
    pub reason: &'static str,
    /// What the peer or the system said of it; may be empty.
    pub detail: String,
}

/// What went over a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Bytes read, the handshake not counted.
    pub bytes_in: u64,
    /// Bytes the kernel took.
    pub bytes_out: u64,
    /// Frames the kernel took whole, those of the protocol included.
    pub frames_out: u64,
}

/// Frames that wait, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Frames, one that is partly written included.
    pub frames: usize,
    /// Bytes not yet written.
    pub bytes: usize,
}

impl std::ops::Add for Waiting {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { frames: self.frames + other.frames, bytes: self.bytes + other.bytes }
    }
}

impl Waiting {
    /// These frames.
    #[must_use]
    pub fn of<'f>(frames: impl IntoIterator<Item = &'f bytes::Bytes>) -> Self {
        let one = |frame: &bytes::Bytes| Self { frames: 1, bytes: frame.len() };
        frames.into_iter().fold(Self::default(), |sum, frame| sum + one(frame))
    }
}
