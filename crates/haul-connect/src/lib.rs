//! Haul's sources, steps, sinks, HTTP client, codecs and expressions

pub mod assemble;
pub mod decode;
pub mod expr;
pub mod http;
pub mod pages;
pub mod priority;
pub mod rows;
pub mod secrets;
pub mod sinks;
pub mod steps;
pub mod stores;
pub mod template;
