//! Operations on groups.

use std::sync::Arc;

use chat_protocol::group::{
    Create, CreateRequest, Dismiss, Group, GroupRequest, Join, Kick, KickRequest, Leave, List, ListRequest,
    ListResponse, MAX_GROUPS_PAGE, MAX_MEMBERS_PAGE, Members, MembersRequest, MembersResponse,
    MembershipResponse, SendMessage, SendMessageRequest,
};
use chat_protocol::user::SendMessageAllResponse;
use chat_protocol::{AppId, Code, GroupId, Refusal, Target};
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::Table;
use crate::broker::Bus;
use crate::chat::Chat;
use crate::files::Files;
use crate::groups::{self, Change, Changed, GroupError, Groups};
use crate::membership::resync::Resync;
use crate::model::{Identity, Skip, Topic};
use crate::money::Money;
use crate::quota::Quotas;

/// Groups of a list looked up at the same time.
const AT_ONCE: usize = 16;

/// What the operations need.
pub struct GroupOps {
    groups: Arc<dyn Groups>,
    bus: Arc<dyn Bus>,
    chat: Arc<Chat>,
    resync: Arc<Resync>,
    money: Option<Arc<Money>>,
    quotas: Arc<Quotas>,
    files: Arc<Files>,
}

impl GroupOps {
    /// Operations on these services.
    #[must_use]
    pub fn new(
        groups: Arc<dyn Groups>,
        bus: Arc<dyn Bus>,
        chat: Arc<Chat>,
        resync: Arc<Resync>,
        money: Option<Arc<Money>>,
        quotas: Arc<Quotas>,
        files: Arc<Files>,
    ) -> Self {
        Self { groups, bus, chat, resync, money, quotas, files }
    }

    async fn create(&self, request: CreateRequest) -> Result<Group, Refusal> {
        let name = request.name;
        let group_id = match request.group_id {
            Some(group_id) => group_id,
            None => GroupId::new(&uuid::Uuid::now_v7().simple().to_string())
                .map_err(|e| Refusal::parameter("groupId", e))?,
        };
        let created = self.groups.create(request.app_id, &group_id, &request.user_id, &name).await;
        let created = created.map_err(|error| self.noted(error))?;
        let identity = Identity { app: request.app_id, user: request.user_id };
        self.follow(&identity, &group_id, created, None).await?;
        self.describe(request.app_id, group_id).await
    }

    async fn join(&self, request: GroupRequest) -> Result<MembershipResponse, Refusal> {
        let change = Change::Join(request.user_id.clone());
        let changed = self.groups.change(request.app_id, &request.group_id, &change).await;
        let changed = changed.map_err(|error| self.noted(error))?;
        let since = changed.changed.then_some((&*changed.epoch, changed.offset));
        let identity = Identity { app: request.app_id, user: request.user_id };
        self.follow(&identity, &request.group_id, changed.changed, since).await?;
        Ok(response(&changed))
    }

    fn noted(&self, error: GroupError) -> Refusal {
        self.quotas.noted(error.limit(), error)
    }

    async fn leave(&self, request: GroupRequest) -> Result<MembershipResponse, Refusal> {
        self.change(request.app_id, &request.group_id, Change::Leave(request.user_id)).await
    }

    async fn kick(&self, request: KickRequest) -> Result<MembershipResponse, Refusal> {
        let change = Change::Kick { by: request.user_id, member: request.member_id };
        self.change(request.app_id, &request.group_id, change).await
    }

    async fn change(
        &self,
        app: AppId,
        group: &GroupId,
        change: Change,
    ) -> Result<MembershipResponse, Refusal> {
        Ok(response(&self.groups.change(app, group, &change).await?))
    }

    async fn dismiss(&self, request: GroupRequest) -> Result<MembershipResponse, Refusal> {
        let GroupRequest { app_id, user_id, group_id } = request;
        let dismissed = self.change(app_id, &group_id, Change::Dismiss(user_id)).await?;
        self.files.look();
        if let Some(money) = &self.money {
            money.red_packets.dismissed(app_id, &group_id).await;
        }
        Ok(dismissed)
    }

    /// Every node that holds a connection of the user is told when they join. A repeated call tells again, so a lost
    /// notice is mended by repeating the request.
    async fn follow(
        &self,
        identity: &Identity,
        group: &GroupId,
        told: bool,
        since: Option<(&str, u64)>,
    ) -> Result<(), Refusal> {
        if !told {
            let inbox = Topic::Inbox(identity.app, identity.user.clone());
            self.bus.notify(&inbox, groups::notice(group, &identity.user)).await?;
        }
        // The caller's own connection is here: it follows the group when it reads the answer.
        self.resync.settle(identity, group, since).await;
        Ok(())
    }

    async fn describe(&self, app: AppId, group_id: GroupId) -> Result<Group, Refusal> {
        let group = self.groups.group(app, &group_id).await?;
        Ok(Group { group_id, name: group.name, owner: group.owner, member_count: group.member_count })
    }

    async fn members(&self, request: MembersRequest) -> Result<MembersResponse, Refusal> {
        let limit = request.limit.unwrap_or(MAX_MEMBERS_PAGE) as usize;
        let (app, group_id) = (request.app_id, request.group_id);
        let group = self.describe(app, group_id.clone()).await?;
        if let Some(user) = &request.user_id
            && !self.groups.is_member(app, &group_id, user).await?
        {
            return Err(GroupError::NotMember.into());
        }
        let page = self.groups.members(app, &group_id, request.cursor.as_ref(), limit).await?;
        let cursor = if page.more { page.users.last().cloned() } else { None };
        Ok(MembersResponse { group, members: page.users, cursor })
    }

    async fn list(&self, request: ListRequest) -> Result<ListResponse, Refusal> {
        let limit = request.limit.unwrap_or(MAX_GROUPS_PAGE) as usize;
        let (app, after) = (request.app_id, request.cursor);
        let mut joined = self.groups.of_user(app, &request.user_id).await?;
        joined.retain(|joined| after.as_ref().is_none_or(|after| joined.group > *after));
        let more = joined.len() > limit;
        joined.truncate(limit);
        let cursor = joined.last().filter(|_| more).map(|joined| joined.group.clone());
        let described = stream::iter(joined).map(|joined| self.describe(app, joined.group)).buffered(AT_ONCE);
        let exists = |outcome: Result<Group, Refusal>| {
            // Dismissed between the two questions, or damaged, which was logged.
            let left_out = [GroupError::NoSuchGroup.code(), Code::ServerError];
            let is_left_out = outcome.as_ref().is_err_and(|refusal| left_out.contains(&refusal.code));
            std::future::ready(if is_left_out { None } else { Some(outcome) })
        };
        Ok(ListResponse { groups: described.filter_map(exists).try_collect().await?, cursor })
    }

    async fn send_message(&self, request: SendMessageRequest) -> Result<SendMessageAllResponse, Refusal> {
        let content = super::user::content(request.kind, request.message)?;
        let sender = Identity { app: request.app_id, user: request.user_id };
        let target = Target::Group(request.group_id);
        let sent = self.chat.send(&sender, &target, &content, request.msg_id.as_ref(), Skip::Nobody).await?;
        Ok(SendMessageAllResponse {
            send_results: true,
            msg_id: sent.msg_id,
            offset: sent.receipt.offset,
            duplicate: sent.receipt.duplicate,
        })
    }
}

fn response(changed: &Changed) -> MembershipResponse {
    MembershipResponse {
        changed: changed.changed,
        member_count: changed.member_count,
        offset: changed.offset,
        epoch: changed.epoch.to_string(),
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, group: &Arc<GroupOps>) {
    table.bind::<Create, _>(group, |group, _, request| group.create(request).boxed());
    table.bind::<Join, _>(group, |group, _, request| group.join(request).boxed());
    table.bind::<Leave, _>(group, |group, _, request| group.leave(request).boxed());
    table.bind::<Dismiss, _>(group, |group, _, request| group.dismiss(request).boxed());
    table.bind::<Kick, _>(group, |group, _, request| group.kick(request).boxed());
    table.bind::<Members, _>(group, |group, _, request| group.members(request).boxed());
    table.bind::<List, _>(group, |group, _, request| group.list(request).boxed());
    table.bind::<SendMessage, _>(group, |group, _, request| group.send_message(request).boxed());
}
