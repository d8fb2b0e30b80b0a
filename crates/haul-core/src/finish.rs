//! What effects have prepared becomes visible with the commit of their items: downloads get their names.

use crate::fault::Fault;
use crate::item::{Seq, SliceId};

/// Finishes the effects of done items. Only the committer calls it, after the sinks are synced and
/// before the ledger commits: what it does is durable when it returns, and may be done again after a
/// crash.
pub trait Finish: Send {
    /// These items become done with this commit (none, when only reading went on).
    ///
    /// # Errors
    /// Any fault ends the run; the items stay open.
    fn finish(&mut self, done: &[(SliceId, Seq)]) -> Result<(), Fault>;
}
