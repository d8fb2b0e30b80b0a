//! `haul schema`: the shape of a job file, for editors.

use clap::Args;
use haul_core::job::SCHEMA;

use crate::{exit, output};

/// Arguments of `haul schema`.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SchemaArgs {}

const EXAMPLES: &str = "\
Example:
  haul schema > haul.schema.json

An editor that knows TOML (taplo, Even Better TOML) then completes and checks a job file whose first line is
  #:schema haul.schema.json";

/// Prints the JSON Schema.
pub fn run(_: &SchemaArgs) -> u8 {
    output::data(SCHEMA.as_bytes());
    exit::DONE
}
