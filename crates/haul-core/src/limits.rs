//! Every bound of Haul, with its reason. Nothing else is unbounded.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Items read and not committed. It bounds what a crash may repeat; large enough that a commit
/// every 10 ms never starves the workers (4,096 / 10 ms = 400 k items/s).
pub const WINDOW_ITEMS: usize = 4096;
/// Bytes of records in the window.
pub const WINDOW_BYTES: usize = 8 * MIB;
/// `--memory` when nothing is said.
pub const MEMORY_DEFAULT: u64 = 12 * MIB as u64;
/// Least `--memory`: below it a page, a body and the ledger's cache do not fit at once.
pub const MEMORY_LEAST: u64 = MIB as u64;
/// A job file: they are written by hand, and one that is larger is something else.
pub const JOB_BYTES: u64 = 4 * MIB as u64;
/// Items a row source puts into one page: pages are the unit of hand-over between threads.
pub const PAGE_ITEMS: usize = 256;
/// Bytes a row source puts into one page.
pub const PAGE_BYTES: usize = 64 * KIB;
/// Pages read ahead of the window.
pub const PAGES_AHEAD: usize = 2;
/// Names of files that a download holds in memory before they are put into the tree of all of them: each
/// page of the tree is then written once for many commits. 1.9 MB beside their texts.
pub const CATALOG_ROWS: usize = 20 * KIB;
/// Bytes of their texts.
pub const CATALOG_BYTES: usize = 2 * MIB;
/// Files without a name that a download keeps open until their commit: the files of some commits. Not more than a
/// quarter of those that a process may have open.
pub const NAMELESS_FILES: usize = 4 * KIB;
/// Slices of a source that are read at once: each holds a page, and most a connection.
pub const SLICES_OPEN: usize = 1024;
/// Slices that an id range is cut into at the start; more come by splitting, when they are needed.
pub const SLICES_AT_START: u64 = 64;
/// Fewest pages, of ids without gaps, that make a slice of their own while nothing is known of gaps: the
/// end of a slice costs half a page on average.
pub const SLICE_PAGES: u64 = 48;
/// Pages of an API that are remembered by their hash, to notice that they go round in a circle.
pub const PAGES_REMEMBERED: usize = 4096;
/// Pages of one chain that are asked for at once, where their places are known before they come: enough for
/// 100 a second at 300 ms each; at the end of a list as many may be asked for in vain.
pub const PAGES_AT_ONCE: usize = 32;
/// Bytes of their records, a quarter of what a run has by default.
pub const PAGES_AT_ONCE_BYTES: usize = 3 * MIB;
/// Ids that a chain of pages remembers, to take a record once that an insertion pushed onto the next
/// page: those of the last pages, as they travel in each cursor.
pub const IDS_REMEMBERED: usize = 512;
/// Items of a job without steps read and not committed: they cost no request of their own to read again,
/// and a commit every quarter of a second must not starve 400 k items/s.
pub const WINDOW_ITEMS_READ: usize = 128 * KIB;
/// Longest that items of a job without steps wait for their commit: it costs two syncs.
pub const COMMIT_LINGER_READ: Duration = Duration::from_millis(250);
/// One line of input. Longer ones are rejected with their line number, without being held.
pub const LINE_BYTES: usize = MIB;
/// A decoded reply body that is parsed as JSON.
pub const BODY_BYTES: usize = 16 * MIB;
/// Items in one batch: more could never gather in the window.
pub const BATCH_ITEMS: usize = WINDOW_ITEMS;
/// Records in one batch; it goes out when they are more. The body is made of them in memory, several
/// times their size for a moment.
pub const BATCH_BYTES: usize = MIB;
/// Longest wait for company in a batch: what waits longer would be better posted alone.
pub const BATCH_LINGER: Duration = Duration::from_secs(60);
/// Results kept by lookups with `cache` take at most this part of `--memory`: a quarter.
pub const CACHE_SHARE: u64 = 4;
/// `run.log` of a run; when it is longer it becomes `run.log.1`, and the one before that is dropped. A line
/// a minute fills it in three weeks.
pub const LOG_BYTES: u64 = 4 << 20;
/// Bytes at the end of an output that are compared before it is written again: a few rows tell whose they
/// are.
pub const TAIL: usize = 512;

/// Rejected items that a look at a run shows: the first five, and the latest.
pub const REJECTS_SHOWN: usize = 8;
/// Objects up to this size are copied in one piece, larger ones in parts of it: what services recommend,
/// and what a lost connection repeats at most.
pub const COPY_PART: u64 = 8 * MIB as u64;
/// Pieces of objects on their way take at most this part of `--memory`: a half.
pub const COPY_SHARE: u64 = 2;
/// Parts of one object that are on their way at once.
pub const COPY_PARTS: usize = 4;
/// Largest object that a store copies by itself in one request; larger ones in parts: what S3 allows.
pub const COPIED_BYTES: u64 = 5 * 1024 * MIB as u64;
/// Parts in which a store copies a larger one by itself: few requests, and none that takes minutes.
pub const COPIED_PART: u64 = 256 * MIB as u64;
/// Largest object that is copied in parts: what S3 holds.
pub const OBJECT_BYTES: u64 = 5 << 40;
/// Objects that `haul check --reread` reads at once, each at both ends: enough to hide a round trip.
pub const REREAD_AT_ONCE: usize = 16;
/// Raw bytes kept of rejected input.
pub const REJECTED_BYTES: usize = 4 * KIB;
/// Characters kept of a fault's message.
pub const MESSAGE_CHARS: usize = 400;
/// Redirects followed by one request.
pub const REDIRECTS: usize = 10;
/// Outcomes in one commit; more wait for the next.
pub const COMMIT_ITEMS: usize = 1000;
/// Longest an outcome waits for company before its commit starts.
pub const COMMIT_LINGER: Duration = Duration::from_millis(10);
/// The same where files are saved: their commit syncs a whole file system, about 10 to 30 ms.
pub const COMMIT_LINGER_SAVE: Duration = Duration::from_millis(100);
/// Parked rows above which reading pauses: more would only grow the ledger.
pub const PARKED_ROWS: u64 = 1_000_000;
/// Parked items taken from the ledger at once.
pub const DUE_ITEMS: usize = 256;
/// Keys of an endless source that the key log keeps.
pub const KEYS_KEPT: u64 = 64_000_000;
/// How long attempts in flight may take to end after the first SIGINT or SIGTERM.
pub const DRAIN: Duration = Duration::from_secs(30);
/// How long the ledger waits for a reader of another process.
pub const LEDGER_BUSY: Duration = Duration::from_secs(30);
/// Disk space kept free for the last commit of a full disk.
pub const LEDGER_RESERVE: u64 = 16 * MIB as u64;
/// Interval rows of one second kept (an hour), then of one minute (a week), then of one hour.
pub const TICKS_1S: u64 = 3600;
/// See [`TICKS_1S`].
pub const TICKS_1MIN: u64 = 7 * 24 * 60;
/// Rows of lane history kept.
pub const LANE_ROWS: u64 = 10_000;
/// Changes by people that the ledger keeps; older ones go.
pub const CHANGE_ROWS: u64 = 1000;
/// Bytes of a control socket's path: the system's own bound is 108 (Linux) or 104 (BSD, macOS).
pub const SOCKET_PATH: usize = 100;
/// One line of the control protocol.
pub const CONTROL_LINE: usize = 64 * KIB;
/// Programs that may talk to one run's control socket at once.
pub const CONTROL_PEERS: usize = 32;
/// A lane that is paused for longer gives its permits back.
pub const PERMIT_HOLD: Duration = Duration::from_secs(1);
/// A service that asks to be left alone for as long as this speaks of a quota, not of a request.
pub const QUOTA_WAIT: Duration = Duration::from_secs(60);
/// Attempts at an item that a service answers with 401 or 403 while it answers others.
pub const DENIED_ATTEMPTS: u32 = 4;
/// Items in work at least, unless a number is said: they also wait for commits, which take no permit.
pub const WORKERS_LEAST: usize = 32;
/// Items in work at most, unless a larger number is said: as many as the window holds.
pub const WORKERS: usize = WINDOW_ITEMS;
/// Most requests in flight to one service that can be asked for: one address has 65,535 ports.
pub const CONCURRENCY_MAX: u32 = 65_535;
/// Share of requests that may be retries before further ones are delayed.
pub const RETRY_SHARE: f64 = 0.2;
/// Hosts a run may talk to; more lanes would hold more connections than memory allows.
pub const LANES: usize = 1024;
/// The head of a reply, and its trailer: services send a few hundred bytes, proxies cap at 8 to 64 KiB.
pub const HEAD_BYTES: usize = 64 * KIB;
/// Connections kept open without a request, over all lanes: each costs the peer as much as us.
pub const CONNECTIONS_IDLE: usize = 1024;
/// How long a connection is kept without a request: most services close theirs after 60 s or more,
/// and an earlier close is noticed before the connection is used again.
pub const CONNECTION_IDLE_AGE: Duration = Duration::from_secs(55);
/// Host names whose addresses are remembered.
pub const DNS_NAMES: usize = 1024;
/// Objects of a store listed at once: what an S3 reply holds at most.
pub const LISTED: usize = 1000;
/// Ranges of a listing that are read at once: each holds a reply of either end, 300 kB.
pub const LISTINGS_AT_ONCE: usize = 16;
/// Names of one directory held while it is listed in order: a directory of a million is read 31 times,
/// in 4 MB.
pub const LISTED_NAMES: usize = 32_768;
/// Objects held while a listing is brought into order, by what they take; more go to a file. A listing of
/// a million takes about thirty rounds of it.
pub const SORTED_BYTES: usize = 4 * MIB;
/// Sorted parts of a listing that are read side by side: a buffer each.
pub const SORTED_RUNS: usize = 64;
/// How long addresses are remembered: short enough to follow a fail-over by DNS.
pub const DNS_AGE: Duration = Duration::from_secs(30);
/// Files from this size on may come over several connections: below it, it is over before anybody knows
/// whether that would pay.
pub const SPREAD_FROM: u64 = 16 * MIB as u64;
/// Least of a file that is worth a connection of its own: it costs a round trip, a slow start, and what the
/// one before it has already sent beyond.
pub const SPREAD_LEAST: u64 = 2 * MIB as u64;
/// Connections over which files of one service come, beyond one for each file: what browsers and download
/// programs allow themselves.
pub const FILE_CONNECTIONS: u32 = 8;
/// A file that comes over several connections notes what is there after so many bytes: what a crash may
/// repeat of each.
pub const SPREAD_NOTED: u64 = 8 * MIB as u64;
/// Steps that an expression may take for one item: each time around `range`, `repeat`, `recurse`, `while`, `until` or a
/// definition of its own. An item has at most a megabyte, which is walked in fewer; as numbers in an array they
/// take 16 MB.
pub const EXPR_STEPS: u64 = 1_000_000;
