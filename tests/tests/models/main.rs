//! Random histories against a model, with crashes and repeats between the steps.

mod ledger_model;
mod model;
mod money_model;
mod packet_model;
