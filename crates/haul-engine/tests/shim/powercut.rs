//! Power cuts for tests (Linux).
//!
//! `kill -9` loses nothing that was written: the kernel still has it. A power cut loses what was not
//! synced, or tears it. [`PowerCut`] has a child process record all it does to one directory
//! (`powercut.c`, preloaded), plays the record on a model of a disk, and puts the directory into a
//! state that the disk could be in after a cut.
//!
//! What a cut may do is what POSIX allows, not what one file system happens to do:
//! - of the writes and lengths of a file since its last sync any part is there, each in blocks of 512
//!   or 4,096 bytes;
//! - names (made, renamed, deleted) are there in order, up to some point; the sync of a directory makes
//!   its own ones durable, the sync of a file makes no name durable.
//!
//! Other crates may include this file by `#[path]`; it needs `fastrand` and nothing of this crate. A
//! child that syncs through `rustix` needs its feature `use-libc`: raw system calls pass unseen.

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use disk::{Disk, Record, View};

const SHIM: &str = include_str!("powercut.c");

/// A directory that lives on a disk without power supply.
pub(crate) struct PowerCut {
    dir: PathBuf,
    journal: PathBuf,
    disk: Disk,
    read: u64,
    syncs: u64,
    env: Vec<(&'static str, String)>,
}

#[allow(dead_code, reason = "each test binary that includes this file uses a part of it")]
impl PowerCut {
    /// Everything that is in `dir` now counts as durable. The journal is kept beside it.
    pub(crate) fn new(dir: &Path) -> Self {
        let dir = dir.canonicalize().unwrap();
        let journal = dir.with_extension("powercut");
        drop(fs::remove_file(&journal));
        let disk = Disk::load(&dir);
        PowerCut { dir, journal, disk, read: 0, syncs: 0, env: Vec::new() }
    }

    /// Kills the next children after so many records.
    pub(crate) fn kill_after(&mut self, records: u64) -> &mut Self {
        self.set("POWERCUT_KILL", records)
    }

    /// Lets the n-th operation (from 1) and all later ones of the next children fail.
    pub(crate) fn fail_from(&mut self, n: u64, errno: i32) -> &mut Self {
        self.set("POWERCUT_FAIL", n).set("POWERCUT_ERRNO", errno)
    }

    /// Lets only the n-th operation fail.
    pub(crate) fn fail_once(&mut self, n: u64, errno: i32) -> &mut Self {
        self.fail_from(n, errno).set("POWERCUT_ONCE", 1)
    }

    /// Files of the next children may grow by so many bytes.
    pub(crate) fn room(&mut self, bytes: u64) -> &mut Self {
        self.set("POWERCUT_ROOM", bytes)
    }

    /// The disk answers syncs of the next children without doing them.
    pub(crate) fn lie(&mut self) -> &mut Self {
        self.set("POWERCUT_LIE", 1)
    }

    /// The next children run undisturbed.
    pub(crate) fn calm(&mut self) -> &mut Self {
        self.env.clear();
        self
    }

    fn set(&mut self, name: &'static str, value: impl ToString) -> &mut Self {
        self.env.retain(|(n, _)| *n != name);
        self.env.push((name, value.to_string()));
        self
    }

    /// Prepares a child whose writes are recorded. One at a time.
    pub(crate) fn watch<'c>(&self, child: &'c mut Command) -> &'c mut Command {
        child
            .env("LD_PRELOAD", shim())
            .env("POWERCUT_DIR", &self.dir)
            .env("POWERCUT_JOURNAL", &self.journal)
            .envs(self.env.iter().map(|(n, v)| (n, v)))
    }

    /// Reads what the dead child recorded; gives the number of records since the last cut.
    pub(crate) fn records(&mut self) -> u64 {
        let journal = fs::read(&self.journal).unwrap_or_default();
        drop(fs::remove_file(&self.journal));
        let mut rest = journal.as_slice();
        while let Some((record, after)) = Record::split(rest) {
            self.disk.play(&self.dir, &record);
            self.read += 1;
            self.syncs += u64::from(record.is_sync());
            rest = after;
        }
        self.read
    }

    /// Syncs of files recorded so far; [`PowerCut::records`] reads on.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Whether the record accounts for everything in the directory: else something was written past
    /// the shim, and a cut would lose it for no reason.
    pub(crate) fn verify(&mut self) -> Result<(), String> {
        self.records();
        let there = Disk::load(&self.dir).tree(View::Live);
        let recorded = self.disk.tree(View::Live);
        let paths: BTreeSet<_> = there.keys().chain(recorded.keys()).collect();
        match paths.into_iter().find(|p| there.get(*p) != recorded.get(*p)) {
            None => Ok(()),
            Some(p) => {
                let len = |t: &BTreeMap<PathBuf, Option<Vec<u8>>>| t.get(p).map(|c| c.as_ref().map(Vec::len));
                Err(format!("{}: there {:?}, recorded {:?}", p.display(), len(&there), len(&recorded)))
            }
        }
    }

    /// Everything that is in the directory now, relative to it.
    fn disk_paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let mut dirs = vec![PathBuf::new()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(self.dir.join(&dir)).unwrap().flatten() {
                let path = dir.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(path.clone());
                }
                paths.push(path);
            }
        }
        paths
    }

    /// Cuts the power: the directory becomes one that the disk may hold, chosen by `seed`. All
    /// children are dead.
    pub(crate) fn cut(&mut self, seed: u64) {
        self.records();
        self.disk.lose(&mut fastrand::Rng::with_seed(seed));
        let durable = self.disk.tree(View::Durable);
        for path in self.disk_paths() {
            let there = self.dir.join(&path);
            match (durable.get(&path), there.is_dir()) {
                (None, true) => drop(fs::remove_dir_all(there)),
                (None, false) => drop(fs::remove_file(there)),
                (Some(_), _) => {}
            }
        }
        for (path, content) in durable {
            // A file that is still there is written in place: a power cut does not change its inode.
            match content {
                None => fs::create_dir_all(self.dir.join(path)).unwrap(),
                Some(bytes) => fs::write(self.dir.join(path), bytes).unwrap(),
            }
        }
        self.disk = Disk::load(&self.dir);
        self.read = 0;
    }
}

impl Drop for PowerCut {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.journal));
    }
}

/// Compiles the shim once for every version of its source.
fn shim() -> &'static Path {
    static SHIM_PATH: OnceLock<PathBuf> = OnceLock::new();
    SHIM_PATH.get_or_init(|| {
        let sum = SHIM
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = dir.join(format!("powercut-{sum:016x}.so"));
        if path.exists() {
            return path;
        }
        let draft = dir.join(format!("powercut-{}.so", std::process::id()));
        let source = draft.with_extension("c");
        fs::write(&source, SHIM).unwrap();
        let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"];
        let status =
            Command::new(&cc).args(flags).arg(&draft).arg(&source).args(["-ldl", "-lpthread"]).status();
        assert!(status.is_ok_and(|s| s.success()), "{cc:?} could not compile powercut.c");
        fs::rename(&draft, &path).unwrap();
        drop(fs::remove_file(source));
        path
    })
}
