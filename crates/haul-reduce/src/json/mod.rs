//! JSON as bytes: validated completely, never parsed into a tree.

pub(crate) mod digits;
pub(crate) mod explain;
pub(crate) mod fast;
pub(crate) mod number;
pub(crate) mod path;
pub(crate) mod simd;
pub(crate) mod stream;
pub(crate) mod text;

#[cfg(test)]
mod table;
