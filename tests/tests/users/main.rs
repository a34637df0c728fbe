//! What people, browsers and programs do with a node, well or badly.

mod apps;
mod audit_log;
