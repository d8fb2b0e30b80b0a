//! The files that a download step saves.

use super::{PlaceText, parse_place};

/// What a download step does.
#[derive(Clone, Debug, PartialEq)]
pub struct DownloadSpec {
    /// The files of a record, at least one.
    pub files: Vec<FileSpec>,
    /// Template of their names, relative to `to`; None: by key and extension.
    pub name: Option<String>,
    /// A directory, or a place in a store.
    pub to: String,
    /// Replace files that are there and that no run has saved.
    pub overwrite: bool,
}

impl DownloadSpec {
    /// The directory it saves to; `None`: it puts files into a store.
    pub fn directory(&self) -> Option<&str> {
        match parse_place(&self.to) {
            Ok(PlaceText::Bucket { .. }) => None,
            _ => Some(&self.to),
        }
    }
}

/// One file of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSpec {
    /// What it is called in names and messages; the type that it must be, when it is one.
    pub name: Option<String>,
    /// Expression for its URL.
    pub path: String,
    /// A record without it is fine.
    pub optional: bool,
    /// Expression for its checksum.
    pub checksum: Option<String>,
}

/// Reads `[NAME[?]=]PATH`: name, whether it is optional, and path.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn parse_file(text: &str) -> Result<(Option<String>, bool, String), String> {
    let name_of = |left: &str| {
        let (name, optional) = left.trim().strip_suffix('?').map_or((left.trim(), false), |n| (n, true));
        let good = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        good.then(|| (name.to_owned(), optional))
    };
    let (name, path) = match text.split_once('=') {
        Some((left, path)) if name_of(left).is_some() => (name_of(left), path),
        Some(("?", path)) => (Some((String::new(), true)), path),
        _ => (None, text),
    };
    if path.trim().is_empty() {
        return Err(format!("\"{text}\" names no URL: write it like mp4=.download_urls.mp4"));
    }
    let (name, optional) = name.map_or((None, false), |(n, o)| (Some(n).filter(|n| !n.is_empty()), o));
    Ok((name, optional, path.trim().to_owned()))
}

impl DownloadSpec {
    /// Files as they are written: `mp4=.download_urls.mp4`.
    pub fn files_text(&self) -> Vec<String> {
        self.files.iter().map(|f| f.text(&f.path)).collect()
    }

    /// Checksums as they are written; empty when there are none.
    pub fn checksums_text(&self) -> Vec<String> {
        self.files.iter().filter_map(|f| f.checksum.as_ref().map(|c| f.labelled(c))).collect()
    }
}

impl FileSpec {
    fn text(&self, path: &str) -> String {
        match (&self.name, self.optional) {
            (Some(name), true) => format!("{name}?={path}"),
            (None, true) => format!("?={path}"),
            (_, false) => self.labelled(path),
        }
    }

    fn labelled(&self, path: &str) -> String {
        self.name.as_ref().map_or_else(|| path.to_owned(), |name| format!("{name}={path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_a_name_and_a_path() {
        let some = |n: &str| Some(n.to_owned());
        for (text, read) in [
            (".url", (None, false, ".url".to_owned())),
            ("mp4=.a.mp4", (some("mp4"), false, ".a.mp4".to_owned())),
            ("png?=.a[\"=\"]", (some("png"), true, ".a[\"=\"]".to_owned())),
            ("?=.url", (None, true, ".url".to_owned())),
            (".a | select(. == 1)", (None, false, ".a | select(. == 1)".to_owned())),
        ] {
            assert_eq!(parse_file(text), Ok(read), "{text}");
        }
        assert!(parse_file("mp4=").is_err() && parse_file("").is_err());
    }
}
