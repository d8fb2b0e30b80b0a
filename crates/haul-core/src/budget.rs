//! Byte accounting: `--memory` is one number over everything that grows with the input.
//!
//! The budget never makes anybody wait for bytes (two waiters each holding half would stall for
//! ever). It counts; the engine, which is the only one to start items, stops starting while the
//! count is over the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What bytes are held for. The summary shows them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Account {
    /// Items read and not committed, with what lookups attached to them.
    Window,
    /// Request and reply bodies in flight.
    Bodies,
    /// Pages read ahead of the window.
    Pages,
    /// Everything the ledger and the sinks hold until their next commit.
    Pending,
    /// Results of lookups that are kept for others.
    Cache,
}

/// Every account, in order.
pub const ACCOUNTS: [Account; 5] =
    [Account::Window, Account::Bodies, Account::Pages, Account::Pending, Account::Cache];

impl Account {
    /// What it holds, in a few words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Account::Window => "items read and not committed",
            Account::Bodies => "bodies of requests and replies",
            Account::Pages => "pages read ahead",
            Account::Pending => "what waits for its commit",
            Account::Cache => "results kept for other items",
        }
    }
}

/// Bytes held by account, against one limit. Cheap to clone and to share.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: AtomicU64,
    held: [AtomicU64; ACCOUNTS.len()],
    /// The most that each account ever held.
    peaks: [AtomicU64; ACCOUNTS.len()],
    peak: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Budget(Arc::new(Inner {
            limit: AtomicU64::new(limit),
            held: Default::default(),
            peaks: Default::default(),
            peak: AtomicU64::new(0),
        }))
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit while the run works.
    pub fn set_limit(&self, limit: u64) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Counts `bytes` until the returned guard is dropped.
    pub fn hold(&self, account: Account, bytes: usize) -> Held {
        self.add(account, bytes);
        Held { budget: self.clone(), account, bytes }
    }

    /// Counts `bytes` until [`Budget::give`].
    pub fn add(&self, account: Account, bytes: usize) {
        let before = self.0.held[account as usize].fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.peaks[account as usize].fetch_max(before + bytes as u64, Ordering::Relaxed);
        self.0.peak.fetch_max(self.used(), Ordering::Relaxed);
    }

    /// Gives back what [`Budget::add`] counted.
    pub fn give(&self, account: Account, bytes: usize) {
        self.0.held[account as usize].fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes held on one account.
    pub fn held(&self, account: Account) -> u64 {
        self.0.held[account as usize].load(Ordering::Relaxed)
    }

    /// Bytes held on all accounts.
    pub fn used(&self) -> u64 {
        ACCOUNTS.iter().map(|a| self.held(*a)).sum()
    }

    /// The most that one account ever held.
    pub fn peak_of(&self, account: Account) -> u64 {
        self.0.peaks[account as usize].load(Ordering::Relaxed)
    }

    /// The most that was ever held at once.
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// True while more is held than allowed.
    pub fn is_over(&self) -> bool {
        self.used() > self.limit()
    }
}

/// Bytes counted while this lives.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    account: Account,
    bytes: usize,
}

impl Held {
    /// Changes how many bytes are counted.
    pub fn resize(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.add(self.account, bytes - self.bytes);
        } else {
            self.budget.give(self.account, self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.account, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_give_back_exactly_what_they_hold() {
        let b = Budget::new(100);
        let mut a = b.hold(Account::Bodies, 60);
        let c = b.hold(Account::Window, 50);
        assert!(b.is_over());
        a.resize(10);
        assert_eq!((b.used(), b.peak()), (60, 110));
        assert_eq!((b.peak_of(Account::Bodies), b.peak_of(Account::Window)), (60, 50));
        drop(a);
        drop(c);
        assert_eq!(b.used(), 0);
    }
}
