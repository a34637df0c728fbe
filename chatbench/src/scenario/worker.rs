//! A worker process: a part of the clients of a run, in step with the conductor.
//!
//! Invariant: it does what its conductor's scenario says, with its share of the clients.

use std::sync::Arc;

use clap::Parser;

use crate::args::{Args, Command};
use crate::course;
use crate::crew::link::{Desk, say};
use crate::crew::words::{Job, Report};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::limits;
use crate::lockstep::Lockstep;
use crate::scenario;
use crate::share::Share;
use crate::stage::Stage;

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
    let args = std::iter::once("chatbench").chain(job.args.iter().map(String::as_str));
    let mut args = Args::try_parse_from(args).map_err(|error| Failure::Usage(error.to_string()))?;
    let Command::Scenario(scenario) = &mut args.command else {
        return Err(Failure::Usage("a worker does a part of a scenario".to_owned()));
    };
    scenario.common_mut().quiet = true;
    let waiter = Arc::clone(desk);
    let interrupt = Interrupt::on(async move { waiter.interrupted.notified().await });
    let kinds = scenario::kinds(scenario, &job.identity);
    let flows = kinds.iter().map(scenario::Kind::flow).collect::<Result<Vec<_>, _>>()?;
    let all = scenario::connections(&flows);
    let (mut stages, mut own) = (Vec::with_capacity(kinds.len()), 0);
    for (kind, mut flow) in kinds.iter().zip(flows) {
        flow.share = Share::of(&flow.plan, job.part, job.parts);
        own += u64::from(flow.share.count(&flow.plan));
        let (common, identity) = (kind.scenario.common(), &kind.identity);
        let stage = Stage::of_worker(scenario.name(), common, identity, flow, all, interrupt.clone());
        stages.push(stage.await?);
    }
    limits::open_files_for(own)?;
    let _ = desk.flows.set(stages.iter().map(|stage| Arc::clone(&stage.flow)).collect());
    let locksteps = desk.links.iter().map(|link| Lockstep::Worker(Arc::clone(link)));
    let works: Vec<_> = kinds.iter().map(|kind| scenario::work(&kind.scenario)).collect();
    let harvests = course::run_all(&mut stages, &works, locksteps).await?;
    for (link, mut harvest) in desk.links.iter().zip(harvests) {
        if link.kind == 0 {
            harvest.rest = Some(desk.pulse());
        }
        link.say(&Report::Harvest(Box::new(harvest)))?;
    }
    Ok(())
}
