//! How urgent items are: what is begun first of what is at hand.

use crate::record::Record;

/// How many ranks there are.
pub const RANKS: usize = 4;

/// How urgent an item is: 0, which is usual, to 3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Rank(u8);

impl Rank {
    /// A rank; what is above 3 is 3.
    pub fn new(n: u8) -> Self {
        Rank(n.min(RANKS as u8 - 1))
    }

    /// 0 to 3.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Tells how urgent records are. Never fails: what cannot be told is usual.
pub trait Ranks: Send + Sync {
    /// The rank of a record as it was read.
    fn rank(&self, record: &Record) -> Rank;
}
