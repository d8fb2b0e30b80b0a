//! Where a row source stands, as the text of a cursor.

use haul_core::source::{Cursor, Fingerprint};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// A boundary between rows, and a digest of everything before it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Decoded bytes before it.
    pub(crate) offset: u64,
    /// Line that it stands on, from 1.
    pub(crate) line: u64,
    /// XXH3-128 of the decoded bytes before it, as 32 hex digits.
    pub(crate) digest: String,
    /// It stands at the end of a line that had no newline (yet).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) open: bool,
    /// Names of the columns, once they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) columns: Vec<String>,
    /// See [`super::csv`]: bytes up to here were once searched for a closing quote in vain.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) searched: u64,
    /// See [`super::document`]: what is open there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) nest: String,
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Mark {
    /// The start of a source.
    pub(crate) fn start() -> Self {
        Mark {
            offset: 0,
            line: 1,
            digest: digest(&Xxh3::new()),
            open: false,
            columns: Vec::new(),
            searched: 0,
            nest: String::new(),
        }
    }

    /// Reads a cursor that [`Mark::cursor`] wrote; `None` when it is not one.
    pub(crate) fn read(cursor: &Cursor) -> Option<Self> {
        serde_json::from_str(&cursor.0).ok()
    }

    pub(crate) fn cursor(&self) -> Cursor {
        // Strings and numbers always have a JSON form.
        Cursor(serde_json::to_string(self).unwrap_or_default())
    }

    /// What the source looked like up to here while it was read.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.digest.clone())
    }
}

/// The digest of everything hashed so far, as 32 hex digits.
pub(crate) fn digest(hash: &Xxh3) -> String {
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_stay_short() {
        let start = Mark::start();
        assert_eq!(start.cursor().0, r#"{"offset":0,"line":1,"digest":"99aa06d3014798d86001c324468d497f"}"#);
        let mark = Mark { offset: 5, open: true, columns: vec!["a\"b".into()], searched: 9, ..start };
        assert_eq!(Mark::read(&mark.cursor()), Some(mark));
        assert_eq!(Mark::read(&Cursor("17".into())), None);
    }
}
