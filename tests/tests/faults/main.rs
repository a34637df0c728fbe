//! What is killed, cut off, filled up or frozen, and what must hold all the same.

mod bad_connections;
mod behind_nginx;
mod broker_faults;
mod bucket_cuts;
mod bucket_faults;
mod conversation_faults;
mod damaged;
mod failovers;
mod group_faults;
mod group_money;
mod grpc_nodes;
mod ledger_faults;
mod many_pairs;
mod money_failovers;
mod money_fault_links;
mod money_fault_queues;
mod money_fault_rabbit;
mod money_faults;
mod network_cuts;
mod rabbit_faults;
mod senders;
mod slow_readers;
mod store_refuses;
mod store_start;
mod takeover;
