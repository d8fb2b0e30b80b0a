//! Bounds of this crate, with their reasons.

use haul_core::limits;

/// A line that is held whole; each thread may hold one. Longer ones go through the validator that holds
/// none, which is slower and takes a line of any length.
pub(crate) const HELD_BYTES: usize = 256 * 1024;
/// A record of CSV, and a plain line that is counted.
pub(crate) const RECORD_BYTES: usize = limits::LINE_BYTES;
/// Most bytes read at once: larger blocks do not read faster, and each thread holds one.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;
/// Fewest bytes read at once, on machines with many cores.
pub(crate) const BLOCK_BYTES_MIN: usize = 32 * 1024;
/// Blocks of all threads together, so that the memory does not grow with the number of cores.
pub(crate) const BLOCKS_BYTES: usize = 2 * 1024 * 1024;
/// Read together with a block, so that the line that reaches over its end rarely needs a second read.
pub(crate) const OVERLAP_BYTES: usize = 8 * 1024;
/// Threads that scan.
pub(crate) const THREADS: usize = 64;
/// Stack of a scanning thread: nothing recurses.
pub(crate) const STACK_BYTES: usize = 256 * 1024;
/// A value that is kept of a line which is too long to be held.
pub(crate) const LONG_VALUE_BYTES: usize = 1024 * 1024;
/// A whole record that is kept of such a line.
pub(crate) const LONG_RECORD_BYTES: usize = 64 * 1024 * 1024;
/// Levels of nesting in a line that is too long to be held: a level costs a bit.
pub(crate) const LONG_DEPTH: usize = 8 * 1024 * 1024;
/// Bad lines that are described; the others are counted.
pub(crate) const BAD_LINES: usize = 10;
/// Memory of a count, however little is allowed: below it every chunk would be a few bytes.
pub(crate) const COUNT_BYTES_MIN: usize = 2 * 1024 * 1024;
/// Smallest chunk of a partition: below it the disk sees more seeks than data.
pub(crate) const CHUNK_BYTES_MIN: usize = 1024;
/// Largest chunk of a partition: above it nothing is gained.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
