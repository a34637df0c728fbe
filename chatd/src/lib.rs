//! chatd, the chat daemon.
//!
//! How a message travels: the bytes of a client come in with one of the [`workers`], which owns the connection.
//! [`transport`] makes frames of them, [`session`] reads these and asks [`chat`] or an operation of [`ops`], which appends
//! to the log of the [`broker`], or has another node do so over [`grpc`] where the settings name some. The broker hands the
//! message to the [`membership`] router of every node with readers, which gives it to the [`hub`]; that puts one encoded
//! frame into the outbox of each of their connections and rings for their workers, which write it.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | settings from file, environment and flags |
//! | [`app`] | the composition root: the only place that names adapters |
//! | [`auth`] | who asks, and what they may |
//! | [`audit`] | what operators did: the log of it |
//! | [`model`] | what all of them speak of: who, which conversation, which position of its log |
//! | [`clock`] | the time of day, as a port |
//! | [`log`] | what goes to stderr |
//! | [`counters`] | what the node counts about itself |
//! | [`metrics`] | what a scrape of Prometheus gets |
//! | [`listener`] | the accept loop |
//! | [`transport`] | bytes to frames and back |
//! | [`tls`] | certificate, and the TLS of a connection |
//! | [`workers`] | the threads that own the connections |
//! | [`session`] | one connection, without a socket: log-in, requests, pushes, end |
//! | [`membership`] | which rooms a connection belongs in, joins and leaves in flight, catching up from the log |
//! | [`ops`] | operations, the same for HTTP, WebSocket and gRPC |
//! | [`http`] | the HTTP edge |
//! | [`grpc`] | the gRPC edge, and the calls of the node to those that store messages for it |
//! | [`chat`] | sending |
//! | [`marks`] | who is typing, how far others have read |
//! | [`bans`] | who may not come in: the port |
//! | [`worlds`] | which apps there are: the port, the gate before a new one |
//! | [`groups`] | who belongs to which group: the port |
//! | [`files`] | files that messages carry: who may put them here and open them, and how they go; the ports |
//! | [`friends`] | how users stand to each other: the port |
//! | [`conversations`] | a user's conversations and read state: the port |
//! | [`money`] | red packets, wallets, settlement, audit |
//! | [`quota`] | how much anybody may ask: rates and numbers by connection, user and address |
//! | [`presence`] | who is online: the port, the registry of this node |
//! | [`broker`] | one log and one bus: the port |
//! | [`engine`] | SQLite, Redis, PostgreSQL, RabbitMQ, objects: every adapter |
//! | [`hub`] | who is connected here, fan-out, outboxes |
//! | [`explain`] | why: what happened to a user, a message, a packet |
//! | [`journal`] | what happened here of late, to answer why |
//!
//! Invariants that cross modules:
//! - An answer 200 to a message is sent after the message is in its log.
//! - A connection gets the messages of a conversation in the order of their offsets, each once.
//! - Every queue is bounded and says what happens when it is full. No lock is held over an await.
//! - Details of a failure go to the log, never to the client.

pub mod app;
pub mod audit;
pub mod auth;
pub mod bans;
pub mod broker;
pub mod chat;
pub mod clock;
pub mod config;
pub mod conversations;
pub mod counters;
pub mod engine;
pub mod explain;
pub mod files;
pub mod friends;
pub mod groups;
pub mod grpc;
pub mod http;
pub mod hub;
pub mod journal;
pub mod listener;
pub mod log;
pub mod marks;
pub mod membership;
pub mod metrics;
pub mod model;
pub mod money;
pub mod ops;
pub mod presence;
pub mod quota;
pub mod session;
pub mod tls;
pub mod transport;
pub mod workers;
pub mod worlds;
