//! One run of a scenario from its options to its result, in this process or with workers.
//!
//! Invariant: with workers or without, the same steps and the same books.

use std::sync::Arc;

use crate::args::Scenario;
use crate::course;
use crate::crew::Crew;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::interrupt::Interrupt;
use crate::limits;
use crate::lockstep::Lockstep;
use crate::plan::Shape;
use crate::report::result::Report;
use crate::sampler::Source;
use crate::scenario::{conclude, flow, group, work};
use crate::share::Share;
use crate::stage::Stage;

/// Runs it.
///
/// # Errors
/// [`Failure`] when there is nothing to report.
pub async fn run(scenario: &Scenario, interrupt: Interrupt) -> Result<Report, Failure> {
    let common = scenario.common();
    let identity = Identity::new(common);
    let mut flow = flow(scenario, &identity)?;
    let workers = limits::workers_for(flow.plan.connections(), common.workers)?;
    if workers > 1 {
        flow.share = Share::none();
    }
    let mut stage = Stage::prepare(scenario.name(), common, &identity, flow, interrupt).await?;
    let (lockstep, source) = if workers > 1 {
        let crew = Crew::start(&scenario.line(), &identity, workers)?;
        crew.pass_on(stage.interrupt.clone());
        (Lockstep::Crew(Arc::clone(&crew)), Source::Crew(Arc::clone(&stage.flow), crew))
    } else {
        (Lockstep::Alone, Source::own(Arc::clone(&stage.flow)))
    };
    stage.watch(vec![source]);
    if stage.flow.plan.shape == Shape::Groups {
        group::assemble(&stage).await?;
    }
    let harvest = course::run(&mut stage, &work(scenario), &lockstep).await?;
    conclude::conclude(&mut stage, scenario, harvest).await
}
