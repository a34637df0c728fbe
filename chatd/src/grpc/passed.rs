//! What another node took and passes on, to be stored here.
//!
//! Invariant: it is logged as if it had been asked for here, with the rest that only a node knows. Only nodes of the
//! role sender store it, and only for who has an operator's key; who may ask how much was decided where it was taken.

use chat_proto as proto;
use chat_protocol::content::Content;
use chat_protocol::{Code, MsgId, Operation, Refusal, Target, user};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout_at;
use tonic::{Request, Response, Status};

use super::Edge;
use super::asking::{Asking, params};
use super::status::{late, status};
use crate::broker::Receipt;
use crate::chat::Sent;
use crate::config::Role;
use crate::model::{Identity, Skip};
use crate::ops::duty::Way;
use crate::ops::user::content;

/// A message as its operation would send it.
struct Asked {
    sender: Identity,
    target: Target,
    msg_id: Option<MsgId>,
    content: Content,
}

/// A message to one user.
///
/// # Errors
/// As the operation; [`Code::UnknownOperation`] on a node of another role, [`Code::NotAuthorised`] for who is no node.
pub(super) async fn to_one(
    edge: &Edge,
    request: Request<proto::SendMessageRequest>,
) -> Result<Response<proto::SendMessageResponse>, Status> {
    let (asking, message) = read(edge, request)?;
    let passed = message.passed.clone().unwrap_or_default();
    let asked = |request: user::SendMessageRequest| -> Result<Asked, Refusal> {
        let user = request.from.ok_or_else(|| Refusal::parameter("from", "missing"))?;
        Ok(Asked {
            sender: Identity { app: request.app_id, user },
            target: Target::User(request.user_id),
            msg_id: request.msg_id,
            content: content(request.kind, request.message)?,
        })
    };
    let sent = stored::<user::SendMessage>(edge, &asking, &message, &passed, asked).await?;
    Ok(Response::new(proto::SendMessageResponse {
        send_results: false,
        stored: true,
        msg_id: sent.msg_id.to_string(),
        offset: sent.receipt.offset,
        duplicate: sent.receipt.duplicate,
        placed: Some(placed(&sent.receipt)),
    }))
}

/// A message to the world.
///
/// # Errors
/// As [`to_one`].
pub(super) async fn to_all(
    edge: &Edge,
    request: Request<proto::SendMessageAllRequest>,
) -> Result<Response<proto::SendMessageAllResponse>, Status> {
    let (asking, message) = read(edge, request)?;
    let passed = message.passed.clone().unwrap_or_default();
    let asked = |request: user::SendMessageAllRequest| -> Result<Asked, Refusal> {
        Ok(Asked {
            sender: Identity { app: request.app_id, user: request.user_id },
            target: Target::World,
            msg_id: Some(request.msg_id),
            content: content(request.kind, request.message)?,
        })
    };
    let sent = stored::<user::SendMessageAll>(edge, &asking, &message, &passed, asked).await?;
    Ok(Response::new(proto::SendMessageAllResponse {
        send_results: true,
        msg_id: sent.msg_id.to_string(),
        offset: sent.receipt.offset,
        duplicate: sent.receipt.duplicate,
        placed: Some(placed(&sent.receipt)),
    }))
}

fn read<T>(edge: &Edge, request: Request<T>) -> Result<(Asking, T), Status> {
    Asking::read(request, &edge.proxies).map_err(|refusal| status(&refusal))
}

fn placed(receipt: &Receipt) -> proto::Placed {
    proto::Placed { epoch: receipt.epoch.to_string(), time: receipt.time }
}

/// Stores a message in the name of the operation `O`.
async fn stored<O: Operation>(
    edge: &Edge,
    asking: &Asking,
    message: &impl Serialize,
    passed: &proto::Passed,
    asked: impl FnOnce(O::Request) -> Result<Asked, Refusal>,
) -> Result<Sent, Status> {
    let storing = async {
        check_role(edge.desk.role)?;
        let operation = edge.desk.operation(Way::Grpc, O::PATH)?;
        let caller = asking.trusted(edge, operation)?;
        let params = params(message)?;
        let act = operation.guard().act(&caller, asking.peer(), &params);
        let Asked { sender, target, msg_id, content } = asked(params.conform(O::RULES)?)?;
        let (content, skip) = whole(content, passed)?;
        let sending = edge.chat.send(&sender, &target, &content, msg_id.as_ref(), skip);
        match act {
            Some(act) => act.around(sending, |refusal: &Refusal| refusal.code).await,
            None => sending.await,
        }
    };
    let done = match asking.deadline {
        Some(deadline) => timeout_at(deadline, storing).await.map_err(|_| late())?,
        None => storing.await,
    };
    done.map_err(|refusal| status(&refusal))
}

/// Nobody passes on to whom somebody passes on: no message goes round.
fn check_role(role: Role) -> Result<(), Refusal> {
    match role {
        Role::Sender => Ok(()),
        _ => Err(Refusal::new(
            Code::UnknownOperation,
            format!(
                "this node has the role {role} and stores nothing for others; name senders in sender_url"
            ),
        )),
    }
}

/// The content with its rest, and who gets no live copy.
fn whole(content: Content, passed: &proto::Passed) -> Result<(Content, Skip), Refusal> {
    let proto::Passed { skip, caption, url, secret, size } = passed.clone();
    let skip = skip.parse::<Skip>().map_err(|error| Refusal::parameter("passed.skip", error))?;
    let size = size.as_deref().map(serde_json::from_str::<Value>).transpose();
    let content = Content {
        msg: content.msg.or(caption),
        url: content.url.or(url),
        secret,
        size: size.map_err(|error| Refusal::parameter("passed.size", error))?,
        ..content
    };
    content.check("message")?;
    Ok((content, skip))
}

#[cfg(test)]
mod tests {
    use super::super::sending::{to_all, to_one};
    use super::*;
    use crate::chat::Letter;
    use crate::model::ConnectionId;
    use chat_protocol::UserId;
    use serde_json::json;

    /// What a sender makes of what a node passes on: the content of both ways, and who gets no copy.
    fn passed_on(content: &Content, skip: &Skip) -> [(Content, Skip); 2] {
        let user = UserId::new("黄帝").unwrap();
        let (sender, msg_id) = (Identity { app: 7, user: user.clone() }, MsgId::new("m").unwrap());
        let letter = Letter { sender: &sender, target: &Target::World, content, msg_id: &msg_id, skip };
        let (one, all) = (to_one(&letter, &user), to_all(&letter));
        let request: user::SendMessageRequest =
            params(&one).unwrap().conform(user::SendMessage::RULES).unwrap();
        let named = (request.app_id, &request.user_id, request.from.as_ref(), request.msg_id.as_ref());
        assert_eq!(named, (7, &user, Some(&user), Some(&msg_id)));
        let told = super::content(request.kind, request.message).unwrap();
        let to_one = whole(told, &one.passed.unwrap()).unwrap();
        let request: user::SendMessageAllRequest =
            params(&all).unwrap().conform(user::SendMessageAll::RULES).unwrap();
        assert_eq!((request.app_id, &request.user_id, &request.msg_id), (7, &user, &msg_id));
        let told = super::content(request.kind, request.message).unwrap();
        [to_one, whole(told, &all.passed.unwrap()).unwrap()]
    }

    /// Otherwise what is sent again to another node is refused as another message.
    #[test]
    fn a_message_is_the_same_wherever_it_is_stored() {
        let skips = [
            Skip::Nobody,
            Skip::User(UserId::new("a:b").unwrap()),
            Skip::Connection(ConnectionId { node: 5, number: 6 }),
        ];
        for content in [
            json!({"msg": "hello\u{1}"}),
            json!({"type": "text", "msg": "see", "url": "https://a/b", "secret": "s", "size": {}}),
            json!({"type": "img", "url": "u", "size": {"width": 4, "height": 5}}),
            json!({"type": "img", "url": "u", "msg": "", "size": {"width": 18446744073709551615u64}}),
            json!({"type": "video", "url": "u", "msg": "a caption", "secret": ""}),
        ] {
            let content: Content = serde_json::from_value(content).unwrap();
            for skip in &skips {
                for (other, skipped) in passed_on(&content, skip) {
                    assert_eq!((&other, &skipped), (&content, skip));
                    let texts = [&other, &content].map(|content| serde_json::to_string(content).unwrap());
                    assert_eq!(texts[0], texts[1], "repeats are told apart by this");
                }
            }
        }
    }

    #[test]
    fn what_no_node_would_pass_on_is_refused() {
        let passed = |change: fn(&mut proto::Passed)| {
            let mut passed = proto::Passed { skip: "-".to_owned(), ..Default::default() };
            change(&mut passed);
            whole(Content::text("m"), &passed).map_err(|refusal| refusal.reason)
        };
        assert_eq!(passed(|_| ()), Ok((Content::text("m"), Skip::Nobody)));
        type Change = fn(&mut proto::Passed);
        let changes: [(Change, &str); 4] = [
            (|rest| rest.skip = "x".to_owned(), "passed.skip"),
            (|rest| rest.size = Some("{".to_owned()), "passed.size"),
            (|rest| rest.size = Some(Value::from("big").to_string()), "size"),
            (|rest| rest.url = Some("u".repeat(16 * 1024)), "a message may hold"),
        ];
        for (change, named) in changes {
            assert!(passed(change).unwrap_err().starts_with(named), "{named}");
        }
        for role in Role::ALL {
            assert_eq!(check_role(role).is_ok(), role == Role::Sender);
        }
    }
}
