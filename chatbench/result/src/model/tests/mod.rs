//! The type against files that runs wrote, against the schema, and against what is no result.

mod files;
pub(crate) mod schema;
