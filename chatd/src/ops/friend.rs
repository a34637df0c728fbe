//! Operations on friendships.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::friend::{
    ACCEPT_PUSH, Accept, Accepted, Asked, Block, FriendRequest, List, ListRequest, ListResponse,
    MAX_FRIENDS_PAGE, MAX_REQUESTS_PAGE, REQUEST_PUSH, Reject, Remove, Request, RequestRequest, Requests,
    RequestsRequest, RequestsResponse, Standing, StandingResponse, Unblock,
};
use chat_protocol::{AppId, Code, Refusal, UserId};
use futures_util::FutureExt;
use serde::Serialize;

use super::Table;
use crate::broker::Bus;
use crate::clock::Clock;
use crate::friends::{Action, Circle, Friends, Part};
use crate::model::{Notice, Skip, Topic};
use crate::quota::Quotas;

/// What the operations need.
pub struct FriendOps {
    friends: Arc<dyn Friends>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    quotas: Arc<Quotas>,
}

impl FriendOps {
    /// Operations on these services.
    #[must_use]
    pub fn new(
        friends: Arc<dyn Friends>,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        quotas: Arc<Quotas>,
    ) -> Self {
        Self { friends, bus, clock, quotas }
    }

    async fn request(&self, request: RequestRequest) -> Result<StandingResponse, Refusal> {
        let greeting = request.greeting.filter(|greeting| !greeting.is_empty());
        let (app_id, user_id, friend_id) = (request.app_id, request.user_id, request.friend_id);
        let time = self.clock.now_ms();
        let action = Action::Request { greeting: greeting.clone(), time };
        let answer = self.act(FriendRequest { app_id, user_id: user_id.clone(), friend_id }, action).await?;
        if answer.changed && answer.standing == Standing::Requested {
            let asked = Asked { from: user_id, greeting, time };
            self.tell(app_id, &answer.friend_id, REQUEST_PUSH, &asked).await;
        }
        Ok(answer)
    }

    async fn act(&self, request: FriendRequest, action: Action) -> Result<StandingResponse, Refusal> {
        let FriendRequest { app_id, user_id, friend_id } = request;
        if user_id == friend_id {
            return Err(Refusal::new(Code::RefusedByRule, "friendId is the acting user"));
        }
        let outcome = self.friends.act(app_id, &user_id, &friend_id, &action).await;
        let outcome = outcome.map_err(|error| self.quotas.noted(error.limit(), error))?;
        if outcome.changed && outcome.standing == Standing::Friends {
            let accepted = Accepted { from: user_id, time: self.clock.now_ms() };
            self.tell(app_id, &friend_id, ACCEPT_PUSH, &accepted).await;
        }
        let (standing, blocked, changed) = (outcome.standing, outcome.blocked, outcome.changed);
        Ok(StandingResponse { friend_id, standing, blocked, changed })
    }

    /// What was done stands whether or not the other side hears of it now; the lists tell it later.
    async fn tell(&self, app: AppId, user: &UserId, cmd: &str, data: &impl Serialize) {
        let data = Bytes::from(serde_json::to_vec(data).unwrap_or_default());
        let notice = Notice { cmd: cmd.into(), data, skip: Skip::Nobody };
        if let Err(error) = self.bus.notify(&Topic::Inbox(app, user.clone()), notice).await {
            tracing::debug!(%error, cmd, "not told");
        }
    }

    async fn requests(&self, request: RequestsRequest) -> Result<RequestsResponse, Refusal> {
        let RequestsRequest { app_id, user_id, limit, cursor } = request;
        let limit = limit.unwrap_or(MAX_REQUESTS_PAGE) as usize;
        let page = self.friends.circle(app_id, &user_id, Part::Asked, cursor.as_ref(), limit).await?;
        Ok(RequestsResponse { requests: page.asked, cursor: page.more })
    }

    async fn list(&self, request: ListRequest) -> Result<ListResponse, Refusal> {
        let ListRequest { app_id, user_id, limit, cursor } = request;
        let limit = limit.unwrap_or(MAX_FRIENDS_PAGE) as usize;
        let page = self.friends.circle(app_id, &user_id, Part::Others, cursor.as_ref(), limit).await?;
        let Circle { friends, requested, blocked, more, .. } = page;
        Ok(ListResponse { friends, requested, blocked, cursor: more })
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, friend: &Arc<FriendOps>) {
    table.bind::<Request, _>(friend, |friend, _, request| friend.request(request).boxed());
    table.bind::<Requests, _>(friend, |friend, _, request| friend.requests(request).boxed());
    table.bind::<List, _>(friend, |friend, _, request| friend.list(request).boxed());
    table.bind::<Accept, _>(friend, |friend, _, request| friend.act(request, Action::Accept).boxed());
    table.bind::<Reject, _>(friend, |friend, _, request| friend.act(request, Action::Reject).boxed());
    table.bind::<Remove, _>(friend, |friend, _, request| friend.act(request, Action::Remove).boxed());
    table.bind::<Block, _>(friend, |friend, _, request| friend.act(request, Action::Block).boxed());
    table.bind::<Unblock, _>(friend, |friend, _, request| friend.act(request, Action::Unblock).boxed());
}
