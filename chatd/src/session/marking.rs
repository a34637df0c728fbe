//! The commands of marks: which conversation is looked at, and that its user writes there.
//!
//! Invariant: they are answered at once, from what this node knows, unless it is asked how far others have read.

use std::time::Instant;

use chat_protocol::envelope::Request;
use chat_protocol::session::{TYPING, Typing, WATCH, Watch};
use chat_protocol::{Refusal, Target};
use futures_util::FutureExt;

use super::command::{Counted, Started};
use super::{Done, Session, request};
use crate::broker::BrokerError;
use crate::model::{Conversation, Identity, Topic};

/// Does [`TYPING`] or [`WATCH`].
pub(super) fn start(
    session: &Session,
    identity: &Identity,
    request: &Request<'_>,
    began: Instant,
) -> Result<Started, Refusal> {
    let params = request::params(request.data)?;
    if request.cmd == TYPING {
        let Typing { target } = params.conform(&[])?;
        let conversation = conversation(session, identity, &target)?;
        session.shared.marks.typing(&identity.user, conversation);
        return Ok(Started::Answered(request::success(&request.seq, TYPING, None::<()>)));
    }
    let Watch { target, readers } = params.conform(&[])?;
    let looked_at = target.as_ref().map(|target| conversation(session, identity, target)).transpose()?;
    session.shared.hub.watch(&session.connection, looked_at);
    let (Some(target), Some(most)) = (target, readers) else {
        return Ok(Started::Answered(request::success(&request.seq, WATCH, None::<()>)));
    };
    let (standing, identity, seq) =
        (session.shared.standing.clone(), identity.clone(), request.seq.to_string());
    let counted = Counted::new(session, WATCH, began);
    let answering = async move {
        let readers = standing.of_others(&identity, target, most as usize).await;
        Done::Answer(counted.answered(request::answer(&seq, WATCH, readers.map(Some))))
    };
    Ok(Started::Waiting(answering.boxed()))
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
