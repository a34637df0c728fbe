//! The places for connections that the limit of open files leaves, one pool for HTTP and WebSocket.
//!
//! Invariant: connections never hold more descriptors than there are places and [`SLACK`]; the rest is for stores and
//! files. When all are taken, the HTTP connection that was idle the longest, about, makes room for whoever comes, who
//! waits outside while those that make room are on their way out. Nobody who came just now, or asked something, is sent
//! away for another.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::SocketAddr;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use chat_protocol::envelope::HttpAnswer;
use chat_protocol::{Code, Refusal};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::course::Course;
use super::{refused, stream};
use crate::counters::Counters;
use crate::quota::Visit;

/// Connections beyond the places: those on their way out whose successors are in, and those that are being refused.
const SLACK: usize = 64;
/// Refusals at a time whose client is waited for; further ones are told and shut at once.
const REFUSALS: usize = SLACK / 2;
/// Connections looked at for one that may go.
const LOOKS: usize = 256;
/// How long at most the door stays shut behind one who waits for a place.
const WAIT: Duration = Duration::from_secs(1);
/// Time after which it is looked again for one that may go.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// What a connection without a place is told.
const FULL: &str = "this node has no place for another connection; try another or later";

/// The places of connections, and who holds them.
pub struct Places {
    room: usize,
    counters: Arc<Counters>,
    guests: Mutex<Guests>,
    left: Notify,
    refusals: Arc<Semaphore>,
}

/// What a connection is told in that is not let in: what its first word would be answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tongue {
    /// HTTP/1.1.
    Http,
    /// TLS, before its handshake, which is the very work that is spared: an alert.
    Tls,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// There is one soon.
    ForNow,
    /// Everyone inside is busy.
    Busy,
}

#[derive(Default)]
struct Guests {
    taken: usize,
    /// Those that speak HTTP, in the order they came.
    http: BTreeMap<u64, Arc<Course>>,
    /// Those that are counted for their address.
    visits: HashMap<u64, Visit>,
    last: u64,
    /// The one looked at last.
    hand: u64,
}

/// A connection's place, until dropped.
pub struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Places {
    /// So many places.
    #[must_use]
    pub fn new(room: usize, counters: Arc<Counters>) -> Arc<Self> {
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        Arc::new(Self { room, counters, guests: Mutex::default(), left: Notify::new(), refusals })
    }

    /// A place for a new connection, which speaks HTTP at first; waits for those who are about to leave.
    pub(super) async fn enter(self: &Arc<Self>, course: &Arc<Course>) -> Option<Place> {
        let admitted = async {
            loop {
                let left = self.left.notified();
                match self.admit(course) {
                    Err(Full::ForNow) => _ = timeout(LOOK_AGAIN, left).await,
                    other => break other.ok(),
                }
            }
        };
        timeout(WAIT, admitted).await.ok().flatten()
    }

    fn admit(self: &Arc<Self>, course: &Arc<Course>) -> Result<Place, Full> {
        let mut guests = self.guests.lock();
        if guests.taken >= self.room {
            if guests.taken >= self.room + SLACK - REFUSALS {
                return Err(Full::ForNow);
            }
            let leaver = guests.idle_one()?;
            self.counters.crowded_out.add(1);
            leaver.give_way();
        }
        guests.taken += 1;
        guests.last += 1;
        let number = guests.last;
        guests.http.insert(number, course.clone());
        Ok(Place { places: self.clone(), number })
    }

    /// Tells a connection that there is no place for it, as [`Places::refuse`] does.
    pub(super) fn refuse_full(&self, tcp: TcpStream, tongue: Tongue, peer: SocketAddr) {
        self.counters.crowded_out.add(1);
        tracing::debug!(taken = self.taken(), room = self.room, %peer, "no place");
        self.refuse(tcp, tongue, peer, &Refusal::new(Code::StoreUnreachable, FULL));
    }

    /// Tells a connection why it is not let in, and ends it.
    pub(super) fn refuse(&self, mut tcp: TcpStream, tongue: Tongue, peer: SocketAddr, refusal: &Refusal) {
        let code = refusal.code;
        tracing::info!(code = code.number(), reason = refusal.reason, %peer, "refused a connection");
        let answer = match tongue {
            Tongue::Http => in_http(refusal),
            Tongue::Tls => refused::in_tls(code).to_vec(),
        };
        let Ok(turn) = self.refusals.clone().try_acquire_owned() else {
            // A new socket has room for it; whoever sends more than is read here may not get to see it.
            if let Ok(mut tcp) = tcp.into_std() {
                let _ = tcp.write(&answer);
            }
            return;
        };
        tokio::spawn(async move {
            if tcp.write_all(&answer).await.is_ok() {
                stream::part(tcp).await;
            }
            drop(turn);
        });
    }

    /// A client took nothing of its answers for a while.
    pub(super) fn note_stalled(&self) {
        self.counters.stalled.add(1);
    }

    /// The bytes of answers that the HTTP connection holds which holds most.
    #[must_use]
    pub fn most_held(&self) -> usize {
        self.guests.lock().http.values().map(|course| course.held()).max().unwrap_or(0)
    }

    /// Connections of both kinds that have a place.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.guests.lock().taken
    }

    /// Ends the HTTP connections that hold most bytes of answers, and at least so many, until about so many are free.
    pub fn shed(&self, bytes: usize, least: usize) {
        let guests = self.guests.lock();
        let mut holders: Vec<_> = guests.http.values().map(|course| (course.held(), course)).collect();
        holders.sort_unstable_by_key(|(held, _)| std::cmp::Reverse(*held));
        let mut freed = 0;
        for (held, course) in holders.into_iter().take_while(|(held, _)| *held >= least.max(1)) {
            if freed >= bytes {
                return;
            }
            if !course.is_dismissed() {
                self.counters.shed.add(1);
                course.dismiss();
            }
            freed += held;
        }
    }
}

fn in_http(refusal: &Refusal) -> Vec<u8> {
    // Cannot fail: the members have text keys and no failing serializer.
    let body = serde_json::to_string(&HttpAnswer::refusal(refusal)).unwrap_or_default();
    let status = StatusCode::from_u16(refusal.code.http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let wait_s = refusal.retry_after_ms.map_or(1, |ms| ms.div_ceil(1000));
    let wait = match status {
        StatusCode::BAD_REQUEST => String::new(),
        _ => format!("Retry-After: {wait_s}\r\n"),
    };
    let head = "Content-Type: application/json; charset=utf-8\r\nConnection: close";
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{head}\r\n{wait}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

impl Guests {
    /// Takes out an idle connection; each that was used since the hand passed it is spared once.
    fn idle_one(&mut self) -> Result<Arc<Course>, Full> {
        let mut full = Full::Busy;
        for _ in 0..LOOKS.min(2 * self.http.len()) {
            let next = self.http.range((Excluded(self.hand), Unbounded)).next();
            let (number, course) = next.or_else(|| self.http.first_key_value()).ok_or(full)?;
            self.hand = *number;
            if course.may_go() {
                return self.http.remove(&self.hand).ok_or(full);
            }
            if course.is_new() {
                full = Full::ForNow;
            }
        }
        Err(full)
    }
}

impl Place {
    /// The connection counts for its address as long as it has the place.
    pub fn is_of(&self, visit: Option<Visit>) {
        if let Some(visit) = visit {
            self.places.guests.lock().visits.insert(self.number, visit);
        }
    }

    /// The connection speaks HTTP no more.
    pub fn leaves_http(&self) {
        self.places.guests.lock().http.remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = self.places.guests.lock();
        guests.http.remove(&self.number);
        guests.visits.remove(&self.number);
        guests.taken -= 1;
        drop(guests);
        self.places.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Patience;
    use crate::listener::course::FIRST_WORD;

    fn new_course() -> Arc<Course> {
        Arc::new(Course::new(Patience { idle: Duration::from_secs(75), stalled: Duration::from_secs(20) }, 4))
    }

    fn course() -> Arc<Course> {
        let course = new_course();
        course.age(FIRST_WORD);
        course
    }

    #[test]
    fn who_comes_to_a_full_node_takes_the_place_of_the_longest_idle() {
        let places = Places::new(3, Arc::default());
        let courses: Vec<_> = (0..5).map(|_| course()).collect();
        let admitted: Vec<_> = courses[..3].iter().map(|course| places.admit(course).unwrap()).collect();
        let busy = courses[0].run(false);
        assert!(courses.iter().all(|course| !course.has_ceased()));
        let _fourth = places.admit(&courses[3]).unwrap();
        assert!(courses[1].has_ceased() && !courses[0].has_ceased());
        // One that has become a WebSocket stays, whatever it does.
        admitted[2].leaves_http();
        drop(busy);
        let _fifth = places.admit(&courses[4]).unwrap();
        assert!(!courses[2].has_ceased());
        assert_eq!([0, 3].map(|at| courses[at].has_ceased()), [false, true], "the first was used just now");
    }

    #[test]
    fn who_came_just_now_keeps_his_place_a_moment() {
        let places = Places::new(2, Arc::default());
        let courses = [new_course(), new_course()];
        let _admitted = courses.each_ref().map(|course| places.admit(course).unwrap());
        assert_eq!(places.admit(&course()).err(), Some(Full::ForNow));
        courses[1].age(FIRST_WORD);
        assert!(places.admit(&course()).is_ok());
        assert!(courses[1].has_ceased() && !courses[0].has_ceased());
    }

    #[test]
    fn there_is_no_place_where_everyone_is_busy_until_one_goes() {
        let places = Places::new(2, Arc::default());
        let courses = [course(), course(), course()];
        let mut admitted: Vec<_> = courses[..2].iter().map(|course| places.admit(course).unwrap()).collect();
        let _busy = [courses[0].run(false), courses[1].run(true)];
        assert_eq!(places.admit(&courses[2]).err(), Some(Full::Busy));
        admitted.pop();
        assert!(places.admit(&courses[2]).is_ok());
    }

    #[tokio::test]
    async fn who_leaves_late_does_not_let_in_more_and_more_and_keeps_others_waiting() {
        let places = Places::new(1, Arc::default());
        let mut admitted = Vec::new();
        while let Some(place) = places.enter(&course()).await {
            admitted.push(place);
            assert!(admitted.len() <= 1 + SLACK);
        }
        let late = course();
        let mut waiting = std::pin::pin!(places.enter(&late));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        // One of those who were sent away.
        drop(admitted.swap_remove(0));
        assert!(waiting.await.is_some());
    }

    #[test]
    fn those_who_hold_most_go_first() {
        let places = Places::new(9, Arc::default());
        let courses = [course(), course(), course(), course()];
        let _admitted = courses.each_ref().map(|course| places.admit(course).unwrap());
        for (course, bytes) in courses.iter().zip([10, 1000, 0, 500]) {
            course.sends(bytes);
        }
        assert_eq!(places.most_held(), 1000);
        places.shed(1200, 0);
        assert_eq!(courses.each_ref().map(|course| course.is_dismissed()), [false, true, false, true]);
        places.shed(usize::MAX, 11);
        assert!(!courses[0].is_dismissed(), "it holds too little to be the cause");
        places.shed(usize::MAX, 0);
        assert_eq!(courses.each_ref().map(|course| course.is_dismissed()), [true, true, false, true]);
    }
}
