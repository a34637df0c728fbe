//! How the processes of a run stay in step: connect, settle, start, drain, exchange of books.
//!
//! Invariant: every process goes through the same steps in the same order, whether it is alone, conducts or works;
//! so does every kind of messages of a run, and all kinds begin at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Barrier;

use crate::clock::{nanos, now_ns};
use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::sender::Sender;
use crate::ledger::standing::Standing;
use crate::phases::crew::link::Link;
use crate::phases::crew::words::{Report, Word};
use crate::phases::crew::{Section, pack};
use crate::phases::harvest::Harvest;
use crate::phases::opening::Opening;

/// From the decision to start to the first message, so that the schedule's thread is there in time.
const RUN_UP: Duration = Duration::from_millis(20);
/// The same when other processes have to hear of it.
const RUN_UP_OF_SEVERAL: Duration = Duration::from_millis(250);

/// Where the kinds of a run wait for each other.
#[derive(Debug)]
pub struct Together {
    all: Barrier,
    wanted: AtomicBool,
    start_ns: AtomicU64,
}

impl Together {
    /// So many kinds.
    pub fn new(kinds: usize) -> Arc<Self> {
        let (wanted, start_ns) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { all: Barrier::new(kinds), wanted, start_ns })
    }

    /// Whether one of them wants to go on.
    async fn one_wants(&self, wanted: bool) -> bool {
        self.wanted.fetch_or(wanted, Relaxed);
        self.all.wait().await;
        self.wanted.load(Relaxed)
    }

    /// When all start: so long after the last one asked.
    async fn start(&self, run_up: Duration) -> u64 {
        if self.all.wait().await.is_leader() {
            self.start_ns.store(now_ns() + nanos(run_up), Relaxed);
        }
        self.all.wait().await;
        self.start_ns.load(Relaxed)
    }
}

/// The part of a process in the run.
#[derive(Debug)]
pub enum Lockstep {
    /// The only one.
    Alone(Arc<Together>),
    /// The one that has no clients and conducts the others.
    Crew(Section, Arc<Together>),
    /// One of the others.
    Worker(Arc<Link>),
}

impl Lockstep {
    /// The clients are in, or not. The conductor learns of those of all.
    ///
    /// # Errors
    /// [`Failure`] when another process is gone, here as in every step.
    pub async fn opened(&self, opening: &mut Opening) -> Result<(), Failure> {
        match self {
            Lockstep::Alone(_) => {}
            Lockstep::Worker(link) => {
                let mine = std::mem::replace(opening, Opening::none());
                link.say(&Report::Opened(Box::new(mine)))?;
            }
            Lockstep::Crew(crew, _) => {
                for report in crew.reports().await? {
                    let Report::Opened(theirs) = report else { return Err(out_of_step()) };
                    opening.merge(*theirs);
                }
            }
        }
        Ok(())
    }

    /// Whether the run goes on, and if so, which connections of all processes are not in; the conductor decides.
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub async fn goes_on(&self, wanted: bool, missing: &[u32]) -> Result<Option<Vec<u32>>, Failure> {
        match self {
            Lockstep::Alone(together) => {
                let wanted = together.one_wants(wanted).await;
                Ok(wanted.then(|| missing.to_vec()))
            }
            Lockstep::Worker(link) => match link.next().await? {
                Word::Settle(missing) => Ok(Some(missing)),
                Word::Quit => Ok(None),
                _ => Err(out_of_step()),
            },
            Lockstep::Crew(crew, together) => {
                let wanted = together.one_wants(wanted).await.then(|| missing.to_vec());
                crew.tell(&wanted.clone().map_or(Word::Quit, Word::Settle))?;
                Ok(wanted)
            }
        }
    }

    /// The server has told of all log-ins, or this is why the run begins all the same.
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub async fn settled(&self, unsettled: &mut Option<String>) -> Result<(), Failure> {
        match self {
            Lockstep::Alone(_) => {}
            Lockstep::Worker(link) => link.say(&Report::Settled(unsettled.take()))?,
            Lockstep::Crew(crew, _) => {
                for report in crew.reports().await? {
                    let Report::Settled(theirs) = report else { return Err(out_of_step()) };
                    *unsettled = unsettled.take().or(theirs);
                }
            }
        }
        Ok(())
    }

    /// When the first message is due, the same for all, in nanoseconds of [`crate::clock`].
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub async fn start(&self) -> Result<u64, Failure> {
        match self {
            Lockstep::Alone(together) => Ok(together.start(RUN_UP).await),
            Lockstep::Worker(link) => match link.next().await? {
                Word::Start(start_ns) => Ok(start_ns),
                _ => Err(out_of_step()),
            },
            Lockstep::Crew(crew, together) => {
                let start_ns = together.start(RUN_UP_OF_SEVERAL).await;
                crew.tell(&Word::Start(start_ns))?;
                Ok(start_ns)
            }
        }
    }

    /// How far the clients of all processes are, as far as this one knows.
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub async fn standing(&self, flow: &Flow) -> Result<Standing, Failure> {
        match self {
            Lockstep::Crew(crew, _) => crew.standing().await,
            Lockstep::Alone(_) | Lockstep::Worker(_) => Ok(flow.standing()),
        }
    }

    /// No client of any process is connected any more; workers learn it only from the conductor.
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub fn forsake(&self) -> Result<(), Failure> {
        if let Lockstep::Crew(crew, _) = self { crew.tell(&Word::Forsaken) } else { Ok(()) }
    }

    /// This process sends nothing more.
    pub fn end_sending(&self) {
        if let Lockstep::Worker(link) = self {
            link.end_sending();
        }
    }

    /// Whether nothing more can come, or nothing is worth waiting for; the conductor decides.
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub async fn drained(&self, flow: &Flow) -> Result<bool, Failure> {
        match self {
            Lockstep::Worker(link) => Ok(link.drained()),
            Lockstep::Alone(_) | Lockstep::Crew(..) => {
                let standing = self.standing(flow).await?;
                Ok(standing.complete()
                    || (standing.sending == 0 && (standing.live == 0 || standing.sent == 0)))
            }
        }
    }

    /// The wait for deliveries and answers is over.
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub fn end_drain(&self) -> Result<(), Failure> {
        if let Lockstep::Crew(crew, _) = self { crew.tell(&Word::Drained) } else { Ok(()) }
    }

    /// What the senders of all processes did: every receiver's books need all of them.
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub async fn exchange(&self, mine: Vec<Sender>) -> Result<Vec<Sender>, Failure> {
        let unpack = |texts: Vec<String>| {
            let senders = texts.iter().map(|text| pack::sender_of(text));
            senders.collect::<Result<Vec<_>, _>>().map_err(|_| out_of_step())
        };
        match self {
            Lockstep::Alone(_) => Ok(mine),
            Lockstep::Worker(link) => {
                link.say(&Report::Senders(mine.iter().map(pack::sender).collect()))?;
                let Word::Senders(all) = link.next().await? else { return Err(out_of_step()) };
                unpack(all)
            }
            Lockstep::Crew(crew, _) => {
                let mut all = Vec::new();
                for report in crew.reports().await? {
                    let Report::Senders(theirs) = report else { return Err(out_of_step()) };
                    all.extend(theirs);
                }
                let word = Word::Senders(all);
                crew.tell(&word)?;
                let Word::Senders(all) = word else { return Err(out_of_step()) };
                unpack(all)
            }
        }
    }

    /// Adds what the other processes bring in.
    ///
    /// # Errors
    /// As [`Lockstep::opened`].
    pub async fn bring_in(&self, harvest: &mut Harvest) -> Result<(), Failure> {
        if let Lockstep::Crew(crew, _) = self {
            for report in crew.reports().await? {
                let Report::Harvest(mut theirs) = report else { return Err(out_of_step()) };
                crew.crew.keep(theirs.rest.take());
                harvest.merge(*theirs);
            }
        }
        Ok(())
    }
}

fn out_of_step() -> Failure {
    Failure::could_not_run("the processes of this run are out of step", "this is a fault of chatbench")
}
