//! World, groups and pairs at once: what a server of many rooms sees.
//!
//! Invariant: each kind has an app, clients and books of its own; they begin together and are added up at the end.

use chatbench_result::model::{Part, TimeSummary};

use crate::args::{GroupArgs, MixedArgs, Scenario, TrafficArgs};
use crate::chaos::Chaos;
use crate::failure::Failure;
use crate::harvest::Harvest;
use crate::identity::Identity;
use crate::report::result::Report;
use crate::scenario::Kind;
use crate::scenario::conclude::{Closed, add_closed, begin};
use crate::stage::Stage;

/// The three kinds with their shares of clients and rate.
pub fn kinds(args: &MixedArgs, identity: &Identity) -> Vec<Kind> {
    let scenarios = scenarios(args).into_iter().zip(0..);
    let kinds = scenarios.map(|(scenario, place)| {
        let identity = Identity {
            run: format!("{}{place}", &identity.run[..15]),
            app: identity.app.wrapping_add(place).max(1),
            seed: identity.seed,
        };
        Kind { scenario, identity }
    });
    kinds.collect()
}

fn scenarios(args: &MixedArgs) -> [Scenario; 3] {
    let (clients, rate) = (args.traffic.common.clients(), args.traffic.rate);
    let all = clients.max(1);
    let kind = |clients: u32, share: f64| {
        let mut traffic: TrafficArgs = args.traffic.clone();
        (traffic.common.clients, traffic.rate, traffic.senders) = (Some(clients.max(1)), rate * share, None);
        // As many come and leave as there are clients of this kind.
        let of_all = f64::from(clients.max(1)) / f64::from(all);
        traffic.common.connect_rate = traffic.common.connect_rate.map(|rate| rate * of_all);
        for chaos in &mut traffic.chaos {
            if let Chaos::Churn { rate, .. } = chaos {
                *rate *= of_all;
            }
        }
        traffic
    };
    let members = args.members.min((clients / 4).max(1));
    let mut traffic = kind(clients / 4, 0.3);
    traffic.common.clients = None;
    [
        Scenario::Broadcast(kind(clients / 2, 0.1)),
        Scenario::Group(GroupArgs { groups: (clients / 4 / members).max(1), members, traffic }),
        Scenario::Unicast(kind(clients / 4, 0.6)),
    ]
}

/// Makes the result of what all kinds brought in.
///
/// # Errors
/// As [`super::conclude::conclude`].
pub async fn conclude(
    stages: &mut [Stage],
    args: &MixedArgs,
    kinds: &[Kind],
    harvests: Vec<Harvest>,
) -> Result<Report, Failure> {
    let (mut parts, mut all, mut is_enough) = (Vec::new(), None::<Closed>, false);
    let (mut senders, mut unanswered_closes, mut heartbeats) = (0, 0, 0);
    for ((harvest, stage), kind) in harvests.into_iter().zip(&*stages).zip(kinds) {
        is_enough |= harvest.opening.is_enough(&stage.flow.plan);
        senders += stage.flow.plan.senders;
        unanswered_closes += harvest.unanswered_closes;
        heartbeats += harvest.heartbeats;
        let closed = Closed::new(stage, &args.traffic, harvest);
        parts.push(Part {
            scenario: kind.scenario.name().to_owned(),
            clients: stage.flow.plan.receivers,
            measured: closed.ledger.measured.clone(),
            e2e_time: TimeSummary::new(&closed.times.e2e, closed.times.censored.e2e),
        });
        match &mut all {
            Some(all) => all.merge(closed),
            None => all = Some(closed),
        }
    }
    let ([stage, ..], Some(closed)) = (stages, all) else {
        return Err(Failure::Usage("a mixed run has three kinds of messages".to_owned()));
    };
    let mut report = begin(stage, &closed.opening, is_enough)?;
    (report.connections.unanswered_closes, report.connections.heartbeats) = (unanswered_closes, heartbeats);
    add_closed(&mut report, stage, &args.traffic, closed);
    report.options.clients = parts.iter().map(|part| part.clients).sum();
    report.options.connect_rate_per_s = args.traffic.common.connect_rate;
    if let Some(traffic) = &mut report.options.traffic {
        traffic.senders = senders;
        traffic.chaos = args.traffic.trouble()?.words();
    }
    report.parts = Some(parts);
    report.finish(stage).await;
    Ok(report)
}
