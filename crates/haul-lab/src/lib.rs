//! Simulated services with scripted faults and a record of the truth; input generators.
//!
//! The services speak HTTP/1.1 over real TCP and do not trust the client: the lab keeps its own record
//! of what was asked for and accepted, byte for byte, so that a run can be checked against the truth
//! instead of against its own counters. Contents, faults and inputs follow from a seed.
//!
//! ```
//! use haul_lab::{Lab, LabSpec, Service};
//!
//! let spec = LabSpec::enrich().all(|s| s.error_rate = 0.05).only(Service::Index, |s| s.reply_loss = 0.01);
//! let lab = Lab::start(&spec)?;
//! let index = format!("{}/index", lab.url(Service::Index));
//! // … run a client against it, then:
//! let truth = lab.truth(Service::Index).unwrap();
//! assert_eq!((truth.unique, truth.repeated, truth.mismatched), (0, 0, 0));
//! # assert!(index.starts_with("http://127.0.0.1:"));
//! # Ok::<(), haul_lab::LabError>(())
//! ```
//!
//! | room | what it holds |
//! |---|---|
//! | [`spec`], [`script`] | what a lab and a service are to be; the fate of a request |
//! | `services` | one file a service; contents ready-made |
//! | [`truth`] | what was really asked for and accepted |
//! | `http`, `scan` | bytes to requests, documents to members |
//! | `lab`, `accept`, `connection`, `control` | threads, doors, connections, the lab's own paths |
//! | [`gen`](mod@generate) | inputs |

mod accept;
mod connection;
mod control;
pub mod generate;
mod http;
mod lab;
pub mod limits;
mod mix;
mod scan;
pub mod script;
mod services;
pub mod spec;
pub mod truth;
mod world;

pub use lab::{Lab, LabError};
pub use script::{Fate, Script};
pub use services::pages::population::{Often, PagesSpec, PagesTruth};
pub use services::{ACCESS_KEY, FileKind, ODD_KEYS, SECRET_KEY, Service, StoredObject};
pub use spec::{LabSpec, ServiceSpec};
pub use truth::Truth;
