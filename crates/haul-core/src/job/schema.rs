//! The shape of a job file, for editors.

/// A JSON Schema (draft 2020-12) of the job file: every table, every key. What only the whole job can
/// tell (a step that names a service which is not there) it does not know.
pub const SCHEMA: &str = include_str!("schema.json");
