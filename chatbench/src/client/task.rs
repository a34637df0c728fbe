//! The task of one connected client: reads, answers to the conductor, sends what is due.
//!
//! Invariant: one task per connection and no timer in it; it returns its ledger when the connection ends.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use crate::client::control::Control;
use crate::client::receiver::Receiver;
use crate::client::sender::Sender;
use crate::clock::now_ns;
use crate::flow::Flow;
use crate::wire::request;
use crate::wire::socket::{End, Socket};

/// A logged-in client.
#[derive(Debug)]
pub struct Client {
    flow: Arc<Flow>,
    control: Arc<Control>,
    socket: Socket,
    receiver: Receiver,
    sender: Option<Sender>,
    target: String,
    closing: bool,
}

/// What a client leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// What it received.
    pub receiver: Receiver,
    /// What it sent.
    pub sender: Option<Sender>,
    /// How the connection ended, when it was not the client who ended it.
    pub closed_by_server: Option<End>,
}

impl Client {
    /// The client on connection number `connection`.
    pub fn new(flow: Arc<Flow>, control: Arc<Control>, socket: Socket, connection: u32) -> Self {
        let sender = flow.plan.sender_at(connection).map(Sender::new);
        let target = sender.as_ref().and_then(|sender| flow.plan.target(sender.number).ok());
        Self {
            receiver: Receiver::new(connection),
            sender,
            target: target.map(|target| target.to_string()).unwrap_or_default(),
            flow,
            control,
            socket,
            closing: false,
        }
    }

    /// Runs until the connection ends.
    pub async fn run(mut self) -> Outcome {
        self.flow.open.fetch_add(1, Relaxed);
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.flow.open.fetch_sub(1, Relaxed);
        self.receiver.publish(&self.flow);
        self.receiver.hand_over(&self.flow);
        let closed_by_server = (!self.closing).then_some(end);
        Outcome { receiver: self.receiver, sender: self.sender, closed_by_server }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.control.register(cx.waker());
        if self.control.stopped() && !self.closing {
            self.closing = true;
            self.socket.queue_close();
        }
        if self.control.aborted() {
            return Poll::Ready(End::broken("ended here"));
        }
        if !self.closing && self.control.take_heartbeat() {
            self.socket.queue_text(&request::heartbeat());
        }
        let polled = self.poll_socket(cx);
        self.receiver.publish(&self.flow);
        if polled.is_ready() {
            // The answer to a close frame, if it can be written at once.
            let _ = self.socket.poll_flush(cx);
        }
        polled
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            self.send_due();
            if let Poll::Ready(Err(end)) = self.socket.poll_flush(cx) {
                return Poll::Ready(end);
            }
            match self.poll_read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(end),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Self { socket, receiver, sender, flow, closing, .. } = self;
        // One look at the clock serves all frames of one read.
        let mut now = 0;
        socket.poll_texts(cx, |text| {
            if *closing {
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
        let Self { flow, control, socket, sender: Some(sender), target, closing: false, .. } = self else {
            return;
        };
        while let Some(stamp) = sender.next_due(flow, control) {
            let id = request::message_id(&flow.plan.run, stamp.sender, stamp.sequence);
            let frame = request::message(&id, target, |text| flow.plan.payload.write(&stamp, text));
            socket.queue_text(&frame);
        }
    }
}
