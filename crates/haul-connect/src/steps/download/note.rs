//! What is noted beside an unfinished file (`NAME.part.note`): what it is a part of, in which boot of the
//! machine it was written, and which bytes are there, where its length does not say. After a crash of
//! the program it goes on where it was; after one of the machine, when nobody knows which blocks are
//! real, it starts over.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::Digests;
use super::ranges::Range;

/// See the module.
#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
pub(super) struct Note {
    url: u64,
    /// `ETag` or `Last-Modified` of what was written.
    pub(super) validator: String,
    /// Of the whole file.
    pub(super) length: u64,
    boot: String,
    /// What is there; without it, all up to the length of the part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) there: Option<Vec<Range>>,
}

impl Note {
    /// A note of now.
    pub(super) fn new(url: u64, validator: String, length: u64, there: Option<Vec<Range>>) -> Self {
        Note { url, validator, length, boot: boot(), there }
    }

    /// That of a part, when it speaks of this URL and holds.
    pub(super) fn of(part: &Path, url: u64) -> Option<Note> {
        let note: Note = serde_json::from_slice(&fs::read(beside(part, ".note")).ok()?).ok()?;
        (note.url == url && note.boot == boot()).then_some(note)
    }

    /// Writes it in one step: half a note would cost the whole part.
    pub(super) fn leave(&self, part: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let new = beside(part, ".note.new");
        fs::write(&new, text)?;
        fs::rename(new, beside(part, ".note"))
    }

    /// It is in the way without its part, and wrong beside another.
    pub(super) fn remove(part: &Path) {
        let _ = fs::remove_file(beside(part, ".note"));
    }
}

fn beside(part: &Path, end: &str) -> PathBuf {
    let mut name = part.to_owned().into_os_string();
    name.push(end);
    name.into()
}

/// Names this boot of the machine; empty where nobody can say, which matches itself.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Takes what follows in a file.
pub(super) fn digest_rest(mut file: &File, from: u64, digests: &mut Digests) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => digests.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
