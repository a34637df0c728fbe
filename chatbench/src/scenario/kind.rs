//! What every scenario is, and the kinds of messages that a run of one has.
//!
//! Invariant: what two scenarios do differently is said by these functions and nowhere else.

use std::fmt::Debug;
use std::time::Duration;

use chat_client::Server;
use chatbench_result::units::count_text;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;

use crate::clock::micros;
use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::plan::timetable::Timetable;
use crate::ledger::plan::trouble::Trouble;
use crate::ledger::plan::{MAX_SEQUENCE, Plan, Shape};
use crate::net::payload::{MIN_BYTES, Payload};
use crate::phases::course::Work;
use crate::phases::harvest::Harvest;
use crate::phases::identity::Identity;
use crate::phases::operator::Operator;
use crate::phases::spec::{Calls, Common, Pace, Traffic, Via};
use crate::phases::stage::Stage;
use crate::scenario::conclude;
use crate::scenario::report::result::Report;
use crate::watch::servers::Resources;

/// Messages of one sender that posts, over HTTP or gRPC, under way at once: over HTTP each takes a connection, so files bound
/// it, and the two are measured alike.
const POST_WINDOW: u32 = 64;

/// A scenario with what it is asked for.
pub trait Scenario: Written + Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it is asked for.
    fn asked(&self) -> Asked<'_>;

    /// What every run is asked for.
    fn common(&self) -> &Common {
        match self.asked() {
            Asked::Silent(common) => common,
            Asked::Sends(traffic) => &traffic.common,
        }
    }

    /// The state of a run before its first connection; messages go to everybody.
    ///
    /// # Errors
    /// [`Failure::Usage`] when it is asked for too much.
    fn flow(&self, identity: &Identity) -> Result<Flow, Failure> {
        match self.asked() {
            Asked::Silent(common) => Ok(silent_flow(common, identity)),
            Asked::Sends(traffic) => world_flow(traffic, identity),
        }
    }

    /// What the clients do once they are in.
    fn work(&self) -> Work<'_> {
        match self.asked() {
            Asked::Silent(_) => Work::Connect,
            Asked::Sends(traffic) => Work::Traffic(traffic),
        }
    }

    /// The kinds of messages it is made of; none when it is one by itself.
    fn parts(&self, _identity: &Identity) -> Vec<Kind> {
        Vec::new()
    }

    /// Adds to the result what the clients brought in.
    fn add(&self, report: &mut Report, stage: &Stage, harvest: Harvest) {
        if let Asked::Sends(traffic) = self.asked() {
            conclude::add_traffic(report, stage, traffic, harvest);
        }
    }

    /// Makes the result of what each kind brought in.
    ///
    /// # Errors
    /// [`Failure`] when nobody got in, or nobody who sends, and there is nothing to report.
    fn conclude<'a>(
        &'a self,
        stages: &'a mut [Stage],
        _parts: &'a [Kind],
        harvests: Vec<Harvest>,
    ) -> LocalBoxFuture<'a, Result<Report, Failure>> {
        Box::pin(conclude::conclude(self, stages, harvests))
    }

    /// Runs it its own way; none when it takes the steps of all, in one process or several.
    fn run_apart(&self, _operator: Operator) -> Option<LocalBoxFuture<'_, Result<Report, Failure>>> {
        None
    }

    /// The same for a relay: half as long, without conditions.
    ///
    /// # Errors
    /// [`Failure::Usage`] when a relay cannot do it.
    fn against(&self, _relay: &Server) -> Result<Box<dyn Scenario>, Failure> {
        Err(Failure::Usage("--floor: for scenarios that send messages".to_owned()))
    }
}

/// What a scenario is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// It sends no load of messages.
    Silent(&'a Common),
    /// It does.
    Sends(&'a Traffic),
}

impl<'a> Asked<'a> {
    /// Where its messages go when they are calls of gRPC.
    pub fn calls(self) -> Option<&'a Calls> {
        match self {
            Asked::Sends(traffic) if traffic.via == Via::Grpc => Some(&traffic.calls),
            _ => None,
        }
    }
}

/// What can be written for another process.
pub trait Written {
    /// As JSON.
    ///
    /// # Errors
    /// When a part of it cannot be JSON, which none is.
    fn written(&self) -> serde_json::Result<String>;
}

impl<T: Serialize> Written for T {
    fn written(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// Messages of a run that go the same way, with clients and books of their own. Most runs have one kind, `mixed` has
/// three.
#[derive(Debug)]
pub struct Kind {
    /// What it is by itself.
    pub scenario: Box<dyn Scenario>,
    /// Who takes part.
    pub identity: Identity,
}

/// The kinds of a run, each with who takes part: the scenario itself, or its parts.
pub fn kinds<'a>(
    scenario: &'a dyn Scenario,
    identity: &'a Identity,
    parts: &'a [Kind],
) -> Vec<(&'a dyn Scenario, &'a Identity)> {
    if parts.is_empty() {
        return vec![(scenario, identity)];
    }
    parts.iter().map(|kind| (&*kind.scenario, &kind.identity)).collect()
}

/// The state of a run without senders.
pub fn silent_flow(common: &Common, identity: &Identity) -> Flow {
    let plan = Plan {
        payload: Payload::new(&identity.run, MIN_BYTES, identity.seed),
        run: identity.run.clone(),
        app: identity.app,
        shape: Shape::World,
        receivers: common.clients,
        senders: 0,
        groups: 1,
        senders_connected: false,
        trouble: Trouble::default(),
    };
    Flow::new(plan, 0, 0, Timetable::Closed { think: Duration::ZERO })
}

/// The state of a run whose messages go to everybody.
///
/// # Errors
/// As [`traffic_flow`].
pub fn world_flow(traffic: &Traffic, identity: &Identity) -> Result<Flow, Failure> {
    let counts = [traffic.common.clients, traffic.senders.unwrap_or(1), 1];
    traffic_flow(traffic, identity, Shape::World, counts)
}

/// The state of a run that sends messages.
///
/// # Errors
/// [`Failure::Usage`] when it is asked for too many.
pub fn traffic_flow(
    traffic: &Traffic,
    identity: &Identity,
    shape: Shape,
    [receivers, senders, groups]: [u32; 3],
) -> Result<Flow, Failure> {
    let plan = Plan {
        payload: Payload::new(&identity.run, traffic.payload, identity.seed),
        run: identity.run.clone(),
        app: identity.app,
        shape,
        receivers,
        senders,
        groups,
        senders_connected: traffic.via == Via::Ws,
        trouble: traffic.trouble()?,
    };
    let timetable = traffic.timetable(identity.seed)?;
    let window = match traffic.via {
        Via::Ws => traffic.window,
        Via::Http | Via::Grpc => traffic.window.min(POST_WINDOW),
    };
    let total = timetable.total().unwrap_or(0);
    if total / u64::from(senders) >= u64::from(MAX_SEQUENCE) {
        let most = count_text(u64::from(MAX_SEQUENCE));
        return Err(Failure::Usage(format!(
            "more than {most} messages of one sender: lower --rate or --duration"
        )));
    }
    Ok(Flow::new(plan, micros(traffic.late), window, timetable))
}

/// What is asked for of a relay: half as long, without conditions, and nothing else is watched.
///
/// # Errors
/// [`Failure::Usage`] when a relay cannot do it.
pub fn bare(traffic: &Traffic, relay: &Server) -> Result<Traffic, Failure> {
    if traffic.via != Via::Ws || !traffic.chaos.is_empty() || matches!(traffic.pace, Pace::Stages(_)) {
        let words = "--floor: a relay knows WebSockets alone, no recovery, and is measured at one rate: leave out \
                     --via, --chaos and --stages";
        return Err(Failure::Usage(words.to_owned()));
    }
    let mut bare = traffic.clone();
    bare.duration /= 2;
    let common = &mut bare.common;
    common.servers = vec![relay.clone()];
    (common.pids, common.resources) = (Vec::new(), Resources::Auto);
    (common.redis, common.thresholds) = (None, Vec::new());
    Ok(bare)
}
