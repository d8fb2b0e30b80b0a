//! Proxies as the environment names them: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in
//! lower case as well, which comes first.
//!
//! Plain requests name the whole URL, TLS goes through a tunnel (RFC 9110 §9.3.6). This machine is
//! never asked for through a proxy.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::redact::redact;
use super::url::{Scheme, Url};

/// A proxy, and what it wants to know of who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
    /// `Proxy-Authorization: …\r\n`, or nothing.
    authorization: String,
}

impl Proxy {
    /// Where it listens.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Its header line, ended; empty without credentials.
    pub(crate) fn authorization(&self) -> &str {
        &self.authorization
    }
}

impl fmt::Debug for Proxy {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.url.base())
    }
}

/// Why a variable cannot be used; never shows credentials.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the environment variable {variable} {why}")]
pub struct ProxyError {
    variable: &'static str,
    why: String,
}

/// Which proxy leads where.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    direct: Vec<Direct>,
}

/// Hosts that are not asked for through a proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Direct {
    All,
    /// A host and everything below it, on one port or on all.
    Host(String, Option<u16>),
    /// Addresses that begin with so many bits.
    Net(IpAddr, u8),
}

impl Proxies {
    /// As the environment says it.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub fn from_environment() -> Result<Proxies, ProxyError> {
        Proxies::read(|name| std::env::var(name).ok())
    }

    /// As variables say it.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Proxies, ProxyError> {
        let said = |name: &'static str| variable(name).filter(|v| !v.trim().is_empty()).map(|v| (name, v));
        let first = |names: &[&'static str]| names.iter().find_map(|name| said(name));
        let proxy = |names: &[&'static str]| first(names).map(|(name, v)| parse(name, v.trim())).transpose();
        // A program behind a web server finds a client's `Proxy:` header in the upper-case variable.
        let by_server = variable("REQUEST_METHOD").is_some();
        let plain: &[&str] = if by_server {
            &["http_proxy", "all_proxy", "ALL_PROXY"]
        } else {
            &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        };
        let direct = first(&["no_proxy", "NO_PROXY"]).map_or_else(Vec::new, |(_, v)| direct(&v));
        Ok(Proxies(Arc::new(Table {
            http: proxy(plain)?.map(Arc::new),
            https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?.map(Arc::new),
            direct,
        })))
    }

    /// The proxy that leads to a URL; `None`: it is asked for directly.
    pub(crate) fn to(&self, url: &Url) -> Option<&Arc<Proxy>> {
        let proxy = match url.scheme() {
            Scheme::Http => self.0.http.as_ref(),
            Scheme::Https => self.0.https.as_ref(),
        }?;
        let host = url.host().trim_start_matches('[').trim_end_matches(']');
        let address: Option<IpAddr> = host.parse().ok();
        let here = host == "localhost" || host.ends_with(".localhost") || address.is_some_and(is_loopback);
        let is_direct = |d: &Direct| match d {
            Direct::All => true,
            Direct::Host(name, port) => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (host == name || below) && port.is_none_or(|port| port == url.port())
            }
            Direct::Net(net, bits) => address.is_some_and(|address| shares(*net, address, *bits)),
        };
        (!here && !self.0.direct.iter().any(is_direct)).then_some(proxy)
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// `http://user:password@host:port`; without a scheme, `http://`.
fn parse(variable: &'static str, text: &str) -> Result<Proxy, ProxyError> {
    let wrong = |why: &str| ProxyError { variable, why: why.to_owned() };
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    if !scheme.eq_ignore_ascii_case("http") {
        let shown: String = scheme.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        return Err(wrong(&format!("names a proxy of the kind {shown}://; only http:// is spoken to")));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, place) = match authority.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, authority),
    };
    let place =
        if place.rsplit(':').next().is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
            && !place.ends_with(']')
            && place.contains(':')
        {
            place.to_owned()
        } else {
            format!("{}:80", place.trim_end_matches(':'))
        };
    let url = Url::parse(&format!("http://{place}/"))
        .map_err(|e| wrong(&format!("is no address of a proxy ({})", redact(&e.to_string()))))?;
    let authorization = match credentials {
        None => String::new(),
        Some(said) => {
            let (user, password) = said.split_once(':').unwrap_or((said, ""));
            let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
            let pair = [decoded(user), b":".to_vec(), decoded(password)].concat();
            format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(&pair))
        }
    };
    Ok(Proxy { url, authorization })
}

/// `localhost,.example.com,10.0.0.0/8,host:8080` or `*`. What cannot be read names no host.
fn direct(text: &str) -> Vec<Direct> {
    let mut found = Vec::new();
    for entry in text.split([',', ' ', '\t']).map(str::trim).filter(|e| !e.is_empty()) {
        if entry == "*" {
            found.push(Direct::All);
            continue;
        }
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            found.push(Direct::Net(address, 128));
        } else if let Some((net, bits)) = entry.split_once('/')
            && let (Ok(net), Ok(bits)) = (net.parse(), bits.parse())
        {
            found.push(Direct::Net(net, bits));
        } else {
            let (name, port) = match entry.rsplit_once(':') {
                Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
                _ => (entry, None),
            };
            let name = name.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
            found.push(Direct::Host(name, port));
        }
    }
    found
}

/// True when both begin with the same bits.
fn shares(net: IpAddr, address: IpAddr, bits: u8) -> bool {
    let (net, address, all) = match (net, address.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let rest = all - u32::from(bits).min(all);
    (net ^ address).checked_shr(rest).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Proxies::read(find)
    }

    fn way(proxies: &Proxies, url: &str) -> String {
        proxies.to(&Url::parse(url).unwrap()).map_or("direct".to_owned(), |p| p.url().base().to_owned())
    }

    #[test]
    fn the_scheme_chooses_and_lower_case_comes_first() {
        let p = proxies(&[
            ("HTTP_PROXY", "http://upper:1"),
            ("http_proxy", "lower:2"),
            ("HTTPS_PROXY", "http://tls:3/"),
        ])
        .unwrap();
        assert_eq!(way(&p, "http://a.example/"), "http://lower:2");
        assert_eq!(way(&p, "https://a.example/"), "http://tls:3");
        let p = proxies(&[("ALL_PROXY", "http://all"), ("https_proxy", " ")]).unwrap();
        assert_eq!((way(&p, "http://a/"), way(&p, "https://a/")), ("http://all".into(), "http://all".into()));
        let p = proxies(&[("HTTP_PROXY", "http://evil:1"), ("REQUEST_METHOD", "GET")]).unwrap();
        assert_eq!(way(&p, "http://a/"), "direct");
        assert_eq!(way(&Proxies::default(), "http://a/"), "direct");
    }

    #[test]
    fn exceptions_are_hosts_domains_addresses_and_nets() {
        let p = proxies(&[
            ("all_proxy", "http://p:1"),
            ("NO_PROXY", "a.example, .b.example *.c.example,d.example:81,10.0.0.0/8,[2001:db8::1],fe80::/10"),
        ])
        .unwrap();
        for (url, is_direct) in [
            ("http://a.example/", true),
            ("http://x.a.example/", true),
            ("http://xa.example/", false),
            ("http://b.example/", true),
            ("http://x.c.example/", true),
            ("http://d.example:81/", true),
            ("http://d.example/", false),
            ("http://10.1.2.3/", true),
            ("http://11.1.2.3/", false),
            ("http://[2001:db8::1]/", true),
            ("http://[2001:db8::2]/", false),
            ("http://[fe80::9]/", true),
            ("http://localhost:9/", true),
            ("http://127.0.0.1/", true),
            ("https://[::1]/", true),
            ("https://other/", false),
        ] {
            assert_eq!(way(&p, url) == "direct", is_direct, "{url}");
        }
        let p = proxies(&[("all_proxy", "http://p:1"), ("no_proxy", "*")]).unwrap();
        assert_eq!(way(&p, "http://a/"), "direct");
    }

    #[test]
    fn credentials_are_sent_and_not_shown() {
        let p = proxies(&[("http_proxy", "http://al%40i:s3cret@p:8080")]).unwrap();
        let proxy = p.to(&Url::parse("http://a/").unwrap()).unwrap();
        // "al@i:s3cret"
        assert_eq!(proxy.authorization(), "Proxy-Authorization: Basic YWxAaTpzM2NyZXQ=\r\n");
        assert!(!format!("{p:?}").contains("s3cret") && !format!("{p:?}").contains("YWx"));
        for (text, says) in [
            ("socks5://me:s3cret@p:1", "socks5://; only http://"),
            ("http://me:s3cret@p:x/", "is no address"),
        ] {
            let e = proxies(&[("HTTPS_PROXY", text)]).unwrap_err().to_string();
            assert!(e.starts_with("the environment variable HTTPS_PROXY ") && e.contains(says), "{e}");
            assert!(!e.contains("s3cret"), "{e}");
        }
    }
}
