//! A model of a disk: what is durable, what is pending, and what a power cut leaves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One step of the journal; see powercut.c.
pub(super) struct Record<'a> {
    kind: u8,
    a: u64,
    b: u64,
    data: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record and what follows; `None` at the end or where a killed child broke off.
    pub(super) fn split(journal: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = journal.split_at_checked(25)?;
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let (data, after) = rest.split_at_checked(usize::try_from(number(17)).ok()?)?;
        Some((Record { kind: head[0], a: number(1), b: number(9), data }, after))
    }
}

impl Record<'_> {
    /// Whether a file was made durable.
    pub(super) fn is_sync(&self) -> bool {
        self.kind == b'S'
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Node {
    File(usize),
    Dir(usize),
}

/// A file as the disk has it, and what the kernel still holds.
#[derive(Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

/// A change of names, atomic: what goes and what comes, by directory.
struct Naming {
    gone: Option<(usize, OsString)>,
    come: Option<(usize, OsString, Node)>,
}

impl Naming {
    fn touches(&self, dir: usize) -> bool {
        self.gone.as_ref().is_some_and(|g| g.0 == dir) || self.come.as_ref().is_some_and(|c| c.0 == dir)
    }

    fn apply(&self, dirs: &mut [BTreeMap<OsString, Node>]) {
        if let Some((dir, name)) = &self.gone {
            dirs[*dir].remove(name);
        }
        if let Some((dir, name, node)) = &self.come {
            dirs[*dir].insert(name.clone(), *node);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum View {
    /// As processes see it.
    Live,
    /// As it is after a cut.
    Durable,
}

/// The model. Directory 0 is the watched one.
#[derive(Default)]
pub(super) struct Disk {
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
    live: Vec<BTreeMap<OsString, Node>>,
    durable: Vec<BTreeMap<OsString, Node>>,
    namings: Vec<Naming>,
}

impl Disk {
    /// What is in a directory now, all of it durable.
    pub(super) fn load(dir: &Path) -> Self {
        let mut disk = Disk::default();
        disk.load_dir(dir);
        disk.durable.clone_from(&disk.live);
        disk
    }

    fn load_dir(&mut self, path: &Path) -> usize {
        let id = self.new_dir();
        for entry in fs::read_dir(path).unwrap().flatten() {
            let name = entry.file_name();
            let kind = entry.file_type().unwrap();
            // What a socket is bound to does not outlive the machine.
            if name.as_bytes().ends_with(b"-shm") || kind.is_socket() || kind.is_symlink() {
                continue;
            }
            let node = if kind.is_dir() {
                Node::Dir(self.load_dir(&entry.path()))
            } else {
                let durable = fs::read(entry.path()).unwrap();
                self.files.push(File { durable, pending: Vec::new() });
                self.by_inode.insert(entry.metadata().unwrap().ino(), self.files.len() - 1);
                Node::File(self.files.len() - 1)
            };
            self.live[id].insert(name, node);
        }
        id
    }

    fn new_dir(&mut self) -> usize {
        self.live.push(BTreeMap::new());
        self.durable.push(BTreeMap::new());
        self.live.len() - 1
    }

    /// The directory that a path stands in, and its last part.
    fn place(&self, root: &Path, path: &[u8]) -> Option<(usize, OsString)> {
        let path = Path::new(OsStr::from_bytes(path));
        let relative = path.strip_prefix(root).unwrap();
        let dir = self.dir_at(relative.parent()?)?;
        Some((dir, relative.file_name()?.to_owned()))
    }

    fn dir_at(&self, relative: &Path) -> Option<usize> {
        relative.components().try_fold(0, |dir, part| match self.live[dir].get(part.as_os_str()) {
            Some(Node::Dir(id)) => Some(*id),
            _ => None,
        })
    }

    fn rename(&mut self, naming: Naming) {
        naming.apply(&mut self.live);
        self.namings.push(naming);
    }

    pub(super) fn play(&mut self, root: &Path, r: &Record<'_>) {
        let file = |disk: &Disk| disk.by_inode.get(&r.a).copied();
        match r.kind {
            b'C' | b'O' => {
                self.files.push(File::default());
                self.by_inode.insert(r.a, self.files.len() - 1);
                if r.kind == b'C' {
                    self.come(root, r.data, Node::File(self.files.len() - 1));
                }
            }
            b'L' => {
                let id = file(self).unwrap();
                self.come(root, r.data, Node::File(id));
            }
            b'D' => {
                let node = Node::Dir(self.new_dir());
                self.come(root, r.data, node);
            }
            b'W' => {
                let id = file(self).unwrap();
                self.files[id].pending.push(Change::Write(r.b, r.data.to_vec()));
            }
            b'T' => {
                let id = file(self).unwrap();
                self.files[id].pending.push(Change::Len(r.b));
            }
            b'R' => {
                let (from, to) = r.data.split_at(r.b as usize);
                // The shared memory of SQLite is not recorded, nor is its end.
                let Some(gone) = self.place(root, from) else { return };
                let Some(node) = self.live[gone.0].get(&gone.1).copied() else { return };
                let (dir, name) = self.place(root, to).unwrap();
                self.rename(Naming { gone: Some(gone), come: Some((dir, name, node)) });
            }
            b'U' => {
                let gone = self.place(root, r.data);
                self.rename(Naming { gone, come: None });
            }
            b'S' => {
                let id = file(self).unwrap();
                self.files[id].sync();
            }
            b'Y' => {
                let path = Path::new(OsStr::from_bytes(r.data)).strip_prefix(root).unwrap();
                let dir = self.dir_at(path).unwrap();
                self.sync_dir(dir);
            }
            b'A' => {
                self.files.iter_mut().for_each(File::sync);
                let all = self.namings.len();
                self.settle_names(|_| true, all);
            }
            other => panic!("a record of kind {other}"),
        }
    }

    fn come(&mut self, root: &Path, path: &[u8], node: Node) {
        let (dir, name) = self.place(root, path).unwrap();
        self.rename(Naming { gone: None, come: Some((dir, name, node)) });
    }

    /// Makes the names of a directory durable, and what they depend on: the earlier ones of any
    /// directory that a rename ties to it.
    fn sync_dir(&mut self, dir: usize) {
        let mut dirs = BTreeSet::from([dir]);
        for n in self.namings.iter().rev() {
            if dirs.iter().any(|d| n.touches(*d)) {
                dirs.extend(n.gone.as_ref().map(|g| g.0));
                dirs.extend(n.come.as_ref().map(|c| c.0));
            }
        }
        let all = self.namings.len();
        self.settle_names(|n| dirs.iter().any(|d| n.touches(*d)), all);
    }

    /// Applies those of the first `n` changes of names that are wanted.
    fn settle_names(&mut self, wanted: impl Fn(&Naming) -> bool, n: usize) {
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.namings).into_iter().enumerate().partition(|(i, x)| *i < n && wanted(x));
        now.iter().for_each(|(_, naming)| naming.apply(&mut self.durable));
        self.namings = later.into_iter().map(|(_, naming)| naming).collect();
    }

    /// The power goes: of what is pending a random part is there.
    pub(super) fn lose(&mut self, rng: &mut fastrand::Rng) {
        let kept = rng.usize(..=self.namings.len());
        self.settle_names(|_| true, kept);
        for file in &mut self.files {
            file.tear(rng);
        }
    }

    /// All paths below the root; `None` for directories.
    pub(super) fn tree(&self, view: View) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        self.walk(view, 0, Path::new(""), &mut tree);
        tree
    }

    fn walk(&self, view: View, dir: usize, at: &Path, tree: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
        let dirs = if view == View::Live { &self.live } else { &self.durable };
        for (name, node) in &dirs[dir] {
            let path = at.join(name);
            match node {
                Node::Dir(id) => {
                    tree.insert(path.clone(), None);
                    self.walk(view, *id, &path, tree);
                }
                Node::File(id) => {
                    let file = &self.files[*id];
                    let content = if view == View::Live { file.live() } else { file.durable.clone() };
                    tree.insert(path, Some(content));
                }
            }
        }
    }
}

impl File {
    fn live(&self) -> Vec<u8> {
        let mut content = self.durable.clone();
        self.pending.iter().for_each(|c| c.apply(&mut content));
        content
    }

    fn sync(&mut self) {
        self.durable = self.live();
        self.pending.clear();
    }

    fn tear(&mut self, rng: &mut fastrand::Rng) {
        // Nothing, a part, nearly all, or all of it reached the disk.
        let chance = [0.0, 0.5, 0.9, 1.0][rng.usize(..4)];
        let block = [512, 4096][rng.usize(..2)];
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Len(_) if rng.f64() < chance => change.apply(&mut self.durable),
                Change::Len(_) => {}
                Change::Write(at, data) => {
                    let mut from = 0;
                    while from < data.len() {
                        let to_edge = block - ((at as usize + from) % block);
                        let to = (from + to_edge).min(data.len());
                        if rng.f64() < chance {
                            write_at(&mut self.durable, at as usize + from, &data[from..to]);
                        }
                        from = to;
                    }
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(at, data) => write_at(content, *at as usize, data),
            Change::Len(len) => content.resize(*len as usize, 0),
        }
    }
}

fn write_at(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    if content.len() < at + data.len() {
        content.resize(at + data.len(), 0);
    }
    content[at..at + data.len()].copy_from_slice(data);
}
