//! Clients on their way in: at a rate or as fast as they are answered, each with what became of it.
//!
//! Invariant: only so many are on their way at once; whom the operator stopped on the way did not fail.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::net::door::Times;
use crate::phases::opening::Opening;
use crate::phases::operator::Interrupt;
use crate::phases::progress::Progress;

/// Log-ins under way at once when no rate is asked for.
const CONCURRENT: usize = 128;
/// Log-ins under way at once at a given rate: enough that a slow server shows as slow log-ins, not as a lower rate.
const CONCURRENT_AT_RATE: usize = 4096;

/// What became of the attempt at a place; no times of a client that needs no connection.
type Attempt = (usize, Result<Option<Times>, String>);

/// One client's turn to come in.
#[derive(Debug)]
pub struct Turn {
    place: usize,
    permit: OwnedSemaphorePermit,
    report: mpsc::Sender<Attempt>,
    interrupt: Interrupt,
}

impl Turn {
    /// Lets the client in and says what became of it. Gives what it brought along; none when it is not in.
    pub async fn enter<T>(
        self,
        entering: impl Future<Output = Result<(T, Option<Times>), String>>,
    ) -> Option<T> {
        let entered = self.interrupt.soon(Duration::ZERO, entering).await?;
        drop(self.permit);
        let (inside, result) = match entered {
            Ok((inside, times)) => (Some(inside), Ok(times)),
            Err(cause) => (None, Err(cause)),
        };
        let _ = self.report.send((self.place, result)).await;
        inside
    }
}

/// All that came, in the order of their places.
#[derive(Debug)]
pub struct Arrived<T> {
    /// The clients whose turn came.
    pub tasks: Vec<JoinHandle<T>>,
    /// How it went; who is missing is not in it.
    pub opening: Opening,
    /// Who is in, of all.
    pub is_in: Vec<bool>,
}

/// Gives each of `count` clients its turn, at so many a second if `rate` says so.
pub async fn all<T, F>(
    count: u32,
    rate: Option<f64>,
    progress: &dyn Progress,
    interrupt: &mut Interrupt,
    client: impl Fn(usize, Turn) -> F,
) -> Arrived<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let every = rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let permits = Arc::new(Semaphore::new(if rate.is_some() { CONCURRENT_AT_RATE } else { CONCURRENT }));
    let (report, mut reports) = mpsc::channel(1024);
    let start = Instant::now();
    let mut arrived = Arrived {
        tasks: Vec::with_capacity(count as usize),
        opening: Opening::new(count),
        is_in: vec![false; count as usize],
    };
    let note = |arrived: &mut Arrived<T>, (place, result): Attempt| {
        arrived.is_in[place] = result.is_ok();
        arrived.opening.note(result, progress);
    };
    for number in 0..count {
        let due = every.map_or(start, |every| start + every * number);
        if interrupt.came() || (due > Instant::now() && interrupt.within(due).await) {
            break;
        }
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            () = interrupt.wait() => break,
        };
        let Ok(permit) = permit else { break };
        let place = number as usize;
        let turn = Turn { place, permit, report: report.clone(), interrupt: interrupt.clone() };
        arrived.tasks.push(tokio::spawn(client(place, turn)));
        while let Ok(attempt) = reports.try_recv() {
            note(&mut arrived, attempt);
        }
    }
    drop(report);
    while let Some(attempt) = reports.recv().await {
        note(&mut arrived, attempt);
    }
    arrived.opening.wall = start.elapsed();
    arrived
}
