//! The result of a run and its verdict.
//!
//! Invariant: a verdict is given on the merged books only; a run that was too slow to be a measurement says so.

use crate::failure::Failure;
use crate::ledger::journal::Journal;
use crate::ledger::times::Times;
use crate::ledger::{self, LOST, Ledger};
use crate::phases::harvest::{Effort, Harvest};
use crate::phases::opening::Opening;
use crate::phases::spec::Traffic;
use crate::phases::stage::Stage;
use crate::scenario::kind::Scenario;
use crate::scenario::report::environment;
use crate::scenario::report::processes::costs;
use crate::scenario::report::rates::rates;
use crate::scenario::report::result::{Report, add_farewell};
use crate::scenario::report::validity::Examined;
use chatbench_result::units::count_text;
use chatbench_result::verdict::{Judgement, Verdict};

/// Share of the offered messages that must have been sent, and of the sent ones that must have been accepted.
const ENOUGH: f64 = 0.95;

/// What came of a run, or of a part of it that had clients of its own.
#[derive(Debug)]
pub struct Closed {
    /// The books.
    pub ledger: Ledger,
    /// The times.
    pub times: Times,
    /// How the connections were opened.
    pub opening: Opening,
    effort: Effort,
    journal: Journal,
    unsettled: Option<String>,
    /// Connections that were in and whose books are gone.
    gone: u64,
    /// Senders that did not get in.
    missing_senders: u64,
    /// Clients that stopped reading.
    slow: u64,
    /// Messages the schedule wanted in the measured part; none without a schedule.
    offered: Option<u64>,
}

/// Makes the result of what all processes brought in, of a run with one kind of messages.
///
/// # Errors
/// [`Failure`] when nobody got in, or nobody who sends, and there is nothing to report.
pub async fn conclude<S: Scenario + ?Sized>(
    scenario: &S,
    stages: &mut [Stage],
    harvests: Vec<Harvest>,
) -> Result<Report, Failure> {
    let ([stage], Some(harvest)) = (stages, harvests.into_iter().next()) else {
        return Err(Failure::Usage("a run has one kind of messages".to_owned()));
    };
    let mut report = begin(stage, &harvest.opening, harvest.opening.is_enough(&stage.flow.plan))?;
    add_farewell(&mut report.connections, &harvest);
    scenario.add(&mut report, stage, harvest);
    report.finish(stage).await;
    Ok(report)
}

/// The result so far, after the connections were opened; `is_enough` says whether there is anything to measure.
///
/// # Errors
/// [`Failure`] when there is not, unless the operator stopped the run: then the result says so.
pub fn begin(stage: &Stage, opening: &Opening, is_enough: bool) -> Result<Report, Failure> {
    match opening.failure() {
        Some(failure) if !is_enough && !stage.interrupt.came() => return Err(failure),
        _ => {}
    }
    let mut report = Report::new(stage, opening);
    if let Some((cause, next)) = opening.trouble() {
        // The load that was asked for was not reached.
        report.judgement.add(Verdict::Invalid, format!("{cause}; next: {next}"));
    }
    Ok(report)
}

/// Adds to the result what the clients of a run brought in that sent messages.
pub fn add_traffic(report: &mut Report, stage: &Stage, traffic: &Traffic, harvest: Harvest) {
    let closed = Closed::new(stage, traffic, harvest);
    add_closed(report, stage, traffic, closed);
}

impl Closed {
    /// The closed books of one part of a run.
    pub fn new(stage: &Stage, traffic: &Traffic, harvest: Harvest) -> Self {
        let flow = &stage.flow;
        let (ledger, times) = ledger::close(flow, &harvest.senders, harvest.receipts);
        Self {
            ledger,
            times,
            effort: harvest.effort,
            journal: harvest.journal,
            unsettled: harvest.unsettled,
            gone: u64::from(harvest.opening.connected).saturating_sub(harvest.outcomes),
            missing_senders: harvest.opening.missing_senders(&flow.plan),
            slow: flow.slow(),
            opening: harvest.opening,
            offered: flow.timetable.total().map(|total| total - flow.timetable.due_before(traffic.warmup)),
        }
    }

    /// Adds another part that shared the process.
    pub fn merge(&mut self, other: Closed) {
        self.ledger.merge(other.ledger);
        self.times.merge(&other.times);
        self.opening.merge(other.opening);
        self.effort.merge_beside(&other.effort);
        self.journal.merge(other.journal);
        self.unsettled = self.unsettled.take().or(other.unsettled);
        self.gone += other.gone;
        self.missing_senders += other.missing_senders;
        self.slow += other.slow;
        self.offered = self.offered.zip(other.offered).map(|(mine, theirs)| mine + theirs);
    }
}

/// Puts closed books into a result and judges them.
pub fn add_closed(report: &mut Report, stage: &Stage, traffic: &Traffic, closed: Closed) {
    let flow = &stage.flow;
    *flow.journal() = closed.journal;
    let Closed { ledger, times, effort, unsettled, gone, missing_senders, offered, slow, .. } = closed;
    report.options.traffic = Some(environment::traffic(traffic, &flow.plan, flow.window));
    report.add_chaos(flow, &ledger, slow);
    judge(report, traffic, &ledger);
    let examined = Examined::new(&ledger, &times, &effort, offered);
    if !report.found.partial {
        // What was cut short is no measurement, and its rate says nothing.
        let troubled = report.found.chaos.is_some();
        judge_validity(&mut report.judgement, &ledger, &examined, offered, missing_senders);
        if let Some(late) = examined.late(&ledger, troubled) {
            report.judgement.add(Verdict::Invalid, late);
        }
        if gone > 0 {
            let reason = "a client failed inside the generator; its books are gone";
            report.judgement.add(Verdict::CouldNotRun, reason);
        }
    }
    report.found.validity = Some(examined.validity);
    let offered_per_s = offered.map(|offered| offered as f64 / traffic.time().as_secs_f64());
    let rates = rates(&ledger, &effort, flow, offered_per_s);
    let mut costs = costs(stage, &effort);
    costs.processes.per_delivery(ledger.books.measured.delivered);
    for note in unsettled.into_iter().chain(costs.missing) {
        report.judgement.add(Verdict::Pass, note);
    }
    report.add_times(times);
    report.found.rates = Some(rates);
    report.found.processes = Some(costs.processes);
    report.found.ledger = Some(ledger.books);
}

fn judge(report: &mut Report, traffic: &Traffic, ledger: &Ledger) {
    for (what, count) in ledger.breaches() {
        // Nobody waited for what was on its way when the run was stopped.
        if report.found.partial && what == LOST {
            continue;
        }
        report.judgement.add(Verdict::InvariantBroken, format!("{} deliveries {what}", count_text(count)));
    }
    judge_answers(report, traffic.allow_disconnects, ledger);
    judge_connections(report, traffic.allow_disconnects, ledger);
}

/// A message without an answer may be lost, and one that was refused is not what was asked for: neither goes unsaid.
fn judge_answers(report: &mut Report, allow_disconnects: bool, ledger: &Ledger) {
    let (unanswered, sent) =
        (ledger.books.total(|line| line.unanswered), ledger.books.total(|line| line.sent));
    if unanswered > 0 && !report.found.partial {
        let reason = format!("{} of {} messages got no answer", count_text(unanswered), count_text(sent));
        // Who was cut off for good cannot be answered.
        let verdict = if allow_disconnects { Verdict::Pass } else { Verdict::InvariantBroken };
        report.judgement.add(verdict, reason);
    }
    for (code, count) in &ledger.books.refused_by_code {
        let why = ledger.books.first_refusal.as_deref().unwrap_or_default();
        let reason =
            format!("{} of {} messages were refused with code {code}", count_text(*count), count_text(sent));
        report.judgement.add(Verdict::Pass, format!("{reason}; the first: {why}"));
    }
}

/// Judges whether the connections held, or where they come back on purpose, whether all were back at the end.
pub fn judge_connections(report: &mut Report, allow_disconnects: bool, ledger: &Ledger) {
    let troubled = report.found.chaos.is_some();
    let closed = report.connections.closed_text();
    let judgement = &mut report.judgement;
    if !allow_disconnects && !troubled && ledger.closed_by_server() > 0 {
        judgement.add(Verdict::InvariantBroken, closed);
    }
    if !allow_disconnects && troubled && !report.found.partial && ledger.absent > 0 {
        let absent = count_text(ledger.absent);
        judgement.add(Verdict::InvariantBroken, format!("{absent} clients were not back at the end"));
    }
    if ledger.gaps > 0 {
        // Told and not silent: it breaks nothing by itself. What is missing counts as lost.
        let gaps = count_text(ledger.gaps);
        judgement.add(Verdict::Pass, format!("{gaps} recoveries were incomplete, as the server said"));
    }
}

fn judge_validity(
    judgement: &mut Judgement,
    ledger: &Ledger,
    examined: &Examined,
    offered: Option<u64>,
    missing_senders: u64,
) {
    let sent = ledger.books.measured.sent;
    if let Some(offered) = offered
        && (sent as f64) < offered as f64 * ENOUGH
    {
        let why = if missing_senders > 0 {
            "senders did not get in"
        } else if ledger.closed_by_server() > 0 {
            "the server closed connections"
        } else if ledger.books.waited_for_window > 0 {
            "the window of unanswered messages was full; the server answers too slowly for this rate"
        } else {
            "the generator had no time to send them"
        };
        judgement.add(Verdict::Invalid, format!("{sent} of {offered} offered messages were sent: {why}"));
    }
    let accepted = ledger.books.measured.accepted;
    if (accepted as f64) < sent as f64 * ENOUGH || sent == 0 {
        let why = ledger.books.first_refusal.as_deref().unwrap_or("no answer came");
        judgement.add(Verdict::Invalid, format!("{accepted} of {sent} sent messages were accepted: {why}"));
    }
    if let Some(note) = examined.note() {
        judgement.add(Verdict::Pass, note);
    }
    for reason in examined.saturated() {
        judgement.add(Verdict::Invalid, reason);
    }
}
