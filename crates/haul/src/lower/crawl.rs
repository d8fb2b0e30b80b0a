//! `haul crawl` as a job.

use haul_core::job::{
    AggregateKind, AggregateSpec, Delivery, Diagnostic, IdRange, Job, LimitsSpec, PageSize, PagesSpec,
    Paging, Place, Places, RetrySpec, RowFormat, SourceSpec, where_step,
};
use haul_reduce::Path;

use super::output::output;
use super::service::{Services, is_name};
use super::{Problems, Said, header, pace};
use crate::verbs::crawl::CrawlArgs;

/// What the flags of `haul crawl` mean.
pub fn crawl(args: &CrawlArgs) -> Result<Said, Vec<Diagnostic>> {
    let mut out = Problems::default();
    let mut places = Places::default();
    let mut services = Services::default();
    let place = Place::Argument(args.url.clone());
    let location = services.take(&args.url, "pages", &place, &mut places);
    places.note("source", place.clone());
    places.note("source.get", place);
    let pages = pages(args, &mut places, &mut out);
    let mut aggregates = Vec::new();
    counted(args, &mut aggregates, &mut places, &mut out);
    let mut steps = Vec::new();
    if let Some(expr) = &args.filter {
        places.note("step.where", Place::Argument(format!("--where {expr}")));
        steps.push(where_step(expr));
    }
    if aggregates.is_empty() && args.to.is_none() {
        let hint = "add --count PATH, --top PATH, --stats PATH or --to FILE";
        out.add("haul crawl", "there is nothing to do with the records", hint);
    }
    let secrets = header::headers(&args.header, &mut services, &mut out);
    let output = args.to.as_ref().map(|path| output(path, args.row.as_ref(), &mut places, &mut out));
    let mut job = Job {
        verb: "crawl".to_owned(),
        source: SourceSpec { pages, ..SourceSpec::new(RowFormat::Jsonl, location) },
        services: services.into_inner(),
        stores: std::collections::BTreeMap::new(),
        secrets,
        steps,
        aggregates,
        output,
        retry: RetrySpec::default(),
        limits: LimitsSpec::default(),
        delivery: Delivery::default(),
    };
    pace::overlay(&mut job, (&args.pace, &args.read, args.exists), &mut places, &mut out);
    // A rate for every service is that of the one there is: it reads better beside its URL.
    if let (Some(service), Some(rate)) = (job.services.values_mut().next(), job.limits.rate) {
        service.rate.get_or_insert(rate);
        job.limits.rate = None;
    }
    out.finish(&job, &places)?;
    Ok(Said { job, places })
}

fn pages(args: &CrawlArgs, places: &mut Places, out: &mut Problems) -> Option<PagesSpec> {
    let mut note = |key: &str, flag: &str, value: &Option<String>| {
        if let Some(value) = value {
            places.note(format!("source.{key}"), Place::Argument(format!("--{flag} {value}")));
        }
    };
    note("items", "items", &args.items);
    note("next", "next", &args.next);
    note("next_url", "next-url", &args.next_url);
    note("id", "id", &args.id);
    note("range", "range", &args.range);
    if args.items.is_none() {
        out.add(
            "haul crawl",
            "it does not say where a page has its records",
            "add --items PATH, such as --items .data (--items . when the page is the list)",
        );
    }
    let paging = paging(args, out);
    let size = args.page_size.as_ref().and_then(|said| {
        let parsed = said.split_once('=').and_then(|(param, count)| {
            let count = count.parse().ok().filter(|n| *n > 0)?;
            (!param.is_empty()).then(|| PageSize { param: param.to_owned(), count })
        });
        if parsed.is_none() {
            out.add(format!("--page-size {said}"), "it is PARAM=N", "write it like --page-size limit=100");
        }
        parsed
    });
    let range = args.range.as_ref().and_then(|said| {
        let parsed = IdRange::parse(said);
        parsed.map_err(|message| out.add(format!("--range {said}"), message, "")).ok()
    });
    Some(PagesSpec { items: args.items.clone()?, paging: paging?, size, range, id: args.id.clone() })
}

/// Exactly one of the styles.
fn paging(args: &CrawlArgs, out: &mut Problems) -> Option<Paging> {
    let next = args.next.clone();
    let mut said: Vec<(&str, Option<Paging>)> = Vec::new();
    if let Some(param) = &args.offset {
        said.push(("--offset", Some(Paging::Offset { param: param.clone(), next: next.clone() })));
    }
    if let Some(param) = &args.page {
        said.push(("--page", Some(Paging::Page { param: param.clone() })));
    }
    if let Some(param) = &args.cursor {
        let cursor = next.clone().map(|next| Paging::Cursor { param: param.clone(), next });
        if cursor.is_none() {
            let hint = "add --next EXPR, such as --next .meta.next_cursor";
            out.add(format!("--cursor {param}"), "a cursor needs --next: where a page says it", hint);
        }
        said.push(("--cursor", cursor));
    }
    if let Some(path) = &args.next_url {
        said.push(("--next-url", Some(Paging::NextUrl { path: path.clone() })));
    }
    if args.link {
        said.push(("--link", Some(Paging::Link)));
    }
    match said.as_slice() {
        [] => {
            let hint = "add exactly one of --offset PARAM, --page PARAM, --cursor PARAM --next EXPR, --next-url EXPR, --link; haul try URL looks at a page and says which";
            out.add("haul crawl", "it does not say how pages follow each other", hint);
            None
        }
        [(flag, paging)] => {
            if next.is_some() && !matches!(*flag, "--offset" | "--cursor") {
                out.add(
                    format!("--next {}", next.unwrap_or_default()),
                    format!("{flag} needs no --next"),
                    "leave it out",
                );
            }
            paging.clone()
        }
        [(first, _), (second, _), ..] => {
            out.add(*second, format!("there is {first} already: pages follow each other in one way"), "");
            None
        }
    }
}

/// `--count`, `--top` and `--stats`, in this order.
fn counted(args: &CrawlArgs, all: &mut Vec<AggregateSpec>, places: &mut Places, out: &mut Problems) {
    type Make = fn(String, u64) -> AggregateKind;
    let id = args.id.clone();
    let kinds: [(&str, &Vec<String>, Make); 3] = [
        ("count", &args.count, |path, n| AggregateKind::Count { path, n }),
        ("top", &args.top, |path, n| AggregateKind::Top {
            path,
            id: AggregateSpec::ID.to_owned(),
            n,
            lowest: false,
        }),
        ("stats", &args.stats, |path, _| AggregateKind::Stats { path }),
    ];
    for (key, said, make) in kinds {
        for text in said {
            let flag = format!("--{key} {text}");
            let (path, n) = match sized(text).filter(|_| key != "stats") {
                Some((path, n)) => (path, n),
                None => (text.as_str(), AggregateSpec::N),
            };
            if let Err(e) = path.parse::<Path>() {
                out.add(flag, e.to_string(), "");
                continue;
            }
            if !(1..=AggregateSpec::N_MAX).contains(&n) {
                out.add(flag, format!("it is 1 to {} values", AggregateSpec::N_MAX), "");
                continue;
            }
            let mut kind = make(path.to_owned(), n);
            if let (AggregateKind::Top { id: named, .. }, Some(id)) = (&mut kind, &id) {
                named.clone_from(id);
            }
            let name = unused(path, all);
            places.note(format!("aggregate.{name}"), Place::Argument(flag));
            all.push(AggregateSpec { name, kind });
        }
    }
}

/// `PATH:K`; without a number there is none.
fn sized(text: &str) -> Option<(&str, u64)> {
    let (path, n) = text.rsplit_once(':')?;
    Some((path, n.parse().ok()?))
}

/// A name for the aggregate of a path: its last word.
fn unused(path: &str, all: &[AggregateSpec]) -> String {
    let word: String = path
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        .collect();
    let word = if is_name(&word) { word } else { "values".to_owned() };
    let mut name = word.clone();
    let mut n = 1;
    while all.iter().any(|a| a.name == name) {
        n += 1;
        name = format!("{word}{n}");
    }
    name
}
