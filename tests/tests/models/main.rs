//! Random histories against a model, with crashes and repeats between the steps; and random bytes where strangers send some.

mod fuzz_credentials;
mod fuzz_forms;
mod fuzz_frames;
mod fuzz_settings;
mod ledger_model;
mod model;
mod money_model;
mod packet_model;
