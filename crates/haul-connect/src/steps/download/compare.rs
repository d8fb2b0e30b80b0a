//! What records should have saved, against what is there. Changes nothing.

use std::path::Path;
use std::sync::Arc;

use haul_core::store::Store;
use haul_core::{Cx, Fault, Item, Key};

use super::catalog::Catalog;
use super::depot::Depot;
use super::digest::{Checksum, Digests};
use super::kind::{self, Mismatch};
use super::rows::Saved;
use super::wanted::{Wanted, WantedFiles};
use super::{claims, names};
use crate::stores::Directory;

/// How a file stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// As it should be.
    Right,
    /// It is not there.
    Missing,
    /// It is not there, and need not be: the service answered with this status, which the job says to skip.
    Skipped(u16),
    /// It is not what it should be, and how.
    Different(String),
}

/// A file that should be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compared {
    /// Relative to the destination.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
}

/// See the module.
pub struct Comparison {
    files: Arc<WantedFiles>,
    store: Directory,
    /// Names that were claimed so far.
    names: Catalog,
    /// What a run has saved.
    known: Option<Catalog>,
    reread: bool,
}

impl Comparison {
    /// With a destination; `out` is that directory of the run that saves there, if there is one. `reread`:
    /// contents are read, and not only looked at.
    ///
    /// # Errors
    /// Fatal when what the run knows cannot be read.
    pub fn new(
        depot: &Depot,
        files: Arc<WantedFiles>,
        out: Option<&Path>,
        reread: bool,
    ) -> Result<Self, Fault> {
        let known = out.map(|out| out.join("files.db")).filter(|path| path.exists());
        Ok(Comparison {
            files,
            store: Directory::new(depot.to().to_owned()),
            names: Catalog::temporary()?,
            known: known.map(|path| Catalog::read_only(&path)).transpose()?,
            reread,
        })
    }

    /// True when a run is known that has saved files.
    pub fn knows_a_run(&self) -> bool {
        self.known.is_some()
    }

    /// The files of the next item; items come in the order of their source, which decides who has a
    /// name.
    ///
    /// # Errors
    /// Permanent when the record does not say which files; any other ends the comparison.
    pub async fn of(&mut self, item: &Item, cx: &Cx<'_>) -> Result<Vec<Compared>, Fault> {
        let wanted = self.files.of(item)?;
        let mut compared = Vec::with_capacity(wanted.len());
        for wanted in &wanted {
            let (owner, url) = (wanted.owner(&item.key), wanted.url_hash());
            let (path, name, _) = claims::name(&mut self.names, &wanted.name, owner, url)?;
            let saved = match &mut self.known {
                Some(known) => known.row(path)?.filter(|row| row.owner == owner).and_then(|row| row.saved),
                None => None,
            };
            let mut standing = self.stands(&name, wanted, saved.as_ref(), cx).await?;
            if standing == Standing::Missing
                && let Some(known) = &mut self.known
                && let Some(status) = known.absence(path, url)?
            {
                standing = Standing::Skipped(status);
            }
            compared.push(Compared { name, standing });
        }
        Ok(compared)
    }

    /// Hands over every file that no record names; complete only after all items.
    ///
    /// # Errors
    /// What the system says of the destination.
    pub async fn extra(&mut self, cx: &Cx<'_>, each: &mut (dyn FnMut(&str) + Send)) -> Result<(), Fault> {
        let mut listing = self.store.list(&Key::default(), None, cx).await?;
        while let Some(page) = listing.next(cx).await? {
            for listed in page {
                let name = listed.key.to_string();
                if self.names.row(names::hash(&name))?.is_none() {
                    each(&name);
                }
            }
        }
        Ok(())
    }

    async fn stands(
        &self,
        name: &str,
        wanted: &Wanted,
        saved: Option<&Saved>,
        cx: &Cx<'_>,
    ) -> Result<Standing, Fault> {
        let key = Key::from(name.to_owned());
        let different = |why: String| Ok(Standing::Different(why));
        let Some(meta) = self.store.head(&key, cx).await? else { return Ok(Standing::Missing) };
        let checksum = wanted.checksum.as_ref().map(Checksum::text).unwrap_or_default();
        if let Some(saved) = saved {
            if saved.url != wanted.url_hash() {
                return different("it was saved from another URL".to_owned());
            }
            if saved.checksum != checksum {
                return different("it was saved when another checksum was expected".to_owned());
            }
            if saved.bytes != meta.len {
                return different(format!("{} bytes, saved with {}", meta.len, saved.bytes));
            }
            if saved.mtime == meta.modified_ns && !self.reread {
                return Ok(Standing::Right);
            }
        }
        if meta.len == 0 {
            return different("it is empty".to_owned());
        }
        if let Some(why) = self.type_of(&key, wanted, cx).await? {
            return different(why);
        }
        if !self.reread && saved.is_none() {
            return Ok(Standing::Right);
        }
        match self.digest(&key, wanted.checksum.as_ref(), cx).await? {
            Err(why) => different(why),
            Ok(crc) if saved.is_some_and(|s| s.crc != crc) => different("its content has changed".to_owned()),
            Ok(_) => Ok(Standing::Right),
        }
    }

    /// Why it is not of the type that is expected.
    async fn type_of(&self, key: &Key, wanted: &Wanted, cx: &Cx<'_>) -> Result<Option<String>, Fault> {
        let looked_at = Some(0..kind::LOOKED_AT as u64);
        let Some((_, mut content)) = self.store.open(key, looked_at, cx).await? else { return Ok(None) };
        let head = content.next(cx).await?.unwrap_or_default();
        let is = match kind::check(&wanted.ext, kind::look(&head)) {
            Ok(()) => return Ok(None),
            Err(Mismatch::Page(is) | Mismatch::Type(is)) => format!("it is {is}"),
            Err(Mismatch::Unknown) => "it begins like no file".to_owned(),
        };
        Ok(Some(format!("{is} and should be {}", wanted.ext)))
    }

    /// CRC-32C of a content, or how it differs from what the manifest says.
    async fn digest(
        &self,
        key: &Key,
        wanted: Option<&Checksum>,
        cx: &Cx<'_>,
    ) -> Result<Result<u32, String>, Fault> {
        let Some((_, mut content)) = self.store.open(key, None, cx).await? else {
            return Ok(Err("it has gone".to_owned()));
        };
        let mut digests = Digests::new(wanted);
        while let Some(bytes) = content.next(cx).await? {
            digests.update(&bytes);
        }
        Ok(digests.finish())
    }
}
