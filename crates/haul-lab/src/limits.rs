//! Every bound of the lab, with its reason.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// First size of a connection's read buffer: a lookup or a post of W4 fits, and 3 × 1,024
/// connections stay at 12 MiB.
pub const READ_BYTES: usize = 4 * KIB;
/// Head of a request; longer ones are answered 431.
pub const HEAD_BYTES: usize = 64 * KIB;
/// Headers of a request.
pub const HEADERS: usize = 64;
/// Body of a request, as sent and as decoded; longer ones are answered 413.
pub const BODY_BYTES: usize = 16 * MIB;
/// Buffers that one large request made grow are given back above this size.
pub const KEEP_BYTES: usize = 64 * KIB;
/// Distinct texts a service serves; ids share them, so that replies can be kept ready-made
/// (about 1 KiB each).
pub const VARIANTS: usize = 4096;
/// Digests of files that are remembered (about 40 bytes each).
pub const DIGESTS: usize = 1_000_000;
/// Characters kept of the first mismatch.
pub const SAMPLE_CHARS: usize = 400;
/// Parts of each set of hashes: growing one part stalls no longer than about 1 ms per million entries.
pub const SHARDS: usize = 64;
/// Bytes the generators gather before they write.
pub const BLOCK_BYTES: usize = 256 * KIB;
/// Server threads.
pub const THREADS: usize = 64;
