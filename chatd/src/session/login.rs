//! Log-in: into the rooms, into the registry of who is online, and what was missed before anything newer.
//!
//! Invariant: pushes are held back from before the first room is entered until the answer and the recovered messages
//! are queued, so a message is neither lost nor sent twice between the log and the live stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_protocol::session::{Also, LoggedIn, Login, MAX_ALSO, MAX_RECOVER, Position, Recovered};
use chat_protocol::{Code, Refusal, Target};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::{Sessions, request, yielding};
use crate::auth::Pass;
use crate::bans::Ban;
use crate::config::Scopes;
use crate::hub::Connection;
use crate::membership::missed::{self, Budget, Missed};
use crate::membership::subscriptions::Membership;
use crate::model::{self, Conversation, Entry, Identity, Topic};
use crate::quota::Device;
use crate::transport::queued;

/// Log-ins that read what was missed, at a time, however much may wait.
const MAX_RECOVERIES: usize = 64;
/// How long a log-in waits for its turn to do so.
const TURN: Duration = Duration::from_secs(10);
/// How long it then waits at most until less than half of what may wait for readers does.
const ROOM: Duration = Duration::from_secs(1);
/// Pause before it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A log-in that succeeded.
pub struct Entered {
    /// The connection's stay in its rooms.
    pub membership: Membership,
    /// What the operator who logs in as the user may do; none for the users themselves.
    pub scopes: Option<Scopes>,
    /// Messages to send again, behind the answer.
    pub frames: Vec<Bytes>,
    /// How far they go.
    pub sent: Vec<(Conversation, model::Position)>,
    /// It as one of the user's connections, where these are counted.
    pub device: Option<Device>,
    /// What to answer, when recovery was asked for.
    pub answer: Option<LoggedIn>,
    /// Until the outbox has it.
    _turn: Option<OwnedSemaphorePermit>,
}

/// How many log-ins may read what was missed at a time, when an outbox holds `outbox_bytes` and all that wait
/// `queued_bytes`: what they read counts before anybody can be given up for it.
#[must_use]
pub fn recoveries(outbox_bytes: usize, queued_bytes: usize) -> usize {
    (queued_bytes / outbox_bytes.max(1) / 2).clamp(1, MAX_RECOVERIES)
}

/// The turn of a log-in that reads what was missed.
///
/// # Errors
/// When it does not come in time, because so many others do.
pub(super) async fn turn(shared: &Sessions) -> Result<OwnedSemaphorePermit, Refusal> {
    let turn = timeout(TURN, shared.recoveries.clone().acquire_owned()).await.ok().and_then(Result::ok);
    let turn = turn.ok_or_else(|| {
        Refusal::new(
            Code::StoreUnreachable,
            "too many recover what they missed at this moment; try again later",
        )
    })?;
    // Whoever reads gets the time for it before more is added; readers who stand still must not stop others for long.
    let is_less = async {
        while queued::bytes() > queued::limit() / 2 {
            sleep(LOOK_AGAIN).await;
        }
    };
    let _ = timeout(ROOM, is_less).await;
    Ok(turn)
}

/// Reads the parameters of a log-in.
///
/// # Errors
/// A refusal that names the parameter.
pub fn parse(request: &chat_protocol::envelope::Request<'_>) -> Result<Login, Refusal> {
    let login: Login = request::params(request.data)?.conform(&[])?;
    if let (Some(token), Some(other)) = (&login.token, &login.service_token)
        && token != other
    {
        return Err(Refusal::parameter("token", "given in two spellings with two values"));
    }
    let positions = login.recover.as_deref().unwrap_or_default();
    if positions.len() > MAX_RECOVER {
        return Err(Refusal::parameter("recover", format_args!("at most {MAX_RECOVER} conversations")));
    }
    let twice = |(i, a): (usize, &Position)| positions[..i].iter().any(|b| a.target == b.target);
    if positions.iter().enumerate().any(twice) {
        return Err(Refusal::parameter("recover", "names a conversation twice"));
    }
    Ok(login)
}

/// Whether the pass is of an operator's key, whom no limit of the user holds.
fn is_by_key(shared: &Sessions, pass: &Pass) -> bool {
    pass.scopes.is_some() && !shared.auth.is_open()
}

/// Counts a log-in among the requests of its user, before it costs anything but the look at the token: who comes and goes
/// all the time asks every store each time.
///
/// # Errors
/// When there were too many.
fn check_pace(shared: &Sessions, identity: &Identity, pass: &Pass) -> Result<(), Refusal> {
    if is_by_key(shared, pass) || !shared.quotas.paces_users() {
        return Ok(());
    }
    let now = Instant::now();
    shared.quotas.user_asks(&shared.quotas.user(identity, now), now)
}

/// Counts a connection among those of its user; none where they are not counted. Who has a few asks no store, and
/// who has too many takes the place of one that is gone without an end.
///
/// # Errors
/// When there are too many, or a store is unreachable.
async fn count(shared: &Sessions, identity: &Identity, pass: &Pass) -> Result<Option<Device>, Refusal> {
    if is_by_key(shared, pass) || !shared.quotas.counts_connections() {
        return Ok(None);
    }
    // No store is asked about whoever has room for a connection on each of the nodes.
    let nodes = shared.registry.other_nodes();
    let elsewhere = match nodes.is_some_and(|nodes| shared.quotas.has_room(identity, nodes)) {
        true => 0,
        false => shared.registry.elsewhere(identity).await?,
    };
    yielding::make_room(shared, identity, elsewhere).await;
    shared.quotas.user_enters(identity, elsewhere).map(Some)
}

/// Why a log-in failed.
pub enum Failed {
    /// The user may not come in.
    Banned(Ban),
    /// As any request may.
    Refused(Refusal),
}

impl Failed {
    /// As it is answered.
    pub fn code(&self) -> Code {
        match self {
            Failed::Banned(_) => Code::NotAuthorised,
            Failed::Refused(refusal) => refusal.code,
        }
    }
}

impl<T: Into<Refusal>> From<T> for Failed {
    fn from(error: T) -> Self {
        Failed::Refused(error.into())
    }
}

/// Logs a connection in. The caller releases its outbox afterwards, also when this failed.
///
/// # Errors
/// When the user is banned, or a store is unreachable.
pub async fn enter(
    shared: &Arc<Sessions>,
    connection: &Arc<Connection>,
    identity: &Identity,
    pass: Pass,
    recover: Option<Vec<Position>>,
) -> Result<Entered, Failed> {
    check_pace(shared, identity, &pass)?;
    shared.gate.enter(identity.app).await?;
    let device = count(shared, identity, &pass).await?;
    let membership = shared.subscriptions.join(connection, identity);
    connection.set_term(pass.until_s, pass.number);
    let turn = match recover {
        Some(_) => Some(turn(shared).await?),
        None => None,
    };
    let (app, user) = (identity.app, identity.user.clone());
    let own = [Topic::Inbox(app, user.clone()), Topic::World(app)];
    let following = shared.subscriptions.follow(connection, &own);
    // Whoever joins a group after the list is read is told through the inbox.
    let listed = async {
        following.await?;
        // A ban that is stored later finds the connection in its room. Both are asked at once, for one way there and back.
        let groups = async { shared.groups.of_user(app, &user).await.map_err(Failed::from) };
        let banned = async { shared.bans.find(app, &user).await.map_err(Failed::from) };
        match tokio::try_join!(groups, banned)? {
            (_, Some(ban)) => Err(Failed::Banned(ban)),
            (groups, None) => Ok(groups),
        }
    };
    let enrolled = async { shared.registry.settle(identity).await.map_err(Failed::from) };
    let (groups, ()) = tokio::try_join!(listed, enrolled)?;
    let topics: Vec<_> = groups.into_iter().map(|joined| Topic::Group(app, joined.group)).collect();
    let topics = follow_groups(shared, connection, identity, topics).await?;
    let (frames, sent, scopes) = (Vec::new(), Vec::new(), pass.scopes);
    let mut entered = Entered { membership, scopes, frames, sent, device, answer: None, _turn: turn };
    if let Some(positions) = recover {
        entered.answer = Some(recover_all(shared, identity, &topics, positions, &mut entered).await?);
    }
    Ok(entered)
}

/// Enters the rooms of the user's groups; gives those they are still a member of once they are in. Whoever is removed after
/// that is taken out by the entry that says so; whoever was removed before must get nothing.
async fn follow_groups(
    shared: &Sessions,
    connection: &Arc<Connection>,
    identity: &Identity,
    mut topics: Vec<Topic>,
) -> Result<Vec<Topic>, Refusal> {
    if topics.is_empty() {
        return Ok(topics);
    }
    shared.subscriptions.follow(connection, &topics).await?;
    let still = shared.groups.of_user(identity.app, &identity.user).await?;
    topics.retain(|topic| {
        let Topic::Group(app, group) = topic else { return true };
        let member = still.binary_search_by(|joined| joined.group.cmp(group)).is_ok();
        if !member {
            shared.subscriptions.unfollow(connection, topic);
            connection.outbox.discard(&Conversation::Group(*app, group.clone()), |_, _| true);
        }
        member
    });
    Ok(topics)
}

/// Reads what was missed of each conversation. Of a group it is given only to who is a member after it was read: whoever
/// is removed meanwhile gets nothing that was said after that.
async fn recover_all(
    shared: &Sessions,
    identity: &Identity,
    groups: &[Topic],
    positions: Vec<Position>,
    entered: &mut Entered,
) -> Result<LoggedIn, Refusal> {
    let (also, more) = others(shared, identity, &positions).await?;
    let mut budget = Budget::within(shared.hub.limits());
    let mut found = Vec::with_capacity(positions.len());
    for position in positions {
        let missed = recover_one(shared, identity, groups, &position, &mut budget).await?;
        found.push((position.target, missed));
    }
    let mut joined = Vec::new();
    if found.iter().any(|(target, missed)| matches!(target, Target::Group(_)) && missed.is_some()) {
        joined = shared.groups.of_user(identity.app, &identity.user).await?;
    }
    let may_read = |target: &Target| match target {
        Target::Group(group) => joined.iter().any(|joined| joined.group == *group),
        Target::World | Target::User(_) => true,
    };
    let mut recovered = Vec::with_capacity(found.len());
    for (target, missed) in found {
        recovered.push(match missed.filter(|_| may_read(&target)) {
            Some(missed) => {
                let conversation = Conversation::of(identity.app, &identity.user, &target);
                entered.frames.extend(missed.frames);
                entered.sent.push((
                    conversation,
                    model::Position { epoch: missed.epoch.clone(), offset: missed.head },
                ));
                let (epoch, offset) = (missed.epoch.to_string(), missed.head);
                Recovered { target, epoch, offset, complete: missed.complete }
            }
            // No member any more: nothing is told but that there is nothing to tell.
            None => Recovered { target, epoch: String::new(), offset: 0, complete: false },
        });
    }
    Ok(LoggedIn { recovered, also, more })
}

/// The user's conversations that are not named, and whether there are more. Read after their topics are followed: what
/// is newer than this is pushed.
async fn others(
    shared: &Sessions,
    identity: &Identity,
    named: &[Position],
) -> Result<(Vec<Also>, bool), Refusal> {
    // So many more are enough that what is named can be left out.
    let limit = MAX_ALSO + named.len() + 1;
    let heads = shared.conversations.heads(identity.app, &identity.user, None, limit).await?;
    let heads = heads.into_iter().filter(|head| head.last_offset > 0);
    let mut also: Vec<_> = heads
        .map(|head| Also {
            target: head.conversation.named_by(&identity.user),
            epoch: head.epoch.to_string(),
            last_offset: head.last_offset,
        })
        .filter(|also| named.iter().all(|position| position.target != also.target))
        .collect();
    let more = also.len() > MAX_ALSO;
    also.truncate(MAX_ALSO);
    Ok((also, more))
}

/// None for a group the user is no member of.
async fn recover_one(
    shared: &Sessions,
    identity: &Identity,
    groups: &[Topic],
    position: &Position,
    budget: &mut Budget,
) -> Result<Option<Missed>, Refusal> {
    let Position { target, epoch, offset } = position;
    if let Target::Group(group) = target
        && groups.binary_search(&Topic::Group(identity.app, group.clone())).is_err()
    {
        return Ok(None);
    }
    let conversation = Conversation::of(identity.app, &identity.user, target);
    let mut readable = true;
    let encode = |entry: &Entry| {
        let frame = shared.hub.logged_frame(&conversation, entry);
        readable &= frame.is_some();
        frame
    };
    let mut missed =
        missed::read(&*shared.broker, &conversation, Some(epoch), *offset, budget, encode).await?;
    missed.complete &= readable;
    Ok(Some(missed))
}
