//! The course of a run that sends messages, whoever they go to.
//!
//! Invariant: a verdict is given on the merged books only; a run that was too slow to be a measurement says so.

use std::sync::Arc;

use chat_client::Http;
use tokio::task::JoinHandle;

use crate::args::{TrafficArgs, Via};
use crate::client::control::Control;
use crate::client::http_sender::HttpSender;
use crate::client::sender::Sender;
use crate::clock::micros;
use crate::crowd::Crowd;
use crate::failure::Failure;
use crate::flow::Flow;
use crate::interrupt::Interrupt;
use crate::ledger::{self, Ledger};
use crate::plan::{MAX_SEQUENCE, Plan, Shape};
use crate::probe;
use crate::report::books::{Books, Rates};
use crate::report::processes::Processes;
use crate::report::result::Report;
use crate::scenario::group;
use crate::stage::Stage;
use crate::traffic::{self, Driven};
use crate::units::{count_text, micros_text};
use crate::verdict::{Judgement, Verdict};

/// Share of the offered messages that must have been sent, and of the sent ones that must have been accepted.
const ENOUGH: f64 = 0.95;
/// Requests of one HTTP sender under way at once: each takes a connection, so files bound it.
const HTTP_WINDOW: u32 = 64;

/// Runs it.
///
/// # Errors
/// [`Failure`] when there is nothing to report.
pub async fn run(
    scenario: &'static str,
    args: &TrafficArgs,
    plan: Plan,
    seed: u64,
    interrupt: Interrupt,
) -> Result<Report, Failure> {
    let flow = flow(args, plan, seed)?;
    let mut stage = Stage::prepare(scenario, &args.common, seed, flow, interrupt).await?;
    if stage.flow.plan.shape == Shape::Groups {
        group::assemble(&stage).await?;
    }
    let (crowd, opening) = stage.open().await;
    if let Some(failure) = opening.failure() {
        stage.close(crowd).await;
        return Err(failure);
    }
    let unsettled = crowd.settle(&mut stage.interrupt).await;
    let posting = Posting::start(&stage, args)?;
    let controls = posting.controls(&crowd, &stage.flow);
    let driven = traffic::drive(&mut stage, args, &controls, crowd.controls()).await?;
    let mut senders = posting.stop().await;
    let mut farewell = stage.close(crowd).await;
    senders.append(&mut farewell.senders);
    let receipts = ledger::receipts(&stage.flow, &senders, &farewell.outcomes);
    let (ledger, times) = ledger::close(&stage.flow, &senders, receipts);

    let mut report = Report::new(&stage, &opening);
    report.options.add_traffic(args, &stage.flow.plan, stage.flow.window);
    report.connections.add_farewell(&farewell);
    report.add_chaos(&stage.flow, &ledger);
    judge(&mut report, args, &ledger, &driven);
    if !stage.interrupt.came() && farewell.outcomes.len() < stage.flow.plan.connections() as usize {
        report
            .judgement
            .add(Verdict::CouldNotRun, "a client failed inside the generator; its books are gone");
    }
    let rates = Rates::new(&ledger, &driven, &stage.flow);
    let mut processes = Processes::new(&stage, driven.own, driven.servers, driven.measured_ns);
    processes.per_delivery(ledger.measured.delivered);
    for note in unsettled.into_iter().chain(processes.missing(&stage).map(str::to_owned)) {
        report.judgement.add(Verdict::Pass, note);
    }
    report.add_times(times);
    report.rates = Some(rates);
    report.processes = Some(processes);
    report.ledger = Some(Books::from(ledger));
    report.finish(&mut stage).await;
    Ok(report)
}

fn flow(args: &TrafficArgs, plan: Plan, seed: u64) -> Result<Flow, Failure> {
    let timetable = args.timetable(seed)?;
    let window = match (args.closed, args.via) {
        (true, _) => 1,
        (false, Via::Ws) => args.window,
        (false, Via::Http) => args.window.min(HTTP_WINDOW),
    };
    let total = timetable.total().unwrap_or(0);
    if total / u64::from(plan.senders) >= u64::from(MAX_SEQUENCE) {
        let most = count_text(u64::from(MAX_SEQUENCE));
        return Err(Failure::Usage(format!(
            "more than {most} messages of one sender: lower --rate or --duration"
        )));
    }
    Ok(Flow::new(plan, micros(args.late), window, timetable))
}

/// The senders that post over HTTP; none when senders have connections.
struct Posting {
    controls: Vec<Arc<Control>>,
    tasks: Vec<JoinHandle<Sender>>,
}

impl Posting {
    fn start(stage: &Stage, args: &TrafficArgs) -> Result<Self, Failure> {
        let (mut controls, mut tasks) = (Vec::new(), Vec::new());
        if args.via == Via::Http {
            for number in 0..stage.flow.plan.senders {
                let control = Arc::new(Control::default());
                let http: Http = stage.http(number).clone();
                let sender = HttpSender::new(Arc::clone(&stage.flow), Arc::clone(&control), http, number)?;
                controls.push(control);
                tasks.push(tokio::spawn(sender.run()));
            }
        }
        Ok(Self { controls, tasks })
    }

    fn controls(&self, crowd: &Crowd, flow: &Flow) -> Vec<Arc<Control>> {
        if self.controls.is_empty() {
            return crowd.controls()[flow.plan.receivers as usize..].to_vec();
        }
        self.controls.clone()
    }

    async fn stop(self) -> Vec<Sender> {
        self.controls.iter().for_each(|control| control.stop());
        let mut senders = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            senders.extend(task.await.ok());
        }
        senders
    }
}

fn judge(report: &mut Report, args: &TrafficArgs, ledger: &Ledger, driven: &Driven) {
    let closed = report.connections.closed_text();
    let judgement = &mut report.judgement;
    for (what, count) in ledger.breaches() {
        judgement.add(Verdict::InvariantBroken, format!("{} deliveries {what}", count_text(count)));
    }
    if !args.allow_disconnects && args.chaos.is_empty() && ledger.closed_by_server() > 0 {
        judgement.add(Verdict::InvariantBroken, closed);
    }
    if !args.allow_disconnects && !args.chaos.is_empty() && ledger.absent > 0 {
        let absent = count_text(ledger.absent);
        judgement.add(Verdict::InvariantBroken, format!("{absent} clients were not back at the end"));
    }
    if ledger.gaps > 0 {
        // Told and not silent: it breaks nothing by itself. What is missing counts as lost.
        let gaps = count_text(ledger.gaps);
        judgement.add(Verdict::Pass, format!("{gaps} recoveries were incomplete, as the server said"));
    }
    if report.partial {
        // What was cut short is no measurement, and its rate says nothing.
        return;
    }
    judge_validity(judgement, ledger, driven);
}

fn judge_validity(judgement: &mut Judgement, ledger: &Ledger, driven: &Driven) {
    let sent = ledger.measured.sent;
    if let Some(offered) = driven.offered
        && (sent as f64) < offered as f64 * ENOUGH
    {
        let why = if ledger.closed_by_server() > 0 {
            "the server closed connections"
        } else if ledger.waited_for_window > 0 {
            "the window of unanswered messages was full; the server answers too slowly for this rate"
        } else {
            "the generator had no time to send them"
        };
        judgement.add(Verdict::Invalid, format!("{sent} of {offered} offered messages were sent: {why}"));
    }
    let accepted = ledger.measured.accepted;
    if (accepted as f64) < sent as f64 * ENOUGH || sent == 0 {
        let why = ledger.first_refusal.as_deref().unwrap_or("no answer came");
        judgement.add(Verdict::Invalid, format!("{accepted} of {sent} sent messages were accepted: {why}"));
    }
    let delay = driven.probe.value_at_quantile(0.99);
    if delay > probe::MAX_P99_US {
        let reason = format!(
            "the generator is saturated: its tasks wait {} at p99 for their turn (bound {})",
            micros_text(delay),
            micros_text(probe::MAX_P99_US)
        );
        judgement.add(Verdict::Invalid, reason);
    }
}
