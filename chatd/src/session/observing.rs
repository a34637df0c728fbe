//! A connection that reads along: an operator's, that is no user's, and gets what is said in conversations of others.
//!
//! Invariant: as with a log-in, pushes are held back from before the first conversation is observed until the answer and
//! what was missed are queued. Each attempt stands in the audit log, with the conversations it was for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chat_protocol::code::close;
use chat_protocol::envelope::Request;
use chat_protocol::observe::{MAX_OBSERVED, Observe, ObserveRequest, Observed};
use chat_protocol::params::Rule;
use chat_protocol::session::{Position, Recovered};
use chat_protocol::{Code, Operation, Refusal, Target};
use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use super::command::{Counted, grant};
use super::{Done, Pending, Session, Sessions, login, request, told};
use crate::auth::{Caller, Grant};
use crate::hub::Connection;
use crate::hub::outbox::Close;
use crate::membership::missed::{self, Budget};
use crate::membership::subscriptions::{Membership, Observation};
use crate::model::{self, Conversation, Entry};

/// An observer that was let in.
pub struct Observer {
    /// Its stay.
    pub observation: Observation,
    /// Messages to send again, behind the answer.
    pub frames: Vec<Bytes>,
    /// How far they go.
    pub sent: Vec<(Conversation, model::Position)>,
    /// Until the outbox has them.
    _turn: OwnedSemaphorePermit,
}

impl Session {
    /// Whether it reads along.
    pub(super) fn observes(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| seldom.observation.is_some())
    }

    /// It reads along no more.
    pub(super) fn observes_no_more(&mut self) {
        if let Some(seldom) = &mut self.seldom {
            seldom.observation = None;
        }
    }
}

/// Starts on the command that makes a connection an observer.
pub(super) fn start(session: &Session, request: &Request<'_>, began: Instant) -> Result<Pending, Refusal> {
    if let Some(identity) = session.membership.as_ref().map(Membership::identity) {
        let caller = Caller::Session(identity.clone(), grant(session));
        admit(&session.shared, &caller, session.told.address().1)?;
    }
    if session.membership.is_some() || session.observes() {
        let why = "this connection has a user, or observes already; open another one";
        return Err(Refusal::new(Code::RefusedByRule, why));
    }
    let asked: ObserveRequest = request::params(request.data)?.conform(Observe::RULES)?;
    let conversations = conversations(&asked)?;
    let counted = Counted::new(session, &request.cmd, began);
    let (seq, cmd) = request::named(request);
    let (shared, connection) = (session.shared.clone(), session.connection.clone());
    let place = session.told.address();
    connection.outbox.hold();
    let entering = async move {
        let refused = |refusal: &Refusal| {
            told::refused(place, None, refusal, None);
            request::refusal(&seq, &cmd, refusal)
        };
        let grant = match who(&shared, asked.token.as_deref(), place.1) {
            Ok(grant) => grant,
            Err(refusal) => {
                let answer = counted.answered(refused(&refusal));
                // As at a log-in: whoever forgot the key may still give it.
                let is_final = refusal.code != Code::NotLoggedIn;
                let close = || Close::new(close::TOKEN_INVALID, "the token is refused");
                return if is_final { Done::Denied(answer, close()) } else { Done::Login(answer, None) };
            }
        };
        let kept = (Some(asked.app_id), kept(&asked));
        let entering = enter(&shared, &connection, grant, &conversations, asked.recover);
        let entered = match shared.operations.audit() {
            Some(audit) => {
                let act = audit.act_by(grant, &Observe::DESCRIPTION, place.1, kept);
                act.around(entering, |refusal: &Refusal| refusal.code).await
            }
            None => entering.await,
        };
        match entered {
            Ok((answer, observer)) => Done::Observes(
                counted.answered(request::success(&seq, &cmd, Some(answer))),
                Box::new(observer),
            ),
            Err(refusal) => Done::Login(counted.answered(refused(&refusal)), None),
        }
    };
    Ok(entering.boxed())
}

/// Whether the caller may observe; a refusal is noted.
fn admit(shared: &Sessions, caller: &Caller, peer: SocketAddr) -> Result<(), Refusal> {
    caller.may(Observe::RIGHTS).inspect_err(|refusal| note(shared, Some(caller), peer, refusal))
}

fn note(shared: &Sessions, caller: Option<&Caller>, peer: SocketAddr, refusal: &Refusal) {
    if let Some(audit) = shared.operations.audit() {
        audit.refused(&Observe::DESCRIPTION, caller, peer, refusal);
    }
}

/// By what right whoever shows this token observes.
fn who(shared: &Sessions, token: Option<&str>, peer: SocketAddr) -> Result<Grant, Refusal> {
    let caller = shared.auth.observer(token).inspect_err(|refusal| note(shared, None, peer, refusal))?;
    admit(shared, &caller, peer)?;
    caller.grant().ok_or_else(|| Code::NotAuthorised.into())
}

/// The conversations of these positions, in their order.
fn conversations(asked: &ObserveRequest) -> Result<Vec<Conversation>, Refusal> {
    let count = asked.recover.len();
    if count == 0 || count > MAX_OBSERVED {
        return Err(Refusal::parameter("recover", format_args!("names 1 to {MAX_OBSERVED} conversations")));
    }
    let mut conversations = Vec::with_capacity(count);
    for Position { target, .. } in &asked.recover {
        let conversation = match (target, &asked.user_id) {
            (Target::World, _) => Conversation::World(asked.app_id),
            (Target::Group(group), _) => Conversation::Group(asked.app_id, group.clone()),
            (Target::User(_), Some(user)) => Conversation::of(asked.app_id, user, target),
            (Target::User(_), None) => return Err(Rule::TwoSides("userId", "recover").refusal()),
        };
        if conversations.contains(&conversation) {
            return Err(Refusal::parameter("recover", "names a conversation twice"));
        }
        conversations.push(conversation);
    }
    Ok(conversations)
}

/// What the record of it holds: whose conversations, and which.
fn kept(asked: &ObserveRequest) -> Map<String, Value> {
    let user = asked.user_id.iter().map(|user| ("userId".to_owned(), user.as_str().into()));
    let targets = asked.recover.iter().map(|position| Value::from(position.target.to_string()));
    user.chain([("targets".to_owned(), targets.collect())]).collect()
}

async fn enter(
    shared: &Arc<Sessions>,
    connection: &Arc<Connection>,
    grant: Grant,
    conversations: &[Conversation],
    positions: Vec<Position>,
) -> Result<(Observed, Observer), Refusal> {
    for conversation in conversations {
        if let Conversation::Group(app, group) = conversation {
            shared.groups.group(*app, group).await?;
        }
    }
    let turn = login::turn(shared).await?;
    let observation = shared.subscriptions.observe(connection, grant.key, conversations).await?;
    let mut observer = Observer { observation, frames: Vec::new(), sent: Vec::new(), _turn: turn };
    let mut budget = Budget::within(shared.hub.limits());
    let mut recovered = Vec::with_capacity(positions.len());
    for (conversation, position) in conversations.iter().zip(positions) {
        let Position { target, epoch, offset } = position;
        let mut readable = true;
        let encode = |entry: &Entry| {
            let frame = shared.hub.logged_frame(conversation, entry);
            readable &= frame.is_some();
            frame
        };
        let missed =
            missed::read(&*shared.broker, conversation, Some(&epoch), offset, &mut budget, encode).await?;
        observer.frames.extend(missed.frames);
        let (epoch, offset) = (missed.epoch.to_string(), missed.head);
        observer.sent.push((conversation.clone(), model::Position { epoch: missed.epoch, offset }));
        recovered.push(Recovered { target, epoch, offset, complete: missed.complete && readable });
    }
    Ok((Observed { recovered }, observer))
}
