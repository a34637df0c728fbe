//! World, groups and pairs at once: what a server of many rooms sees.
//!
//! Invariant: each kind has an app, clients and books of its own; they begin together and are added up at the end.

use std::sync::Arc;

use serde::Serialize;

use crate::args::{GroupArgs, MixedArgs, Scenario, TrafficArgs};
use crate::course;
use crate::crowd::Opening;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::interrupt::Interrupt;
use crate::ledger::Line;
use crate::limits;
use crate::lockstep::{Lockstep, Together};
use crate::report::result::Report;
use crate::report::times::TimeSummary;
use crate::sampler::Source;
use crate::scenario::conclude::{Closed, add_closed};
use crate::scenario::{flow, group, work};
use crate::stage::Stage;

/// One kind of messages of a mixed run.
#[derive(Debug, Serialize)]
pub struct Part {
    /// The scenario it is by itself.
    pub scenario: &'static str,
    /// Clients that receive.
    pub clients: u32,
    /// Its books of the measured part.
    pub measured: Line,
    /// Its response times.
    pub e2e_time: TimeSummary,
}

/// The three kinds with their shares of clients and rate.
pub fn parts(args: &MixedArgs) -> [Scenario; 3] {
    let (clients, rate) = (args.traffic.common.clients(), args.traffic.rate);
    let part = |clients: u32, share: f64| {
        let mut part: TrafficArgs = args.traffic.clone();
        (part.common.clients, part.rate, part.senders) = (Some(clients.max(1)), rate * share, None);
        part
    };
    let members = args.members.min((clients / 4).max(1));
    let mut traffic = part(0, 0.3);
    traffic.common.clients = None;
    [
        Scenario::Broadcast(part(clients / 2, 0.1)),
        Scenario::Group(GroupArgs { groups: (clients / 4 / members).max(1), members, traffic }),
        Scenario::Unicast(part(clients / 4, 0.6)),
    ]
}

/// Runs it.
///
/// # Errors
/// [`Failure`] when there is nothing to report.
pub async fn run(args: &MixedArgs, interrupt: Interrupt) -> Result<Report, Failure> {
    let parts = parts(args);
    let mut stages = prepare(args, &parts, interrupt).await?;
    let together = Together::new(parts.len());
    let runs = stages.iter_mut().zip(&parts).map(|(stage, part)| {
        let lockstep = Lockstep::Together(Arc::clone(&together));
        async move { course::run(stage, &work(part), &lockstep).await }
    });
    let harvests = futures_util::future::try_join_all(runs).await?;
    let (mut kinds, mut all, mut opening) = (Vec::new(), None::<Closed>, Opening::none());
    let (mut unanswered_closes, mut heartbeats) = (0, 0);
    for ((mut harvest, stage), part) in harvests.into_iter().zip(&stages).zip(&parts) {
        if let Some(failure) = harvest.opening.failure() {
            return Err(failure);
        }
        opening.merge(std::mem::replace(&mut harvest.opening, Opening::none()));
        unanswered_closes += harvest.unanswered_closes;
        heartbeats += harvest.heartbeats;
        let closed = Closed::new(stage, &args.traffic, harvest);
        kinds.push(Part {
            scenario: part.name(),
            clients: stage.flow.plan.receivers,
            measured: closed.ledger.measured.clone(),
            e2e_time: TimeSummary::new(&closed.times.e2e, closed.times.censored.e2e),
        });
        match &mut all {
            Some(all) => all.merge(closed),
            None => all = Some(closed),
        }
    }
    let ([stage, ..], Some(closed)) = (&mut stages[..], all) else {
        return Err(Failure::Usage("a mixed run has three parts".to_owned()));
    };
    let mut report = Report::new(stage, &opening);
    (report.connections.unanswered_closes, report.connections.heartbeats) = (unanswered_closes, heartbeats);
    add_closed(&mut report, stage, &args.traffic, closed);
    report.options.clients = kinds.iter().map(|part| part.clients).sum();
    report.parts = Some(kinds);
    report.finish(stage).await;
    Ok(report)
}

/// The stages of the parts; the first one watches all.
async fn prepare(args: &MixedArgs, parts: &[Scenario], interrupt: Interrupt) -> Result<Vec<Stage>, Failure> {
    let identity = Identity::new(&args.traffic.common);
    let (mut stages, mut connections) = (Vec::new(), 0);
    for (place, part) in (0..).zip(parts) {
        let own = Identity {
            run: format!("{}{place}", &identity.run[..15]),
            app: identity.app.wrapping_add(place).max(1),
            seed: identity.seed,
        };
        let flow = flow(part, &own)?;
        connections += flow.plan.connections();
        stages.push(Stage::prepare("mixed", part.common(), &own, flow, interrupt.clone()).await?);
    }
    limits::open_files_for(u64::from(connections))?;
    let sources = stages.iter().map(|stage| Source::own(Arc::clone(&stage.flow))).collect();
    if let Some(first) = stages.first_mut() {
        first.watch(sources);
    }
    for stage in &stages {
        if stage.flow.plan.shape == crate::plan::Shape::Groups {
            group::assemble(stage).await?;
        }
    }
    Ok(stages)
}
