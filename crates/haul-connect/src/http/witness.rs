//! Looks on while requests are made, and keeps effects from being sent (`haul try`).

use std::time::Duration;

use haul_core::Fault;

use super::encoding::Coding;
use super::fetch::{FetchHead, Fetched, Receive};
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
    /// Size of the body, when only the beginning of it was read.
    pub whole: Option<u64>,
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

/// A receiver, and what a witness is told of what it received.
pub(crate) struct Watched<'a> {
    to: &'a mut dyn Receive,
    head: Option<FetchHead>,
    beginning: Vec<u8>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(to: &'a mut dyn Receive) -> Self {
        Watched { to, head: None, beginning: Vec::new() }
    }

    /// Tells how the request ended. One that its receiver ended, having seen enough, was answered.
    pub(crate) fn tell(
        &self,
        witness: &dyn Witness,
        call: &Call<'_>,
        fetched: &Result<Fetched, Fault>,
        elapsed: Duration,
    ) {
        let (outcome, whole) = match (fetched, &self.head) {
            (Ok(Fetched::Reply(reply)), _) => (Ok((reply.status, &reply.body[..])), None),
            (_, Some(head)) => (Ok((head.status, &self.beginning[..])), head.length),
            (Err(fault), None) => (Err(fault), None),
            // A success has a head.
            (Ok(Fetched::Whole), None) => return,
        };
        witness.saw(Seen { call, url: call.url, outcome, whole, elapsed });
    }
}

impl Receive for Watched<'_> {
    fn head(&mut self, head: &FetchHead, url: &Url) -> Result<(), Fault> {
        self.head = Some(head.clone());
        self.to.head(head, url)
    }

    fn first(&mut self, bytes: &[u8], url: &Url) -> Result<(), Fault> {
        self.beginning = bytes.to_vec();
        self.to.first(bytes, url)
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.to.body(bytes)
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.to.end()
    }

    fn keeps(&self, coding: Coding) -> bool {
        self.to.keeps(coding)
    }

    fn is_enough(&self) -> bool {
        self.to.is_enough()
    }
}
