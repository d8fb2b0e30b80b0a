//! Do one thing to millions of items, against services you do not control: as fast as they allow, in
//! constant memory, losing nothing and repeating nothing.
//!
//! This is the face for Rust programs; the `haul` command is built on the same parts.
//!
//! | part | what it holds |
//! |---|---|
//! | [`core`] | items, faults, outcomes, the traits of sources, steps, sinks and ledgers |
//! | [`job`] | job files: read, write, check |
//! | [`engine`] | carries every item of a source through its steps |
//! | [`connect`] | sources, steps and sinks; HTTP; expressions |
//! | [`reduce`] | exact aggregates of huge files |
//! | [`lab`] | services to test against, with faults and a record of the truth |
//!
//! A job from a file, run to its end without a run directory:
//!
//! ```
//! use std::sync::Arc;
//!
//! use haul::connect::assemble::{AssembleContext, assemble};
//! use haul::engine::{TokioClock, control, ledger::MemoryLedger};
//! use haul::job::{Given, parse};
//!
//! # let dir = tempfile::tempdir()?;
//! # std::fs::write(dir.path().join("in.csv"), "name,age\nAda,36\nAlan,41\n")?;
//! let text = r#"
//! haul = 1
//! [source]
//! csv = "in.csv"
//! columns = ["name", "age:int"]
//! where = ".age > 40"
//! [output]
//! jsonl = "out.jsonl"
//! "#;
//! let job = parse(&Given { text, name: "example", profile: None, set: &[] }).unwrap().job;
//! let context = AssembleContext { base: dir.path().to_owned(), ..AssembleContext::default() };
//! let live = assemble(&job, &context)?;
//!
//! let ledger = MemoryLedger::new();
//! let orders = haul::orders(&job, live, haul::core::cx::RunKey([0; 16]));
//! let (control, _handle) = control();
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let ending = runtime
//!     .block_on(haul::engine::run(orders, Box::new(ledger), Arc::new(TokioClock::new()), control))?;
//!
//! assert_eq!((ending.counts.done, ending.counts.skipped), (1, 1));
//! assert_eq!(std::fs::read_to_string(dir.path().join("out.jsonl"))?, "{\"name\":\"Alan\",\"age\":41}\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod aggregates;
mod orders;

pub use haul_connect as connect;
pub use haul_core as core;
pub use haul_core::job;
pub use haul_engine as engine;
pub use haul_lab as lab;
pub use haul_reduce as reduce;

pub use aggregates::aggregates;
pub use orders::orders;
