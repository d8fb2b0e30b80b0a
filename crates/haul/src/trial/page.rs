//! `haul try URL` and `haul try FILE`: what is there, and which commands could work on it.

use std::path::Path;
use std::time::Instant;

use haul_connect::assemble::{AssembleContext, assemble};
use haul_connect::http::{
    BodyUse, Call, Client, ClientOptions, HeaderLines, Method, RequestHeaders, StatusRules, Url,
};
use haul_connect::secrets::Credential;
use haul_core::cx::{NoMemo, RunKey};
use haul_core::job::{Given, RowFormat, parse};
use haul_core::{Budget, Cx, Fault, Lanes, Opener, limits};
use haul_engine::TokioClock;
use serde_json::{Map, Value};

use super::advice::columns;
use super::document::commands;
use super::lanes::FreeLanes;
use crate::drive::Problem;
use crate::lower::{UrlHeaders, format_of};
use crate::{exit, format, output, runs};

/// Characters shown of what is there.
const SHOWN: usize = 400;
/// Rows looked at.
const ROWS: usize = 5;
/// Bytes of a file that may be one JSON document.
const DOCUMENT: u64 = 8 * 1024 * 1024;

/// Looks at a URL or a file; shows what is there and what could be typed. The exit status is given.
pub fn look(what: &str, headers: &UrlHeaders) -> Result<u8, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Problem::Start(format!("the asynchronous runtime does not start: {e}")))?;
    let is_url = what.starts_with("http://") || what.starts_with("https://");
    if let Some(value) = (!is_url).then(|| document(what)).flatten() {
        output::line(&format!("  {}", format::plain(&value.to_string(), SHOWN)));
        tell(&commands(what, None, &value));
        return Ok(exit::DONE);
    }
    let good = match (is_url, format_of(what)) {
        (true, None) => runtime.block_on(url(what, headers))?,
        (_, Some(format)) => runtime.block_on(rows(what, format))?,
        (false, None) => match content(what)? {
            Content::Scores => {
                tell(&[format!("haul top {what} 10   the highest scores")]);
                true
            }
            Content::Rows(format) => runtime.block_on(rows(what, format))?,
        },
    };
    runtime.shutdown_background();
    Ok(if good { exit::DONE } else { exit::OPEN })
}

/// A `.json` file that is one document, and no larger than is read for a look.
fn document(name: &str) -> Option<Value> {
    let path = Path::new(name);
    let small = path.extension()?.eq_ignore_ascii_case("json") && path.metadata().ok()?.len() <= DOCUMENT;
    serde_json::from_slice(&std::fs::read(path).ok().filter(|_| small)?).ok()
}

/// What a file without a telling name holds.
enum Content {
    /// `SCORE: {…}` lines.
    Scores,
    /// Items.
    Rows(RowFormat),
}

/// Judges by the first line.
fn content(name: &str) -> Result<Content, Problem> {
    use std::io::{BufRead, Read};
    let told = |e: std::io::Error| Problem::Start(format!("{name}: {e}"));
    let file = std::fs::File::open(name).map_err(told)?;
    let mut line = Vec::new();
    std::io::BufReader::new(file.take(DOCUMENT)).read_until(b'\n', &mut line).map_err(told)?;
    let line = String::from_utf8_lossy(&line);
    let line = line.trim();
    let score = line.split_once(':').is_some_and(|(score, rest)| {
        score.trim().parse::<f64>().is_ok() && rest.trim_start().starts_with('{')
    });
    Ok(match line {
        _ if score => Content::Scores,
        _ if line.starts_with("http://") || line.starts_with("https://") => Content::Rows(RowFormat::Urls),
        _ if line.starts_with('{') => Content::Rows(RowFormat::Jsonl),
        _ if line.contains('\t') => Content::Rows(RowFormat::Tsv),
        _ => Content::Rows(RowFormat::Csv),
    })
}

async fn url(text: &str, headers: &UrlHeaders) -> Result<bool, Problem> {
    let url = Url::parse(text).map_err(|e| Problem::Start(e.to_string()))?;
    let client = Client::new(ClientOptions::default());
    let (lanes, clock) = (FreeLanes::default(), TokioClock::new());
    let (budget, run) = (Budget::new(limits::MEMORY_DEFAULT), RunKey([0; 16]));
    let cx = Cx { lanes: &lanes, clock: &clock, budget: &budget, run: &run, memo: &NoMemo };
    let mut plain = HeaderLines::new();
    for (name, value) in &headers.plain {
        plain.push(name, value).map_err(|e| Problem::Start(e.to_string()))?;
    }
    let secret = Credential::new(headers.secrets.clone()).lines().await?;
    let own = HeaderLines::standard("application/json, */*", &plain);
    let call = Call {
        method: Method::Get,
        url: &url,
        headers: RequestHeaders { own: &own, idempotency: None, configured: &plain, secret: &secret },
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
        401 | 403 if !headers.secrets.is_empty() => {
            vec![format!("another value for the header: access is refused with it ({})", reply.status)]
        }
        401 | 403 => vec![format!(
            "haul try '{text}' -H 'Authorization: Bearer {{env:TOKEN}}'   access is refused; TOKEN is a variable of yours"
        )],
        200..300 if reply.looks_like_html() => {
            vec!["another URL: this is a page for people; look for the service's API".to_owned()]
        }
        200..300 => match serde_json::from_slice::<Value>(&reply.body) {
            Ok(value) => with_headers(commands(text, reply.link.as_deref(), &value), &headers.said),
            Err(_) if reply.body.contains(&0) || std::str::from_utf8(&reply.body).is_err() => {
                vec!["haul get urls.txt --to files   this is a file; urls.txt has one URL a line".to_owned()]
            }
            Err(_) => vec![format!("haul try enrich '{text}' --jsonl   (or --csv) if these are rows")],
        },
        429 | 500.. => vec!["again: the service has a problem of its own at the moment".to_owned()],
        _ => vec!["another URL: this one has nothing to work on".to_owned()],
    };
    tell(&advice);
    Ok((200..300).contains(&reply.status))
}

/// The same commands with the headers that were said; not where there is another host to be filled in.
fn with_headers(lines: Vec<String>, said: &[String]) -> Vec<String> {
    let flags: String = said.iter().map(|header| format!(" -H '{header}'")).collect();
    let with = |line: String| match line.split_once("   ") {
        _ if line.contains("https://HOST") => line,
        Some((command, why)) => format!("{command}{flags}   {why}"),
        None => line + &flags,
    };
    lines.into_iter().map(with).collect()
}

fn tell(advice: &[String]) {
    for line in advice {
        output::line(&format!("  try: {line}"));
    }
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
    // Formats that the name does not tell.
    let flag = match kind {
        _ if format_of(name).is_some() => "",
        RowFormat::Urls => {
            tell(&[format!("haul try get {name} --to files")]);
            return Ok(true);
        }
        RowFormat::Jsonl => " --jsonl",
        RowFormat::Tsv => " --tsv",
        _ => " --csv",
    };
    tell(&[format!(
        "haul try enrich {name}{flag}{columns} --lookup thing='https://HOST/things/{{{field}}}' --to out.jsonl"
    )]);
    Ok(true)
}

async fn first_records(opener: &dyn Opener) -> Result<Vec<Map<String, Value>>, Fault> {
    let (lanes, clock) = (FreeLanes::default(), TokioClock::new());
    let (budget, run) = (Budget::new(limits::MEMORY_DEFAULT), RunKey([0; 16]));
    let cx = Cx { lanes: &lanes, clock: &clock, budget: &budget, run: &run, memo: &NoMemo };
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
    let path = Path::new(word);
    word.contains("://")
        || path.extension().is_none_or(|e| e != "toml") && (format_of(word).is_some() || path.is_file())
}

/// Whether a word looks like a URL without its scheme: `localhost:8000/users/1`, `example.org/items`.
pub fn is_address(word: &str) -> bool {
    let host = word.split('/').next().unwrap_or_default();
    let port =
        host.rsplit_once(':').is_some_and(|(_, p)| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    (port || word.contains('/') && host.contains('.') && !host.starts_with('.')) && !Path::new(word).exists()
}
