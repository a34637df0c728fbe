//! The audit against stores that were tampered with.

mod money_audit;
mod money_audit_files;
mod money_audit_ledger;
