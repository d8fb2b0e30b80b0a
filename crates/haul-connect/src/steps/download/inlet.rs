//! One connection over which a file, or a part of it, comes.

use std::sync::Mutex;

use haul_core::Fault;

use super::depot::lock;
use super::flows::{Counted, Flows};
use super::part::Part;
use super::ranges::Range;
use crate::http::Url;
use crate::http::encoding::Coding;
use crate::http::fetch::{FetchHead, Receive};

/// See the module.
pub(super) struct Inlet<'p, 'e> {
    part: &'p Mutex<Part<'e>>,
    flows: &'p Flows,
    id: u32,
    /// What it was asked for; none: all of it.
    asked: Option<Range>,
    /// Which beginning of the file it belongs to.
    generation: u32,
    open: Option<Counted>,
    enough: bool,
}

impl<'p, 'e> Inlet<'p, 'e> {
    pub(super) fn new(
        part: &'p Mutex<Part<'e>>,
        flows: &'p Flows,
        id: u32,
        asked: Option<Range>,
    ) -> Inlet<'p, 'e> {
        let generation = lock(part).generation;
        Inlet { part, flows, id, asked, generation, open: None, enough: false }
    }
}

impl Receive for Inlet<'_, '_> {
    fn head(&mut self, head: &FetchHead, url: &Url) -> Result<(), Fault> {
        let mut part = lock(self.part);
        part.begin(self.id, self.asked, (self.generation, head), url)?;
        self.generation = part.generation;
        if part.may_spread() {
            let flow = self.flows.of(url);
            self.open = Some(flow.open());
            part.flow = Some(flow);
        }
        Ok(())
    }

    fn first(&mut self, bytes: &[u8], url: &Url) -> Result<(), Fault> {
        lock(self.part).first(self.id, bytes, url)
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if let Some(open) = &self.open {
            open.flow().came(bytes.len());
        }
        let mut part = lock(self.part);
        if part.generation != self.generation {
            return Err(Fault::transient("changed", "the file has changed while it came"));
        }
        self.enough = part.write(self.id, bytes)?;
        Ok(())
    }

    fn keeps(&self, coding: Coding) -> bool {
        lock(self.part).is_file_in(coding)
    }

    fn is_enough(&self) -> bool {
        self.enough
    }
}

impl Drop for Inlet<'_, '_> {
    fn drop(&mut self) {
        let mut part = lock(self.part);
        if part.generation == self.generation {
            part.ranges.release(self.id);
        }
    }
}
