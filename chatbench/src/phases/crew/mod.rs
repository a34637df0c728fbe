//! The worker processes of a run: a process may open only so many files, and one core does only so much.
//!
//! Invariant: the workers end with the conductor, however it ends; one that ends before ends the run with an error.

pub mod link;
pub mod pack;
pub mod words;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::standing::Standing;
use crate::phases::identity::Identity;
use crate::phases::operator::Interrupt;
use crate::watch::pulse::Pulse;
use crate::watch::sampler::Source;
use words::{Job, Report, Word};

/// Reports of one worker that may wait to be read.
const QUEUE: usize = 16;
/// Longest wait for the answer to a question; a worker that closes its books does not answer in between.
const PATIENCE: Duration = Duration::from_millis(900);

/// What the operator can do when a worker is gone.
const OUT_OF_MEMORY: &str = "see its words above; it may have run out of memory";

/// The worker processes of a run.
#[derive(Debug)]
pub struct Crew {
    hands: Vec<Hand>,
    /// What workers said with their last words, until the next question.
    kept: Mutex<Option<Pulse>>,
    /// Why the run cannot go on: what the first worker said that gave up, or that one ended too early.
    lost: watch::Receiver<Option<Loss>>,
}

/// What happened to a worker, and what the operator can do.
#[derive(Debug, Clone)]
struct Loss {
    cause: String,
    next: String,
}

/// The workers, to talk with about one kind of the messages.
#[derive(Debug, Clone)]
pub struct Section {
    /// All of them.
    pub crew: Arc<Crew>,
    /// Number of the kind.
    pub kind: usize,
}

/// The clients of all workers, as a source of the time series; the flows are the conductor's.
#[derive(Debug)]
pub struct Clients {
    /// By kind.
    pub flows: Vec<Arc<Flow>>,
    /// Who has them.
    pub crew: Arc<Crew>,
}

/// One worker.
#[derive(Debug)]
struct Hand {
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    pulses: AsyncMutex<mpsc::Receiver<Pulse>>,
    /// By kind.
    topics: Vec<Topic>,
}

/// What a worker says about one kind.
#[derive(Debug)]
struct Topic {
    reports: AsyncMutex<mpsc::Receiver<Report>>,
    standings: AsyncMutex<mpsc::Receiver<Standing>>,
}

/// Where a worker's lines go.
struct Ears {
    pulses: mpsc::Sender<Pulse>,
    /// By kind.
    topics: Vec<(mpsc::Sender<Report>, mpsc::Sender<Standing>)>,
    lost: Arc<watch::Sender<Option<Loss>>>,
}

impl Crew {
    /// Starts the workers and gives each its part of the clients of every kind of a scenario, with its options as JSON.
    ///
    /// # Errors
    /// [`Failure::CouldNotRun`] when a process does not start.
    pub fn start(
        (name, options): (&str, String),
        identity: &Identity,
        workers: u32,
        kinds: usize,
    ) -> Result<Arc<Self>, Failure> {
        let (lost_sender, lost) = watch::channel(None);
        let lost_sender = Arc::new(lost_sender);
        let mut hands = Vec::new();
        let (name, identity) = (name.to_owned(), identity.clone());
        let mut job = Job { name, options, identity, part: 0, parts: workers, kinds };
        for part in 0..workers {
            job.part = part;
            let hand = Hand::start(part, &job, &lost_sender).map_err(|error| {
                Failure::could_not_run(format!("worker {part} does not start: {error}"), "check `ulimit -u`")
            })?;
            hands.push(hand);
        }
        Ok(Arc::new(Self { hands, kept: Mutex::default(), lost }))
    }

    /// The same workers, to talk with about one kind.
    pub fn section(self: &Arc<Self>, kind: usize) -> Section {
        Section { crew: Arc::clone(self), kind }
    }

    fn tell(&self, kind: usize, word: &Word) -> Result<(), Failure> {
        let line = line_of(&(kind, word))
            .map_err(|error| Failure::could_not_run(error, "this is a fault of chatbench"))?;
        for (part, hand) in self.hands.iter().enumerate() {
            let mut input = hand.input.lock().unwrap_or_else(PoisonError::into_inner);
            let told = input.write_all(line.as_bytes()).and_then(|()| input.flush());
            told.map_err(|error| self.gone(format!("worker {part} does not listen: {error}")))?;
        }
        Ok(())
    }

    /// Tells the workers when the operator wants to stop.
    pub fn pass_on(self: &Arc<Self>, mut interrupt: Interrupt) {
        let crew = Arc::downgrade(self);
        tokio::spawn(async move {
            let far = tokio::time::Instant::now() + Duration::from_secs(u64::from(u32::MAX));
            if interrupt.within(far).await
                && let Some(crew) = crew.upgrade()
            {
                // Who is gone is noticed elsewhere.
                let _ = crew.tell(0, &Word::Interrupt);
            }
        });
    }

    /// What the clients of all workers did since the last question; of those that answer in time.
    pub async fn pulse(&self) -> Pulse {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(kept) = kept {
            return kept;
        }
        let mut sum = Pulse::none();
        if self.tell(0, &Word::Pulse).is_ok() {
            for hand in &self.hands {
                let mut queue = hand.pulses.lock().await;
                if let Ok(Some(pulse)) = tokio::time::timeout(PATIENCE, queue.recv()).await {
                    sum.merge(&pulse);
                }
                // A late answer to an earlier question is not lost either.
                while let Ok(late) = queue.try_recv() {
                    sum.merge(&late);
                }
            }
        }
        sum
    }

    /// Keeps what no question asked for.
    pub fn keep(&self, rest: Option<Pulse>) {
        let Some(rest) = rest else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept {
            Some(kept) => kept.merge(&rest),
            None => *kept = Some(rest),
        }
    }

    fn gone(&self, cause: String) -> Failure {
        let next = OUT_OF_MEMORY.to_owned();
        let Loss { cause, next } = self.lost.borrow().clone().unwrap_or(Loss { cause, next });
        Failure::could_not_run(cause, next)
    }
}

impl Source for Clients {
    fn pulse(&mut self) -> BoxFuture<'_, Pulse> {
        Box::pin(async {
            let mut sum = self.crew.pulse().await;
            for flow in &self.flows {
                sum.delay_max_us = sum.delay_max_us.max(flow.delay_max_us.swap(0, Relaxed));
            }
            sum
        })
    }

    fn offered(&self) -> Option<u64> {
        self.flows.iter().filter_map(|flow| flow.offered()).reduce(|sum, more| sum + more)
    }
}

impl Section {
    /// Says a word to all.
    ///
    /// # Errors
    /// [`Failure::CouldNotRun`] when one is gone or cannot go on.
    pub fn tell(&self, word: &Word) -> Result<(), Failure> {
        self.crew.tell(self.kind, word)
    }

    /// The next report of each worker, in their order.
    ///
    /// # Errors
    /// As [`Section::tell`].
    pub async fn reports(&self) -> Result<Vec<Report>, Failure> {
        let mut reports = Vec::with_capacity(self.crew.hands.len());
        for hand in &self.crew.hands {
            let mut lost = self.crew.lost.clone();
            let mut queue = hand.topics[self.kind].reports.lock().await;
            let report = tokio::select! {
                biased;
                report = queue.recv() => report,
                _ = lost.wait_for(Option::is_some) => None,
            };
            let ended = || self.crew.gone("a worker ended before the run did".to_owned());
            reports.push(report.ok_or_else(ended)?);
        }
        Ok(reports)
    }

    /// How far all workers are together.
    ///
    /// # Errors
    /// As [`Section::tell`].
    pub async fn standing(&self) -> Result<Standing, Failure> {
        if self.crew.lost.borrow().is_some() {
            return Err(self.crew.gone(String::new()));
        }
        self.tell(&Word::Stand)?;
        let mut sum = Standing::default();
        for hand in &self.crew.hands {
            let mut queue = hand.topics[self.kind].standings.lock().await;
            match tokio::time::timeout(PATIENCE, queue.recv()).await {
                Ok(Some(standing)) => sum.add(standing),
                // It is busy; whoever asks again learns more.
                _ => sum.sending += 1,
            }
            while let Ok(newer) = queue.try_recv() {
                sum.live = sum.live.max(newer.live);
            }
        }
        Ok(sum)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for hand in &self.hands {
            let mut child = hand.child.lock().unwrap_or_else(PoisonError::into_inner);
            if !matches!(child.try_wait(), Ok(Some(_))) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Hand {
    fn start(part: u32, job: &Job, lost: &Arc<watch::Sender<Option<Loss>>>) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C at the terminal is for the conductor, who passes it on.
        command.process_group(0);
        if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
            command.env("TOKIO_WORKER_THREADS", "1");
        }
        let mut child = command.spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("no pipes"));
        };
        input.write_all(line_of(job).map_err(std::io::Error::other)?.as_bytes())?;
        let (pulses, pulses_of) = mpsc::channel(QUEUE);
        let (mut topics, mut topics_of) = (Vec::new(), Vec::new());
        for _ in 0..job.kinds {
            let (reports, reports_of) = mpsc::channel(QUEUE);
            let (standings, standings_of) = mpsc::channel(QUEUE);
            topics.push((reports, standings));
            let (reports, standings) = (AsyncMutex::new(reports_of), AsyncMutex::new(standings_of));
            topics_of.push(Topic { reports, standings });
        }
        let ears = Ears { pulses, topics, lost: Arc::clone(lost) };
        let name = format!("worker {part} (process {})", child.id());
        std::thread::Builder::new().name("ears".to_owned()).spawn(move || ears.listen(&name, output))?;
        Ok(Self {
            child: Mutex::new(child),
            input: Mutex::new(input),
            pulses: AsyncMutex::new(pulses_of),
            topics: topics_of,
        })
    }
}

impl Ears {
    fn listen(self, name: &str, output: ChildStdout) {
        let next = || OUT_OF_MEMORY.to_owned();
        let mut last = false;
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            let said: Result<(usize, Report), _> = serde_json::from_str(&line);
            let (kind, report) = match said {
                Ok(said) => said,
                Err(error) => {
                    let cause = format!("{name} said what cannot be read: {error}");
                    return self.lose(Loss { cause, next: next() });
                }
            };
            let Some((reports, standings)) = self.topics.get(kind) else { return };
            let heard = match report {
                Report::Pulse(pulse) => self.pulses.try_send(*pulse).is_ok(),
                Report::Standing(standing) => standings.try_send(standing).is_ok(),
                Report::Failed { cause, next } => return self.lose(Loss { cause, next }),
                report => {
                    last = matches!(report, Report::Harvest(_));
                    reports.blocking_send(report).is_ok()
                }
            };
            if !heard && reports.is_closed() {
                return;
            }
        }
        if !last {
            self.lose(Loss { cause: format!("{name} ended before the run did"), next: next() });
        }
    }

    /// Tells all who wait, unless another worker was lost before.
    fn lose(&self, loss: Loss) {
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert(loss);
            first
        });
    }
}

fn line_of(value: &impl serde::Serialize) -> Result<String, String> {
    let mut line = serde_json::to_string(value).map_err(|error| error.to_string())?;
    line.push('\n');
    Ok(line)
}
