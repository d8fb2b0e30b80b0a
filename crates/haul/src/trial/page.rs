//! `haul try URL` and `haul try FILE`: what is there, and which commands could work on it.

use std::path::Path;
use std::time::Instant;

use clap::CommandFactory;
use haul_connect::assemble::{AssembleContext, assemble};
use haul_connect::http::{
    BodyUse, Call, Client, ClientOptions, HeaderLines, Method, RequestHeaders, StatusRules, Url,
};
use haul_core::cx::RunKey;
use haul_core::job::{Given, RowFormat, parse};
use haul_core::{Budget, Cx, Fault, Lanes, Opener, limits};
use haul_engine::TokioClock;
use serde_json::{Map, Value};

use super::advice::columns;
use super::lanes::FreeLanes;
use crate::drive::Problem;
use crate::lower::format_of;
use crate::{exit, format, output, runs};

/// Characters shown of what is there.
const SHOWN: usize = 400;
/// Rows looked at.
const ROWS: usize = 5;
/// How deep a list of items is looked for.
const DEPTH: usize = 3;

/// Looks at a URL or a file; shows what is there and what could be typed. The exit status is given.
pub fn look(what: &str) -> Result<u8, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Problem::Start(format!("the asynchronous runtime does not start: {e}")))?;
    let is_url = what.starts_with("http://") || what.starts_with("https://");
    let good = match (is_url, format_of(what)) {
        (true, None) => runtime.block_on(url(what))?,
        (_, format) => runtime.block_on(rows(what, format.unwrap_or(RowFormat::Csv)))?,
    };
    runtime.shutdown_background();
    Ok(if good { exit::DONE } else { exit::OPEN })
}

async fn url(text: &str) -> Result<bool, Problem> {
    let url = Url::parse(text).map_err(|e| Problem::Start(e.to_string()))?;
    let client = Client::new(ClientOptions::default());
    let (lanes, clock) = (FreeLanes::default(), TokioClock::new());
    let (budget, run) = (Budget::new(limits::MEMORY_DEFAULT), RunKey([0; 16]));
    let cx = Cx { lanes: &lanes, clock: &clock, budget: &budget, run: &run };
    let none = HeaderLines::new();
    let own = HeaderLines::standard("application/json, */*", &none);
    let call = Call {
        method: Method::Get,
        url: &url,
        headers: RequestHeaders { own: &own, idempotency: None, configured: &none, secret: &none },
        body: None,
        body_use: BodyUse::Keep,
        timeout: std::time::Duration::from_secs(60),
    };
    let began = Instant::now();
    let lane = lanes.lane(&url.origin(&"".into()));
    let reply = client.send(&call, lane, &StatusRules::default(), &cx).await.map_err(|e| match e.code() {
        "connect" => {
            Problem::Start(format!("{e}\n  hint: is the service running, and is that its host and port?"))
        }
        _ => e.into(),
    })?;
    let word = haul_connect::http::reason(reply.status);
    let (time, size) = (began.elapsed().as_micros() as u64, reply.body.len() as u64);
    output::line(&format!(
        "GET {url}  {} {word}  {}  {}",
        reply.status,
        format::micros(time),
        format::bytes(size)
    ));
    output::line(&format!("  {}", format::plain(&String::from_utf8_lossy(&reply.body), SHOWN)));
    let advice = match reply.status {
        401 | 403 => vec![format!(
            "haul try enrich - --lookup thing='{text}' -H 'thing=Authorization: Bearer {{env:TOKEN}}'   access is refused; TOKEN is a variable of yours"
        )],
        200..300 if reply.looks_like_html() => {
            vec!["another URL: this is a page for people; look for the service's API".to_owned()]
        }
        200..300 => match serde_json::from_slice::<Value>(&reply.body) {
            Ok(value) => commands(text, &value),
            Err(_) => vec![format!("haul try enrich '{text}' --jsonl   (or --csv) if these are rows")],
        },
        _ => vec!["another URL: this one has nothing to work on".to_owned()],
    };
    tell(&advice);
    Ok((200..300).contains(&reply.status))
}

fn tell(advice: &[String]) {
    for line in advice {
        output::line(&format!("  try: {line}"));
    }
}

/// What could be typed for a JSON document at a URL; only verbs that there are.
fn commands(url: &str, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    if let Some((path, items)) = items(value) {
        match paging(url, value) {
            Some((base, flags)) if has_verb("crawl") => {
                out.push(format!("haul try crawl '{base}' --items {path} {flags} --to rows.jsonl"));
            }
            _ => out.push(format!(
                "haul enrich …   one page of {} items at {path}; save them as JSON Lines",
                items
            )),
        }
        return out;
    }
    if let Some(member) = links(value).filter(|_| has_verb("get")) {
        out.push(format!("haul try get '{url}' --url {member} --to DIR"));
        return out;
    }
    let (pattern, field) = pattern(url);
    let name = name(url);
    let inner = value.as_object().and_then(|o| o.iter().find(|(_, v)| v.is_object()).map(|(k, _)| k));
    let take = inner.map_or(String::new(), |inner| format!(" --take {name}=.{inner}"));
    out.push(format!(
        "haul try enrich {field}s.csv --columns {field} --lookup {name}='{pattern}'{take} --to out.jsonl   one request for each {field} in {field}s.csv, a file with one a line"
    ));
    out
}

fn has_verb(name: &str) -> bool {
    crate::cli::Cli::command().find_subcommand(name).is_some()
}

/// The first list of objects, as a path, and how many it has.
fn items(value: &Value) -> Option<(String, usize)> {
    fn find(value: &Value, path: &str, depth: usize) -> Option<(String, usize)> {
        match value {
            Value::Array(list) if list.iter().any(Value::is_object) => {
                Some((if path.is_empty() { ".[]".to_owned() } else { format!("{path}[]") }, list.len()))
            }
            Value::Object(members) if depth > 0 => {
                members.iter().find_map(|(name, v)| find(v, &format!("{path}.{name}"), depth - 1))
            }
            _ => None,
        }
    }
    find(value, "", DEPTH)
}

/// How the next page is asked for: the URL without that parameter, and the flags.
fn paging(url: &str, value: &Value) -> Option<(String, String)> {
    let mut found = Vec::new();
    scalars(value, "", DEPTH, &mut found);
    let next = found.iter().find(|(name, _, v)| is_next(name) && !v.is_boolean());
    let asked = |names: &[&str]| {
        let query = url.split_once('?').map_or("", |(_, q)| q);
        query.split('&').filter_map(|p| p.split('=').next()).find(|p| names.contains(p)).map(str::to_owned)
    };
    if let Some((name, path, value)) = next {
        let text = value.as_str().unwrap_or_default();
        if text.starts_with("http") || text.starts_with('/') {
            return Some((url.to_owned(), format!("--next-url {path}")));
        }
        let word = name.trim_start_matches("next").trim_start_matches('_').to_lowercase();
        let word = if word.is_empty() { "cursor".to_owned() } else { word };
        let param =
            asked(&[&word, "offset", "cursor", "after", "start", "page_token"]).unwrap_or(word.clone());
        let flag = if value.is_number() || word == "offset" || value.is_null() && param == "offset" {
            "offset"
        } else {
            "cursor"
        };
        return Some((without(url, &param), format!("--{flag} {param} --next {path}")));
    }
    let page = found.iter().any(|(name, ..)| matches!(name.as_str(), "page" | "pages" | "total_pages"));
    let param = asked(&["page", "p"]).or_else(|| page.then(|| "page".to_owned()))?;
    Some((without(url, &param), format!("--page {param}")))
}

fn is_next(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("next") || matches!(name.as_str(), "cursor" | "continuation" | "continue")
}

/// Members that are no list and no object: name, path, value.
fn scalars(value: &Value, path: &str, depth: usize, out: &mut Vec<(String, String, Value)>) {
    let Value::Object(members) = value else { return };
    for (name, v) in members {
        let path = format!("{path}.{name}");
        match v {
            Value::Object(_) if depth > 0 => scalars(v, &path, depth - 1, out),
            Value::Object(_) | Value::Array(_) => {}
            v => out.push((name.clone(), path, v.clone())),
        }
    }
}

/// The URL without a parameter.
fn without(url: &str, param: &str) -> String {
    let Some((base, query)) = url.split_once('?') else { return url.to_owned() };
    let rest: Vec<&str> = query.split('&').filter(|p| p.split('=').next() != Some(param)).collect();
    if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) }
}

/// In an object of objects, the path to a member that is a URL.
fn links(value: &Value) -> Option<String> {
    let first = value.as_object()?.values().next()?;
    let mut found = Vec::new();
    scalars(first, "", DEPTH, &mut found);
    let link = |v: &Value| v.as_str().is_some_and(|t| t.starts_with("http://") || t.starts_with("https://"));
    found.into_iter().find(|(_, _, v)| link(v)).map(|(name, path, _)| format!("{name}={path}"))
}

/// The URL with its last number as a field, and what to call that.
fn pattern(url: &str) -> (String, String) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let path = url[start..].find('/').map_or(url.len(), |at| start + at);
    let is_id = |s: &&str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = url[path..].split(['/', '=', '&', '?']).collect();
    match parts.iter().rev().find(|s| is_id(s)) {
        Some(id) => {
            let at = url.rfind(id).unwrap_or(url.len());
            (format!("{}{{id}}{}", &url[..at], &url[at + id.len()..]), "id".to_owned())
        }
        None => (format!("{}/{{id}}", url.trim_end_matches('/')), "id".to_owned()),
    }
}

/// What to call what is looked up.
fn name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    let words = rest.split(['/', '?']).skip(1).filter(|w| crate::lower::is_name(w));
    let last = words.last().unwrap_or("thing");
    last.strip_suffix('s').filter(|w| w.len() > 1).unwrap_or(last).to_owned()
}

/// The first rows of a file, and what to type for them.
async fn rows(name: &str, kind: RowFormat) -> Result<bool, Problem> {
    let word = kind.as_str();
    // A source and a place to put it: the least that is a job.
    let text = format!("haul = 1\n[source]\n{word} = {name:?}\n[output]\njsonl = \"-\"\n");
    let given = Given { text: &text, name: "try", profile: None, set: &[] };
    let job = parse(&given).map_err(|found| {
        let why = found.first().map_or(String::new(), |d| d.message.clone());
        Problem::Start(format!("{name}: {why}"))
    })?;
    let context =
        AssembleContext { base: runs::working_directory(), output: None, ..AssembleContext::default() };
    let live = assemble(&job.job, &context)?;
    let records = first_records(&*live.opener).await?;
    for record in &records {
        output::line(&format!("  {}", format::plain(&Value::from(record.clone()).to_string(), SHOWN)));
    }
    let Some(first) = records.first() else {
        output::complain(&format!("{name} has no rows"));
        return Ok(false);
    };
    let field = first.keys().next().cloned().unwrap_or_else(|| "id".to_owned());
    let columns = match kind {
        RowFormat::Jsonl => String::new(),
        _ => columns(&records).map_or(String::new(), |c| format!(" --columns {c}")),
    };
    tell(&[format!(
        "haul try enrich {name}{columns} --lookup thing='https://HOST/things/{{{field}}}' --to out.jsonl"
    )]);
    Ok(true)
}

async fn first_records(opener: &dyn Opener) -> Result<Vec<Map<String, Value>>, Fault> {
    let (lanes, clock) = (FreeLanes::default(), TokioClock::new());
    let (budget, run) = (Budget::new(limits::MEMORY_DEFAULT), RunKey([0; 16]));
    let cx = Cx { lanes: &lanes, clock: &clock, budget: &budget, run: &run };
    let mut records = Vec::new();
    for slice in opener.slices() {
        let mut source = opener.open(&slice, None, &cx).await?;
        while let Some(page) = source.next_page(&cx).await? {
            for record in page.items.into_iter().filter_map(|i| i.record.ok()) {
                records.extend(serde_json::from_slice(record.base()).ok());
                if records.len() == ROWS {
                    return Ok(records);
                }
            }
        }
    }
    Ok(records)
}

/// Whether a word names something to look at rather than a job file.
pub fn is_input(word: &str) -> bool {
    word.contains("://")
        || format_of(word).is_some() && Path::new(word).extension().is_none_or(|e| e != "toml")
}

/// Whether a word looks like a URL without its scheme: `localhost:8000/users/1`, `example.org/items`.
pub fn is_address(word: &str) -> bool {
    let host = word.split('/').next().unwrap_or_default();
    let port =
        host.rsplit_once(':').is_some_and(|(_, p)| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    (port || word.contains('/') && host.contains('.') && !host.starts_with('.')) && !Path::new(word).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn paging_is_recognised() {
        let page = |url: &str, text: &str| paging(url, &value(text));
        assert_eq!(
            page("http://h/f?offset=5&limit=9", r#"{"meta":{"next_offset":9},"response":[{"id":1}]}"#),
            Some(("http://h/f?limit=9".into(), "--offset offset --next .meta.next_offset".into()))
        );
        assert_eq!(
            page("http://h/f", r#"{"items":[{}],"next_cursor":"abc"}"#),
            Some(("http://h/f".into(), "--cursor cursor --next .next_cursor".into()))
        );
        assert_eq!(
            page("http://h/f", r#"{"items":[{}],"next":"http://h/f?p=2"}"#),
            Some(("http://h/f".into(), "--next-url .next".into()))
        );
        assert_eq!(
            page("http://h/f?page=1", r#"{"items":[{}]}"#),
            Some(("http://h/f".into(), "--page page".into()))
        );
        assert_eq!(page("http://h/f", r#"{"items":[{}]}"#), None);
    }

    #[test]
    fn lists_of_items_are_found_by_their_path() {
        assert_eq!(
            items(&value(r#"{"meta":{"a":[1]},"response":[{"id":1},{}]}"#)),
            Some((".response[]".into(), 2))
        );
        assert_eq!(items(&value(r#"[{"id":1}]"#)), Some((".[]".into(), 1)));
        assert_eq!(items(&value(r#"{"data":{"id":1}}"#)), None);
    }

    #[test]
    fn an_id_in_a_url_becomes_a_field() {
        assert_eq!(pattern("http://h:8000/users/42").0, "http://h:8000/users/{id}");
        assert_eq!(pattern("http://h/q?user=7&x=y").0, "http://h/q?user={id}&x=y");
        assert_eq!(pattern("http://h:80/users").0, "http://h:80/users/{id}");
        assert_eq!(name("http://h:8000/users/42"), "user");
        assert_eq!(
            links(&value(r#"{"a":{"id":1,"download_urls":{"mp4":"http://x/y"}}}"#)).unwrap(),
            "mp4=.download_urls.mp4"
        );
    }
}
