//! Groups of members who are online: each message goes to its group and nowhere else.
//!
//! Invariant: every member has joined before the first connection, so each accepted message is expected once at every
//! member of its group but the one who sent it.

use chat_client::{Error, Server};
use chat_protocol::group::{Create, CreateRequest, GroupRequest, Join};
use futures_util::{StreamExt, TryStreamExt, stream};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::plan::Shape;
use crate::phases::identity::Identity;
use crate::phases::spec::Traffic;
use crate::phases::stage::Stage;
use crate::scenario::kind::{Asked, Scenario, bare, traffic_flow};

/// What it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// Groups to create.
    pub groups: u32,
    /// Members of each who are online and receive, beside its senders.
    pub members: u32,
    /// How messages are sent; the clients follow from the groups.
    pub traffic: Traffic,
}

impl Scenario for Group {
    fn name(&self) -> &'static str {
        "group"
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Sends(&self.traffic)
    }

    fn flow(&self, identity: &Identity) -> Result<Flow, Failure> {
        let senders = self.groups * self.traffic.senders.unwrap_or(1);
        let counts = [self.groups * self.members, senders, self.groups];
        traffic_flow(&self.traffic, identity, Shape::Groups, counts)
    }

    fn against(&self, relay: &Server) -> Result<Box<dyn Scenario>, Failure> {
        Ok(Box::new(Self { traffic: bare(&self.traffic, relay)?, ..self.clone() }))
    }
}

/// Requests under way at once.
const CONCURRENT: usize = 32;

/// Creates the groups of the plan and lets all receivers and senders join. The first sender of each is its owner.
///
/// # Errors
/// [`Failure::CouldNotRun`] with the first refusal.
pub async fn assemble(stage: &Stage) -> Result<(), Failure> {
    let plan = &stage.flow.plan;
    let failed = |error: Error| {
        Failure::could_not_run(
            format!("the groups could not be made: {error}"),
            "see what the server's log says of /group/create and /group/join",
        )
    };
    stage.begin("groups", u64::from(plan.groups));
    let created = stream::iter((0..plan.groups).map(|group| create(stage, group)));
    created.buffer_unordered(CONCURRENT).map_err(failed).try_collect::<Vec<()>>().await?;
    let users = plan.receivers + plan.senders;
    stage.begin("join", u64::from(users));
    let joined = stream::iter((0..users).map(|number| join(stage, number)));
    joined.buffer_unordered(CONCURRENT).map_err(failed).try_collect::<Vec<()>>().await?;
    Ok(())
}

async fn create(stage: &Stage, group: u32) -> Result<(), Error> {
    let plan = &stage.flow.plan;
    let owner = plan.user_of_sender(group);
    let request = CreateRequest {
        app_id: plan.app,
        user_id: plan.user(owner).map_err(unnamed)?,
        name: format!("bench {group}"),
        group_id: Some(plan.group(group).map_err(unnamed)?),
    };
    stage.http(owner).call::<Create>(&request).await.map(drop)
}

async fn join(stage: &Stage, number: u32) -> Result<(), Error> {
    let plan = &stage.flow.plan;
    // Owners are members already.
    if plan.sender_at(number).is_some_and(|sender| sender < plan.groups) {
        return Ok(());
    }
    let group_id = plan.group(plan.group_of(number)).map_err(unnamed)?;
    let user_id = plan.user(number).map_err(unnamed)?;
    let request = GroupRequest { app_id: plan.app, user_id, group_id };
    stage.http(number).call::<Join>(&request).await.map(drop)
}

fn unnamed(failure: Failure) -> Error {
    Error::BadServer(failure.to_string())
}
