//! Messages that other nodes store: each is sent to one of them by gRPC, and to the next when that one does not answer.
//!
//! Invariant: every attempt has the id that the message came with, so that it is logged once however often it is tried.
//! What a sender refuses for what the message is, is final and is handed on as it is.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use chat_proto::chat_client::ChatClient;
use chat_proto::chat_server::SERVICE_NAME;
use chat_proto::{Passed, Placed, SendMessageAllRequest, SendMessageRequest};
use chat_protocol::{Code, Refusal, Target, UserId};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::codegen::Service;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::rota::Rota;
use super::status::refusal;
use crate::broker::Receipt;
use crate::chat::{Courier, Letter};
use crate::config::{self, SenderPlace};
use crate::counters::Counters;
use crate::listener::{Dialled, dial};
use crate::model::Conversation;

/// Longest time of one attempt, its connection included, and of all attempts for one message: less than a node that
/// stops waits for what was asked of it.
const ATTEMPT: Duration = Duration::from_millis(1_500);
const IN_ALL: Duration = Duration::from_millis(3_500);
/// How often each sender is asked for one message: a connection may have ended in the moment it was to be used.
const ROUNDS: usize = 2;
/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may be silent while a call is under way before it is asked for a sign of life, and how long
/// that is waited for.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// What to tell when nobody says whether it was done.
const NO_ANSWER: &str = "no node that stores messages answered in time, and whether this one is stored is not known; \
                         send it again with the same msgId";
/// What to tell when a sender does not take what this node passes on.
const NOT_TAKEN: &str = "the nodes that store messages take none from this one, whose log says why; send it again \
                         later, with the same msgId";

/// The nodes that store messages for this one.
pub struct Senders {
    senders: Vec<Sender>,
    rota: Mutex<Rota>,
    /// What they are shown.
    key: Option<AsciiMetadataValue>,
    counters: Arc<Counters>,
}

struct Sender {
    place: SenderPlace,
    channel: Channel,
}

/// Why a sender did not store a message.
enum Failed {
    /// For what it is.
    Final(Refusal),
    /// For now, or nobody knows whether it did: the cause for the log, and what to tell if nobody else does.
    ForNow(String, Refusal),
}

impl Senders {
    /// Connects to each of these when it is first needed, and again after the connection ended. Needs a runtime.
    ///
    /// # Errors
    /// A text for the operator when an address or the key cannot be used in a call.
    pub fn new(settings: &config::Senders, counters: Arc<Counters>) -> Result<Self, String> {
        let connect = |place: &SenderPlace| {
            let channel = channel(place).map_err(|error| format!("sender_url = {place}: {error}"))?;
            Ok::<_, String>(Sender { place: place.clone(), channel })
        };
        let senders = settings.places.iter().map(connect).collect::<Result<Vec<_>, _>>()?;
        let mut key = None;
        if !settings.key.is_empty() {
            let bearer = format!("Bearer {}", settings.key.expose()).parse::<AsciiMetadataValue>();
            let mut shown = bearer.map_err(|_| "sender_key_file: holds no key".to_owned())?;
            shown.set_sensitive(true);
            key = Some(shown);
        }
        let rota = Mutex::new(Rota::new(settings.places.iter().map(ToString::to_string)));
        Ok(Self { senders, rota, key, counters })
    }

    /// Asks a sender once.
    async fn ask(&self, at: usize, letter: &Letter<'_>, until: Instant) -> Result<Receipt, Failed> {
        let mut calls = ChatClient::new(self.senders[at].channel.clone());
        let calling = async {
            Ok::<_, Status>(match letter.target {
                Target::User(to) => {
                    let answer =
                        calls.send_message(self.asked(to_one(letter, to), until)).await?.into_inner();
                    (answer.offset, answer.duplicate, answer.placed)
                }
                _ => {
                    let answer =
                        calls.send_message_all(self.asked(to_all(letter), until)).await?.into_inner();
                    (answer.offset, answer.duplicate, answer.placed)
                }
            })
        };
        match timeout_at(until, calling).await {
            Ok(Ok((offset, duplicate, Some(Placed { epoch, time })))) => {
                Ok(Receipt { offset, epoch: epoch.into(), time, duplicate })
            }
            Ok(Ok(_)) => Err(for_now("it does not say where the message is", NO_ANSWER)),
            Ok(Err(status)) => Err(failed(&status)),
            Err(_) => Err(for_now("no answer in time", NO_ANSWER)),
        }
    }

    /// Whether a sender serves, and would take a message from this node: asked to store nothing, it says what is missing
    /// only after it has looked at who asks.
    async fn is_back(&self, at: usize) -> bool {
        let channel = &self.senders[at].channel;
        let (mut health, mut calls) = (HealthClient::new(channel.clone()), ChatClient::new(channel.clone()));
        let (until, service) = (Instant::now() + ATTEMPT, SERVICE_NAME.to_owned());
        let asking = async {
            let told = health.check(self.asked(HealthCheckRequest { service }, until)).await?.into_inner();
            let nothing = SendMessageRequest { passed: Some(Passed::default()), ..Default::default() };
            let refused = calls.send_message(self.asked(nothing, until)).await.err();
            Ok::<_, Status>(
                told.status() == ServingStatus::Serving && refused.is_some_and(|status| is_missing(&status)),
            )
        };
        let is_back = matches!(timeout_at(until, asking).await, Ok(Ok(true)));
        if is_back {
            self.rota.lock().answered(at);
        }
        is_back
    }

    fn asked<T>(&self, message: T, until: Instant) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(until.saturating_duration_since(Instant::now()));
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        request
    }

    /// Asks one after the other until one decides, or the time is over.
    async fn ask_all(&self, letter: &Letter<'_>) -> Result<Receipt, Failed> {
        let conversation = Conversation::of(letter.sender.app, &letter.sender.user, letter.target);
        let over = Instant::now() + IN_ALL;
        let mut last = None;
        'asking: for round in 0..ROUNDS {
            if round > 0 {
                sleep(PAUSE).await;
            }
            let order = self.rota.lock().order(&conversation, Instant::now());
            for at in order {
                let began = Instant::now();
                if began >= over {
                    break 'asking;
                }
                if last.is_some() {
                    self.counters.passed_on.retries.add(1);
                }
                let until = over.min(began + ATTEMPT);
                self.rota.lock().asked(at, until);
                match self.ask(at, letter, until).await {
                    Err(Failed::ForNow(why, told)) => {
                        let place = &self.senders[at].place;
                        tracing::warn!(sender = %place, why, "a message was not stored by a sender, which rests");
                        self.rota.lock().failed(at, began, Instant::now(), rand::random());
                        last = Some(Failed::ForNow(why, told));
                    }
                    decided => {
                        self.rota.lock().answered(at);
                        return decided;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| for_now("nobody was asked", NO_ANSWER)))
    }
}

#[async_trait]
impl Courier for Senders {
    async fn send(&self, letter: Letter<'_>) -> Result<Receipt, Refusal> {
        let asked = self.ask_all(&letter).await;
        let counted = &self.counters.passed_on;
        match asked {
            Ok(receipt) => {
                counted.stored.add(1);
                Ok(receipt)
            }
            Err(Failed::Final(refusal)) => {
                counted.refused.add(1);
                Err(refusal)
            }
            Err(Failed::ForNow(_, told)) => {
                counted.unanswered.add(1);
                Err(told)
            }
        }
    }

    async fn ready(&self) -> Result<(), Refusal> {
        let is_known = self.rota.lock().is_any_well();
        if is_known || join_all((0..self.senders.len()).map(|at| self.is_back(at))).await.contains(&true) {
            return Ok(());
        }
        Err(Refusal::new(Code::StoreUnreachable, "none of the nodes that store messages answers"))
    }
}

fn for_now(why: &str, told: &str) -> Failed {
    Failed::ForNow(why.to_owned(), Refusal::new(Code::StoreUnreachable, told))
}

/// What a status means. Without chatd's own code it is of the way to the sender, and tells nothing of the message.
fn failed(status: &Status) -> Failed {
    let Some(refusal) = refusal(status) else { return for_now(&innermost(status), NO_ANSWER) };
    match refusal.code {
        Code::StoreUnreachable => Failed::ForNow(refusal.reason.clone(), refusal),
        // That is about this node, and nothing its callers could mend: a sender paces nobody else.
        Code::NotLoggedIn | Code::NotAuthorised | Code::UnknownOperation | Code::TooManyRequests => {
            for_now(&refusal.reason, NOT_TAKEN)
        }
        _ => Failed::Final(refusal),
    }
}

/// Whether a sender would take a message, if it were one.
fn is_missing(status: &Status) -> bool {
    matches!(failed(status), Failed::Final(refusal) if refusal.code == Code::BadParameter)
}

fn innermost(status: &Status) -> String {
    let mut error: &dyn Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A message to one user, as it is passed on.
pub(super) fn to_one(letter: &Letter<'_>, to: &UserId) -> SendMessageRequest {
    SendMessageRequest {
        app_id: Some(letter.sender.app),
        user_id: to.to_string(),
        message: said(letter),
        msg_id: Some(letter.msg_id.to_string()),
        from: Some(letter.sender.user.to_string()),
        r#type: Some(letter.content.kind.clone()),
        passed: Some(passed(letter)),
    }
}

/// A message to the world, as it is passed on.
pub(super) fn to_all(letter: &Letter<'_>) -> SendMessageAllRequest {
    SendMessageAllRequest {
        app_id: Some(letter.sender.app),
        user_id: Some(letter.sender.user.to_string()),
        msg_id: letter.msg_id.to_string(),
        message: said(letter),
        r#type: Some(letter.content.kind.clone()),
        passed: Some(passed(letter)),
    }
}

fn is_text(letter: &Letter<'_>) -> bool {
    letter.content.kind == "text"
}

/// The text, or the address of the file.
fn said(letter: &Letter<'_>) -> String {
    let said = if is_text(letter) { &letter.content.msg } else { &letter.content.url };
    said.clone().unwrap_or_default()
}

/// All but that.
fn passed(letter: &Letter<'_>) -> Passed {
    let content = letter.content;
    Passed {
        skip: letter.skip.to_string(),
        caption: content.msg.clone().filter(|_| !is_text(letter)),
        url: content.url.clone().filter(|_| is_text(letter)),
        secret: content.secret.clone(),
        size: content.size.as_ref().map(ToString::to_string),
    }
}

/// Opens the connections to one sender.
struct Dial(Arc<SenderPlace>);

impl Service<Uri> for Dial {
    type Response = Dialled;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Dialled>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let place = self.0.clone();
        async move { dial(&place.host, place.port, place.is_tls).await }.boxed()
    }
}

fn channel(place: &SenderPlace) -> Result<Channel, String> {
    let bad = |error: &dyn Display| error.to_string();
    let named = place.to_string().parse::<Uri>().map_err(|error| bad(&error))?;
    // The connection brings its own TLS; the library must not look for one.
    let SenderPlace { host, port, .. } = place;
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}")).map_err(|error| bad(&error))?;
    let endpoint = endpoint
        .origin(named)
        .connect_timeout(ATTEMPT)
        .http2_keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SIGN_OF_LIFE);
    Ok(endpoint.connect_with_connector_lazy(Dial(Arc::new(place.clone()))))
}

#[cfg(test)]
mod tests {
    use super::super::status::status;
    use super::*;

    #[test]
    fn what_is_about_the_message_is_final_and_handed_on_word_for_word() {
        for code in Code::ALL.into_iter().filter(|code| *code != Code::Success) {
            let mut said = Refusal::new(code, "why");
            said.retry_after_ms = Some(7);
            let told = failed(&status(&said));
            match code {
                Code::StoreUnreachable => {
                    assert!(matches!(told, Failed::ForNow(why, refusal) if why == "why" && refusal == said));
                }
                Code::NotLoggedIn | Code::NotAuthorised | Code::UnknownOperation | Code::TooManyRequests => {
                    let is_told =
                        |told: &Refusal| told.code == Code::StoreUnreachable && told.reason == NOT_TAKEN;
                    assert!(
                        matches!(told, Failed::ForNow(why, told) if why == "why" && is_told(&told)),
                        "{code:?}"
                    );
                }
                _ => assert!(matches!(told, Failed::Final(refusal) if refusal == said), "{code:?}"),
            }
        }
        for status in [Status::unavailable("x"), Status::deadline_exceeded("x"), Status::unknown("x")] {
            let is_told = |told: &Refusal| told.code == Code::StoreUnreachable && told.reason == NO_ANSWER;
            assert!(matches!(failed(&status), Failed::ForNow(_, told) if is_told(&told)), "{status}");
        }
    }
}
