//! One request for a file, with what belongs to its host, and what its status means.

use haul_core::{Cx, Fault};

use super::ranges::Range;
use super::{Download, Got};
use crate::http::fetch::{Fetched, Receive};
use crate::http::reply::{bounded, origin_of};
use crate::http::{BodyUse, Call, HeaderLines, Meaning, Method, RequestHeaders, Url};

/// How a request for a file ended.
pub(super) enum Asked {
    /// All of the body was handed on.
    Whole,
    /// The file ends before the part that was asked for.
    Beyond,
    /// A status says that there is no file, and what that means.
    Otherwise(Got),
}

impl Download {
    /// Asks for a file, or for some bytes of it (as long as it has this validator), and hands its body to
    /// `to`.
    ///
    /// # Errors
    /// As [`crate::http::Client::fetch`], and those of statuses that mean one.
    pub(super) async fn ask(
        &self,
        url: &Url,
        some: Option<(Range, &str)>,
        to: &mut dyn Receive,
        cx: &Cx<'_>,
    ) -> Result<Asked, Fault> {
        let at_home = self.homes.of(url);
        let secret = at_home.lines().await?;
        let mut own = HeaderLines::new();
        own.push_all(at_home.standard());
        if let Some(((from, to), validator)) = some {
            let push = |own: &mut HeaderLines| {
                own.push("Range", &format!("bytes={from}-{}", to.saturating_sub(1)))?;
                own.push("If-Range", validator)
            };
            push(&mut own).map_err(|e| Fault::permanent("header", e.to_string()))?;
        }
        let call = Call {
            method: Method::Get,
            url,
            headers: RequestHeaders {
                own: &own,
                idempotency: None,
                configured: at_home.configured(),
                secret: &secret,
            },
            body: None,
            body_use: BodyUse::Keep,
            timeout: self.spec.timeout,
        };
        let lane = at_home.lane(url, cx);
        let reply = match self.spec.client.fetch(&call, lane, &self.spec.rules, cx, to).await? {
            Fetched::Whole => return Ok(Asked::Whole),
            Fetched::Reply(reply) => reply,
        };
        if reply.status == 416 && some.is_some() {
            return Ok(Asked::Beyond);
        }
        if matches!(reply.status, 401 | 403) {
            at_home.refused();
        }
        match self.spec.rules.meaning(reply.status) {
            Meaning::Skip => Ok(Asked::Otherwise(Got::Skip(reply.status))),
            Meaning::Done | Meaning::Null => Ok(Asked::Otherwise(Got::Absent(reply.status))),
            Meaning::Success => Err(Fault::transient("range", bounded(format!("{url}: {}", reply.status)))),
            Meaning::Fault(class) => {
                let fault = reply.status_fault(class, &call, &self.spec.rules);
                Err(if fault.origin().is_none() { fault.with_origin(origin_of(url)) } else { fault })
            }
        }
    }
}
