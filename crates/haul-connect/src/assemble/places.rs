//! Places in stores: what a job copies from and to.

use std::sync::Arc;

use haul_core::Opener;
use haul_core::job::{self, StepKind};

use super::{AssembleError, Steps, wrong};
use crate::stores::{KeysOpener, Place, S3};

impl Steps<'_> {
    /// The keys of the place that the source names, with what is there already of those it is copied to.
    pub(super) fn keys(&mut self, at: &str) -> Result<Arc<dyn Opener>, AssembleError> {
        let job = self.job;
        let to = job.steps.iter().find_map(|s| match &s.kind {
            StepKind::Copy { to, .. } => Some(self.place(to, &format!("step.{}.copy", s.name))),
            _ => None,
        });
        let from = self.place(&job.source.location, at)?;
        Ok(Arc::new(KeysOpener::new(from, to.transpose()?)))
    }

    /// A place in a store; the pace of its origin is noted.
    pub(super) fn place(&mut self, text: &str, at: &str) -> Result<Place, AssembleError> {
        let (name, bucket, prefix) = job::parse_place(text).map_err(|e| wrong(at, &e))?;
        let store = match self.stores.get(name) {
            Some(store) => Arc::clone(store),
            None => {
                let missing = || wrong(at, &format!("there is no store \"{name}\""));
                let spec = self.job.stores.get(name).ok_or_else(missing)?;
                let store = S3::new(name, spec, Arc::clone(&self.client), self.job.limits.timeout);
                let store = Arc::new(store.map_err(|e| wrong(&format!("store.{name}"), &e))?);
                self.stores.insert(name.to_owned(), Arc::clone(&store));
                store
            }
        };
        let origin = store.origin(bucket).map_err(|e| wrong(at, &e))?;
        if !self.lanes.iter().any(|(known, _)| *known == origin) {
            self.lane(origin, None, None);
        }
        Ok(Place { store, bucket: bucket.into(), prefix: prefix.into() })
    }
}
