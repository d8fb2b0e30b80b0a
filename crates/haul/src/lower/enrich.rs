//! `haul enrich` as a job.

use haul_core::job::{
    Delivery, Diagnostic, Job, LimitsSpec, OnStatus, Place, Places, RetrySpec, StatusSet, StepKind, StepSpec,
    nearest, parse_action, parse_status, where_step,
};

use super::output::output;
use super::service::{Services, is_name};
use super::source::source;
use super::{Problems, Said, header, pace};
use crate::verbs::enrich::EnrichArgs;

/// What the flags of `haul enrich` mean.
pub fn enrich(args: &EnrichArgs) -> Result<Said, Vec<Diagnostic>> {
    let mut out = Problems::default();
    let mut places = Places::default();
    let mut services = Services::default();
    let source = source(&args.input, &args.source, &mut places);
    let mut steps: Vec<StepSpec> = Vec::new();
    if let Some(expr) = &args.source.filter {
        places.note("step.where", Place::Argument(format!("--where {expr}")));
        steps.push(where_step(expr));
    }
    lookups(args, &mut steps, &mut services, &mut places, &mut out);
    if let Some(url) = &args.post {
        steps.push(post(url, args, &steps, &mut services, &mut places));
    }
    on(&args.on, &mut steps, &mut places, &mut out);
    expect(&args.expect, &mut steps, &mut places, &mut out);
    let secrets = header::headers(&args.header, &mut services, &mut out);
    let output = args.to.as_ref().map(|path| output(path, args.row.as_ref(), &mut places, &mut out));
    if args.lookup.is_empty() && args.post.is_none() && args.to.is_none() {
        out.add(
            "haul enrich",
            "there is nothing to do with the items",
            "add --lookup NAME=URL, and --post URL or --to FILE",
        );
    } else if args.post.is_none() && args.to.is_none() {
        out.add("haul enrich", "what was looked up goes nowhere", "add --post URL or --to FILE");
    }
    let mut job = Job {
        verb: "enrich".to_owned(),
        source,
        services: services.into_inner(),
        stores: std::collections::BTreeMap::new(),
        secrets,
        steps,
        aggregates: Vec::new(),
        output,
        retry: RetrySpec::default(),
        limits: LimitsSpec::default(),
        delivery: Delivery::default(),
    };
    pace::overlay(&mut job, (&args.pace, &args.read, args.exists), &mut places, &mut out);
    out.finish(&job, &places)?;
    Ok(Said { job, places })
}

fn lookups(
    args: &EnrichArgs,
    steps: &mut Vec<StepSpec>,
    services: &mut Services,
    places: &mut Places,
    out: &mut Problems,
) {
    for said in &args.lookup {
        let flag = format!("--lookup {said}");
        let Some((name, url)) = said.split_once('=').filter(|(name, _)| is_name(name)) else {
            let hint = "write it like --lookup user='http://localhost:8000/users/{user_id}'";
            out.url(flag, "a lookup is NAME=URL", hint);
            continue;
        };
        if steps.iter().any(|s| s.name == name) {
            out.url(flag, format!("two steps are named \"{name}\""), "give each lookup a name of its own");
            continue;
        }
        let place = Place::Argument(flag);
        let url = services.take(url, name, &place, places);
        places.note(format!("step.{name}"), place);
        steps.push(StepSpec::new(name, StepKind::Get { url, take: None, cache: None }));
    }
    for said in &args.take {
        let flag = format!("--take {said}");
        let Some((name, expr)) = said.split_once('=').filter(|(name, _)| is_name(name)) else {
            out.add(flag, "it is NAME=EXPR", "write it like --take user='.data'");
            continue;
        };
        places.note(format!("step.{name}.take"), Place::Argument(flag.clone()));
        match find(steps, name).map(|s| &mut s.kind) {
            Some(StepKind::Get { take: Some(_), .. }) => {
                out.add(flag, format!("there is a --take for \"{name}\" already"), "");
            }
            Some(StepKind::Get { take, .. }) => *take = Some(expr.to_owned()),
            _ => out.add(flag, format!("no lookup is named \"{name}\""), known(steps, name, true)),
        }
    }
}

fn post(
    url: &str,
    args: &EnrichArgs,
    steps: &[StepSpec],
    services: &mut Services,
    places: &mut Places,
) -> StepSpec {
    let place = Place::Argument(format!("--post {url}"));
    let free = |name: &str| !steps.iter().any(|s| s.name == name);
    let word =
        url.split(['?', '#']).next().and_then(|path| path.split("://").nth(1)?.split('/').skip(1).last());
    let name = word.filter(|w| is_name(w) && free(w)).unwrap_or("post").to_owned();
    let url = services.take(url, &name, &place, places);
    places.note(format!("step.{name}"), place);
    if let Some(body) = &args.body {
        places.note(format!("step.{name}.body"), Place::Argument(format!("--body {body}")));
    }
    StepSpec::new(name, StepKind::Post { url, body: args.body.clone(), put: false, batch: None, gzip: false })
}

fn find<'s>(steps: &'s mut [StepSpec], name: &str) -> Option<&'s mut StepSpec> {
    steps.iter_mut().find(|s| s.name == name)
}

/// The steps that may have been meant.
fn known(steps: &[StepSpec], name: &str, lookups: bool) -> String {
    let names: Vec<&str> = steps
        .iter()
        .filter(|s| {
            matches!(s.kind, StepKind::Get { .. }) || !lookups && matches!(s.kind, StepKind::Post { .. })
        })
        .map(|s| s.name.as_str())
        .collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => "add --lookup NAME=URL".to_owned(),
        None => format!("there are: {}", names.join(", ")),
    }
}

/// `[STEP:]STATUS=ACTION`; without a step, every step that sends requests, but for what only a lookup
/// can mean: a result that is null, and an item that needs nothing because what it names is not there. A
/// write that was answered with 404 did not happen.
fn on(said: &[String], steps: &mut [StepSpec], places: &mut Places, out: &mut Problems) {
    for text in said {
        let flag = format!("--on {text}");
        let (step, set, action) = match on_rule(text) {
            Ok(rule) => rule,
            Err(message) => {
                out.add(flag, message, "write it like --on video:404=skip or --on 409=done");
                continue;
            }
        };
        if let Some(name) = step
            && !steps.iter().any(|s| s.name == name)
        {
            out.add(flag, format!("no step is named \"{name}\""), known(steps, name, false));
            continue;
        }
        let mut covers = false;
        for s in steps.iter_mut() {
            let lookup = matches!(s.kind, StepKind::Get { .. });
            let meant = match step {
                Some(name) => s.name == name,
                None if matches!(action, OnStatus::Null | OnStatus::Skip) => lookup,
                None => lookup || matches!(s.kind, StepKind::Post { .. }),
            };
            if meant {
                covers = true;
                s.on.retain(|(old, _)| *old != set);
                s.on.push((set, action));
                s.on.sort_by_key(|(set, _)| *set);
                places.note(format!("step.{}.on", s.name), Place::Argument(flag.clone()));
            }
        }
        if !covers {
            let hint = format!("name the step it is about: --on STEP:{text}");
            out.add(flag, "there is no lookup it could be about", hint);
        }
    }
}

pub(super) fn on_rule(text: &str) -> Result<(Option<&str>, StatusSet, OnStatus), String> {
    let (left, action) = text.rsplit_once('=').ok_or("it does not say what the status means")?;
    let (step, status) = match left.rsplit_once(':') {
        Some((step, status)) => (Some(step), status),
        None => (None, left),
    };
    Ok((step, parse_status(status)?, parse_action(action)?))
}

/// `[STEP:]STATUS,…`; without a step, the post.
fn expect(said: &[String], steps: &mut [StepSpec], places: &mut Places, out: &mut Problems) {
    for text in said {
        let flag = format!("--expect {text}");
        let (step, statuses) = match text.rsplit_once(':') {
            Some((step, statuses)) => (Some(step), statuses),
            None => (None, text.as_str()),
        };
        let sets = match statuses.split(',').map(|s| parse_status(s.trim())).collect::<Result<Vec<_>, _>>() {
            Ok(sets) => sets,
            Err(message) => {
                out.add(flag, message, "write it like --expect 201 or --expect 200,201,2xx");
                continue;
            }
        };
        let hint = step.map_or("name a lookup: --expect user:200".to_owned(), |n| known(steps, n, false));
        let found = steps.iter_mut().find(|s| match step {
            Some(name) => s.name == name,
            None => matches!(s.kind, StepKind::Post { .. }),
        });
        match (found, step) {
            (Some(s), _) => {
                s.expect.extend(sets);
                s.expect.sort();
                s.expect.dedup();
                places.note(format!("step.{}.expect", s.name), Place::Argument(flag));
            }
            (None, Some(name)) => out.add(flag, format!("no step is named \"{name}\""), hint),
            (None, None) => out.add(flag, "there is no --post it could be about", hint),
        }
    }
}
