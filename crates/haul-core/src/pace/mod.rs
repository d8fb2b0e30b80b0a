//! Pacing: rate, retry and retry budget as pure state machines. Time comes in as an argument.

pub mod backoff;
pub mod bandwidth;
pub mod breaker;
pub mod concurrency;
pub mod gcra;
pub mod hint;
pub mod limit;
pub mod quota;
pub mod share;
pub mod spread;

pub use backoff::{Backoff, Retry, Tried};
pub use bandwidth::Bandwidth;
pub use breaker::{Admit, Breaker};
pub use concurrency::Concurrency;
pub use gcra::{Gcra, Rate};
pub use limit::Limiter;
pub use quota::Quotas;
pub use share::RetryShare;
pub use spread::Spread;
