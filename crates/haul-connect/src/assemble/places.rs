//! Places in stores: what a job copies from and to.

use std::sync::Arc;

use haul_core::job::{self, PlaceText, StepKind, StoreKind, StoreSpec};
use haul_core::lane::Origin;
use haul_core::store::Store;
use haul_core::{Key, Opener};

use super::{AssembleError, Copies, Steps, wrong};
#[cfg(feature = "stores")]
use crate::stores::Dal;
use crate::stores::keys::FIELDS;
use crate::stores::{Bucket, Directory, KeysOpener, Place, S3};

impl Steps<'_> {
    /// The keys of the place that the source names, with what is there already of those it is copied to.
    pub(super) fn keys(&mut self, at: &str) -> Result<Arc<dyn Opener>, AssembleError> {
        let job = self.job;
        self.check_names()?;
        let location = &job.source.location;
        let from = match job::parse_place(location) {
            Ok(PlaceText::Directory(path)) => {
                let store = Arc::new(Directory::existing(self.base.join(path)));
                Place { store, prefix: Key::default() }
            }
            _ => self.placed(location, at, true)?,
        };
        let to = job.steps.iter().find_map(|s| match &s.kind {
            StepKind::Copy { to, .. } => Some(self.place(to, &format!("step.{}.copy", s.name))),
            _ => None,
        });
        let to = to.transpose()?.map(|to| to.facing(&from));
        self.copies = to.clone().map(|to| Copies { from: from.clone(), to });
        let keys = KeysOpener::new(from, to);
        Ok(Arc::new(if job.source.limit.is_some() { keys.as_one() } else { keys }))
    }

    /// Refuses what no listing says: it would be null for every object.
    fn check_names(&self) -> Result<(), AssembleError> {
        let is_attached = |name: &str| self.job.steps.iter().any(|step| step.name == name);
        let Some(needed) = self.needed.iter().find(|n| !FIELDS.contains(&&*n.name) && !is_attached(&n.name))
        else {
            return Ok(());
        };
        let (names, last) = FIELDS.split_at(FIELDS.len() - 1);
        let there = format!("there are {} and {}", names.join(", "), last.concat());
        let hint = match job::nearest(&needed.name, FIELDS.iter().copied()) {
            Some(near) => format!("did you mean .{near}? {there}"),
            None => there,
        };
        let wrong = wrong(&needed.at, &format!("objects have no {}, which {} names", needed.name, needed.by));
        Err(AssembleError { hint: Some(hint), ..wrong })
    }

    /// A place for objects; the pace of its origin is noted.
    pub(super) fn place(&mut self, text: &str, at: &str) -> Result<Place, AssembleError> {
        self.placed(text, at, false)
    }

    /// As [`Steps::place`]; `exists`: it is not to be made.
    fn placed(&mut self, text: &str, at: &str, exists: bool) -> Result<Place, AssembleError> {
        let (name, bucket, prefix) = match job::parse_place(text).map_err(|e| wrong(at, &e))? {
            PlaceText::Directory(path) => {
                let store = Arc::new(Directory::new(self.base.join(path)));
                return Ok(Place { store, prefix: Key::default() });
            }
            PlaceText::Bucket { store, bucket, prefix } => (store, bucket, prefix),
        };
        let missing = || wrong(at, &format!("there is no store \"{name}\""));
        let spec = self.job.stores.get(name).ok_or_else(missing)?;
        if spec.kind != StoreKind::S3 {
            let (store, origin) = self.other((name, spec), bucket, exists)?;
            if !self.lanes.iter().any(|(known, _)| *known == origin) {
                self.lane(origin, None, None);
            }
            return Ok(Place { store, prefix: prefix.to_owned().into() });
        }
        let service = match self.stores.get(name) {
            Some(service) => Arc::clone(service),
            None => {
                let service = S3::new(name, spec, Arc::clone(&self.client), self.job.limits.timeout);
                let service = Arc::new(service.map_err(|e| wrong(&format!("store.{name}"), &e))?);
                self.stores.insert(name.to_owned(), Arc::clone(&service));
                service
            }
        };
        let store = Bucket::new(service, bucket);
        let origin = store.origin().map_err(|e| wrong(at, &e))?;
        if !self.lanes.iter().any(|(known, _)| *known == origin) {
            self.lane(origin, None, None);
        }
        Ok(Place { store: Arc::new(store), prefix: prefix.to_owned().into() })
    }

    /// A bucket of a store that is no S3.
    #[cfg(feature = "stores")]
    fn other(
        &self,
        (name, spec): (&str, &StoreSpec),
        bucket: &str,
        exists: bool,
    ) -> Result<(Arc<dyn Store>, Origin), AssembleError> {
        let client = Arc::clone(&self.client);
        let store = Dal::new(name, bucket, spec, client, self.job.limits.timeout);
        let store = store.map_err(|e| wrong(&format!("store.{name}.endpoint"), &e))?;
        let store = store.spilling(&self.spill);
        let store = if exists { store.existing() } else { store };
        let origin = store.origin();
        Ok((Arc::new(store), origin))
    }

    /// This build has no others.
    #[cfg(not(feature = "stores"))]
    fn other(
        &self,
        (name, spec): (&str, &StoreSpec),
        _: &str,
        _: bool,
    ) -> Result<(Arc<dyn Store>, Origin), AssembleError> {
        let what = format!("this haul was built without stores of type \"{}\"", spec.kind.as_str());
        let hint = "install it with them: cargo install --path crates/haul --features stores";
        let wrong = wrong(&format!("store.{name}"), &what);
        Err(AssembleError { hint: Some(hint.to_owned()), ..wrong })
    }
}
