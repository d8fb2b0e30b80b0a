//! A download that is only tried: the head and the first bytes of each file are asked for and judged, and
//! nothing is saved.

use haul_core::step::Applied;
use haul_core::{Cx, Fault};
use serde_json::json;

use super::ask::Asked;
use super::part::check_type;
use super::wanted::Wanted;
use super::{Download, Got};
use crate::http::fetch::{FetchHead, Receive};
use crate::http::reply::bounded;
use crate::http::{KEPT_BACK, Url};

/// Takes the beginning of a file and ends its request.
struct Glance<'a> {
    ext: &'a str,
    head: Option<FetchHead>,
}

impl Receive for Glance<'_> {
    fn head(&mut self, head: &FetchHead, _: &Url) -> Result<(), Fault> {
        self.head = Some(head.clone());
        Ok(())
    }

    fn first(&mut self, bytes: &[u8], url: &Url) -> Result<(), Fault> {
        check_type(bytes, self.ext, url)?;
        Err(Fault::permanent(KEPT_BACK, "it is only looked at"))
    }

    fn body(&mut self, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }
}

impl Download {
    /// What would become of the files of an item.
    ///
    /// # Errors
    /// Those of the first file that would fail.
    pub(super) async fn look(&self, wanted: &[Wanted], cx: &Cx<'_>) -> Result<Applied, Fault> {
        let mut files = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let url = Url::parse(&wanted.url).map_err(|e| Fault::permanent("url", bounded(e.to_string())))?;
            let mut glance = Glance { ext: &wanted.ext, head: None };
            match self.ask(&url, None, &mut glance, cx).await {
                Ok(Asked::Otherwise(Got::Skip(status))) => {
                    return Ok(Applied::skip(format!("{}: {status}", self.spec.name)));
                }
                Ok(_) => {}
                Err(fault) if fault.code() == KEPT_BACK => {
                    files.push(json!({ "file": wanted.name, "bytes": glance.head.and_then(|h| h.length) }));
                }
                Err(fault) => return Err(fault),
            }
        }
        let found = serde_json::to_vec(&files).unwrap_or_default();
        Ok(Applied::attach(found.into()))
    }
}
