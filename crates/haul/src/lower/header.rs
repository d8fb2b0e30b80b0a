//! `-H '[HOST=]NAME: VALUE'`, as curl has it. A value that carries a credential is a reference:
//! `Authorization: Bearer {env:TOKEN}`.

use std::collections::BTreeMap;

use haul_core::job::{Diagnostic, Place, Places, is_secret_header};
use haul_core::secret::{SecretFrom, SecretSpec};

use super::Problems;
use super::service::{Services, is_name};

/// Lays headers over the services; references become secrets.
pub fn headers(said: &[String], services: &mut Services, out: &mut Problems) -> BTreeMap<String, SecretSpec> {
    let mut secrets = BTreeMap::new();
    for text in said {
        let flag = format!("-H {text}");
        if let Err((message, hint)) = header(text, services, &mut secrets) {
            out.secret(flag, message, hint);
        }
    }
    secrets
}

/// The headers that go to one URL, and the secrets among them.
#[derive(Default)]
pub struct UrlHeaders {
    /// As they were said.
    pub said: Vec<String>,
    /// As they stand.
    pub plain: BTreeMap<String, String>,
    /// By names of their own.
    pub secrets: Vec<(String, SecretSpec)>,
}

/// The headers of `haul try URL`.
///
/// # Errors
/// What is wrong with them.
pub fn headers_of_url(url: &str, said: &[String]) -> Result<UrlHeaders, Vec<Diagnostic>> {
    let (mut services, mut places, mut out) = (Services::default(), Places::default(), Problems::default());
    services.take(url, "url", &Place::Argument(url.to_owned()), &mut places);
    let secrets = headers(said, &mut services, &mut out).into_iter().collect();
    if !out.0.is_empty() {
        return Err(out.0);
    }
    let plain = services.into_inner().into_values().next().map(|service| service.headers).unwrap_or_default();
    Ok(UrlHeaders { said: said.to_vec(), plain, secrets })
}

type Refusal = (String, String);

fn header(
    text: &str,
    services: &mut Services,
    secrets: &mut BTreeMap<String, SecretSpec>,
) -> Result<(), Refusal> {
    let (host, text) = scope(text);
    let Some((name, value)) = text.split_once(':') else {
        return Err((
            "a header is NAME: VALUE".to_owned(),
            "write it like 'Accept: application/json'".to_owned(),
        ));
    };
    let (name, value) = (name.trim(), value.trim());
    let targets = targets(host, services)?;
    if let Some((from, format)) = reference(value)? {
        if targets.len() != 1 {
            return Err((
                format!("a secret goes to one service, and there are {}", targets.join(", ")),
                format!("say which: -H '{}={name}: …'", targets.last().map_or("HOST", String::as_str)),
            ));
        }
        let spec = SecretSpec { header: name.to_owned(), from, format };
        let id = secret_name(&targets[0], name, secrets);
        secrets.insert(id.clone(), spec);
        if let Some(service) = services.get_mut(&targets[0]) {
            service.auth.push(id);
        }
        return Ok(());
    }
    if is_secret_header(name) {
        let scheme = if name.to_ascii_lowercase().ends_with("authorization") { "Bearer " } else { "" };
        return Err((
            format!(
                "the value of {name} must not stand on the command line, where every process can read it"
            ),
            format!(
                "refer to a variable: -H '{name}: {scheme}{{env:TOKEN}}' (or {{file:PATH}}, {{command:…}})"
            ),
        ));
    }
    if let Some(field) = field(value) {
        return Err((
            format!("{field} would be sent as it stands: no field of a record goes into a header"),
            "a variable is {env:NAME}, a file {file:PATH}, the output of a command {command:…}".to_owned(),
        ));
    }
    for target in targets {
        if let Some(service) = services.get_mut(&target) {
            service.headers.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

/// Splits `HOST=` off. A header's own name cannot hold `=`, but its value can.
fn scope(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((host, rest)) if rest.contains(':') && is_host(host) => (Some(host), rest),
        _ => (None, text),
    }
}

/// A name or `host:port`, not `X-Header:value`.
fn is_host(text: &str) -> bool {
    let plain =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    match text.rsplit_once(':') {
        None => plain(text),
        Some((host, port)) => plain(host) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()),
    }
}

fn targets(host: Option<&str>, services: &mut Services) -> Result<Vec<String>, Refusal> {
    let all = services.names().to_vec();
    match host {
        None if all.is_empty() => {
            Err(("no URL of this command has a fixed host to send it to".to_owned(), String::new()))
        }
        None => Ok(all),
        Some(host) => match services.find(host) {
            Some((name, _)) => Ok(vec![name.to_owned()]),
            None => {
                Err((format!("no one service is at \"{host}\""), format!("there are: {}", all.join(", "))))
            }
        },
    }
}

/// A value with one `{env:NAME}`, `{file:PATH}` or `{command:…}`, and its format.
fn reference(value: &str) -> Result<Option<(SecretFrom, String)>, Refusal> {
    let Some(start) = ["{env:", "{file:", "{command:"].iter().filter_map(|p| value.find(p)).min() else {
        return Ok(None);
    };
    let Some(end) = value[start..].rfind('}').map(|i| start + i) else {
        return Err(("a reference that is never closed".to_owned(), "write it like {env:TOKEN}".to_owned()));
    };
    let Some((kind, what)) = value[start + 1..end].split_once(':') else { return Ok(None) };
    let what = what.trim().to_owned();
    if what.is_empty() {
        return Err((format!("{{{kind}:}} names nothing"), "write it like {env:TOKEN}".to_owned()));
    }
    let from = match kind {
        "env" => SecretFrom::Env(what),
        "file" => SecretFrom::File(what),
        _ => SecretFrom::Command(what),
    };
    Ok(Some((from, format!("{}{{}}{}", &value[..start], &value[end + 1..]))))
}

/// What looks like a reference and is none that is known here: `{user_id}`, `{ENV:TOKEN}`.
fn field(value: &str) -> Option<&str> {
    let is_word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
    };
    let opened = value.match_indices('{').map(|(at, _)| &value[at..]);
    opened.filter_map(|rest| Some(&rest[..=rest.find('}')?])).find(|it| is_word(&it[1..it.len() - 1]))
}

fn secret_name(service: &str, header: &str, secrets: &BTreeMap<String, SecretSpec>) -> String {
    let long = format!("{service}-{}", header.to_ascii_lowercase());
    [service.to_owned(), long.clone()]
        .into_iter()
        .find(|name| is_name(name) && !secrets.contains_key(name))
        .unwrap_or_else(|| format!("{service}-{}", secrets.len()))
}
