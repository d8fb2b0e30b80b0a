//! Services, the secrets they are asked with, and headers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, NAME_HINT, is_name, user_info};
use crate::job::diagnose::nearest;
use crate::job::{Job, ServiceSpec};
use crate::secret::SecretFrom;

pub(super) fn services(job: &Job, found: &mut Found) {
    for (name, service) in &job.services {
        let at = format!("service.{name}");
        if !is_name(name) {
            found.add(&at, format!("\"{name}\" cannot name a service"), NAME_HINT);
        }
        replicas(service, &format!("{at}.url"), found);
        for secret in &service.auth {
            if !job.secrets.contains_key(secret) {
                let hint = match nearest(secret, job.secrets.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("add [secret.{secret}] with header and env"),
                };
                found.add(format!("{at}.auth"), format!("there is no secret \"{secret}\""), hint);
            }
        }
        headers(&service.headers, &at, found);
    }
}

fn replicas(service: &ServiceSpec, at: &str, found: &mut Found) {
    if service.replicas.is_empty() {
        return base_url(&service.url, at, found);
    }
    let mut hosts = BTreeSet::new();
    for (i, url) in std::iter::once(&service.url).chain(&service.replicas).enumerate() {
        let at = format!("{at}[{i}]");
        base_url(url, &at, found);
        let host = url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or_default();
        if !hosts.insert((url.starts_with("https:"), host.to_ascii_lowercase())) {
            let hint = "a service has one URL for each host that answers";
            found.add(at, format!("{host} is there already"), hint);
        }
    }
}

pub(super) fn base_url(url: &str, at: &str, found: &mut Found) {
    if url.is_empty() {
        return;
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest {
        None => found.add(at, "a service's URL starts with http:// or https://", ""),
        Some(rest) if rest.split('/').next().is_none_or(str::is_empty) => {
            found.add(at, "the URL has no host", "");
        }
        Some(rest) => {
            user_info(rest, at, found);
            if url.contains(['{', '}', '?', '#', ' ']) {
                found.add(
                    at,
                    "a service's URL is where its paths start: scheme, host, port and perhaps a path",
                    "put {fields} and ?query into the URL of the step",
                );
            }
        }
    }
}

pub(super) fn secrets(job: &Job, found: &mut Found) {
    for (name, secret) in &job.secrets {
        let at = format!("secret.{name}");
        if !is_name(name) {
            found.add(&at, format!("\"{name}\" cannot name a secret"), NAME_HINT);
        }
        if !secret.header.is_empty() && !is_header_name(&secret.header) {
            found.add(format!("{at}.header"), format!("\"{}\" cannot name a header", secret.header), "");
        }
        if secret.format.matches("{}").count() != 1 {
            found.add(
                format!("{at}.format"),
                "the format must have {} where the value goes, once",
                "write it like format = \"Bearer {}\"",
            );
        }
        if let SecretFrom::Env(variable) = &secret.from
            && variable.contains(['=', '\0', ' '])
        {
            found.secret(
                format!("{at}.env"),
                "this cannot name an environment variable",
                "give the name of the variable, never the value",
            );
        }
    }
}

/// Header names that carry credentials.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// Headers that only Haul can set rightly.
const OWN_HEADERS: [&str; 6] =
    ["idempotency-key", "host", "content-length", "transfer-encoding", "connection", "accept-encoding"];

/// True for headers whose value must be a reference to a secret.
pub fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.iter().any(|h| name.eq_ignore_ascii_case(h))
}

pub(super) fn headers(headers: &BTreeMap<String, String>, at: &str, found: &mut Found) {
    for (name, value) in headers {
        let at = format!("{at}.headers.{name}");
        if !is_header_name(name) {
            found.add(&at, format!("\"{name}\" cannot name a header"), "");
        } else if is_secret_header(name) {
            found.secret(
                &at,
                format!("the value of {name} must not stand in the open"),
                format!("refer to it: [secret.NAME] header = \"{name}\", env = \"VARIABLE\", and auth = \"NAME\" in the service"),
            );
        } else if OWN_HEADERS.iter().any(|h| name.eq_ignore_ascii_case(h)) {
            found.add(&at, format!("{name} is set by Haul itself"), "leave it out");
        } else if !value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
            found.add(&at, format!("the value of {name} has characters that headers cannot carry"), "");
        }
    }
}

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
