//! `[service.NAME]` and `[secret.NAME]`.

use std::collections::BTreeMap;

use super::reader::{self, Bad, Reader};
use super::tree::{Node, Table, Value};
use crate::job::diagnose::{Diagnostic, Place};
use crate::job::{Concurrency, ServiceSpec, StoreKind, StoreSpec};
use crate::limits;
use crate::pace::Rate;
use crate::secret::{SecretFrom, SecretSpec};

/// All services by name. One that cannot be read stays as a name, so that steps that refer to it
/// are not reported as well.
pub(super) fn read_services(
    top: &mut Reader<'_>,
    out: &mut Vec<Diagnostic>,
) -> BTreeMap<String, ServiceSpec> {
    named_tables(top, "service", out)
        .into_iter()
        .map(|(name, table, place)| {
            let service = service(table, format!("[service.{name}]"), place, out);
            (name, service)
        })
        .collect()
}

fn service(table: &Table, title: String, place: Place, out: &mut Vec<Diagnostic>) -> ServiceSpec {
    let mut r = Reader::new(table, title, place);
    let mut urls = r.need("url", "\"https://HOST\"", out, urls).unwrap_or_default().into_iter();
    let rate = r.take("rate", out, rate);
    let concurrency = r.take("concurrency", out, concurrency);
    let auth = r.take("auth", out, names).unwrap_or_default();
    let headers = r.take("headers", out, headers).unwrap_or_default();
    r.finish(out);
    let (url, replicas) = (urls.next().unwrap_or_default(), urls.collect());
    ServiceSpec { url, replicas, rate, concurrency, auth, headers }
}

/// All stores by name.
pub(super) fn read_stores(top: &mut Reader<'_>, out: &mut Vec<Diagnostic>) -> BTreeMap<String, StoreSpec> {
    super::section(top, "store", out).map(|(tables, _)| stores_of(tables, "store.", out)).unwrap_or_default()
}

/// The members of a table, each a store.
pub(super) fn stores_of(
    tables: &Table,
    prefix: &str,
    out: &mut Vec<Diagnostic>,
) -> BTreeMap<String, StoreSpec> {
    let tables = tables_of(tables, prefix, out).into_iter();
    tables
        .map(|(name, table, place)| {
            let store = store(table, format!("[{prefix}{name}]"), place, out);
            (name, store)
        })
        .collect()
}

fn store(table: &Table, title: String, place: Place, out: &mut Vec<Diagnostic>) -> StoreSpec {
    let mut r = Reader::new(table, title, place);
    let kind = r
        .need("type", "\"s3\", \"gcs\", \"azblob\" or \"webdav\"", out, |n| reader::word(n, &StoreKind::ALL));
    let known = kind.is_some();
    let kind = kind.unwrap_or_default();
    let endpoint = r.take("endpoint", out, reader::text).map(|url| url.trim_end_matches('/').to_owned());
    let mut spec = StoreSpec { kind, endpoint, ..StoreSpec::default() };
    if kind == StoreKind::S3 {
        spec.region = r.take("region", out, reader::text);
        spec.profile = r.take("profile", out, reader::text);
        spec.path_style = r.take("path_style", out, reader::truth);
    } else {
        spec.secret = secret_from(&mut r, table, out);
    }
    match kind {
        StoreKind::Azblob => spec.account = r.take("account", out, reader::text),
        StoreKind::Webdav => spec.account = r.take("user", out, reader::text),
        StoreKind::S3 | StoreKind::Gcs => {}
    }
    // Of what is of no known type nobody knows the keys.
    if known && !has_literal(table, out) {
        r.finish(out);
    }
    spec
}

/// Where the secret of a store is, if it says so; in one way at most.
fn secret_from(r: &mut Reader<'_>, table: &Table, out: &mut Vec<Diagnostic>) -> Option<SecretFrom> {
    let env = r.take("env", out, reader::text).map(SecretFrom::Env);
    let file = r.take("file", out, reader::text).map(SecretFrom::File);
    let command = r.take("command", out, reader::text).map(SecretFrom::Command);
    if FROM.iter().filter(|key| table.get(key).is_some()).count() > 1 {
        let message = "a store has one secret: only one of env, file and command";
        out.push(Diagnostic::new(message, r.place().clone()));
    }
    env.or(file).or(command)
}

/// Where secrets are found.
const FROM: [&str; 3] = ["env", "file", "command"];

/// Refuses a secret that stands there itself.
fn has_literal(table: &Table, out: &mut Vec<Diagnostic>) -> bool {
    let names = ["value", "token", "password", "key", "secret", "account_key", "sas_token", "secret_key"];
    let Some(entry) = names.iter().find_map(|name| table.get(name)) else { return false };
    out.push(
        Diagnostic::new("a store never holds the value of a secret", entry.key_place.clone())
            .with_hint("say where it is found: env = \"VARIABLE\", file = \"PATH\" or command = \"…\"")
            .hiding_source(),
    );
    true
}

/// All secrets by name.
pub(super) fn read_secrets(top: &mut Reader<'_>, out: &mut Vec<Diagnostic>) -> BTreeMap<String, SecretSpec> {
    named_tables(top, "secret", out)
        .into_iter()
        .map(|(name, table, place)| {
            let secret = secret(table, format!("[secret.{name}]"), place, out);
            (name, secret)
        })
        .collect()
}

fn secret(table: &Table, title: String, place: Place, out: &mut Vec<Diagnostic>) -> SecretSpec {
    let mut r = Reader::new(table, title.clone(), place);
    let header = r.need("header", "\"Authorization\"", out, reader::text).unwrap_or_default();
    let env = r.take("env", out, reader::text).map(SecretFrom::Env);
    let file = r.take("file", out, reader::text).map(SecretFrom::File);
    let command = r.take("command", out, reader::text).map(SecretFrom::Command);
    let format = r.take("format", out, reader::text).unwrap_or_else(|| "{}".to_owned());
    let literal = table.get("value").or_else(|| table.get("token")).or_else(|| table.get("password"));
    if let Some(entry) = literal {
        // It is also an unknown key; this says why there is none.
        out.push(
            Diagnostic::new(
                "a job file never holds the value of a secret".to_owned(),
                entry.key_place.clone(),
            )
            .with_hint("say where it is found: env = \"VARIABLE\", file = \"PATH\" or command = \"…\"")
            .hiding_source(),
        );
    }
    let found = [env, file, command].into_iter().flatten().collect::<Vec<_>>();
    let said = FROM.iter().filter(|k| table.get(k).is_some()).count();
    if said != 1 && literal.is_none() {
        out.push(
            Diagnostic::new(format!("{title} needs exactly one of env, file and command"), r.place().clone())
                .with_hint("env = \"VARIABLE\" is the usual one"),
        );
    }
    if literal.is_none() {
        r.finish(out);
    }
    let from = found.into_iter().next().unwrap_or(SecretFrom::Env(String::new()));
    SecretSpec { header, from, format }
}

/// The members of `[KIND.NAME]`, each a table.
fn named_tables<'t>(
    top: &mut Reader<'t>,
    kind: &'static str,
    out: &mut Vec<Diagnostic>,
) -> Vec<(String, &'t Table, Place)> {
    let Some((tables, _)) = super::section(top, kind, out) else { return Vec::new() };
    tables_of(tables, &format!("{kind}."), out)
}

fn tables_of<'t>(
    tables: &'t Table,
    prefix: &str,
    out: &mut Vec<Diagnostic>,
) -> Vec<(String, &'t Table, Place)> {
    let mut found = Vec::new();
    for entry in &tables.entries {
        match &entry.node.value {
            Value::Table(table) => found.push((entry.key.clone(), table, entry.node.place.clone())),
            value => out.push(
                Diagnostic::new(
                    format!("{prefix}{} must be a table, not {}", entry.key, value.kind()),
                    entry.node.place.clone(),
                )
                .with_hint(format!("write [{prefix}NAME] with its keys below")),
            ),
        }
    }
    found
}

/// `500/s`.
pub(super) fn rate(node: &Node) -> Result<Rate, Bad> {
    if let Value::Int(n) = node.value {
        return Err(Bad::hinted("{key} has no unit".to_owned(), format!("write it like \"{n}/s\"")));
    }
    reader::parsed(node, "text like \"500/s\"", Rate::parse)
}

/// `"auto"`, `8` or `"4..64"`.
pub(super) fn concurrency(node: &Node) -> Result<Concurrency, Bad> {
    if let Value::Int(_) = node.value {
        let n = reader::whole(node, 1, u64::from(limits::CONCURRENCY_MAX))?;
        return Ok(Concurrency::Fixed(u32::try_from(n).unwrap_or(limits::CONCURRENCY_MAX)));
    }
    reader::parsed(node, "\"auto\", a number like 8, or \"4..64\"", Concurrency::parse)
}

/// One name or a list of them.
fn names(node: &Node) -> Result<Vec<String>, Bad> {
    texts(node, "the name of a secret, or a list of them")
}

/// A base URL, or those of all replicas.
fn urls(node: &Node) -> Result<Vec<String>, Bad> {
    let urls = texts(node, "a URL, or a list of them")?;
    if urls.is_empty() {
        return Err(Bad::hinted("{key} is empty", "write it like \"https://HOST\""));
    }
    Ok(urls.into_iter().map(|url| url.trim_end_matches('/').to_owned()).collect())
}

pub(super) fn texts(node: &Node, wanted: &str) -> Result<Vec<String>, Bad> {
    match &node.value {
        Value::Array(members) => {
            members.iter().map(|m| reader::text(m).map_err(|bad| bad.in_part(m))).collect()
        }
        Value::Str(_) => Ok(vec![reader::text(node)?]),
        _ => Err(reader::wrong_type(wanted, node)),
    }
}

/// Names and values.
pub(super) fn headers(node: &Node) -> Result<BTreeMap<String, String>, Bad> {
    let Value::Table(table) = &node.value else {
        let hint = "write it like headers = { Accept = \"application/json\" }";
        return Err(reader::wrong_type("a table", node).or_hint(hint));
    };
    table
        .entries
        .iter()
        .map(|e| match &e.node.value {
            Value::Str(value) => Ok((e.key.clone(), value.clone())),
            value => Err(Bad::from(format!("the value of {} must be text, not {}", e.key, value.kind()))
                .in_part(&e.node)),
        })
        .collect()
}
