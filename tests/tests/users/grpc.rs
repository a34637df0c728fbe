//! gRPC calls: each says what the HTTP operation of its name says, to the same people.
//!
//! Invariant: what is expected comes from HTTP, asked of the same node.

use chat_proto::chat_client::ChatClient;
use chat_proto::{ListUsersRequest, QueryUserOnlineRequest, SendMessageAllRequest, SendMessageRequest};
use chat_protocol::Code;
use chat_tests::authority::Authority;
use chat_tests::closed::Closed;
use chat_tests::exposition::scrape;
use chat_tests::grpc::{self, client, code, plain, shown, told};
use chat_tests::node::Node;
use chat_tests::raw_http::request;
use chat_tests::site::Site;
use chat_tests::talk::next_text;
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};
use tonic::Code as Grpc;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const APP: u32 = 941;
const NOBODY: &str = "";

/// What HTTP says to whoever has this credential.
async fn over_http(node: &Node, credential: &str, path: &str, body: &Value) -> (u64, Value) {
    let bearer = format!("Bearer {credential}");
    let mut headers = vec![("Content-Type", "application/json")];
    if !credential.is_empty() {
        headers.push(("Authorization", &bearer));
    }
    let answer = request(node.server(), "POST", path, &headers, body.to_string().as_bytes()).await;
    let (code, mut answer) = (answer.code(), answer.json());
    (code, if code == 200 { answer["data"].take() } else { answer["msg"].take() })
}

/// What gRPC says to them, by the path of the operation.
async fn over_grpc(
    client: &mut ChatClient<Channel>,
    credential: &str,
    path: &str,
    body: &Value,
) -> (u64, Value) {
    fn message<T: for<'a> serde::Deserialize<'a>>(body: &Value) -> T {
        serde_json::from_value(body.clone()).expect("a message")
    }
    match path {
        "/user/online" => {
            let asked = shown(credential, message::<QueryUserOnlineRequest>(body));
            told(client.query_user_online(asked).await.map(tonic::Response::into_inner))
        }
        "/user/list" => {
            let asked = shown(credential, message::<ListUsersRequest>(body));
            told(client.list_users(asked).await.map(tonic::Response::into_inner))
        }
        "/user/sendMessage" => {
            let asked = shown(credential, message::<SendMessageRequest>(body));
            told(client.send_message(asked).await.map(tonic::Response::into_inner))
        }
        "/user/sendMessageAll" => {
            let asked = shown(credential, message::<SendMessageAllRequest>(body));
            told(client.send_message_all(asked).await.map(tonic::Response::into_inner))
        }
        other => panic!("no call for {other}"),
    }
}

const PATHS: [&str; 4] = ["/user/online", "/user/list", "/user/sendMessage", "/user/sendMessageAll"];

/// Both ways, the second of which repeats what the first did.
async fn both(node: &Node, credential: &str, path: &str, body: &Value) -> [(u64, Value); 2] {
    let mut client = client(node).await;
    let said = over_grpc(&mut client, credential, path, body).await;
    let mut repeated = over_http(node, credential, path, body).await;
    if let Some(members) = repeated.1.as_object_mut() {
        members.remove("duplicate");
    }
    [said, repeated]
}

async fn each_call_says_what_http_says(site: Site) {
    let (mut b, _c) = tokio::join!(site.last().login(APP, "乙"), site.first().login(APP, "c"));
    let long = "m".repeat(16 * 1024);
    for (path, body) in [
        ("/user/online", json!({"appId": APP, "userId": "乙"})),
        ("/user/online", json!({"appId": APP, "userId": "nobody"})),
        ("/user/online", json!({"appId": APP, "userId": ""})),
        ("/user/online", json!({"appId": APP, "userId": "a\u{0}"})),
        ("/user/online", json!({"appId": APP, "userId": "u".repeat(65)})),
        ("/user/online", json!({"userId": "a"})),
        ("/user/list", json!({"appId": APP})),
        ("/user/list", json!({"appId": APP, "limit": 1})),
        ("/user/list", json!({"appId": APP, "cursor": "c"})),
        ("/user/list", json!({"appId": APP, "limit": 0})),
        ("/user/list", json!({})),
        ("/user/sendMessage", json!({"appId": APP, "userId": "乙", "message": "to 乙", "msgId": "1"})),
        (
            "/user/sendMessage",
            json!({"appId": APP, "userId": "off", "message": long, "msgId": "2", "from": "c"}),
        ),
        (
            "/user/sendMessage",
            json!({"appId": APP, "userId": "off", "message": format!("{long}m"), "msgId": "3"}),
        ),
        ("/user/sendMessage", json!({"appId": APP, "userId": "off", "message": "", "msgId": "4"})),
        ("/user/sendMessage", json!({"appId": APP, "userId": "off", "message": "other", "msgId": "1"})),
        ("/user/sendMessage", json!({"appId": APP, "userId": "off", "message": "m", "msgId": ""})),
        ("/user/sendMessage", json!({"appId": APP, "userId": "off", "message": "m", "type": "hologram"})),
        (
            "/user/sendMessage",
            json!({"appId": APP, "userId": "off", "message": "https://a/b", "type": "img", "msgId": "5"}),
        ),
        ("/user/sendMessageAll", json!({"appId": APP, "userId": "c", "message": "to all", "msgId": "6"})),
        ("/user/sendMessageAll", json!({"appId": APP, "userId": "c", "message": "other", "msgId": "6"})),
        ("/user/sendMessageAll", json!({"appId": APP, "userId": "", "message": "m", "msgId": "7"})),
    ] {
        let [said, repeated] = both(site.first(), NOBODY, path, &body).await;
        assert_eq!(said, repeated, "{path} {body}");
    }
    assert_eq!(next_text(&mut b).await, "to 乙");
    assert_eq!(next_text(&mut b).await, "to all", "each came once, whatever the way it was repeated");
}

#[tokio::test]
async fn each_call_says_what_http_says_alone() {
    each_call_says_what_http_says(Site::embedded_with(&grpc::ON).await).await;
}

#[tokio::test]
async fn each_call_says_what_http_says_on_two_nodes() {
    each_call_says_what_http_says(Site::redis_with(&grpc::ON).await).await;
}

#[tokio::test]
async fn who_may_not_over_http_may_not_here() {
    let closed = Closed::start("", &grpc::ON).await;
    let own = closed.token(APP, "a");
    let shown = ["read", "send", "admin", "all"].map(|name| closed.key(name).to_owned());
    let credentials =
        [&shown[..], &[String::new(), own, "nonsense".into(), closed.token(APP + 1, "a")]].concat();
    for (number, credential) in credentials.iter().enumerate() {
        for path in PATHS {
            for user in ["a", "b"] {
                let body = json!({
                    "appId": APP, "userId": user, "from": user, "message": "m", "msgId": format!("{number}{user}"),
                });
                let [said, repeated] = both(&closed.node, credential, path, &body).await;
                assert_eq!(said, repeated, "{path} as {number}, {user}");
            }
        }
    }
    // Who leaves themselves out acts as themselves.
    let body = json!({"userId": "b", "message": "from a", "msgId": "self"});
    let [said, repeated] = both(&closed.node, &credentials[5], "/user/sendMessage", &body).await;
    assert_eq!((said.0, &said), (200, &repeated));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_counted() {
    let node = Node::ephemeral(&grpc::ON).await;
    let mut client = client(&node).await;
    let before = scrape(&node).await;
    let huge = SendMessageRequest { message: "m".repeat(70 * 1024), ..Default::default() };
    let refused = client.send_message(plain(huge)).await.unwrap_err();
    assert_eq!((refused.code(), code(&refused)), (Grpc::InvalidArgument, Some(Code::TooLarge)), "{refused}");

    // A name that is no UTF-8, which no client of the contract can send.
    let bytes = b"\x0a\x02\xff\xfe".as_slice();
    let refused = raw(&node, "/chat.v1.Chat/ListUsers", b"\x1a\x02\xff\xfe").await;
    assert_eq!(
        (refused.code(), code(&refused)),
        (Grpc::InvalidArgument, Some(Code::BadParameter)),
        "{refused}"
    );
    let refused = raw(&node, "/chat.v1.Chat/Nonsense", bytes).await;
    assert_eq!((refused.code(), code(&refused)), (Grpc::Unimplemented, Some(Code::UnknownOperation)));

    let mut late = plain(ListUsersRequest { app_id: Some(APP), ..Default::default() });
    late.metadata_mut().insert("grpc-timeout", "1 S".parse().unwrap());
    let refused = client.list_users(late).await.unwrap_err();
    assert_eq!(code(&refused), Some(Code::BadParameter), "{refused}");

    let after = scrape(&node).await;
    let via =
        |code: u16| after.rise(&before, &format!("chatd_refusals_total{{via=\"grpc\",code=\"{code}\"}}"));
    assert_eq!([1001, 1010, 1012].map(via), [2.0, 1.0, 1.0]);
    let done = "chatd_grpc_requests_total{operation=\"user/list\",code=\"1001\"}";
    assert_eq!(after.rise(&before, done), 2.0);
}

/// Bytes as they are, in place of a message.
async fn raw(node: &Node, path: &'static str, bytes: &'static [u8]) -> tonic::Status {
    let mut grpc = tonic::client::Grpc::new(grpc::channel(node).await);
    grpc.ready().await.expect("a connection");
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    let asked = plain(bytes::Bytes::from_static(bytes));
    let answered: Result<tonic::Response<()>, _> = grpc.unary(asked, path, raw_codec::Raw).await;
    answered.map(|_| ()).expect_err("it cannot be read")
}

mod raw_codec {
    use bytes::{BufMut, Bytes};
    use tonic::Status;
    use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

    /// Sends bytes, reads nothing.
    #[derive(Clone, Copy, Default)]
    pub struct Raw;

    impl Codec for Raw {
        type Encode = Bytes;
        type Decode = ();
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            *self
        }

        fn decoder(&mut self) -> Self {
            *self
        }
    }

    impl Encoder for Raw {
        type Item = Bytes;
        type Error = Status;

        fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
            into.put(item);
            Ok(())
        }
    }

    impl Decoder for Raw {
        type Item = ();
        type Error = Status;

        fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
            Ok(Some(()))
        }
    }
}

#[tokio::test]
async fn a_node_that_drains_is_not_serving_from_the_first_moment_on() {
    let node = Node::ephemeral(&grpc::ON).await;
    let mut health = HealthClient::new(grpc::channel(&node).await);
    let asked = |service: &str| plain(HealthCheckRequest { service: service.to_owned() });
    for service in ["", "chat.v1.Chat"] {
        until("it serves", SOON, async || {
            let told = health.check(asked(service)).await;
            told.unwrap().into_inner().status() == ServingStatus::Serving
        })
        .await;
    }
    assert_eq!(health.check(asked("nonsense")).await.unwrap_err().code(), Grpc::NotFound);
    let mut watched = health.watch(asked("")).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().expect("what it is now");
    assert_eq!(first.status(), ServingStatus::Serving);
    over_http(&node, NOBODY, "/system/drain", &json!({"seconds": 0})).await;
    let next = watched.message().await.unwrap().expect("what it is then");
    assert_eq!(next.status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn a_node_describes_itself() {
    let node = Node::ephemeral(&grpc::ON).await;
    let mut reflection = ServerReflectionClient::new(grpc::channel(&node).await);
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = plain(futures_util::stream::iter([asked]));
    let mut told = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    let answer = told.message().await.unwrap().expect("an answer").message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    for name in ["chat.v1.Chat", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
}

#[tokio::test]
async fn a_node_with_a_certificate_speaks_it_here_too() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &grpc::ON).await;
    let mut calls = ChatClient::new(grpc::secure(&node, &authority).await);
    let asked = || plain(ListUsersRequest { app_id: Some(APP), ..Default::default() });
    assert_eq!(calls.list_users(asked()).await.unwrap().into_inner().user_count, 0);
    let without = grpc::address(&node).replace("https:", "http:");
    let endpoint = tonic::transport::Endpoint::from_shared(without).unwrap();
    let refused = ChatClient::new(endpoint.connect_lazy()).list_users(asked()).await;
    assert!(refused.is_err(), "it is not spoken without TLS: {refused:?}");
}
