//! The commands of marks: which conversation is looked at, and that its user writes there.
//!
//! Invariant: they are answered at once, from what this node knows.

use chat_protocol::envelope::Request;
use chat_protocol::session::{TYPING, Typing, Watch};
use chat_protocol::{Refusal, Target};

use super::{Session, request};
use crate::broker::BrokerError;
use crate::model::{Conversation, Identity, Topic};

/// Does [`TYPING`] or [`chat_protocol::session::WATCH`].
pub(super) fn run(session: &Session, identity: &Identity, request: &Request<'_>) -> Result<(), Refusal> {
    let params = request::params(request.data)?;
    if request.cmd == TYPING {
        let Typing { target } = params.conform(&[])?;
        let conversation = conversation(session, identity, &target)?;
        session.shared.marks.typing(&identity.user, conversation);
        return Ok(());
    }
    let Watch { target } = params.conform(&[])?;
    let looked_at = target.map(|target| conversation(session, identity, &target)).transpose()?;
    session.shared.hub.watch(&session.connection, looked_at);
    Ok(())
}

/// A conversation of the user; of a group the connection is in the room.
fn conversation(session: &Session, identity: &Identity, target: &Target) -> Result<Conversation, Refusal> {
    if let Target::Group(group) = target {
        let room = Topic::Group(identity.app, group.clone());
        if !session.shared.hub.holds(&session.connection, identity, &room) {
            return Err(BrokerError::NotMember.into());
        }
    }
    Ok(Conversation::of(identity.app, &identity.user, target))
}
