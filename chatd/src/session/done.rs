//! What a finished request leaves behind, and what the connection makes of it.
//!
//! Invariant: an answer is queued before what it was the leave for: pushes that were held, or the close.

use futures_util::future::BoxFuture;

use super::Session;
use super::login::Entered;
use super::observing::Observer;
use super::request::Framed;
use crate::hub::outbox::Close;

/// What a finished request leaves behind.
pub enum Done {
    /// Its answer.
    Answer(Framed),
    /// Those of a run of messages.
    Messages(Vec<Framed>),
    /// The same of a log-in: pushes were held until its answer is queued.
    Login(Framed, Option<Entered>),
    /// The same of a log-in that was refused for good: it ends the connection so.
    Denied(Framed, Close),
    /// As of a log-in: the connection reads along from now on.
    Observes(Framed, Box<Observer>),
}

/// A request that waits for a store.
pub type Pending = BoxFuture<'static, Done>;

impl Session {
    /// A request is finished. The owner looks at the session after that.
    pub fn done(&mut self, done: Done) {
        if !std::mem::take(&mut self.is_busy) {
            // It took so long that the connection did not wait.
            return;
        }
        let outbox = &self.connection.outbox;
        match done {
            Done::Answer(answer) => _ = outbox.answer(answer.frame),
            Done::Messages(answers) => answers.into_iter().for_each(|answer| _ = outbox.answer(answer.frame)),
            Done::Login(answer, None) => {
                outbox.abandon();
                outbox.answer(answer.frame);
            }
            Done::Denied(answer, close) => {
                outbox.abandon();
                outbox.answer(answer.frame);
                outbox.close(close);
            }
            Done::Observes(answer, observer) => {
                outbox.answer(answer.frame);
                observer.frames.into_iter().for_each(|frame| _ = outbox.answer(frame));
                outbox.release(observer.sent);
                self.told.observes(observer.observation.count());
                self.seldom.get_or_insert_default().observation = Some(observer.observation);
            }
            Done::Login(answer, Some(entered)) => {
                outbox.answer(answer.frame);
                entered.frames.into_iter().for_each(|frame| _ = outbox.answer(frame));
                outbox.release(entered.sent);
                entered.membership.open();
                let recovered = entered.answer.as_ref().map_or(&[][..], |answer| &answer.recovered);
                let journal = self.shared.hub.journal();
                self.told.logged_in(entered.membership.identity(), recovered, journal);
                self.scopes = entered.scopes;
                if let Some(device) = entered.device {
                    self.counts(device);
                }
                self.membership = Some(entered.membership);
            }
        }
    }
}
