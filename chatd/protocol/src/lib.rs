//! The words of the wire: identifiers, codes, envelopes and operations that chatd and its clients share.
//!
//! Invariant: everything here is plain data. Nothing opens a socket, reads a clock or draws a random number.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | app, user, group and message identifiers with their bounds |
//! | [`target`] | where a message goes |
//! | [`code`] | result codes, their HTTP status, and [`code::Refusal`] |
//! | [`params`] | parameters of an operation, from a query, a form or JSON |
//! | [`cursor`] | where a list goes on |
//! | [`pattern`] | patterns of texts that surely are what a parameter asks for |
//! | [`operation`] | what an operation is: the [`operation::Operation`] trait |
//! | [`rights`] | who may do an operation |
//! | [`route`] | what is asked over HTTP beside operations: the page, health, files as they are |
//! | [`envelope`] | HTTP answers, WebSocket requests, answers and pushes |
//! | [`asked`] | requests over WebSocket as a server reads them |
//! | [`content`] | what a message carries |
//! | [`session`] | commands that exist on a WebSocket only |
//! | [`observe`] | the one of them that is for operators: reading along |
//! | [`secret`] | what is not repeated of a text in which a secret may stand |
//! | [`span`] | stretches of time on command lines and in settings |
//! | [`certificate`] | when a certificate ends |
//! | [`backoff`] | how long to wait before trying again |
//! | [`user`], [`group`], [`message`], [`conversation`], [`friend`], [`red_packet`], [`wallet`], [`system`], [`node`], [`access`], [`audit`], [`explain`], [`file`] | the operations, one module a noun |
//! | [`table`] | all of them, and all routes |

pub mod access;
pub mod asked;
pub mod audit;
pub mod backoff;
pub mod certificate;
pub mod code;
pub mod content;
pub mod conversation;
pub mod cursor;
pub mod envelope;
pub mod explain;
pub mod file;
pub mod friend;
pub mod group;
pub mod id;
pub mod message;
pub mod node;
pub mod observe;
pub mod operation;
pub mod params;
pub mod pattern;
pub mod red_packet;
pub mod rights;
pub mod route;
pub mod secret;
pub mod session;
pub mod span;
pub mod system;
pub mod table;
pub mod target;
pub mod user;
pub mod wallet;

pub use code::{Code, Refusal};
pub use id::{AppId, GroupId, MsgId, PacketId, TransferId, UserId};
pub use operation::Operation;
pub use params::Params;
pub use span::Span;
pub use target::Target;
