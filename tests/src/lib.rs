//! What whole-system tests share: processes under test, faults, and waiting for a condition.
//!
//! Invariant: a test owns its world: free ports, private processes and directories, nothing left behind.

pub mod audit_bench;
pub mod authority;
pub mod broker;
pub mod browser;
pub mod changes;
pub mod closed;
pub mod devtools;
pub mod engine;
pub mod exposition;
pub mod fault_proxy;
pub mod fault_site;
pub mod files;
pub mod front;
pub mod grpc;
pub mod island;
pub mod jwt;
pub mod ledger;
pub mod manual;
pub mod money;
pub mod money_books;
pub mod money_site;
pub mod node;
pub mod postgres_server;
pub mod presence;
pub mod program;
pub mod rabbit;
pub mod rabbitmq_server;
pub mod raw_http;
pub mod raw_socket;
pub mod redis_cluster;
pub mod redis_failover;
pub mod redis_server;
pub mod routes;
pub mod s3_server;
pub mod schema;
pub mod services;
pub mod shown_once;
pub mod site;
pub mod stream;
pub mod talk;
pub mod terminal;
pub mod wait;
pub mod works;
