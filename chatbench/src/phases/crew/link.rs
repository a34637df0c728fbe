//! A worker's end of the conversation with its conductor, on standard input and output.
//!
//! Invariant: a worker ends when its conductor does, whatever it is doing.

use std::io::{BufRead, Stdin, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::standing::Standing;
use crate::phases::crew::words::{Report, Word};
use crate::watch::process;
use crate::watch::pulse::{Looks, Pulse};

/// Words about one kind that may wait to be followed.
const QUEUE: usize = 16;

/// The worker's end of the conversation about one kind of messages.
#[derive(Debug)]
pub struct Link {
    /// Number of the kind.
    pub kind: usize,
    words: AsyncMutex<mpsc::Receiver<Word>>,
    forsaken: AtomicBool,
    drained: AtomicBool,
    sending: AtomicBool,
}

/// The worker's end of the whole conversation.
#[derive(Debug)]
pub struct Desk {
    /// By kind.
    pub links: Vec<Arc<Link>>,
    /// By kind, with what was seen of them already.
    pub flows: OnceLock<Vec<Arc<Flow>>>,
    looks: Mutex<Vec<Looks>>,
    /// The operator wants to stop.
    pub interrupted: Notify,
}

impl Link {
    fn new(kind: usize) -> (Arc<Self>, mpsc::Sender<Word>) {
        let (queue, words) = mpsc::channel(QUEUE);
        let [forsaken, drained, sending] = [false, false, true].map(AtomicBool::new);
        (Arc::new(Self { kind, words: AsyncMutex::new(words), forsaken, drained, sending }), queue)
    }

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
        say(self.kind, report).map_err(|error| Failure::could_not_run(error, "start the run again"))
    }

    /// Whether the conductor said that no client of any worker is connected any more.
    pub fn forsaken(&self) -> bool {
        self.forsaken.load(Relaxed)
    }

    /// Whether the conductor said that nothing more can come.
    pub fn drained(&self) -> bool {
        self.drained.load(Relaxed)
    }

    /// No further message.
    pub fn end_sending(&self) {
        self.sending.store(false, Relaxed);
    }
}

impl Desk {
    /// Of so many kinds, with where the words about each of them go.
    pub fn new(kinds: usize) -> (Arc<Self>, Vec<mpsc::Sender<Word>>) {
        let (links, queues) = (0..kinds).map(Link::new).unzip();
        let looks = Mutex::new((0..kinds).map(|_| Looks::default()).collect());
        (Arc::new(Self { links, flows: OnceLock::new(), looks, interrupted: Notify::new() }), queues)
    }

    /// What the clients of all kinds did since the last look.
    pub fn pulse(&self) -> Pulse {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Pulse { own: process::own().ok(), ..Pulse::none() };
        for (flow, looks) in self.flows.get().into_iter().flatten().zip(looks.iter_mut()) {
            sum.merge(&looks.look(flow));
        }
        sum
    }

    fn stand(&self, kind: usize) -> Result<(), String> {
        let (Some(flow), Some(link)) =
            (self.flows.get().and_then(|flows| flows.get(kind)), self.links.get(kind))
        else {
            return Ok(());
        };
        let standing = Standing { sending: u64::from(link.sending.load(Relaxed)), ..flow.standing() };
        say(kind, &Report::Standing(standing))
    }

    /// Reads words until the conductor ends, answers questions and queues the rest.
    pub fn listen(&self, input: &Stdin, queues: &[mpsc::Sender<Word>]) {
        for line in input.lock().lines() {
            let Ok(line) = line else { break };
            let said: Result<(usize, Word), _> = serde_json::from_str(&line);
            let heard = said.map_err(|error| error.to_string()).and_then(|(kind, word)| match word {
                Word::Pulse if self.flows.get().is_some() => {
                    say(kind, &Report::Pulse(Box::new(self.pulse())))
                }
                Word::Pulse => Ok(()),
                Word::Stand => self.stand(kind),
                Word::Interrupt => {
                    self.interrupted.notify_one();
                    Ok(())
                }
                Word::Forsaken => {
                    self.links.get(kind).iter().for_each(|link| link.forsaken.store(true, Relaxed));
                    Ok(())
                }
                Word::Drained => {
                    self.links.get(kind).iter().for_each(|link| link.drained.store(true, Relaxed));
                    Ok(())
                }
                word => {
                    let queue = queues.get(kind).ok_or("there is no such kind")?;
                    queue.blocking_send(word).map_err(|error| error.to_string())
                }
            });
            if heard.is_err() {
                break;
            }
        }
        // Nobody is left to work for.
        std::process::exit(1);
    }
}

/// Says something about a kind.
///
/// # Errors
/// When nobody listens.
pub fn say(kind: usize, report: &Report) -> Result<(), String> {
    let mut line = serde_json::to_string(&(kind, report)).map_err(|error| error.to_string())?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())
}
