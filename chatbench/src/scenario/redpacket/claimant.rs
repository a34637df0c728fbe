//! One client that grabs: it waits for the release, works off its agenda, and repeats what got no answer.
//!
//! Invariant: a grab without an answer is repeated, at the next server, until there is one or patience ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chat_protocol::red_packet::GrabRequest;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::clock::{nanos, now_ns};
use crate::net::door;
use crate::net::socket::{ABNORMAL, End};
use crate::scenario::redpacket::line::{Answer, Line};
use crate::scenario::redpacket::record::{Attempt, Record};
use crate::scenario::redpacket::room::Room;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for a server that lets the client in again.
const RETURN: Duration = Duration::from_secs(10);
/// Pause before a refused grab is repeated, unless the server names one.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a refused grab is repeated.
const REPEATS: u32 = 20;
/// Longest time between a grab and a cut that is to come before its answer.
const LONGEST_CUT_US: u64 = 3000;
/// Grabs a client may have unanswered at a rate.
const WINDOW: usize = 256;

struct Pending {
    sequence: u32,
    packet: u32,
    intended_ns: u64,
    sent_ns: u64,
    repeats: u32,
}

/// A grab to repeat.
struct Again {
    packet: u32,
    intended_ns: u64,
    not_before: Instant,
    repeats: u32,
}

/// One client.
pub struct Claimant {
    room: Arc<Room>,
    number: u32,
    line: Option<Line>,
    turn: usize,
    position: u32,
    sequence: u32,
    start_ns: u64,
    last_end_ns: u64,
    pending: Vec<Pending>,
    again: VecDeque<Again>,
    record: Record,
    random: StdRng,
    /// Grabs to send before the one that is cut off; none when no cut is to come.
    until_cut: Option<u32>,
    cut_at: Option<Instant>,
    /// For how long the server that lets it go wants it to stay away.
    away: Duration,
}

impl Claimant {
    /// A client that is in.
    pub fn new(room: Arc<Room>, number: u32, line: Line) -> Self {
        let mut random = StdRng::seed_from_u64(room.seed ^ (u64::from(number) << 20));
        let until_cut = room.reconnect_during.then(|| random.random_range(0..room.count.max(1)));
        Self {
            room,
            number,
            line: Some(line),
            turn: 0,
            position: 0,
            sequence: 0,
            start_ns: 0,
            last_end_ns: 0,
            pending: Vec::new(),
            again: VecDeque::new(),
            record: Record::default(),
            random,
            until_cut,
            cut_at: None,
            away: Duration::ZERO,
        }
    }

    /// Waits, grabs, and gives what it saw, with the connection that is still open.
    pub async fn run(mut self) -> (Record, Option<Line>) {
        if self.wait().await {
            self.grab().await;
        }
        for pending in std::mem::take(&mut self.pending) {
            self.lost(&pending);
            self.record.given_up += 1;
        }
        self.record.given_up += self.again.len() as u64;
        (self.record, self.line)
    }

    /// Reads what the server sends until the release; false when it never comes.
    async fn wait(&mut self) -> bool {
        let mut release = self.room.release.clone();
        let mut interrupt = self.room.interrupt.clone();
        loop {
            let beat = Instant::now() + self.room.heartbeat;
            let Some(line) = &mut self.line else { return false };
            let ended = tokio::select! {
                came = release.wait_for(|start| *start > 0) => {
                    self.start_ns = came.map_or(0, |start| *start);
                    self.last_end_ns = self.start_ns;
                    return self.start_ns > 0;
                }
                () = interrupt.wait() => return false,
                heard = line.hear() => match heard {
                    Ok(answers) => {
                        answers.into_iter().for_each(|(sequence, answer)| self.take(sequence, answer));
                        None
                    }
                    Err(end) => Some(end),
                },
                () = tokio::time::sleep_until(beat) => {
                    line.heartbeat();
                    None
                }
            };
            if let Some(end) = ended {
                self.closed(&end);
                if !self.come_back().await {
                    return false;
                }
            }
        }
    }

    async fn grab(&mut self) {
        let mut interrupt = self.room.interrupt.clone();
        while !interrupt.came() {
            let wake = self.send_due();
            if self.is_over() {
                return;
            }
            let Some(line) = &mut self.line else { return };
            let cut = self.cut_at;
            let wake = cut.map_or(wake, |cut| cut.min(wake));
            let ended = tokio::select! {
                biased;
                heard = line.hear() => match heard {
                    Ok(answers) => {
                        answers.into_iter().for_each(|(sequence, answer)| self.take(sequence, answer));
                        None
                    }
                    Err(end) => {
                        self.closed(&end);
                        Some(())
                    }
                },
                () = interrupt.wait() => return,
                () = tokio::time::sleep_until(wake) => self.on_time(cut).await,
            };
            if ended.is_some() && !self.come_back().await {
                return;
            }
        }
    }

    /// What is due at a moment without an answer; some when the connection is over.
    async fn on_time(&mut self, cut: Option<Instant>) -> Option<()> {
        if cut.is_some_and(|cut| cut <= Instant::now()) {
            return self.cut().await;
        }
        let oldest = self.pending.iter().map(|pending| pending.sent_ns).min()?;
        if now_ns() < oldest + nanos(PATIENCE) {
            return None;
        }
        self.closed(&End::broken("no answer"));
        Some(())
    }

    /// Cuts the connection while a grab has no answer.
    async fn cut(&mut self) -> Option<()> {
        self.cut_at = None;
        if self.pending.is_empty() {
            // The answer was faster: the next grab is cut off instead.
            self.until_cut = Some(0);
            return None;
        }
        let line = self.line.as_mut()?;
        // A connection that breaks here is as good as cut.
        let _ = tokio::time::timeout(PATIENCE, line.flush()).await;
        if let (Line::Ws(socket), true) = (line, self.random.random()) {
            socket.break_off();
        }
        self.line = None;
        self.record.cuts += 1;
        Some(())
    }

    /// Sends what is due; gives when to look again.
    fn send_due(&mut self) -> Instant {
        let now = Instant::now();
        while self.again.front().is_some_and(|again| again.not_before <= now) {
            let Some(again) = self.again.pop_front() else { break };
            self.send(again.packet, again.intended_ns, again.repeats);
        }
        let far = self.again.front().map_or(now + PATIENCE, |again| again.not_before);
        loop {
            let (flow, room) = (&self.room.flow, &self.room);
            let item = room.agenda.item(self.number, flow.plan.receivers, room.count, self.position);
            let Some(item) = item else { return far };
            let intended_ns = match item.due_ns {
                None if self.pending.is_empty() && self.again.is_empty() => self.last_end_ns,
                None => return far,
                Some(_) if self.pending.len() >= WINDOW => return far,
                Some(due) => self.start_ns + due,
            };
            let ahead = intended_ns.saturating_sub(now_ns());
            if ahead > 0 {
                return (now + Duration::from_nanos(ahead)).min(far);
            }
            self.position += 1;
            self.send(item.packet, intended_ns, 0);
        }
    }

    fn send(&mut self, packet: u32, intended_ns: u64, repeats: u32) {
        let (Some(line), Some(packets)) = (&mut self.line, self.room.packets.get()) else { return };
        let plan = &self.room.flow.plan;
        // Names of this plan are names of users.
        let Ok(user_id) = plan.user(self.number) else { return };
        let grab = GrabRequest { app_id: plan.app, user_id, packet_id: packets[packet as usize].clone() };
        self.sequence += 1;
        line.send(self.sequence, &grab);
        self.room.flow.sent.fetch_add(1, Relaxed);
        let sent_ns = now_ns();
        self.pending.push(Pending { sequence: self.sequence, packet, intended_ns, sent_ns, repeats });
        match self.until_cut {
            Some(0) => {
                self.until_cut = None;
                let after =
                    if self.random.random() { 0 } else { self.random.random_range(0..LONGEST_CUT_US) };
                self.cut_at = Some(Instant::now() + Duration::from_micros(after));
            }
            Some(left) => self.until_cut = Some(left - 1),
            None => {}
        }
    }

    fn take(&mut self, sequence: u32, answer: Answer) {
        if let Answer::Parting(ms) = answer {
            self.away = Duration::from_millis(ms).min(PATIENCE);
            return;
        }
        let Some(at) = self.pending.iter().position(|pending| pending.sequence == sequence) else { return };
        let pending = self.pending.swap_remove(at);
        self.last_end_ns = now_ns();
        match answer {
            Answer::Said(said) => {
                self.room.flow.answered.fetch_add(1, Relaxed);
                self.room.flow.accepted.fetch_add(1, Relaxed);
                let Pending { packet, intended_ns, sent_ns, .. } = pending;
                let ended_ns = self.last_end_ns;
                self.record.attempts.push(Attempt {
                    packet,
                    intended_ns,
                    sent_ns,
                    ended_ns,
                    said: Some(said),
                });
            }
            Answer::Refused(code, reason, pause_ms) => {
                self.room.flow.answered.fetch_add(1, Relaxed);
                *self.record.refused.entry(code).or_default() += 1;
                self.record.note(|| format!("refused with code {code}: {reason}"));
                let can_pass = matches!(code, 1004 | 1011 | 1013);
                self.lost(&pending);
                self.repeat(&pending, can_pass, pause_ms.map_or(PAUSE, Duration::from_millis));
            }
            // Taken above, and of no request.
            Answer::Parting(_) => {}
            Answer::Gone(cause) => {
                self.record.note(|| cause);
                if let Some(line) = &mut self.line {
                    line.turn();
                }
                self.lost(&pending);
                self.repeat(&pending, true, PAUSE);
            }
        }
    }

    fn repeat(&mut self, pending: &Pending, can_pass: bool, pause: Duration) {
        if !can_pass || pending.repeats >= REPEATS {
            self.record.given_up += 1;
            return;
        }
        let (packet, intended_ns, repeats) = (pending.packet, pending.intended_ns, pending.repeats + 1);
        let not_before = Instant::now() + pause.min(PATIENCE);
        self.again.push_back(Again { packet, intended_ns, not_before, repeats });
    }

    /// Notes a grab of which nobody knows what became.
    fn lost(&mut self, pending: &Pending) {
        let &Pending { packet, intended_ns, sent_ns, .. } = pending;
        let ended_ns = now_ns();
        self.record.attempts.push(Attempt { packet, intended_ns, sent_ns, ended_ns, said: None });
    }

    fn closed(&mut self, end: &End) {
        *self.record.closed.entry(end.code).or_default() += 1;
        if end.code != ABNORMAL {
            self.record.note(|| format!("closed by the server: code {} {}", end.code, end.reason));
        }
        self.line = None;
    }

    /// Gets in again, at the next server, and repeats what was not answered; false when patience ended.
    async fn come_back(&mut self) -> bool {
        self.line = None;
        self.room.left();
        for pending in std::mem::take(&mut self.pending) {
            self.lost(&pending);
            self.repeat(&pending, true, Duration::ZERO);
        }
        let mut interrupt = self.room.interrupt.clone();
        interrupt.within(Instant::now() + std::mem::take(&mut self.away)).await;
        let until = Instant::now() + RETURN;
        let mut backoff = door::backoff();
        while Instant::now() < until && !interrupt.came() {
            self.turn += 1;
            let entering = Box::pin(self.room.enter(self.number, self.turn));
            let Some(entered) = self.room.interrupt.soon(Duration::ZERO, entering).await else { break };
            match entered {
                Ok((line, _)) => {
                    self.line = Some(line);
                    self.record.reconnects += 1;
                    self.room.entered();
                    return true;
                }
                Err(cause) => self.record.note(|| cause),
            }
            interrupt.within(Instant::now() + backoff.pause(self.random.random())).await;
        }
        false
    }

    fn is_over(&self) -> bool {
        let (flow, room) = (&self.room.flow, &self.room);
        let next = room.agenda.item(self.number, flow.plan.receivers, room.count, self.position);
        next.is_none() && self.pending.is_empty() && self.again.is_empty()
    }
}
