//! One run of a scenario from its options to its result, in this process or with workers.
//!
//! Invariant: with workers or without, of one kind of messages or of several, the same steps and the same books.

use std::sync::Arc;

use chatbench_result::verdict::Verdict;

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::plan::Shape;
use crate::ledger::plan::share::Share;
use crate::phases::course::{self, Work};
use crate::phases::crew::{Clients, Crew};
use crate::phases::harvest::Harvest;
use crate::phases::identity::Identity;
use crate::phases::lockstep::{Lockstep, Together};
use crate::phases::operator::{Interrupt, Operator};
use crate::phases::stage::{Cast, Stage};
use crate::scenario::group;
use crate::scenario::kind::{Scenario, kinds};
use crate::scenario::report::result::Report;
use crate::watch::limits;
use crate::watch::pulse::Own;
use crate::watch::sampler::Source;

/// Runs it.
///
/// # Errors
/// [`Failure`] when there is nothing to report.
pub async fn run(scenario: &dyn Scenario, operator: Operator) -> Result<Report, Failure> {
    if let Some(run) = scenario.run_apart(operator.clone()) {
        return run.await;
    }
    let identity = Identity::new(scenario.common());
    let parts = scenario.parts(&identity);
    let kinds = kinds(scenario, &identity, &parts);
    let flows = kinds.iter().map(|(kind, identity)| kind.flow(identity)).collect::<Result<Vec<_>, _>>()?;
    let largest = |workers| Share::largest(flows.iter().map(|flow| &flow.plan), workers);
    let workers = limits::workers_for(scenario.common().workers, largest)?;
    let mut stages = Vec::with_capacity(kinds.len());
    let connections = connections(&flows);
    for ((kind, identity), mut flow) in kinds.iter().zip(flows) {
        if workers > 1 {
            flow.share = Share::none();
        }
        let cast = cast(scenario, *kind, identity, connections);
        stages.push(Stage::prepare(cast, flow, &operator).await?);
    }
    let works: Vec<_> = kinds.iter().map(|(kind, _)| kind.work()).collect();
    let crew = match workers {
        1 => None,
        _ => Some(hire(scenario, &identity, workers, kinds.len(), operator.interrupt.clone())?),
    };
    let harvests = play(&works, &mut stages, crew, operator.interrupt).await;
    match harvests {
        Ok(harvests) => scenario.conclude(&mut stages, &parts, harvests).await,
        Err(failure) if failure.leaves_a_result() => Ok(cut_short(&mut stages, &failure).await),
        Err(failure) => Err(failure),
    }
}

/// The stage of a run that is not divided, its time series begun.
///
/// # Errors
/// As [`Stage::prepare`].
pub async fn alone(scenario: &dyn Scenario, operator: &Operator) -> Result<Stage, Failure> {
    let identity = Identity::new(scenario.common());
    let flow = scenario.flow(&identity)?;
    let connections = u64::from(flow.plan.connections());
    let cast = cast(scenario, scenario, &identity, connections);
    let mut stage = Stage::prepare(cast, flow, operator).await?;
    stage.watch(vec![Own::of(&stage.flow)]);
    Ok(stage)
}

/// Who plays a kind of messages of a scenario, in a run of so many connections.
pub fn cast<'a>(
    scenario: &dyn Scenario,
    kind: &'a dyn Scenario,
    identity: &Identity,
    connections: u64,
) -> Cast<'a> {
    Cast {
        scenario: scenario.name(),
        common: kind.common(),
        calls: kind.asked().calls(),
        seed: identity.seed,
        connections,
    }
}

/// Connections of all kinds together.
pub fn connections(flows: &[Flow]) -> u64 {
    flows.iter().map(|flow| u64::from(flow.plan.connections())).sum()
}

/// Starts so many workers.
fn hire(
    scenario: &dyn Scenario,
    identity: &Identity,
    workers: u32,
    kinds: usize,
    interrupt: Interrupt,
) -> Result<Arc<Crew>, Failure> {
    let options = scenario.written().map_err(|error| Failure::Usage(error.to_string()))?;
    let crew = Crew::start((scenario.name(), options), identity, workers, kinds)?;
    crew.pass_on(interrupt);
    Ok(crew)
}

/// From the first connection to the last, in this process or by the crew; gives what each kind brought in.
async fn play(
    works: &[Work<'_>],
    stages: &mut [Stage],
    crew: Option<Arc<Crew>>,
    interrupt: Interrupt,
) -> Result<Vec<Harvest>, Failure> {
    let flows = stages.iter().map(|stage| &stage.flow);
    let sources: Vec<Box<dyn Source>> = match &crew {
        Some(crew) => vec![Box::new(Clients { flows: flows.cloned().collect(), crew: Arc::clone(crew) })],
        None => flows.map(Own::of).collect(),
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
    let together = Together::new(works.len());
    let locksteps = (0..works.len()).map(|kind| match &crew {
        Some(crew) => Lockstep::Crew(crew.section(kind), Arc::clone(&together)),
        None => Lockstep::Alone(Arc::clone(&together)),
    });
    course::run_all(stages, works, locksteps).await
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
