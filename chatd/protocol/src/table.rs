//! The tables of all operations, and of all that is asked over HTTP beside them.
//!
//! Invariant: routes, WebSocket commands, chatctl, metrics and openapi.json are read from [`ALL`] and [`ROUTES`]; nothing
//! lists either twice.
//! What is about its own connection has no route: it stands in [`OF_CONNECTION`].

use crate::operation::{Description, Operation};
use crate::route::{self, Route};
use crate::{
    access, audit, conversation, explain, file, friend, group, message, node, observe, red_packet, system,
    user, wallet,
};

/// Every path that is no operation's, in the order of the documentation.
pub const ROUTES: &[Route] = &[
    route::FILE_UPLOAD,
    route::FILE,
    route::WEBSOCKET,
    route::ROOT,
    route::PAGE,
    route::PAGE_ASSET,
    route::PAGE_ASSET_OF_VERSION,
    route::LIVEZ,
    route::READYZ,
    route::METRICS,
    route::DOCUMENT,
];

/// The route of a path; none for the path of an operation, and for one that nobody knows.
#[must_use]
pub fn route(path: &str) -> Option<&'static Route> {
    let found = ROUTES.iter().find(|route| route.path == path);
    let is_operations = || ALL.iter().any(|operation| operation.path == path);
    found.or_else(|| ROUTES.iter().find(|route| route.is_at(path) && !is_operations()))
}

/// Every operation, in the order of the documentation.
pub const ALL: &[Description] = &[
    user::List::DESCRIPTION,
    user::Online::DESCRIPTION,
    user::SendMessage::DESCRIPTION,
    user::SendMessageAll::DESCRIPTION,
    group::Create::DESCRIPTION,
    group::Join::DESCRIPTION,
    group::Leave::DESCRIPTION,
    group::Members::DESCRIPTION,
    group::List::DESCRIPTION,
    group::SendMessage::DESCRIPTION,
    group::Kick::DESCRIPTION,
    group::Dismiss::DESCRIPTION,
    message::History::DESCRIPTION,
    message::Recall::DESCRIPTION,
    conversation::List::DESCRIPTION,
    conversation::Read::DESCRIPTION,
    file::Url::DESCRIPTION,
    friend::Request::DESCRIPTION,
    friend::Requests::DESCRIPTION,
    friend::Accept::DESCRIPTION,
    friend::Reject::DESCRIPTION,
    friend::Remove::DESCRIPTION,
    friend::List::DESCRIPTION,
    friend::Block::DESCRIPTION,
    friend::Unblock::DESCRIPTION,
    red_packet::Create::DESCRIPTION,
    red_packet::Grab::DESCRIPTION,
    red_packet::Detail::DESCRIPTION,
    red_packet::List::DESCRIPTION,
    red_packet::Audit::DESCRIPTION,
    red_packet::DeadLetters::DESCRIPTION,
    red_packet::Replay::DESCRIPTION,
    red_packet::Discard::DESCRIPTION,
    wallet::Balance::DESCRIPTION,
    wallet::Transfers::DESCRIPTION,
    wallet::Deposit::DESCRIPTION,
    wallet::Withdraw::DESCRIPTION,
    system::State::DESCRIPTION,
    system::Reload::DESCRIPTION,
    system::Drain::DESCRIPTION,
    node::Nodes::DESCRIPTION,
    node::Connections::DESCRIPTION,
    access::Kick::DESCRIPTION,
    access::Ban::DESCRIPTION,
    access::Unban::DESCRIPTION,
    access::Bans::DESCRIPTION,
    audit::Audit::DESCRIPTION,
    explain::Explain::DESCRIPTION,
];

/// What is asked over a WebSocket only, because it changes what that connection is, and yet is not for everybody.
pub const OF_CONNECTION: &[Description] = &[observe::Observe::DESCRIPTION];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{Effect, Scope};
    use crate::params::{Kind, Rule};
    use crate::route::{Admission, Content, Place};

    /// Read word by word whenever it changes: here nobody is asked who they are, or only for a signature.
    #[test]
    fn only_these_paths_are_open() {
        let with = |admission| {
            let found = ROUTES.iter().filter(move |route| route.admission == admission);
            found.map(|route| route.path).collect::<Vec<_>>()
        };
        assert_eq!(with(Admission::Signed), ["/file/{id}"]);
        assert_eq!(
            with(Admission::Open),
            [
                "/acc",
                "/",
                "/home/index",
                "/home/{asset}",
                "/home/{version}/{asset}",
                "/livez",
                "/readyz",
                "/openapi.json",
            ]
        );
    }

    #[test]
    fn a_route_is_whole_and_no_operation() {
        for (i, route) in ROUTES.iter().enumerate() {
            let path = route.path;
            assert!(ALL.iter().all(|operation| operation.path != path), "{path} is an operation, too");
            let others = &ROUTES[i + 1..];
            assert!(
                others.iter().all(|other| other.path != path && other.place != route.place),
                "{path} twice"
            );
            let segments = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
            let fields = route.segments.iter().map(|field| field.name);
            assert_eq!(segments.collect::<Vec<_>>(), fields.collect::<Vec<_>>(), "{path}");
            assert!(!(route.methods.is_empty() || route.about.is_empty() || route.name.is_empty()), "{path}");
            assert!(!route.outcomes.is_empty(), "{path} answers nothing");
            if let Admission::Rights(rights) = route.admission {
                let actor = rights.actor();
                assert!(
                    actor.is_none_or(|actor| route.query.iter().any(|field| field.name == actor)),
                    "{path}"
                );
            }
            let answers = route.outcomes.iter().any(|outcome| matches!(outcome.content, Content::Answer(_)));
            assert_eq!(answers, route.body.is_some(), "{path}: what takes a body answers as operations do");
        }
    }

    #[test]
    fn a_path_is_of_one_route_or_operation() {
        for (path, place) in [
            ("/", Some(Place::Root)),
            ("/home/index", Some(Place::Page)),
            ("/home/chat.js", Some(Place::Asset)),
            ("/home/ab12/chat.js", Some(Place::VersionedAsset)),
            ("/file/upload", Some(Place::Upload)),
            ("/file/url", None),
            ("/file/ab12", Some(Place::File)),
            ("/file/", None),
            ("/file/a/b", None),
            ("/home", None),
            ("/user/list", None),
            ("/livez/", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(route(path).map(|route| route.place), place, "{path}");
        }
    }

    /// Read word by word whenever it changes: what is not named here takes POST only.
    #[test]
    fn only_these_take_get() {
        let by_get = |effect| {
            let found = ALL.iter().filter(move |operation| operation.effect == effect);
            found.map(|operation| operation.path).collect::<Vec<_>>()
        };
        assert_eq!(
            by_get(Effect::Reads),
            [
                "/user/list",
                "/user/online",
                "/group/members",
                "/group/list",
                "/message/history",
                "/conversation/list",
                "/file/url",
                "/friend/requests",
                "/friend/list",
                "/redPacket/detail",
                "/redPacket/list",
                "/redPacket/audit",
                "/redPacket/deadLetters",
                "/wallet/balance",
                "/wallet/transfers",
                "/system/state",
                "/system/nodes",
                "/system/connections",
                "/system/bans",
                "/system/audit",
                "/system/explain",
            ]
        );
        assert_eq!(by_get(Effect::ChangesByGet), ["/user/sendMessage", "/user/sendMessageAll"]);
    }

    /// Read word by word whenever it changes: what is not named here a user may do, too.
    #[test]
    fn only_these_are_for_operators() {
        let all = ALL.iter().chain(OF_CONNECTION);
        let found = all.filter(|operation| !operation.rights.are_for_users());
        assert_eq!(
            found.map(|operation| operation.path).collect::<Vec<_>>(),
            [
                "/redPacket/list",
                "/redPacket/audit",
                "/redPacket/deadLetters",
                "/redPacket/replay",
                "/redPacket/discard",
                "/wallet/deposit",
                "/wallet/withdraw",
                "/system/state",
                "/system/reload",
                "/system/drain",
                "/system/nodes",
                "/system/connections",
                "/system/kick",
                "/system/ban",
                "/system/unban",
                "/system/bans",
                "/system/audit",
                "/system/explain",
                "/session/observe",
            ]
        );
    }

    /// Read word by word whenever it changes: a key that may look at people, or talk, touches neither money nor the node.
    #[test]
    fn a_key_that_only_reads_changes_nothing_and_money_needs_its_own_scope() {
        for operation in ALL.iter().chain(OF_CONNECTION) {
            let is_money =
                operation.path.starts_with("/wallet/") || operation.path.starts_with("/redPacket/");
            let expected = match operation.path {
                _ if is_money => Scope::Money,
                "/message/recall" | "/system/audit" => Scope::Admin,
                path if path.starts_with("/system/") && operation.effect.changes() => Scope::Admin,
                _ if operation.effect == Effect::Reads => Scope::Read,
                _ => Scope::Send,
            };
            assert_eq!(operation.rights.scope(), expected, "{}", operation.path);
        }
    }

    /// Read word by word whenever it changes: all else that an operator gives stands in the audit log.
    #[test]
    fn only_these_are_left_out_of_records() {
        let mut left_out = Vec::new();
        for operation in ALL.iter().filter(|operation| operation.effect.changes()) {
            let said = operation.fields.iter().filter(|field| !field.kind.is_kept());
            left_out.extend(said.map(|field| (operation.path, field.name)));
        }
        assert_eq!(
            left_out,
            [
                ("/user/sendMessage", "message"),
                ("/user/sendMessageAll", "message"),
                ("/group/sendMessage", "message"),
                ("/friend/request", "greeting"),
                ("/redPacket/create", "greeting"),
            ]
        );
    }

    #[test]
    fn paths_are_unique_and_whatever_is_named_is_a_parameter() {
        let all = [ALL, OF_CONNECTION].concat();
        for (i, a) in all.iter().enumerate() {
            assert!(a.path.starts_with('/'), "{}", a.path);
            assert!(all[i + 1..].iter().all(|b| b.path != a.path), "{} twice", a.path);
            let ruled = a.rules.iter().flat_map(|rule| match *rule {
                Rule::Apart(name, others) => [&[name], others].concat(),
                Rule::TwoSides(user, target) => vec![user, target],
            });
            for name in a.rights.actor().into_iter().chain(ruled) {
                assert!(a.fields.iter().any(|field| field.name == name), "{}: {name}", a.path);
            }
        }
    }

    #[test]
    fn whatever_sends_or_spends_has_a_key() {
        for operation in ALL {
            let named = operation.fields.iter().find(|field| matches!(field.kind, Kind::MsgId));
            // What only reads may look for an id.
            let named = named.filter(|_| operation.effect != Effect::Reads);
            assert_eq!(operation.key, named.map(|field| field.name), "{}", operation.path);
        }
    }
}
