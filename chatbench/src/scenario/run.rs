//! One run of a scenario from its options to its result, in this process or with workers.
//!
//! Invariant: with workers or without, of one kind of messages or of several, the same steps and the same books.

use std::sync::Arc;

use crate::args::Scenario;
use crate::course;
use crate::crew::Crew;
use crate::failure::Failure;
use crate::flow::Flow;
use crate::harvest::Harvest;
use crate::identity::Identity;
use crate::interrupt::Interrupt;
use crate::limits;
use crate::lockstep::{Lockstep, Together};
use crate::plan::Shape;
use crate::report::result::Report;
use crate::sampler::Source;
use crate::scenario::{Kind, conclude, connections, group, kinds, mixed, work};
use crate::share::Share;
use crate::stage::Stage;
use chatbench_result::verdict::Verdict;

/// Runs it.
///
/// # Errors
/// [`Failure`] when there is nothing to report.
pub async fn run(scenario: &Scenario, interrupt: Interrupt) -> Result<Report, Failure> {
    let identity = Identity::new(scenario.common());
    let kinds = kinds(scenario, &identity);
    let flows = kinds.iter().map(Kind::flow).collect::<Result<Vec<_>, _>>()?;
    let largest = |workers| Share::largest(flows.iter().map(|flow| &flow.plan), workers);
    let workers = limits::workers_for(scenario.common().workers, largest)?;
    let mut stages = prepare(scenario, &kinds, flows, workers > 1, &interrupt).await?;
    let harvests = play(scenario, &kinds, &mut stages, (workers, &identity), interrupt).await;
    let mut harvests = match harvests {
        Ok(harvests) => harvests,
        Err(failure) if failure.leaves_a_result() => return Ok(cut_short(&mut stages, &failure).await),
        Err(failure) => return Err(failure),
    };
    match scenario {
        Scenario::Mixed(args) => mixed::conclude(&mut stages, args, &kinds, harvests).await,
        _ => conclude::conclude(&mut stages[0], scenario, harvests.swap_remove(0)).await,
    }
}

/// From the first connection to the last, by so many workers of this run; gives what each kind brought in.
async fn play(
    scenario: &Scenario,
    kinds: &[Kind],
    stages: &mut [Stage],
    (workers, identity): (u32, &Identity),
    interrupt: Interrupt,
) -> Result<Vec<Harvest>, Failure> {
    let flows = || stages.iter().map(|stage| Arc::clone(&stage.flow));
    let together = Together::new(kinds.len());
    let (crew, sources) = if workers > 1 {
        let crew = Crew::start(&scenario.line(), identity, workers, kinds.len())?;
        crew.pass_on(interrupt.clone());
        (Some(Arc::clone(&crew)), vec![Source::Crew(flows().collect(), crew)])
    } else {
        (None, flows().map(Source::own).collect())
    };
    // The first watches for all.
    stages[0].watch(sources);
    for stage in stages.iter().filter(|stage| stage.flow.plan.shape == Shape::Groups) {
        match interrupt.unless(group::assemble(stage)).await {
            // Nobody lacks them: the steps of a run that was stopped send nothing.
            Ok(()) | Err(Failure::Stopped) => {}
            Err(failure) => return Err(failure),
        }
    }
    let locksteps = (0..kinds.len()).map(|kind| match &crew {
        Some(crew) => Lockstep::Crew(crew.section(kind), Arc::clone(&together)),
        None => Lockstep::Alone(Arc::clone(&together)),
    });
    let works: Vec<_> = kinds.iter().map(|kind| work(&kind.scenario)).collect();
    course::run_all(stages, &works, locksteps).await
}

/// The result of a run that lost its books: a part of what was done is not known, so nothing is a measurement.
async fn cut_short(stages: &mut [Stage], failure: &Failure) -> Report {
    let opened = stages.iter_mut().filter_map(|stage| stage.opened.take()).reduce(|mut all, more| {
        all.merge(more);
        all
    });
    let has_begun = opened.as_ref().is_some_and(|opening| opening.connected > 0);
    let verdict = if has_begun { Verdict::Invalid } else { Verdict::CouldNotRun };
    stages[0].opened = opened;
    Report::cut_short(&mut stages[0], verdict, failure).await
}

async fn prepare(
    scenario: &Scenario,
    kinds: &[Kind],
    flows: Vec<Flow>,
    with_workers: bool,
    interrupt: &Interrupt,
) -> Result<Vec<Stage>, Failure> {
    let mut stages = Vec::with_capacity(kinds.len());
    let connections = connections(&flows);
    for (kind, mut flow) in kinds.iter().zip(flows) {
        if with_workers {
            flow.share = Share::none();
        }
        let (common, identity) = (kind.scenario.common(), &kind.identity);
        let stage = Stage::prepare(scenario.name(), common, identity, flow, connections, interrupt.clone());
        stages.push(stage.await?);
    }
    Ok(stages)
}
