//! The task of one client: reads, answers to the conductor, sends what is due, comes back when it may.
//!
//! Invariant: one task per client, and no timer in it while it is connected; it returns its ledger when the run ends
//! or the server closes for good.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use chat_protocol::Target;

use crate::clock::{nanos, now_ns};
use crate::ledger::Outcome;
use crate::ledger::flow::Flow;
use crate::ledger::receiver::Receiver;
use crate::ledger::sender::Sender;
use crate::net::control::Control;
use crate::net::door::Door;
use crate::net::payload::Stamp;
use crate::net::request;
use crate::net::socket::{End, Socket};
use crate::phases::client::comeback::may_return;

/// What a server answers to the close of a client.
const OWN_CLOSE: u16 = 1000;

/// A client, connected or not.
#[derive(Debug)]
pub struct Client {
    pub(super) flow: Arc<Flow>,
    pub(super) control: Arc<Control>,
    pub(super) door: Arc<Door>,
    pub(super) socket: Option<Socket>,
    pub(super) receiver: Receiver,
    pub(super) follows: Target,
    pub(super) number: u32,
    /// How often it went to the next server.
    pub(super) turn: usize,
    sender: Option<Sender>,
    target: String,
    closing: bool,
}

/// How one connection ended.
enum Ending {
    /// The run is over.
    Own,
    /// Cut here.
    Cut,
    /// The server closed it, or it broke.
    Server(End),
}

impl Client {
    /// Client number `number`, not connected yet.
    pub fn new(flow: Arc<Flow>, control: Arc<Control>, door: Arc<Door>, number: u32) -> Self {
        let sender = flow.plan.sender_at(number).map(Sender::new);
        let target = sender.as_ref().and_then(|sender| flow.plan.target(sender.number).ok());
        Self {
            receiver: Receiver::new(number),
            follows: flow.plan.follows(number).unwrap_or(Target::World),
            sender,
            target: target.map(|target| target.to_string()).unwrap_or_default(),
            flow,
            control,
            door,
            socket: None,
            number,
            turn: 0,
            closing: false,
        }
    }

    /// Runs until the end of the run, or of the connection if it may not come back.
    pub async fn run(mut self) -> Outcome {
        let slow = self.flow.plan.is_slow(self.number);
        self.flow.live.fetch_add(1, Relaxed);
        let absent = loop {
            self.flow.open.fetch_add(u64::from(!slow), Relaxed);
            let ending = std::future::poll_fn(|cx| self.poll(cx)).await;
            self.flow.open.fetch_sub(u64::from(!slow), Relaxed);
            self.receiver.publish(&self.flow);
            self.receiver.hand_over(&self.flow);
            self.socket = None;
            let Some((floor_ns, cut)) = self.note(&ending, slow) else {
                break matches!(ending, Ending::Server(_));
            };
            // In a box, so that a client pays for this only while it is away.
            if !Box::pin(self.come_back(floor_ns)).await {
                break true;
            }
            self.note_back(cut);
        };
        self.flow.live.fetch_sub(1, Relaxed);
        self.receiver.end_recovery(&self.flow);
        self.receiver.hand_over(&self.flow);
        Outcome { receiver: self.receiver, sender: self.sender, absent }
    }

    /// Notes an end. Says from when on the client may come back, if at all, and whether it was cut here.
    fn note(&mut self, ending: &Ending, slow: bool) -> Option<(u64, bool)> {
        // A server that lets its clients go spreads them over the time they are to stay away.
        let away = Duration::from_millis(self.receiver.take_away_ms());
        let mut journal = self.flow.journal();
        let trouble = &self.flow.plan.trouble;
        match ending {
            Ending::Own => None,
            Ending::Cut => {
                let floor_ns = now_ns() + nanos(trouble.offline());
                journal.cuts += 1;
                journal.first_floor_ns = journal.first_floor_ns.min(floor_ns);
                Some((floor_ns, true))
            }
            Ending::Server(end) => {
                let closed = if slow { &mut journal.slow_closed } else { &mut journal.closed };
                *closed.entry(end.code).or_default() += 1;
                let returns = trouble.reconnects && !slow && may_return(end);
                returns.then(|| (now_ns() + nanos(away), false))
            }
        }
    }

    fn note_back(&self, cut: bool) {
        // A cut that fell due while the client was away is not made up for.
        self.control.take_cut();
        self.control.take_leave();
        let mut journal = self.flow.journal();
        journal.reconnects += 1;
        if cut {
            journal.last_back_ns = journal.last_back_ns.max(now_ns());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.control.register(cx.waker());
        if self.control.aborted() {
            return Poll::Ready(Ending::Own);
        }
        if !self.closing && self.control.take_cut() {
            let in_order = self.control.take_leave();
            if let Some(socket) = &mut self.socket {
                if in_order {
                    socket.queue_close();
                    // What does not fit into the empty queue of a socket at once is not waited for.
                    let _ = socket.poll_flush(cx);
                } else {
                    socket.break_off();
                }
            }
            return Poll::Ready(Ending::Cut);
        }
        if self.control.stopped() && !self.closing {
            self.closing = true;
            if let Some(socket) = &mut self.socket {
                socket.queue_close();
            }
        }
        if self.control.deaf() {
            return self.poll_deaf(cx);
        }
        let polled = self.poll_socket(cx);
        self.receiver.publish(&self.flow);
        if let (Some(socket), true) = (&mut self.socket, polled.is_ready()) {
            // The answer to a close frame, if it can be written at once.
            let _ = socket.poll_flush(cx);
        }
        polled.map(|end| if self.is_over() { Ending::Own } else { Ending::Server(end) })
    }

    /// Whether nothing counts any more, because the client closes or is about to be told so.
    pub(super) fn is_over(&self) -> bool {
        self.closing || self.flow.over.load(Relaxed)
    }

    /// Shows signs of life and reads nothing. At the end of the run it reads and throws away what piled up, to learn
    /// whether the server had closed: only the answer to its own close says that it had not.
    fn poll_deaf(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Some(socket) = &mut self.socket else { return Poll::Ready(Ending::Own) };
        if !self.closing && self.control.take_heartbeat() {
            socket.queue_text(&request::heartbeat());
        }
        if self.closing {
            loop {
                match socket.poll_texts(cx, |_| {}) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(end)) if end.code == OWN_CLOSE => return Poll::Ready(Ending::Own),
                    Poll::Ready(Err(end)) => return Poll::Ready(Ending::Server(end)),
                }
            }
        }
        // A connection that broke tells why when it is read.
        let _ = socket.poll_flush(cx);
        Poll::Pending
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            self.send_due();
            if let Err(end) = ready!(self.poll_exchange(cx)) {
                return Poll::Ready(end);
            }
        }
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let is_over = self.is_over();
        let Self { socket: Some(socket), receiver, sender, flow, .. } = self else {
            return Poll::Ready(Err(End::broken("not connected")));
        };
        // One look at the clock serves all frames of one read.
        let mut now = 0;
        socket.poll_exchange(cx, |text| {
            if is_over {
                return;
            }
            if now == 0 {
                now = now_ns();
            }
            let answer = receiver.take(flow, text, now);
            if let (Some(sender), Some(answer)) = (sender.as_mut(), answer) {
                let sequence = request::sequence_of(&answer.seq, &flow.plan.run, sender.number);
                if let Some(sequence) = sequence {
                    sender.answer(flow, sequence, answer.code, &answer.reason, answer.offset);
                }
            }
        })
    }

    fn send_due(&mut self) {
        let Self { flow, control, socket: Some(socket), sender, target, closing: false, .. } = self else {
            return;
        };
        if control.take_heartbeat() {
            socket.queue_text(&request::heartbeat());
        }
        while let Some(stamp) = sender.as_mut().and_then(|sender| sender.next_due(flow, control)) {
            socket.queue_text(&message(flow, target, &stamp));
        }
    }

    /// Sends again what the last connection left without an answer.
    pub(super) fn resend(&mut self) {
        let Self { flow, socket: Some(socket), sender: Some(sender), target, .. } = self else { return };
        for stamp in sender.unanswered() {
            socket.queue_text(&message(flow, target, &stamp));
        }
    }
}

fn message(flow: &Flow, target: &str, stamp: &Stamp) -> String {
    let id = request::message_id(&flow.plan.run, stamp.sender, stamp.sequence);
    request::message(&id, target, |text| flow.plan.payload.write(stamp, text))
}
