//! Groups of members who are online: each message goes to its group and nowhere else.
//!
//! Invariant: every member has joined before the first connection, so each accepted message is expected once at every
//! member of its group but the one who sent it.

use chat_client::Error;
use chat_protocol::group::{Create, CreateRequest, GroupRequest, Join};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::failure::Failure;
use crate::stage::Stage;

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
