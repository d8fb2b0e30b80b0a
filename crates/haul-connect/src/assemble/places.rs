//! Places in stores: what a job copies from and to.

use std::sync::Arc;

use haul_core::job::{self, PlaceText, StepKind};
use haul_core::{Key, Opener};

use super::{AssembleError, Copies, Steps, wrong};
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
            _ => self.place(location, at)?,
        };
        let to = job.steps.iter().find_map(|s| match &s.kind {
            StepKind::Copy { to, .. } => Some(self.place(to, &format!("step.{}.copy", s.name))),
            _ => None,
        });
        let to = to.transpose()?.map(|to| to.facing(&from));
        self.copies = to.clone().map(|to| Copies { from: from.clone(), to });
        Ok(Arc::new(KeysOpener::new(from, to)))
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
        let (name, bucket, prefix) = match job::parse_place(text).map_err(|e| wrong(at, &e))? {
            PlaceText::Directory(path) => {
                let store = Arc::new(Directory::new(self.base.join(path)));
                return Ok(Place { store, prefix: Key::default() });
            }
            PlaceText::Bucket { store, bucket, prefix } => (store, bucket, prefix),
        };
        let service = match self.stores.get(name) {
            Some(service) => Arc::clone(service),
            None => {
                let missing = || wrong(at, &format!("there is no store \"{name}\""));
                let spec = self.job.stores.get(name).ok_or_else(missing)?;
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
}
