//! What is said over a control socket: requests and replies, one JSON object a line.
//!
//! Every object carries the version of the protocol. Members that are not known are ignored, so that
//! a later version may add some.

use haul_core::job::Concurrency;
use haul_core::job::units::parse_size;
use haul_core::ledger::Change;
use haul_core::pace::Rate;
use serde::{Deserialize, Serialize};

use crate::view::{Order, Snapshot, Stop, Tune};

/// Version of the protocol.
pub const PROTOCOL: u32 = 1;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// How it stands.
    #[default]
    Status,
    /// See [`Order::Pause`].
    Pause,
    /// See [`Order::Resume`].
    Resume,
    /// Let attempts in flight end, then stop.
    Stop,
    /// Stop at once.
    StopNow,
    /// See [`Order::Tune`].
    Tune,
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// See [`PROTOCOL`].
    pub haul: u32,
    /// What is asked.
    pub ask: Ask,
    /// Name of the user who asks.
    pub who: String,
    /// `tune`: rates as people write them, of a host or of all.
    pub rates: Vec<(Option<String>, String)>,
    /// `tune`: requests in flight, as people write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<String>,
    /// `tune`: bytes, as people write them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

impl Request {
    /// A request of this version.
    pub fn new(ask: Ask, who: impl Into<String>) -> Self {
        Request { haul: PROTOCOL, ask, who: who.into(), ..Request::default() }
    }

    /// The order it stands for; `None` for a look.
    ///
    /// # Errors
    /// A sentence about the value that cannot be read.
    pub fn order(&self) -> Result<Option<Order>, String> {
        Ok(Some(match self.ask {
            Ask::Status => return Ok(None),
            Ask::Pause => Order::Pause,
            Ask::Resume => Order::Resume,
            Ask::Stop => Order::Stop(Stop::Drain),
            Ask::StopNow => Order::Stop(Stop::Now),
            Ask::Tune => Order::Tune(self.tune()?),
        }))
    }

    fn tune(&self) -> Result<Tune, String> {
        let rate = |(host, text): &(Option<String>, String)| Ok((host.clone(), Rate::parse(text)?));
        Ok(Tune {
            rates: self.rates.iter().map(rate).collect::<Result<_, String>>()?,
            concurrency: self.concurrency.as_deref().map(Concurrency::parse).transpose()?,
            memory: self.memory.as_deref().map(parse_size).transpose()?,
        })
    }
}

/// A reply: one of snapshot, changes and error.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    /// See [`PROTOCOL`].
    pub haul: u32,
    /// How the run stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Box<Snapshot>>,
    /// What an order changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Reply {
    /// Why nothing was done.
    pub(super) fn error(message: impl Into<String>) -> Self {
        Reply { haul: PROTOCOL, error: Some(message.into()), ..Reply::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_and_reads_back() {
        let mut tune = Request::new(Ask::Tune, "ada");
        tune.rates = vec![(None, "5/s".into()), (Some("h:1".into()), "10/min".into())];
        tune.memory = Some("20M".into());
        let line = serde_json::to_string(&tune).unwrap();
        assert!(!line.contains('\n') && line.starts_with("{\"haul\":1,\"ask\":\"tune\""), "{line}");
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), tune);
        let Ok(Some(Order::Tune(t))) = tune.order() else { panic!() };
        assert_eq!((t.memory, t.rates[0].1.to_string().as_str()), (Some(20_000_000), "5/s"));
        tune.rates[0].1 = "5".into();
        assert!(tune.order().unwrap_err().contains("is not a rate"));
        assert!(Concurrency::parse("0").is_err() && Concurrency::parse("x").is_err());
    }

    #[test]
    fn what_a_later_version_adds_is_ignored() {
        let r: Request = serde_json::from_str(r#"{"haul":1,"ask":"status","colour":"red"}"#).unwrap();
        assert_eq!(r.ask, Ask::Status);
    }
}
