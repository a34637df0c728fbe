//! A worker process: a part of the clients of a run, in step with the conductor on standard input and output.
//!
//! Invariant: it ends when its conductor does, whatever it is doing.

use std::io::{BufRead, Stdin, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::Parser;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};

use crate::args::{Args, Command};
use crate::course;
use crate::crew::words::{Job, Report, Word};
use crate::failure::Failure;
use crate::flow::Flow;
use crate::interrupt::Interrupt;
use crate::lockstep::Lockstep;
use crate::process;
use crate::pulse::{Looks, Pulse};
use crate::scenario;
use crate::share::Share;
use crate::stage::Stage;

/// The worker's end of the conversation.
#[derive(Debug)]
pub struct Link {
    words: AsyncMutex<mpsc::Receiver<Word>>,
    flow: OnceLock<Arc<Flow>>,
    looks: Mutex<Looks>,
    drained: AtomicBool,
    sending: AtomicBool,
    interrupted: Notify,
}

impl Link {
    /// The next word that is no question.
    ///
    /// # Errors
    /// When there is none any more.
    pub async fn next(&self) -> Result<Word, Failure> {
        let word = self.words.lock().await.recv().await;
        word.ok_or_else(|| Failure::could_not_run("the conductor is gone", "start the run again"))
    }

    /// Says something.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn say(&self, report: &Report) -> Result<(), Failure> {
        say(report).map_err(|error| Failure::could_not_run(error, "start the run again"))
    }

    /// Whether the conductor said that nothing more can come.
    pub fn drained(&self) -> bool {
        self.drained.load(Relaxed)
    }

    /// No further message.
    pub fn end_sending(&self) {
        self.sending.store(false, Relaxed);
    }

    fn pulse(&self, flow: &Flow) -> Pulse {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        Pulse { own: process::own().ok(), ..looks.look(flow) }
    }

    /// Reads words until the conductor ends, answers questions and queues the rest.
    fn listen(&self, input: &Stdin, queue: &mpsc::Sender<Word>) {
        for line in input.lock().lines() {
            let Ok(line) = line else { break };
            let flow = self.flow.get();
            let answered = match (serde_json::from_str(&line), flow) {
                (Ok(Word::Pulse), Some(flow)) => say(&Report::Pulse(Box::new(self.pulse(flow)))),
                (Ok(Word::Stand), Some(flow)) => {
                    let mut standing = flow.standing();
                    standing.sending = u64::from(self.sending.load(Relaxed));
                    say(&Report::Standing(standing))
                }
                (Ok(Word::Pulse | Word::Stand), None) => Ok(()),
                (Ok(Word::Interrupt), _) => {
                    self.interrupted.notify_one();
                    Ok(())
                }
                (Ok(word), _) => {
                    if matches!(word, Word::Drained) {
                        self.drained.store(true, Relaxed);
                        continue;
                    }
                    queue.blocking_send(word).map_err(|error| error.to_string())
                }
                (Err(error), _) => Err(error.to_string()),
            };
            if answered.is_err() {
                break;
            }
        }
        // Nobody is left to work for.
        std::process::exit(1);
    }
}

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
    let (queue, words) = mpsc::channel(16);
    let link = Arc::new(Link {
        words: AsyncMutex::new(words),
        flow: OnceLock::new(),
        looks: Mutex::default(),
        drained: AtomicBool::new(false),
        sending: AtomicBool::new(true),
        interrupted: Notify::new(),
    });
    let ears = Arc::clone(&link);
    if std::thread::Builder::new().name("ears".to_owned()).spawn(move || ears.listen(&stdin, &queue)).is_err()
    {
        return 1;
    }
    match Box::pin(work(&job, &link)).await {
        Ok(()) => 0,
        Err(failure) => {
            let (cause, next) = match failure {
                Failure::Usage(cause) | Failure::Invalid(cause) => (cause, "see chatbench --help".to_owned()),
                Failure::CouldNotRun { cause, next } => (cause, next),
            };
            let _ = say(&Report::Failed { cause: format!("worker {}: {cause}", job.part), next });
            1
        }
    }
}

async fn work(job: &Job, link: &Arc<Link>) -> Result<(), Failure> {
    let args = std::iter::once("chatbench").chain(job.args.iter().map(String::as_str));
    let mut args = Args::try_parse_from(args).map_err(|error| Failure::Usage(error.to_string()))?;
    let Command::Scenario(scenario) = &mut args.command else {
        return Err(Failure::Usage("a worker does a part of a scenario".to_owned()));
    };
    scenario.common_mut().quiet = true;
    let mut flow = scenario::flow(scenario, &job.identity)?;
    flow.share = Share::of(&flow.plan, job.part, job.parts);
    let waiter = Arc::clone(link);
    let interrupt = Interrupt::on(async move { waiter.interrupted.notified().await });
    let common = scenario.common();
    let mut stage = Stage::of_worker(scenario.name(), common, &job.identity, flow, interrupt).await?;
    let _ = link.flow.set(Arc::clone(&stage.flow));
    let lockstep = Lockstep::Worker(Arc::clone(link));
    let mut harvest = course::run(&mut stage, &scenario::work(scenario), &lockstep).await?;
    harvest.rest = Some(link.pulse(&stage.flow));
    link.say(&Report::Harvest(Box::new(harvest)))
}

fn say(report: &Report) -> Result<(), String> {
    let mut line = serde_json::to_string(report).map_err(|error| error.to_string())?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())
}
