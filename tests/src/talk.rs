//! What users of a test do: read what reaches them, and notice when something does not.
//!
//! Invariant: that nothing arrived is never concluded from time, only from what arrived after it.

use chat_client::{Error, Session};
use chat_protocol::Target;
use chat_protocol::session::Push;

use crate::node::Node;
use crate::wait::SOON;

/// The next message; comings and goings before it are dropped.
///
/// # Panics
/// When there is none soon or the connection ends.
pub async fn next_message(session: &mut Session) -> Push {
    loop {
        let push = session.next_push(SOON).await.expect("an open connection").expect("a message");
        if let Some(message) = push.message() {
            return message;
        }
    }
}

/// The next text.
///
/// # Panics
/// As [`next_message`].
pub async fn next_text(session: &mut Session) -> String {
    next_message(session).await.content.msg.expect("a text")
}

/// The next so many texts.
///
/// # Panics
/// As [`next_message`].
pub async fn texts(session: &mut Session, count: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(count);
    while texts.len() < count {
        texts.push(next_text(session).await);
    }
    texts
}

/// Reads to the end of a connection and gives the close code.
///
/// # Panics
/// When it does not end soon.
pub async fn close_code(session: &mut Session) -> u16 {
    loop {
        match session.next_push(SOON).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the connection stays open"),
            Err(Error::Closed { code, .. }) => return code,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The code of a refusal.
///
/// # Panics
/// When it was none.
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> u16 {
    match outcome {
        Err(Error::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

/// Two users who talk while others misbehave.
pub struct Bystanders {
    speaker: Session,
    listener: Session,
    said: u32,
}

impl Bystanders {
    /// Two users of an app.
    ///
    /// # Panics
    /// When they cannot log in.
    pub async fn arrive(node: &Node, app: u32) -> Self {
        let (speaker, listener) =
            tokio::join!(node.login(app, "bystander-1"), node.login(app, "bystander-2"));
        Self { speaker, listener, said: 0 }
    }

    /// Says something and checks that exactly this arrives, and nothing anybody else said before.
    ///
    /// # Panics
    /// When something else arrives or nothing does.
    pub async fn are_undisturbed(&mut self) {
        self.said += 1;
        let text = format!("still here {}", self.said);
        self.speaker.send(Target::World, &text).await.expect("the speaker is heard");
        assert_eq!(next_text(&mut self.listener).await, text);
    }
}
