//! The scenarios: who sends what to whom, one file each, and how their results are judged.

pub mod conclude;
pub mod group;
pub mod history;
pub mod mixed;
pub mod redpacket;
pub mod run;
pub mod worker;

use std::time::Duration;

use crate::args::{CommonArgs, Scenario, TrafficArgs, Via};
use crate::chaos::Trouble;
use crate::clock::micros;
use crate::course::Work;
use crate::failure::Failure;
use crate::flow::Flow;
use crate::identity::Identity;
use crate::plan::{MAX_SEQUENCE, Plan, Shape};
use crate::timetable::Timetable;
use crate::wire::payload::{MIN_BYTES, Payload};
use chatbench_result::units::count_text;

/// Requests of one HTTP sender under way at once: each takes a connection, so files bound it.
const HTTP_WINDOW: u32 = 64;

/// Messages of a run that go the same way, with clients and books of their own. Most runs have one kind, `mixed` has
/// three.
#[derive(Debug)]
pub struct Kind {
    /// What it is by itself.
    pub scenario: Scenario,
    /// Who takes part.
    pub identity: Identity,
}

impl Kind {
    /// Its state before its first connection.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the options ask for too much.
    pub fn flow(&self) -> Result<Flow, Failure> {
        flow(&self.scenario, &self.identity)
    }
}

/// Connections of all kinds together.
pub fn connections(flows: &[Flow]) -> u64 {
    flows.iter().map(|flow| u64::from(flow.plan.connections())).sum()
}

/// The kinds of messages of a run.
pub fn kinds(scenario: &Scenario, identity: &Identity) -> Vec<Kind> {
    match scenario {
        Scenario::Mixed(args) => mixed::kinds(args, identity),
        other => vec![Kind { scenario: other.clone(), identity: identity.clone() }],
    }
}

/// The state of a run before its first connection.
///
/// # Errors
/// [`Failure::Usage`] when the options ask for too much.
pub fn flow(scenario: &Scenario, identity: &Identity) -> Result<Flow, Failure> {
    let clients = scenario.common().clients();
    match scenario {
        Scenario::Connect(_) | Scenario::History(_) | Scenario::Redpacket(_) | Scenario::Mixed(_) => {
            Ok(silent_flow(scenario.common(), identity))
        }
        Scenario::Idle(args) => {
            let mut flow = silent_flow(scenario.common(), identity);
            flow.plan.trouble = args.trouble()?;
            Ok(flow)
        }
        Scenario::Broadcast(args) | Scenario::Soak(args) => {
            traffic_flow(args, identity, Shape::World, [clients, args.senders.unwrap_or(1), 1])
        }
        Scenario::Churn(args) => {
            let counts = [clients, args.traffic.senders.unwrap_or(1), 1];
            let mut flow = traffic_flow(&args.traffic, identity, Shape::World, counts)?;
            flow.plan.trouble = args.trouble()?;
            Ok(flow)
        }
        Scenario::Unicast(args) => traffic_flow(args, identity, Shape::Pairs, [clients, clients, 1]),
        Scenario::Group(args) => {
            let senders = args.groups * args.traffic.senders.unwrap_or(1);
            let counts = [args.groups * args.members, senders, args.groups];
            traffic_flow(&args.traffic, identity, Shape::Groups, counts)
        }
    }
}

/// What the clients of a scenario do.
pub fn work(scenario: &Scenario) -> Work<'_> {
    match scenario {
        Scenario::Connect(_) | Scenario::History(_) | Scenario::Redpacket(_) | Scenario::Mixed(_) => {
            Work::Connect
        }
        Scenario::Idle(args) => Work::Idle(args.duration),
        Scenario::Broadcast(args) | Scenario::Unicast(args) | Scenario::Soak(args) => Work::Traffic(args),
        Scenario::Churn(args) => Work::Traffic(&args.traffic),
        Scenario::Group(args) => Work::Traffic(&args.traffic),
    }
}

fn traffic_flow(
    args: &TrafficArgs,
    identity: &Identity,
    shape: Shape,
    [receivers, senders, groups]: [u32; 3],
) -> Result<Flow, Failure> {
    let plan = Plan {
        payload: Payload::new(&identity.run, args.payload, identity.seed),
        run: identity.run.clone(),
        app: identity.app,
        shape,
        receivers,
        senders,
        groups,
        senders_connected: args.via == Via::Ws,
        trouble: args.trouble()?,
    };
    let timetable = args.timetable(identity.seed)?;
    let window = match (args.closed, args.via) {
        (true, _) => 1,
        (false, Via::Ws) => args.window,
        (false, Via::Http) => args.window.min(HTTP_WINDOW),
    };
    let total = timetable.total().unwrap_or(0);
    if total / u64::from(senders) >= u64::from(MAX_SEQUENCE) {
        let most = count_text(u64::from(MAX_SEQUENCE));
        return Err(Failure::Usage(format!(
            "more than {most} messages of one sender: lower --rate or --duration"
        )));
    }
    Ok(Flow::new(plan, micros(args.late), window, timetable))
}

/// The state of a run without senders.
fn silent_flow(common: &CommonArgs, identity: &Identity) -> Flow {
    let plan = Plan {
        payload: Payload::new(&identity.run, MIN_BYTES, identity.seed),
        run: identity.run.clone(),
        app: identity.app,
        shape: Shape::World,
        receivers: common.clients(),
        senders: 0,
        groups: 1,
        senders_connected: false,
        trouble: Trouble::default(),
    };
    Flow::new(plan, 0, 0, Timetable::Closed { think: Duration::ZERO })
}
