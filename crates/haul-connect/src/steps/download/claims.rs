//! Names are claimed in the order of the source, so that of files that would be called the same it is
//! always the same one that gets another name.

use std::sync::Arc;

use async_trait::async_trait;
use haul_core::source::Rereading;
use haul_core::{Cursor, Cx, Fault, Fingerprint, Item, Opener, Page, Seq, Slice, SliceId, Source};

use super::catalog::Catalog;
use super::depot::{Depot, Open, lock};
use super::names;
use super::rows::Row;
use super::wanted::WantedFiles;
use crate::expr::Expr;

/// The name under which an owner's file of a URL is saved: its own, or another when that is taken. Claims
/// it.
pub(super) fn name(
    catalog: &mut Catalog,
    wanted: &str,
    owner: u64,
    url: u64,
) -> Result<(u64, String, Row), Fault> {
    let mut name = wanted.to_owned();
    for salt in 0.. {
        let path = names::hash(&name);
        let row = catalog.claim(path, owner, url)?;
        if row.owner == owner && row.claimed == url {
            return Ok((path, name, row));
        }
        let other = xxhash_rust::xxh3::xxh3_64_with_seed(&url.to_le_bytes(), owner ^ salt);
        name = names::other(wanted, other);
    }
    Err(Fault::permanent("name", "every name is taken"))
}

/// A source whose items claim the names of their files as they are read.
pub struct Claiming {
    inner: Arc<dyn Opener>,
    claims: Arc<Claims>,
}

impl Claiming {
    /// Over a source. Items for which one of `filters` is not true claim nothing: no step will see them.
    pub fn new(
        inner: Arc<dyn Opener>,
        files: Arc<WantedFiles>,
        depot: Arc<Depot>,
        filters: Vec<Expr>,
    ) -> Self {
        Claiming { inner, claims: Arc::new(Claims { files, depot, filters }) }
    }
}

/// What items claim, and where.
struct Claims {
    files: Arc<WantedFiles>,
    depot: Arc<Depot>,
    filters: Vec<Expr>,
}

impl Claims {
    /// What is wrong with a record is said when its turn comes.
    fn of(&self, item: &Item, open: &Open) -> Result<(), Fault> {
        let passes = |filter: &Expr| filter.test_record(&item.record).unwrap_or(false);
        if !self.filters.iter().all(passes) {
            return Ok(());
        }
        let Ok(wanted) = self.files.of(item) else { return Ok(()) };
        let mut catalog = lock(&open.catalog);
        for file in &wanted {
            name(&mut catalog, &file.name, file.owner(&item.key), file.url_hash())?;
        }
        Ok(())
    }
}

struct Reading {
    inner: Box<dyn Source>,
    claims: Arc<Claims>,
}

#[async_trait]
impl Source for Reading {
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let page = self.inner.next_page(cx).await?;
        let Some(page) = page else { return Ok(None) };
        // Without a run (a trial) there is nothing to claim.
        let Ok(open) = self.claims.depot.get() else { return Ok(Some(page)) };
        for new in &page.items {
            let Ok(record) = &new.record else { continue };
            let item = Item {
                slice: SliceId(0),
                seq: Seq(0),
                key: new.key.clone(),
                position: new.position,
                record: record.clone(),
            };
            self.claims.of(&item, open)?;
        }
        Ok(Some(page))
    }
}

#[async_trait]
impl Opener for Claiming {
    fn slices(&self) -> Vec<Slice> {
        self.inner.slices()
    }

    async fn open(
        &self,
        slice: &Slice,
        from: Option<&Cursor>,
        cx: &Cx<'_>,
    ) -> Result<Box<dyn Source>, Fault> {
        let inner = self.inner.open(slice, from, cx).await?;
        Ok(Box::new(Reading { inner, claims: self.claims.clone() }))
    }

    async fn fingerprint(&self, upto: &Cursor, cx: &Cx<'_>) -> Result<Fingerprint, Fault> {
        self.inner.fingerprint(upto, cx).await
    }

    fn remembered(&self, cursor: &Cursor) -> Fingerprint {
        self.inner.remembered(cursor)
    }

    fn rereading(&self) -> Rereading {
        self.inner.rereading()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn size_hint(&self) -> Option<u64> {
        self.inner.size_hint()
    }

    fn positions_are_global(&self) -> bool {
        self.inner.positions_are_global()
    }

    fn remarks(&self, at_end: bool) -> Vec<String> {
        self.inner.remarks(at_end)
    }
}
