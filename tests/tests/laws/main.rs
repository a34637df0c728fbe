//! The law of every port, run against every adapter.

mod brief_memberships;
mod broker_laws;
mod conversation_laws;
mod conversation_order;
mod friend_laws;
mod group_laws;
mod large_dismissal;
mod ledger_files;
mod ledger_laws;
mod ledger_postgres;
mod ledger_reading_laws;
mod long_lists;
mod lost_end;
mod money_audit_laws;
mod money_redis;
mod packet_laws;
mod presence_laws;
mod queue_laws;
mod rabbit_laws;
mod recall_laws;
mod redis_ends;
mod settlement_laws;
mod settlement_waits;
mod sweeper_laws;
mod two_databases;
mod whole_steps;
