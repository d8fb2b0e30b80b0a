//! Looks on while requests are made, and keeps effects from being sent (`haul try`).

use std::time::Duration;

use haul_core::Fault;

use super::request::Call;
use super::url::Url;

/// Code of the fault that stands for a request that was kept back.
pub const KEPT_BACK: &str = "kept_back";

/// A request that was made.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What was asked.
    pub call: &'a Call<'a>,
    /// Where the answer came from, after redirects.
    pub url: &'a Url,
    /// Status and decoded body, or why there is none.
    pub outcome: Result<(u16, &'a [u8]), &'a Fault>,
    /// From the send to the end.
    pub elapsed: Duration,
}

/// See the module.
pub trait Witness: Send + Sync + std::fmt::Debug {
    /// A request was made.
    fn saw(&self, seen: Seen<'_>);

    /// A POST or PUT was kept back.
    fn kept_back(&self, call: &Call<'_>);
}

/// What stands for the reply that was never asked for.
pub(crate) fn kept_back(call: &Call<'_>) -> Fault {
    let text = format!("{} {} was not sent: it is only tried", call.method.as_str(), call.url);
    Fault::permanent(KEPT_BACK, text)
}
