//! Where redirects lead, as a pure state machine.

use haul_core::Fault;
use haul_core::limits::REDIRECTS;

use super::head::Head;
use super::reply::{bounded, origin_of};
use super::request::Method;
use super::status::StatusRules;
use super::url::{Scheme, Url};

/// The way of one request through its redirects.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    from: &'a Url,
    /// Where it has led since.
    seen: Vec<Url>,
    has_secret: bool,
    foreign: bool,
}

/// The next stop of a route.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The same scheme, host and port as the stop before.
    SameHost(Url),
    /// Another one.
    OtherHost(Url),
}

impl<'a> Route<'a> {
    pub(crate) fn new(from: &'a Url, has_secret: bool) -> Self {
        Route { from, seen: Vec::new(), has_secret, foreign: false }
    }

    /// True once it has left the host it was made for. It stays so even when it comes back: the
    /// foreign host would choose what the secrets are used for.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Takes a `Location`.
    pub(crate) fn follow(&mut self, location: &str) -> Result<Stop, Fault> {
        let here = self.seen.last().unwrap_or(self.from);
        let next = here.join(location).map_err(|e| self.refuse(&format!("redirect to nowhere: {e}")))?;
        if next == *self.from || self.seen.contains(&next) {
            return Err(self.refuse(&format!("redirects in a circle, back to {next}")));
        }
        if self.seen.len() >= REDIRECTS {
            return Err(self.refuse(&format!("more than {REDIRECTS} redirects, the last to {next}")));
        }
        if self.has_secret && here.scheme() == Scheme::Https && next.scheme() == Scheme::Http {
            let why = format!("redirect from https to {next}, refused because the request carries a secret");
            return Err(self.refuse(&why));
        }
        let same = next.same_origin(here);
        self.foreign |= !same;
        self.seen.push(next.clone());
        Ok(if same { Stop::SameHost(next) } else { Stop::OtherHost(next) })
    }

    fn refuse(&self, why: &str) -> Fault {
        let from = self.from;
        Fault::permanent("redirect", bounded(format!("{from}: {why}"))).with_origin(origin_of(from))
    }
}

/// The `Location` of a redirect that is to be followed: any for a GET; for a POST or PUT only those
/// that keep method and body, since a 302 would silently turn it into a GET.
pub(crate) fn followed(head: &mut Head, method: Method, rules: &StatusRules) -> Option<Box<str>> {
    let redirect = match head.status {
        301..=303 => method.is_read(),
        307 | 308 => true,
        _ => false,
    };
    if redirect && !rules.names(head.status) { head.location.take() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_route_that_left_its_host_stays_foreign() {
        let from = url("http://a/1");
        let mut r = Route::new(&from, true);
        assert!(matches!(r.follow("/2").unwrap(), Stop::SameHost(_)));
        assert!(!r.is_foreign());
        assert!(matches!(r.follow("http://b/").unwrap(), Stop::OtherHost(_)));
        assert!(matches!(r.follow("http://a/3").unwrap(), Stop::OtherHost(_)));
        assert!(r.is_foreign());
        assert!(
            Route::new(&url("http://a/"), false)
                .follow("http://a:81/")
                .is_ok_and(|s| matches!(s, Stop::OtherHost(_)))
        );
    }

    #[test]
    fn circles_and_long_ways_end() {
        let from = url("http://a/1");
        let mut r = Route::new(&from, false);
        r.follow("/2").unwrap();
        let e = r.follow("/1#again").unwrap_err();
        assert!(e.message().contains("circle") && e.code() == "redirect");
        let from = url("http://a/");
        let mut r = Route::new(&from, false);
        let n = (0..).take_while(|i| r.follow(&format!("/{i}")).is_ok()).count();
        assert_eq!(n, REDIRECTS);
    }

    #[test]
    fn secrets_do_not_go_from_https_to_http() {
        let e = Route::new(&url("https://a/"), true).follow("http://a/").unwrap_err();
        assert!(e.message().contains("secret"), "{e}");
        assert!(Route::new(&url("https://a/"), false).follow("http://a/").is_ok());
        assert!(Route::new(&url("https://a/"), false).follow("javascript:alert(1)").is_err());
    }
}
