//! What nodes of each role do, and whom they name to those who ask for more.
//!
//! Invariant: a node of the role `all` does everything, and each node what is about itself. What a node does not, it
//! refuses with its role and with those that do it.

use chat_protocol::route::{Place, Route};
use chat_protocol::table::{ALL, route};
use chat_protocol::user::{SendMessage, SendMessageAll};
use chat_protocol::{Code, Operation, Refusal};

use crate::config::Role;

/// How an operation is asked for, beside WebSockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Over HTTP.
    Http,
    /// Over gRPC.
    Grpc,
}

/// Whether nodes of this role do the operation at this path for who asks this way.
#[must_use]
pub fn does(role: Role, way: Way, path: &str) -> bool {
    let is_about_nodes = path.starts_with("/system/");
    match (role, way) {
        (Role::All | Role::Api, _) => true,
        (Role::Gateway, Way::Http) => is_about_nodes || path.starts_with("/file/"),
        (Role::Sender, Way::Grpc) => [SendMessage::PATH, SendMessageAll::PATH].contains(&path),
        (Role::Sender | Role::Settler, Way::Http) => is_about_nodes,
        (Role::Gateway | Role::Settler, Way::Grpc) => false,
    }
}

/// Whether nodes of this role have what is at this route.
#[must_use]
pub fn has(role: Role, route: &Route) -> bool {
    match role {
        Role::All | Role::Gateway => true,
        Role::Api => !is_for_people(route),
        Role::Sender | Role::Settler => route.is_everywhere,
    }
}

/// What is only of use where WebSockets are.
fn is_for_people(route: &Route) -> bool {
    use Place::{Asset, Page, Root, VersionedAsset, WebSocket};
    matches!(route.place, WebSocket | Root | Page | Asset | VersionedAsset)
}

/// Why a node of this role has nothing at this path.
#[must_use]
pub fn refusal(role: Role, path: &str) -> Refusal {
    let others = match route(path) {
        Some(route) if is_for_people(route) => "all or gateway",
        Some(_) => "all, gateway or api",
        None if ALL.iter().any(|operation| operation.path == path) => "all or api",
        None => return Code::UnknownOperation.into(),
    };
    match role {
        Role::All => Code::UnknownOperation.into(),
        _ => Refusal::new(
            Code::UnknownOperation,
            format!("this node has the role {role} and does not serve this; ask one of the role {others}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::table::ROUTES;

    #[test]
    fn each_role_does_its_part_and_says_what_is_about_itself() {
        for (role, way, path, expected) in [
            (Role::All, Way::Http, "/user/list", true),
            (Role::All, Way::Grpc, "/message/history", true),
            (Role::Api, Way::Http, "/user/list", true),
            (Role::Api, Way::Grpc, "/message/history", true),
            (Role::Gateway, Way::Http, "/user/list", false),
            (Role::Gateway, Way::Http, "/file/url", true),
            (Role::Gateway, Way::Grpc, "/user/sendMessage", false),
            (Role::Sender, Way::Http, "/user/sendMessage", false),
            (Role::Sender, Way::Grpc, "/user/sendMessage", true),
            (Role::Sender, Way::Grpc, "/user/sendMessageAll", true),
            (Role::Sender, Way::Grpc, "/user/list", false),
            (Role::Settler, Way::Http, "/wallet/balance", false),
            (Role::Settler, Way::Grpc, "/user/sendMessage", false),
        ] {
            assert_eq!(does(role, way, path), expected, "{role} {way:?} {path}");
        }
        for role in Role::ALL {
            assert!(
                does(role, Way::Http, "/system/state") && does(role, Way::Http, "/system/drain"),
                "{role}"
            );
            assert!(ROUTES.iter().all(|route| has(role, route) || !route.is_everywhere), "{role}");
            let has_websockets = ROUTES.iter().any(|route| is_for_people(route) && has(role, route));
            assert_eq!(has_websockets, role.takes_websockets(), "{role}");
        }
    }

    #[test]
    fn a_refusal_names_the_role_and_others_and_nothing_where_nobody_has_it() {
        for (role, path, named) in [
            (Role::Api, "/acc", "all or gateway"),
            (Role::Api, "/home/chat.js", "all or gateway"),
            (Role::Sender, "/file/upload", "all, gateway or api"),
            (Role::Gateway, "/user/list", "all or api"),
            (Role::Settler, "/wallet/balance", "all or api"),
        ] {
            let refused = refusal(role, path);
            assert_eq!(refused.code, Code::UnknownOperation);
            let (own, others) = (format!("has the role {role} "), format!("of the role {named}"));
            assert!(refused.reason.contains(&own) && refused.reason.ends_with(&others), "{refused}");
        }
        for (role, path) in [(Role::Api, "/no/such"), (Role::All, "/no/such"), (Role::All, "/user/list")] {
            assert_eq!(refusal(role, path), Code::UnknownOperation.into(), "{path}");
        }
    }
}
