//! Another base URL of a service, that answers what the first answers.

use std::sync::OnceLock;

use haul_core::lane::LaneId;

use super::endpoint::StepUrl;
use crate::http::Url;

pub(super) struct Replica {
    pub(super) url: StepUrl,
    pub(super) lane: OnceLock<LaneId>,
}

impl Replica {
    pub(super) fn new(url: StepUrl) -> Self {
        Replica { url, lane: OnceLock::new() }
    }

    /// Where it has what is at `url` of the service's first base URL, of which `fixed` is a URL.
    pub(super) fn has(&self, url: &Url, fixed: &Url) -> Option<Url> {
        moved(url, fixed, self.url.fixed()?)
    }

    /// Where the first base URL has what is at `url` here.
    pub(super) fn home_of(&self, url: &Url, fixed: &Url) -> Option<Url> {
        moved(url, self.url.fixed()?, fixed)
    }
}

/// What is at `url` below one base, below another: `from` and `to` are the same thing below both.
fn moved(url: &Url, from: &Url, to: &Url) -> Option<Url> {
    if !from.same_origin(url) {
        return None;
    }
    let path = |url: &Url| url.target().split('?').next().unwrap_or_default().to_owned();
    let (old, new) = (path(from), path(to));
    let common = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count();
    // Whole segments only.
    let common = old[old.len() - common..].find('/').map_or(0, |at| common - at);
    let rest = url.target().strip_prefix(&old[..old.len() - common])?;
    to.sibling(format!("{}{}{rest}", to.base(), &new[..new.len() - common])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_below_another_base() {
        let url = |text: &str| Url::parse(text).unwrap();
        let at = |page, from, to| moved(&url(page), &url(from), &url(to)).map(|u| u.as_str().to_owned());
        let (a, b) = ("http://a/v1/things?n=1", "http://b:81/mirror/v1/things?n=1");
        assert_eq!(at("http://a/v1/things?n=1&at=7", a, b).unwrap(), "http://b:81/mirror/v1/things?n=1&at=7");
        assert_eq!(at("http://a/v1/page/2", a, b).unwrap(), "http://b:81/mirror/v1/page/2");
        assert_eq!(at("http://b:81/mirror/x", b, a).unwrap(), "http://a/x");
        assert_eq!(at("http://b:81/elsewhere", b, a), None, "not below the base");
        assert_eq!(at("http://c/v1/things", a, b), None, "of another host");
        assert_eq!(at("http://a/xv1/t", "http://a/xv1/t", "http://b/v1/t").unwrap(), "http://b/v1/t");
    }
}
