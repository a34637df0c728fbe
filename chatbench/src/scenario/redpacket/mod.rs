//! Red packets grabbed by many at once, and the proof that every cent is where it belongs.
//!
//! Invariant: the verdict compares what every single client was told with the packets, the wallets and the audit.

mod agenda;
mod bank;
mod claimant;
mod fairness;
mod line;
pub mod outcome;
mod record;
mod room;
mod truth;
pub mod wanted;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chat_protocol::UserId;
use chatbench_result::model::RedPackets;
use futures_util::future::LocalBoxFuture;
use hdrhistogram::Histogram;

use crate::clock::{nanos, now_ns};
use crate::failure::Failure;
use crate::phases::harvest::Effort;
use crate::phases::opening::Opening;
use crate::phases::operator::Operator;
use crate::phases::spec::Via;
use crate::phases::stage::Stage;
use crate::scenario::conclude::begin;
use crate::scenario::kind::{Asked, Scenario};
use crate::scenario::report::processes::costs;
use crate::scenario::report::result::Report;
use crate::scenario::run::alone;
use crate::watch::probe::{self, Probe};
use crate::watch::process;
use agenda::Agenda;
use bank::{Bank, Books, Packet, Rest};
use chatbench_result::units::{count_text, micros_text};
use chatbench_result::verdict::Verdict;
use line::Line;
use outcome::{GrabTimes, add_books, add_records};
use record::Record;
use room::{Claimants, Layout, Room};
use truth::Case;
use wanted::Grabbing;

/// From the decision to release to the release, so that all know of it.
const RUN_UP: Duration = Duration::from_millis(100);
/// Longest wait for the server's books when the operator has stopped the grabbing.
const AFTER_INTERRUPTION: Duration = Duration::from_secs(5);
/// Discrepancies among the reasons; the result holds more.
const TOLD: usize = 5;
/// Share of the offered grabs that must have been answered for a rate to be one.
const ENOUGH: f64 = 0.95;

/// What the server says once all is over.
struct Proof {
    rest: Rest,
    /// How long the ledger took; none when it was not through in time.
    drain_ms: Option<f64>,
    books: Books,
}

/// What was seen from the release to the last answer.
struct Seen {
    start_ns: u64,
    records: Vec<Record>,
    lines: Vec<Line>,
    probe: Histogram<u64>,
    effort: Effort,
}

impl Scenario for Grabbing {
    fn name(&self) -> &'static str {
        "redpacket"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Silent(&self.common)
    }

    fn run_apart(&self, operator: Operator) -> Option<LocalBoxFuture<'_, Result<Report, Failure>>> {
        Some(Box::pin(run(self, operator)))
    }
}

async fn run(wanted: &Grabbing, operator: Operator) -> Result<Report, Failure> {
    let mut stage = alone(wanted, &operator).await?;
    match play(&mut stage, wanted).await {
        // Before the last grab nothing is a measurement.
        Err(failure) if failure.leaves_a_result() => {
            Ok(Report::cut_short(&mut stage, Verdict::CouldNotRun, &failure).await)
        }
        done => done,
    }
}

async fn play(stage: &mut Stage, wanted: &Grabbing) -> Result<Report, Failure> {
    let layout = Layout {
        agenda: Agenda::new(wanted),
        packets: wanted.packets,
        reconnect_during: wanted.reconnect_during,
        over_http: wanted.via == Via::Http,
    };
    let (room, release) = Room::new(stage, &layout);
    let mut packets = None;
    if wanted.rate.is_some() {
        // At a rate the offers of many packets to many clients would be a load of their own.
        packets = Some(stage.interrupt.unless(offer(stage, wanted)).await?);
    }
    let (claimants, opening) = Claimants::open(stage, &room, release).await?;
    stage.opened = Some(opening.clone());
    let packets = match packets {
        Some(packets) => packets,
        None => stage.interrupt.unless(offer(stage, wanted)).await?,
    };
    // Nobody has looked at it before the release.
    let _ = room.packets.set(packets.iter().map(|packet| packet.id.clone()).collect());
    let seen = watch(stage, claimants).await?;
    conclude(stage, wanted, &packets, seen, &opening).await
}

async fn offer(stage: &Stage, wanted: &Grabbing) -> Result<Vec<Packet>, Failure> {
    let bank = Bank::new(stage, wanted);
    bank.deposit().await?;
    bank.create().await
}

/// Releases the clients and waits until they are through.
async fn watch(stage: &Stage, claimants: Claimants) -> Result<Seen, Failure> {
    stage.begin("grab", u64::from(stage.flow.plan.receivers));
    let before = (process::own()?, stage.servers.look().await);
    let probe = Probe::start(Arc::clone(&stage.flow));
    let start_ns = now_ns() + nanos(RUN_UP);
    stage.flow.start_ns.store(start_ns, Relaxed);
    stage.flow.measure_ns.store(start_ns, Relaxed);
    tokio::time::sleep(RUN_UP).await;
    claimants.release(start_ns);
    let (records, lines) = claimants.finish(stage).await;
    let observed_ns = now_ns().saturating_sub(start_ns);
    let servers = stage.servers.look_again(before.1).await;
    Ok(Seen {
        start_ns,
        records,
        lines,
        probe: probe.end().await,
        effort: Effort {
            own: [stage.own, before.0, process::own()?],
            servers,
            measured_ns: observed_ns,
            ..Effort::new(stage.own)
        },
    })
}

async fn conclude(
    stage: &mut Stage,
    wanted: &Grabbing,
    packets: &[Packet],
    mut seen: Seen,
    opening: &Opening,
) -> Result<Report, Failure> {
    let mut result = summary(wanted, packets);
    let mut times = add_records(&mut result, &seen.records, seen.start_ns);
    // Who stopped the grabbing still gets what can be checked soon; who stops the checking does not want to wait.
    let patience = if stage.interrupt.came() { AFTER_INTERRUPTION } else { Duration::ZERO };
    let lines = std::mem::take(&mut seen.lines);
    let proof = Box::pin(prove(stage, wanted, packets, times.last_answer_ns, lines));
    let proof = stage.interrupt.soon(patience, proof).await.unwrap_or(Err(Failure::Stopped));
    if let Ok(proof) = &proof {
        result.drain_ms = proof.drain_ms;
        reconcile(stage, wanted, packets, &seen, proof, &mut result, &mut times)?;
    }
    let mut report = begin(stage, opening, opening.is_enough(&stage.flow.plan))?;
    for record in &seen.records {
        for (code, count) in &record.closed {
            *report.connections.closed_by_server.entry(*code).or_default() += count;
        }
    }
    judge(&mut report, wanted, &result, &seen, proof.as_ref().ok().map(|proof| proof.rest));
    if let Err(failure) = proof {
        report.found.partial = true;
        report.judgement.add(Verdict::Invalid, format!("nothing proves the cents: {}", failure.reason()));
    }
    let costs = costs(stage, &seen.effort);
    if let Some(missing) = costs.missing {
        report.judgement.add(Verdict::Pass, missing);
    }
    report.found.processes = Some(costs.processes);
    report.add_red_packets(result, times);
    report.finish(stage).await;
    Ok(report)
}

/// Waits until the server has settled everything, closes the connections, and reads the books.
async fn prove(
    stage: &Stage,
    wanted: &Grabbing,
    packets: &[Packet],
    last_answer_ns: u64,
    lines: Vec<Line>,
) -> Result<Proof, Failure> {
    let bank = Bank::new(stage, wanted);
    stage.begin("drain", wanted.drain.as_secs());
    let (mut over_ns, mut rest) = (last_answer_ns, Rest::GoesBack);
    if let Some(longest) = wanted.await_refund {
        rest = bank.await_expiry(packets, longest).await?;
        over_ns = now_ns();
    }
    let settled = bank.settle().await?;
    room::close(stage, lines).await;
    let drain_ms = settled.map(|settled_ns| outcome::millis_between(over_ns, settled_ns));
    Ok(Proof { rest, drain_ms, books: bank.books(packets).await? })
}

/// Compares what the clients saw with what the server says.
fn reconcile(
    stage: &Stage,
    wanted: &Grabbing,
    packets: &[Packet],
    seen: &Seen,
    proof: &Proof,
    result: &mut RedPackets,
    times: &mut GrabTimes,
) -> Result<(), Failure> {
    let books = &proof.books;
    add_books(result, books, times);
    result.fairness = fairness::of(&books.details);
    let users: Vec<UserId> = (0..stage.flow.plan.receivers)
        .map(|number| stage.flow.plan.user(number))
        .collect::<Result<_, _>>()?;
    let is_alone = wanted.common.app.is_none();
    let case = Case { packets, users: &users, records: &seen.records, books, is_alone };
    let findings = truth::reconcile(&case);
    result.discrepancies = Some(findings.count);
    result.first_discrepancies = findings.kept;
    Ok(())
}

fn summary(wanted: &Grabbing, packets: &[Packet]) -> RedPackets {
    RedPackets {
        packets: wanted.packets,
        shares_each: wanted.count,
        total_cents: packets.iter().map(|packet| packet.total).sum(),
        senders: wanted.senders,
        via: wanted.via.word().to_owned(),
        hot: wanted.hot || wanted.packets == 1,
        rate_per_s: wanted.rate,
        ..RedPackets::default()
    }
}

/// `rest` is known of books that were read.
fn judge(report: &mut Report, wanted: &Grabbing, result: &RedPackets, seen: &Seen, rest: Option<Rest>) {
    let is_partial = report.found.partial;
    let (seed, judgement) = (report.options.seed, &mut report.judgement);
    for discrepancy in result.first_discrepancies.iter().take(TOLD) {
        judgement.add(Verdict::InvariantBroken, discrepancy.text());
    }
    if let Some(count) = result.discrepancies.filter(|count| *count > 0) {
        let count = count_text(count);
        judgement.add(Verdict::InvariantBroken, format!("{count} discrepancies in all; --seed {seed}"));
    }
    if rest.is_some() && result.drain_ms.is_none() {
        let words = format!("the ledger had not settled everything after {} s", wanted.drain.as_secs());
        judgement.add(Verdict::InvariantBroken, words);
    }
    match rest {
        None | Some(Rest::GoesBack) => {}
        Some(Rest::Stays) => {
            judgement.add(
                Verdict::InvariantBroken,
                "a packet has expired, and its rest had not gone back in time",
            );
        }
        Some(Rest::StillOpen) => {
            let words =
                "the packets were still open when --await-refund ended; lower chatd's --packet-expiry";
            judgement.add(Verdict::Invalid, words);
        }
    }
    if report.connections.closed_by_server.values().sum::<u64>() > 0 {
        judgement.add(Verdict::Pass, report.connections.closed_text());
    }
    if is_partial {
        return;
    }
    if result.given_up > 0 {
        let why = result.first_trouble.as_deref().unwrap_or("no answer came");
        let words = format!("{} grabs never got an answer: {why}", count_text(result.given_up));
        judgement.add(Verdict::Invalid, words);
    }
    if let (Some(rate), true) = (wanted.rate, result.answered_per_s < wanted.rate.unwrap_or(0.0) * ENOUGH) {
        judgement.add(
            Verdict::Invalid,
            format!("{:.1} of {rate:.1} grabs/s were answered", result.answered_per_s),
        );
    }
    let delay = seen.probe.value_at_quantile(0.99);
    if delay > probe::MAX_P99_US {
        // A burst saturates on purpose; at a rate the times are to be those of the server.
        let verdict = if wanted.rate.is_some() { Verdict::Invalid } else { Verdict::Pass };
        let words = format!(
            "the generator's tasks wait {} at p99 for their turn; it is in all times",
            micros_text(delay)
        );
        judgement.add(verdict, words);
    }
    if result.fairness.as_ref().is_some_and(|fairness| fairness.chi_square > fairness::SUSPICIOUS) {
        judgement.add(Verdict::Pass, "early and late winners got different shares on average; see fairness");
    }
}

impl Report {
    /// Adds what came of the red packets.
    fn add_red_packets(&mut self, result: RedPackets, times: GrabTimes) {
        self.distributions.insert("grab_won_time", times.won);
        self.distributions.insert("grab_already_time", times.already);
        self.distributions.insert("grab_empty_time", times.empty);
        self.distributions.insert("settlement_time", times.settlement);
        self.found.red_packets = Some(result);
    }
}
