//! World, groups and pairs at once: what a server of many rooms sees.
//!
//! Invariant: each kind has an app, clients and books of its own; they begin together and are added up at the end.

use chatbench_result::model::{Part, TimeSummary};

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ledger::plan::trouble::Chaos;
use crate::phases::harvest::Harvest;
use crate::phases::identity::Identity;
use crate::phases::spec::{Pace, Traffic};
use crate::phases::stage::Stage;
use crate::scenario::broadcast::Broadcast;
use crate::scenario::conclude::{Closed, add_closed, begin};
use crate::scenario::group::Group;
use crate::scenario::kind::{Asked, Kind, Scenario};
use crate::scenario::report::result::Report;
use crate::scenario::unicast::Unicast;

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mixed {
    /// Members of each group.
    pub members: u32,
    /// How messages are sent; rate and clients are those of all kinds together.
    pub traffic: Traffic,
}

impl Scenario for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Sends(&self.traffic)
    }

    /// The three kinds with their shares of clients and rate.
    fn parts(&self, identity: &Identity) -> Vec<Kind> {
        let kinds = self.scenarios().into_iter().zip(0..).map(|(scenario, place)| {
            let run = format!("{}{place}", &identity.run[..15]);
            let app = identity.app.wrapping_add(place).max(1);
            Kind { scenario, identity: Identity { run, app, seed: identity.seed } }
        });
        kinds.collect()
    }

    fn conclude<'a>(
        &'a self,
        stages: &'a mut [Stage],
        parts: &'a [Kind],
        harvests: Vec<Harvest>,
    ) -> LocalBoxFuture<'a, Result<Report, Failure>> {
        Box::pin(conclude(&self.traffic, stages, parts, harvests))
    }
}

impl Mixed {
    fn scenarios(&self) -> [Box<dyn Scenario>; 3] {
        let clients = self.traffic.common.clients;
        let all = clients.max(1);
        let kind = |clients: u32, share: f64| {
            let mut traffic = self.traffic.clone();
            (traffic.common.clients, traffic.senders) = (clients.max(1), None);
            if let Pace::Rate(rate) = &mut traffic.pace {
                *rate *= share;
            }
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
        let members = self.members.min((clients / 4).max(1));
        let groups = (clients / 4 / members).max(1);
        [
            Box::new(Broadcast(kind(clients / 2, 0.1))),
            Box::new(Group { groups, members, traffic: kind(clients / 4, 0.3) }),
            Box::new(Unicast(kind(clients / 4, 0.6))),
        ]
    }
}

/// Makes the result of what all kinds brought in.
async fn conclude(
    traffic: &Traffic,
    stages: &mut [Stage],
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
        let closed = Closed::new(stage, traffic, harvest);
        parts.push(Part {
            scenario: kind.scenario.name().to_owned(),
            clients: stage.flow.plan.receivers,
            measured: closed.ledger.books.measured.clone(),
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
    add_closed(&mut report, stage, traffic, closed);
    report.options.clients = parts.iter().map(|part| part.clients).sum();
    report.options.connect_rate_per_s = traffic.common.connect_rate;
    if let Some(options) = &mut report.options.traffic {
        options.senders = senders;
        options.chaos = traffic.trouble()?.words();
    }
    report.found.parts = Some(parts);
    report.finish(stage).await;
    Ok(report)
}
