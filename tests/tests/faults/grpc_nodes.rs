//! gRPC through nginx while nodes are killed, started again and drained: whoever repeats under the same id loses nothing
//! and doubles nothing.
//!
//! Invariant: everybody knows the address of the proxy only, and the proxy is real.

use std::net::SocketAddr;

use chat_proto::chat_client::ChatClient;
use chat_proto::{ReadConversationRequest, SendMessageAllRequest};
use chat_tests::front::{Front, free_address, nginx_with_grpc};
use chat_tests::grpc::{connect, next, plain};
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, pace, until};
use nix::sys::signal::Signal;
use tokio::sync::watch;
use tonic::Code as Grpc;
use tonic::transport::Channel;

const APP: u32 = 943;
const MESSAGES: u64 = 300;

/// What may come of a node that is killed or drained, or of the way to it; never a refusal.
fn may_be_repeated(code: Grpc) -> bool {
    matches!(
        code,
        Grpc::Unavailable | Grpc::DeadlineExceeded | Grpc::Unknown | Grpc::Internal | Grpc::Cancelled
    )
}

async fn send_all(mut client: ChatClient<Channel>, sent: watch::Sender<u64>) {
    for number in 1..=MESSAGES {
        loop {
            let message = SendMessageAllRequest {
                app_id: Some(APP),
                user_id: Some("a".to_owned()),
                msg_id: format!("m{number}"),
                message: format!("m{number}"),
                ..Default::default()
            };
            match client.send_message_all(plain(message)).await {
                Ok(answer) => break assert_eq!(answer.into_inner().offset, number),
                Err(status) => assert!(may_be_repeated(status.code()), "{status}"),
            }
            pace(SOON / 400).await;
        }
        sent.send_replace(number);
    }
}

async fn read_all(mut client: ChatClient<Channel>) {
    let mut last = 0;
    while last < MESSAGES {
        let asked = ReadConversationRequest { app_id: Some(APP), after: last, ..Default::default() };
        let mut stream = match client.read_conversation(plain(asked)).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => {
                assert!(may_be_repeated(status.code()), "{status}");
                pace(SOON / 400).await;
                continue;
            }
        };
        loop {
            match next(&mut stream).await {
                Ok(Some(entry)) => {
                    assert_eq!((entry.offset, entry.msg_id), (last + 1, format!("m{}", last + 1)));
                    last += 1;
                }
                Ok(None) => break,
                Err(status) => break assert!(may_be_repeated(status.code()), "{status}"),
            }
            if last == MESSAGES {
                break;
            }
        }
    }
}

async fn start(url: &str, listen: SocketAddr, grpc: SocketAddr) -> Node {
    let (listen, grpc) = (String::leak(listen.to_string()), grpc.to_string());
    let arguments =
        ["--redis", url, "--drain", "1s", "--trusted-proxies", "127.0.0.1", "--grpc-listen", &grpc];
    Node::start_on(listen, &arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_through_nginx_lands_once_while_nodes_are_killed_and_drained() {
    let redis = RedisServer::start().await;
    let (url, addresses) = (redis.url(), [(); 6].map(|()| free_address()));
    let [one, two, grpc_one, grpc_two, front, grpc_front] = addresses;
    let (mut first, mut second) = tokio::join!(start(&url, one, grpc_one), start(&url, two, grpc_two));
    let servers = [first.server(), second.server()];
    let http = nginx_with_grpc(front, &servers, grpc_front, &[grpc_one, grpc_two]).await;
    let _nginx = Front::nginx(&http, front).await;
    let client = ChatClient::new(connect(&format!("http://{grpc_front}")).await);
    let (sent, told) = watch::channel(0);
    let at = async |number: u64| {
        let mut told = told.clone();
        until("it was sent", 10 * SOON, async || *told.borrow_and_update() >= number).await;
    };
    let faults = async {
        at(50).await;
        first.kill();
        at(100).await;
        first = start(&url, one, grpc_one).await;
        at(150).await;
        second.signal(Signal::SIGTERM);
        assert_eq!(second.ended().await, Some(0));
        at(200).await;
        second = start(&url, two, grpc_two).await;
        at(250).await;
        first.kill();
    };
    tokio::join!(send_all(client.clone(), sent), read_all(client.clone()), faults);
}
