//! What a connection may ask for: log in, refresh, heartbeat, ping, send, marks, and every operation of the table.

use std::sync::Arc;
use std::time::Instant;

use chat_protocol::asked::Asked;
use chat_protocol::code::close;
use chat_protocol::envelope::Request;
use chat_protocol::observe::OBSERVE;
use chat_protocol::session::{HEARTBEAT, LOGIN, MSG, Msg, PING, REFRESH, Receipt, Refresh, TYPING, WATCH};
use chat_protocol::{Code, MsgId, Refusal, Target};
use futures_util::FutureExt;
use tracing::{Instrument, Span};

use super::login::Failed;
use super::request::Framed;
use super::{Done, Pending, Session, Sessions, login, marking, observing, request, told};
use crate::audit::Act;
use crate::auth::{Caller, Grant};
use crate::broker::{Outgoing, new_msg_id};
use crate::chat::{Chat, Sent};
use crate::counters::Counters;
use crate::counters::requests::OTHER;
use crate::hub::outbox::Close;
use crate::log::ms;
use crate::membership::subscriptions::Membership;
use crate::model::{Identity, Skip};

/// How far a request is.
pub enum Started {
    /// Done; this is the answer.
    Answered(Framed),
    /// A message that is to be stored, perhaps together with the next ones.
    Message(Box<Message>),
    /// Waiting for a store, perhaps with much to do.
    Waiting(Pending),
}

/// A message that is to be stored, and what its answer needs.
pub struct Message {
    seq: String,
    message: Outgoing,
    /// To be recorded, because an operator sends it.
    act: Option<Act>,
    began: Instant,
    /// Nothing unless debugging is logged.
    span: Span,
}

/// A request that is waited for: where it is counted once it is answered.
pub(super) struct Counted {
    counters: Arc<Counters>,
    /// Among those over WebSocket.
    place: usize,
    began: Instant,
}

impl Counted {
    pub(super) fn new(session: &Session, cmd: &str, began: Instant) -> Self {
        let counters = session.shared.counters.clone();
        Self { place: counters.requests.websocket.place(cmd), counters, began }
    }

    /// It is answered so.
    pub(super) fn answered(self, answer: Framed) -> Framed {
        let took = self.began.elapsed();
        self.counters.requests.websocket.at(self.place).count(answer.code.number(), took);
        answer
    }
}

/// Starts on one text frame.
pub fn start(session: &mut Session, text: &str) -> Started {
    let began = Instant::now();
    let Asked { request, msg } = match request::parse(text) {
        Ok(asked) => asked,
        Err(answer) => return unreadable(session, answer, began),
    };
    let span = session.told.request(&request);
    let paced = session.check_pace(Some(&request.cmd), began);
    let started = span.in_scope(|| match paced {
        Ok(()) => begin(session, &request, msg, began),
        Err(refusal) => Started::Answered(request::refusal(&request.seq, &request.cmd, &refusal)),
    });
    match started {
        Started::Answered(answer) => {
            let answer = Counted::new(session, &request.cmd, began).answered(answer);
            span.in_scope(|| answered(answer.code, began));
            Started::Answered(answer)
        }
        Started::Message(mut message) => {
            (message.began, message.span) = (began, span);
            Started::Message(message)
        }
        Started::Waiting(pending) if span.is_disabled() => Started::Waiting(pending),
        Started::Waiting(pending) => Started::Waiting(watched(pending, began, span)),
    }
}

/// Answers a frame that cannot be read.
pub fn unreadable(session: &mut Session, answer: Framed, began: Instant) -> Started {
    let paced = session.check_pace(None, began);
    let answer = paced.map_or_else(|refusal| request::refusal("", "", &refusal), |()| answer);
    session.told.span().in_scope(|| answered(answer.code, began));
    Started::Answered(Counted::new(session, OTHER, began).answered(answer))
}

/// Stores messages, one behind the other.
pub fn store(shared: Arc<Sessions>, run: Vec<Message>) -> Pending {
    let storing = async move {
        let (mut heads, mut messages) = (Vec::with_capacity(run.len()), Vec::with_capacity(run.len()));
        let mut acts = Vec::new();
        for Message { seq, message, act, began, span } in run {
            heads.push((seq, began, span));
            messages.push(message);
            acts.extend(act);
        }
        let sent = match acts.is_empty() {
            true => shared.chat.send_all(messages).await,
            false => recorded(&shared.chat, messages, acts).await,
        };
        let (tally, now) = (shared.counters.requests.websocket.of(MSG), Instant::now());
        let answer = |((seq, began, span), sent): ((String, Instant, Span), Result<Sent, Refusal>)| {
            let answer = request::answer(&seq, MSG, sent.map(|sent| Some(receipt(sent))));
            tally.count(answer.code.number(), now.saturating_duration_since(began));
            span.in_scope(|| answered(answer.code, began));
            answer
        };
        Done::Messages(heads.into_iter().zip(sent).map(answer).collect())
    };
    storing.boxed()
}

/// Stores messages of an operator, each of which leaves a record.
async fn recorded(chat: &Chat, messages: Vec<Outgoing>, mut acts: Vec<Act>) -> Vec<Result<Sent, Refusal>> {
    // It holds for all of them.
    let checked = match acts.first_mut() {
        Some(act) => act.check().await,
        None => Ok(()),
    };
    if let Err(refusal) = checked {
        acts.into_iter().for_each(Act::forget);
        return messages.iter().map(|_| Err(refusal.clone())).collect();
    }
    let sent = chat.send_all(messages).await;
    let code =
        |sent: &Result<Sent, Refusal>| sent.as_ref().map_or_else(|refusal| refusal.code, |_| Code::Success);
    let done = acts.into_iter().zip(&sent).map(|(act, sent)| act.done(code(sent)));
    futures_util::future::join_all(done).await;
    sent
}

fn receipt(Sent { msg_id, receipt }: Sent) -> Receipt {
    let epoch = receipt.epoch.to_string();
    Receipt { msg_id, offset: receipt.offset, epoch, time: receipt.time, duplicate: receipt.duplicate }
}

/// The same, told when it is done.
fn watched(pending: Pending, began: Instant, span: Span) -> Pending {
    let watched = async move {
        let done = pending.await;
        match &done {
            Done::Answer(answer)
            | Done::Login(answer, _)
            | Done::Denied(answer, _)
            | Done::Observes(answer, _) => answered(answer.code, began),
            Done::Messages(_) => {}
        }
        done
    };
    watched.instrument(span).boxed()
}

fn answered(code: Code, began: Instant) {
    tracing::debug!(code = code.number(), ms = ms(began.elapsed()), "answered");
}

fn begin(session: &Session, request: &Request<'_>, msg: Option<Msg>, began: Instant) -> Started {
    let identity = session.membership.as_ref().map(Membership::identity);
    let outcome = match (&*request.cmd, identity) {
        (PING, _) => return Started::Answered(request::success(&request.seq, PING, Some("pong"))),
        (OBSERVE, _) => observing::start(session, request, began).map(Started::Waiting),
        (LOGIN, None) if session.observes() => Err(Refusal::new(
            Code::RefusedByRule,
            "this connection reads along as an operator; open another one to log in",
        )),
        (LOGIN, None) => login(session, request, began).map(Started::Waiting),
        (LOGIN, Some(_)) => Err(Refusal::new(
            Code::RefusedByRule,
            "already logged in; open another connection for another user",
        )),
        (HEARTBEAT, who) if who.is_some() || session.observes() => {
            return Started::Answered(request::success(&request.seq, HEARTBEAT, None::<()>));
        }
        (MSG, Some(identity)) => message(session, identity, request, msg, began),
        (REFRESH, Some(identity)) => match refresh(session, identity, request) {
            Ok(()) => return Started::Answered(request::success(&request.seq, REFRESH, None::<()>)),
            Err(refusal) => Err(refusal),
        },
        (WATCH | TYPING, Some(identity)) => marking::start(session, identity, request, began),
        (_, Some(identity)) => operation(session, identity, request, began).map(Started::Waiting),
        (HEARTBEAT | MSG | REFRESH | WATCH | TYPING, None) => Err(Code::NotLoggedIn.into()),
        (cmd, None) => Err(not_logged_in(session, cmd)),
    };
    match outcome {
        Ok(started) => started,
        Err(refusal) => {
            if request.cmd == LOGIN {
                session.told.refused(identity, &refusal, session.shared.hub.journal());
            }
            Started::Answered(request::refusal(&request.seq, &request.cmd, &refusal))
        }
    }
}

/// Whoever has not logged in learns only whether there is such a command.
fn not_logged_in(session: &Session, cmd: &str) -> Refusal {
    let Some(operation) = session.shared.operations.command(cmd) else {
        return Code::UnknownOperation.into();
    };
    let refusal = Code::NotLoggedIn.into();
    operation.guard().refused(None, session.told.address().1, &refusal);
    refusal
}

/// What the operator may do who logged in as the user; none for the users themselves.
pub(super) fn grant(session: &Session) -> Option<Grant> {
    session.scopes.map(|scopes| Grant { scopes, key: session.connection.key() })
}

fn login(session: &Session, request: &Request<'_>, began: Instant) -> Result<Pending, Refusal> {
    let login = login::parse(request)?;
    let counted = Counted::new(session, LOGIN, began);
    let identity = Identity { app: login.app_id, user: login.user_id };
    let token = login.token.or(login.service_token);
    let (seq, cmd) = request::named(request);
    let (shared, connection) = (session.shared.clone(), session.connection.clone());
    let place = session.told.address();
    connection.outbox.hold();
    let entering = async move {
        // A signature takes its time, which is not that of the worker.
        let pass = match shared.auth.pass(token.as_deref(), &identity) {
            Ok(pass) => pass,
            Err(refusal) => {
                told::refused(place, Some(&identity), &refusal, shared.hub.journal());
                let answer = counted.answered(request::refusal(&seq, &cmd, &refusal));
                // Whoever forgot the token may still give it; one that was refused will be refused again.
                let is_final = refusal.code != Code::NotLoggedIn;
                let close = || Close::new(close::TOKEN_INVALID, "the token is refused");
                return if is_final { Done::Denied(answer, close()) } else { Done::Login(answer, None) };
            }
        };
        let entering = login::enter(&shared, &connection, &identity, pass, login.recover);
        let by_key = pass.scopes.filter(|_| pass.number != 0);
        let entered = match by_key.zip(shared.operations.audit()) {
            Some((scopes, audit)) => {
                let grant = Grant { scopes, key: pass.number };
                let act = audit.act_as(LOGIN, (grant, &identity), place.1, []);
                act.around(entering, Failed::code).await
            }
            None => entering.await,
        };
        match entered {
            Ok(entered) => {
                let answer = counted.answered(request::success(&seq, &cmd, entered.answer.as_ref()));
                Done::Login(answer, Some(entered))
            }
            Err(failed) => {
                let (refusal, close) = match failed {
                    Failed::Banned(ban) => (ban.refusal(), Some(ban.close())),
                    Failed::Refused(refusal) => (refusal, None),
                };
                told::refused(place, Some(&identity), &refusal, shared.hub.journal());
                let answer = counted.answered(request::refusal(&seq, &cmd, &refusal));
                match close {
                    Some(close) => Done::Denied(answer, close),
                    None => Done::Login(answer, None),
                }
            }
        }
    };
    Ok(entering.boxed())
}

/// Goes on with another token of the same user.
fn refresh(session: &Session, identity: &Identity, request: &Request<'_>) -> Result<(), Refusal> {
    let Refresh { token } = request::params(request.data)?.conform(&[])?;
    let pass = session.shared.auth.pass(Some(&token), identity)?;
    if pass.scopes != session.scopes {
        let why = "the token is of another kind than that of the log-in";
        return Err(Refusal::new(Code::NotAuthorised, why));
    }
    match session.connection.extend_term(pass.until_s, pass.number) {
        true => Ok(()),
        false => Err(Refusal::parameter("token", "ends before the one in use")),
    }
}

fn message(
    session: &Session,
    identity: &Identity,
    request: &Request<'_>,
    msg: Option<Msg>,
    began: Instant,
) -> Result<Started, Refusal> {
    let msg = match msg {
        Some(msg) => msg,
        None => request::params(request.data)?.conform(&[])?,
    };
    let (target, content, msg_id) = msg.parts();
    content.check("msg")?;
    let msg_id = match msg_id {
        // Who gives no name at all takes the risk that a repeat is a second message.
        None if request.seq.is_empty() => None,
        None => Some(MsgId::new(&request.seq).map_err(|e| Refusal::parameter("msgId (default: seq)", e))?),
        given => given,
    };
    let skip = Skip::Connection(session.connection.id);
    if content.url.is_some() || session.shared.chat.passes_on(&target, &content) {
        // Its file is looked at first, or another node asked.
        let msg_id = msg_id.unwrap_or_else(new_msg_id);
        let act = recording(session, identity, &target, &msg_id);
        let (chat, sender) = (session.shared.chat.clone(), identity.clone());
        let sending =
            async move { chat.send(&sender, &target, &content, Some(&msg_id), skip).await.map(receipt) };
        let counted = Counted::new(session, MSG, began);
        let seq = request.seq.to_string();
        let answering = async move {
            let sent = match act {
                Some(act) => act.around(sending, |refusal: &Refusal| refusal.code).await,
                None => sending.await,
            };
            Done::Answer(counted.answered(request::answer(&seq, MSG, sent.map(Some))))
        };
        return Ok(Started::Waiting(answering.boxed()));
    }
    let message = Chat::message(identity, &target, &content, msg_id.as_ref(), skip)?;
    let act = recording(session, identity, &target, &message.msg_id);
    let seq = request.seq.to_string();
    Ok(Started::Message(Box::new(Message { seq, message, act, began, span: Span::none() })))
}

/// Of what an operator sends in the name of the user; users, and whoever is on a node that asks nobody, leave no record.
fn recording(session: &Session, identity: &Identity, target: &Target, msg_id: &MsgId) -> Option<Act> {
    if session.scopes.is_none() || session.shared.auth.is_open() {
        return None;
    }
    let (audit, grant) = (session.shared.operations.audit()?, grant(session)?);
    let named = [("target", target.to_string()), ("msgId", msg_id.to_string())];
    Some(audit.act_as(MSG, (grant, identity), session.told.address().1, named))
}

fn operation(
    session: &Session,
    identity: &Identity,
    request: &Request<'_>,
    began: Instant,
) -> Result<Pending, Refusal> {
    let operation = session.shared.operations.command(&request.cmd).ok_or(Code::UnknownOperation)?;
    let mut params = request::params(request.data)?;
    if let Some(key) = operation.key()
        && !request.seq.is_empty()
    {
        params.set_default(key, (&*request.seq).into());
    }
    let caller = Caller::Session(identity.clone(), grant(session));
    let running = operation.call(caller, session.told.address().1, params);
    let (seq, cmd) = request::named(request);
    let counted = Counted::new(session, &cmd, began);
    let max_bytes = session.shared.hub.limits().bytes;
    let answering = async move {
        let answer = request::answer(&seq, &cmd, running.await.map(Some));
        if answer.frame.len() <= max_bytes {
            return Done::Answer(counted.answered(answer));
        }
        let reason = format!("the answer has more than {max_bytes} bytes; ask for pages with limit");
        let refusal = Refusal::new(Code::TooLarge, reason);
        Done::Answer(counted.answered(request::refusal(&seq, &cmd, &refusal)))
    };
    Ok(answering.boxed())
}
