//! URLs of the command line become services: one for each scheme, host and port, with a name that
//! reads well in the job.

use std::collections::BTreeMap;

use haul_core::job::{Place, Places, ServiceSpec};

/// Services found so far.
#[derive(Debug, Default)]
pub struct Services {
    all: BTreeMap<String, ServiceSpec>,
    /// In order of appearance.
    names: Vec<String>,
}

impl Services {
    /// The URL of a step with its scheme, host and port replaced by `{service}`; as it is when those
    /// are not fixed.
    pub fn take(&mut self, url: &str, step: &str, said: &Place, places: &mut Places) -> String {
        let url = &lower_scheme(url);
        let Some((base, rest)) = split(url) else { return url.to_string() };
        let known = self.all.iter().find(|(_, s)| s.url == base).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| {
            let name = self.unused(&proposal(base, rest, step));
            self.all.insert(name.clone(), ServiceSpec { url: base.to_owned(), ..ServiceSpec::default() });
            self.names.push(name.clone());
            places.note(format!("service.{name}"), said.clone());
            name
        });
        format!("{{{name}}}{rest}")
    }

    fn unused(&self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut n = 1;
        while self.all.contains_key(&name) {
            n += 1;
            name = format!("{wanted}{n}");
        }
        name
    }

    /// Names in order of appearance.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A service that has that name, or is at that host (with port, or without where that is clear).
    pub fn find(&mut self, host: &str) -> Option<(&str, &mut ServiceSpec)> {
        let name = find_service(&self.all, host)?;
        self.all.get_key_value(&name)?;
        let at = self.names.iter().position(|n| *n == name)?;
        Some((self.names[at].as_str(), self.all.get_mut(&name)?))
    }

    /// The service of a name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut ServiceSpec> {
        self.all.get_mut(name)
    }

    /// All of them.
    pub fn into_inner(self) -> BTreeMap<String, ServiceSpec> {
        self.all
    }
}

/// Name of the service that is called so or is at that host; a port may be left out where only one
/// service is at the host.
pub fn find_service(services: &BTreeMap<String, ServiceSpec>, host: &str) -> Option<String> {
    if services.contains_key(host) {
        return Some(host.to_owned());
    }
    let wanted = host.to_ascii_lowercase();
    let exact =
        services.iter().find(|(_, s)| authority(&s.url) == wanted || authority_with_port(&s.url) == wanted);
    if let Some((name, _)) = exact {
        return Some(name.clone());
    }
    let mut there = services.iter().filter(|(_, s)| host_of(authority(&s.url).as_str()) == wanted);
    match (there.next(), there.next()) {
        (Some((name, _)), None) => Some(name.clone()),
        _ => None,
    }
}

/// Host and port as written, in lower case.
pub fn authority(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Host and port, the scheme's default filled in.
pub fn authority_with_port(url: &str) -> String {
    let authority = authority(url);
    if host_of(&authority).len() < authority.len() {
        return authority;
    }
    format!("{authority}:{}", if url.starts_with("https:") { 443 } else { 80 })
}

/// Without the port. Brackets of an IPv6 address stay.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => {
            if host.contains(':') && !host.ends_with(']') { authority } else { host }
        }
        _ => authority,
    }
}

/// A scheme is the same in capitals (RFC 3986, 3.1).
fn lower_scheme(url: &str) -> std::borrow::Cow<'_, str> {
    match url.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) => {
            format!("{}://{rest}", scheme.to_ascii_lowercase()).into()
        }
        _ => url.into(),
    }
}

/// Scheme, host and port, and the rest. `None` where they are not fixed or there is no scheme.
fn split(url: &str) -> Option<(&str, &str)> {
    let start = ["http://", "https://"].iter().find(|s| url.starts_with(*s))?.len();
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |i| start + i);
    let fixed = end > start && !url[..end].contains(['{', '}']);
    fixed.then(|| url.split_at(end))
}

/// A name for a service: the first label of its host, else the first word of its path, else the
/// step's name.
fn proposal(base: &str, rest: &str, step: &str) -> String {
    let authority = authority(base);
    let host = host_of(&authority);
    let address = host.contains([':', '[']) || host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let label = host.split('.').find(|l| *l != "www").filter(|_| host.contains('.') && !address);
    let word = rest.split(['/', '?']).find(|s| !s.is_empty());
    [label, word].into_iter().flatten().find(|n| is_name(n)).unwrap_or(step).to_owned()
}

/// True for words that can name steps and services as they are.
pub fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(urls: &[&str]) -> Vec<String> {
        let mut services = Services::default();
        let place = Place::Unsaid;
        urls.iter().map(|u| services.take(u, "step", &place, &mut Places::default())).collect()
    }

    #[test]
    fn services_are_named_by_host_or_path() {
        assert_eq!(
            names(&[
                "http://localhost:8000/users/{id}",
                "http://localhost:8000/other",
                "http://127.0.0.1:8001/videos?q={x}",
                "https://www.example.org/a",
                "https://api.example.com/users/{id}",
                "https://api.example.net",
                "http://[::1]:80/{id}",
                "http://{host}/x",
                "{url}",
                "HTTPS://api.example.net/Y",
            ]),
            [
                "{users}/users/{id}",
                "{users}/other",
                "{videos}/videos?q={x}",
                "{example}/a",
                "{api}/users/{id}",
                "{api2}",
                "{step}/{id}",
                "http://{host}/x",
                "{url}",
                "{api2}/Y",
            ]
        );
    }

    #[test]
    fn services_are_found_by_name_and_by_host() {
        let mut services = Services::default();
        for url in ["http://localhost:1/a", "http://localhost:2/b", "https://x.example/c", "http://[::1]:9/d"]
        {
            services.take(url, "s", &Place::Unsaid, &mut Places::default());
        }
        let mut find = |host: &str| services.find(host).map(|(n, _)| n.to_owned());
        assert_eq!(find("localhost:2").as_deref(), Some("b"));
        assert_eq!(find("localhost"), None, "two of them");
        assert_eq!(find("X.example").as_deref(), Some("x"));
        assert_eq!(find("x.example:443").as_deref(), Some("x"));
        assert_eq!(find("x.example:80"), None);
        assert_eq!(find("[::1]:9").as_deref(), Some("d"));
        assert_eq!(find("a").as_deref(), Some("a"));
    }
}
