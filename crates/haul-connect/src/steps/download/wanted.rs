//! Which files a record names, and what they are to be called.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use haul_core::job::FileSpec;
use haul_core::{Fault, Item, Key};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::digest::Checksum;
use super::{kind, names};
use crate::expr::{EvalError, Expr, ExprError, unescape};
use crate::http::reply::bounded;
use crate::template::Template;

/// The files of every record.
pub struct WantedFiles {
    files: Vec<One>,
    name: Template,
    /// The name of a list of URLs does not depend on a key.
    reads: Vec<Arc<str>>,
}

struct One {
    /// As it is called on the command line; empty for none.
    label: String,
    path: Expr,
    optional: bool,
    checksum: Option<Expr>,
    /// Extension that the label says; empty when it is no type.
    ext: String,
}

/// A file that a record names.
pub(super) struct Wanted {
    pub(super) url: String,
    /// Relative to the destination, and safe.
    pub(super) name: String,
    /// Extension in lower case; empty for none.
    pub(super) ext: String,
    pub(super) checksum: Option<Checksum>,
    /// Which of the item's files it is.
    index: usize,
}

impl Wanted {
    pub(super) fn url_hash(&self) -> u64 {
        xxh3_64(self.url.as_bytes())
    }

    /// Who has its name: the item by its key, and which of its files.
    pub(super) fn owner(&self, key: &Key) -> u64 {
        let mut hash = Xxh3::with_seed(self.index as u64);
        hash.update(&key.0);
        hash.digest()
    }
}

/// Why files cannot be found or named.
#[derive(Debug)]
pub struct WantedError {
    /// The key of the step that is wrong: `download`, `as`, `checksum`.
    pub key: &'static str,
    /// What is wrong.
    pub error: ExprError,
}

/// Names that a template has beside the members of the record.
const GIVEN: [&str; 4] = ["key", "name", "ext", "file"];

impl WantedFiles {
    /// Compiles. Without a template, files are called by the key and their extension; of several that
    /// do not differ by that, also by their label. `by_url`: they are called as in their URL.
    ///
    /// # Errors
    /// Which key is wrong, and how.
    pub fn compile(specs: &[FileSpec], template: Option<&str>, by_url: bool) -> Result<Self, WantedError> {
        let compile = |text: &str, key| Expr::compile(text).map_err(|error| WantedError { key, error });
        let mut files = Vec::new();
        for spec in specs {
            let label = spec.name.clone().unwrap_or_default();
            let ext = Some(label.to_ascii_lowercase()).filter(|l| kind::is_known(l)).unwrap_or_default();
            let checksum = spec.checksum.as_deref().map(|text| compile(text, "checksum")).transpose()?;
            let path = compile(&spec.path, "download")?;
            files.push(One { label, path, optional: spec.optional, checksum, ext });
        }
        let types = files.iter().all(|f| !f.ext.is_empty());
        let usual = match (by_url, files.len() < 2 || types) {
            (true, _) => "{file}",
            (false, true) => "{key}.{ext}",
            (false, false) => "{key}-{name}.{ext}",
        };
        let name =
            Template::compile(template.unwrap_or(usual)).map_err(|error| WantedError { key: "as", error })?;
        let mut reads: Vec<Arc<str>> =
            name.names().iter().filter(|n| !GIVEN.contains(&&***n)).cloned().collect();
        for file in &files {
            let exprs = [Some(&file.path), file.checksum.as_ref()];
            reads.extend(
                exprs.into_iter().flatten().flat_map(|e| e.names().unwrap_or_default().iter().cloned()),
            );
        }
        Ok(WantedFiles { files, name, reads })
    }

    /// Members of the record that cannot be done without.
    pub fn names(&self) -> &[Arc<str>] {
        &self.reads
    }

    /// The files of an item; an optional one without a URL is left out.
    pub(super) fn of(&self, item: &Item) -> Result<Vec<Wanted>, Fault> {
        let mut found = Vec::with_capacity(self.files.len());
        for (index, file) in self.files.iter().enumerate() {
            let missing = |what: &str| {
                let label = if file.label.is_empty() { String::new() } else { format!("{}: ", file.label) };
                Fault::permanent("url", format!("{label}{what}"))
            };
            let value = file.path.eval_record(&item.record);
            let value = value.map_err(|e| missing(&bounded(format!("{} {e}", file.path.source()))))?;
            let url = match text(&value) {
                Some(url) if !url.is_empty() => url,
                _ if file.optional && matches!(&value[..], b"null" | b"\"\"" | b"false") => continue,
                _ if matches!(&value[..], b"null") => {
                    return Err(missing(&format!("the record has no {}", file.path.source())));
                }
                _ => return Err(missing(&format!("{} is no URL", file.path.source()))),
            };
            let checksum = file.checksum(item).map_err(|why| missing(&why))?;
            let last = names::of_url(&url).unwrap_or(Cow::Borrowed("index"));
            let ext = if file.ext.is_empty() { names::ext_of(&last) } else { file.ext.clone() };
            let name = self.name(item, file, &ext, &last);
            let name =
                name.map_err(|e| Fault::permanent("name", bounded(format!("the name of the file: {e}"))))?;
            drop(last);
            found.push(Wanted { url, name, ext, checksum, index });
        }
        Ok(found)
    }

    fn name(&self, item: &Item, file: &One, ext: &str, last: &str) -> Result<String, EvalError> {
        let label = if file.label.is_empty() { last.split('.').next().unwrap_or(last) } else { &file.label };
        let given = [("name", label), ("ext", ext), ("file", last)];
        Ok(names::safe(&self.name.path(item, &given, names::value)?))
    }
}

impl One {
    fn checksum(&self, item: &Item) -> Result<Option<Checksum>, String> {
        let Some(expr) = &self.checksum else { return Ok(None) };
        let value = expr.eval_record(&item.record).map_err(|e| format!("{} {e}", expr.source()))?;
        match text(&value) {
            Some(text) => Checksum::parse(&text).map(Some),
            None if self.optional && &value[..] == b"null" => Ok(None),
            None => Err(format!("the record has no checksum at {}", expr.source())),
        }
    }
}

/// A JSON string as text.
fn text(value: &Bytes) -> Option<String> {
    let inside = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    String::from_utf8(unescape(inside)).ok()
}
