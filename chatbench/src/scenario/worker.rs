//! A worker process: a part of the clients of a run, in step with the conductor.
//!
//! Invariant: it does what its conductor's scenario says, with its share of the clients.

use std::sync::Arc;

use crate::failure::Failure;
use crate::ledger::plan::share::Share;
use crate::phases::course;
use crate::phases::crew::link::{Desk, say};
use crate::phases::crew::words::{Job, Report};
use crate::phases::lockstep::Lockstep;
use crate::phases::operator::{Interrupt, Operator};
use crate::phases::stage::Stage;
use crate::scenario;
use crate::scenario::kind::kinds;
use crate::scenario::run::{cast, connections};
use crate::watch::limits;

/// Does what the conductor says; gives the exit code.
pub async fn run() -> u8 {
    let stdin = std::io::stdin();
    let mut line = String::new();
    let job = stdin.read_line(&mut line).map_err(|error| error.to_string());
    let job = job.and_then(|_| serde_json::from_str::<Job>(&line).map_err(|error| error.to_string()));
    let job = match job {
        Ok(job) => job,
        Err(error) => {
            eprintln!("chatbench worker: it is started by chatbench itself, with --workers: {error}");
            return 2;
        }
    };
    let (desk, queues) = Desk::new(job.kinds);
    let ears = Arc::clone(&desk);
    if std::thread::Builder::new()
        .name("ears".to_owned())
        .spawn(move || ears.listen(&stdin, &queues))
        .is_err()
    {
        return 1;
    }
    match Box::pin(work(&job, &desk)).await {
        Ok(()) => 0,
        Err(failure) => {
            let (cause, next) = match failure {
                Failure::CouldNotRun { cause, next } => (cause, next),
                other => (other.to_string(), "see chatbench --help".to_owned()),
            };
            let _ = say(0, &Report::Failed { cause: format!("worker {}: {cause}", job.part), next });
            1
        }
    }
}

async fn work(job: &Job, desk: &Arc<Desk>) -> Result<(), Failure> {
    let scenario = scenario::read(&job.name, &job.options).map_err(Failure::Usage)?;
    let waiter = Arc::clone(desk);
    let interrupt = Interrupt::on(async move { waiter.interrupted.notified().await });
    let operator = Operator { interrupt, progress: Arc::new(()) };
    let parts = scenario.parts(&job.identity);
    let kinds = kinds(&*scenario, &job.identity, &parts);
    let flows = kinds.iter().map(|(kind, identity)| kind.flow(identity)).collect::<Result<Vec<_>, _>>()?;
    let connections = connections(&flows);
    let (mut stages, mut own) = (Vec::with_capacity(kinds.len()), 0);
    for ((kind, identity), mut flow) in kinds.iter().zip(flows) {
        flow.share = Share::of(&flow.plan, job.part, job.parts);
        own += u64::from(flow.share.count(&flow.plan));
        let cast = cast(&*scenario, *kind, identity, connections);
        stages.push(Stage::of_worker(cast, flow, &operator).await?);
    }
    limits::open_files_for(own)?;
    let _ = desk.flows.set(stages.iter().map(|stage| Arc::clone(&stage.flow)).collect());
    let locksteps = desk.links.iter().map(|link| Lockstep::Worker(Arc::clone(link)));
    let works: Vec<_> = kinds.iter().map(|(kind, _)| kind.work()).collect();
    let harvests = course::run_all(&mut stages, &works, locksteps).await?;
    for (link, mut harvest) in desk.links.iter().zip(harvests) {
        if link.kind == 0 {
            harvest.rest = Some(desk.pulse());
        }
        link.say(&Report::Harvest(Box::new(harvest)))?;
    }
    Ok(())
}
