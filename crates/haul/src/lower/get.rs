//! `haul get` as a job.

use std::collections::BTreeMap;

use haul_core::job::{
    Delivery, Diagnostic, DownloadSpec, FileSpec, Job, LimitsSpec, Place, PlaceText, Places, RetrySpec,
    RowFormat, StepKind, StepSpec, StoreSpec, nearest, parse_file, parse_place, where_step,
};

use super::enrich::on_rule;
use super::source::{format_of, source};
use super::{Problems, Said, pace};
use crate::flags::ExistsFlags;
use crate::stores;
use crate::verbs::get::GetArgs;

/// The name of the step.
const STEP: &str = "get";

/// What the flags of `haul get` mean.
pub fn get(args: &GetArgs) -> Result<Said, Vec<Diagnostic>> {
    let mut out = Problems::default();
    let mut places = Places::default();
    let mut source = source(&args.manifest, &args.source, &mut places);
    if !(args.source.csv || args.source.tsv || args.source.jsonl) {
        source.format = format(args);
        places.note(format!("source.{}", source.format.as_str()), Place::Argument(args.manifest.clone()));
    }
    let mut steps = Vec::new();
    if let Some(expr) = &args.source.filter {
        places.note("step.where", Place::Argument(format!("--where {expr}")));
        steps.push(where_step(expr));
    }
    steps.push(step(args, &mut places, &mut out));
    let mut job = Job {
        verb: "get".to_owned(),
        source,
        services: BTreeMap::new(),
        stores: stores_of(&args.to, &mut out),
        secrets: BTreeMap::new(),
        steps,
        aggregates: Vec::new(),
        output: None,
        retry: RetrySpec::default(),
        limits: LimitsSpec::default(),
        delivery: Delivery::default(),
    };
    job.limits.keep_free = args.keep_free.unwrap_or(job.limits.keep_free);
    job.limits.min_throughput = args.min_throughput.unwrap_or(job.limits.min_throughput);
    pace::overlay(&mut job, (&args.pace, &args.read, ExistsFlags::default()), &mut places, &mut out);
    out.finish(&job, &places)?;
    Ok(Said { job, places })
}

/// The store that files go to, if it is one.
fn stores_of(to: &str, out: &mut Problems) -> BTreeMap<String, StoreSpec> {
    let Ok(PlaceText::Bucket { store, .. }) = parse_place(to) else { return BTreeMap::new() };
    let flag = format!("--to {to}");
    match stores::load() {
        Ok(known) => match stores::find(store, &known) {
            Some(spec) => return BTreeMap::from([(store.to_owned(), spec)]),
            None => super::copy::unknown(&flag, store, &known, out),
        },
        Err(_) => out.add(flag, "the stores cannot be read", ""),
    }
    BTreeMap::new()
}

/// A `.json` file is a document here; what has no ending that says otherwise is a list of URLs, unless
/// it is said where in a record they are.
fn format(args: &GetArgs) -> RowFormat {
    let path = args.manifest.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let plain = path.strip_suffix(".gz").or_else(|| path.strip_suffix(".zst")).unwrap_or(&path);
    match format_of(&args.manifest) {
        _ if args.source.each.is_some() || plain.ends_with(".json") => RowFormat::Json,
        Some(format) => format,
        None if args.url.is_empty() => RowFormat::Urls,
        None => RowFormat::Json,
    }
}

fn step(args: &GetArgs, places: &mut Places, out: &mut Problems) -> StepSpec {
    let mut files = Vec::new();
    for said in &args.url {
        let flag = format!("--url {said}");
        match parse_file(said) {
            Ok((name, optional, path)) => files.push(FileSpec { name, path, optional, checksum: None }),
            Err(message) => out.add(&flag, message, ""),
        }
        places.note(format!("step.{STEP}.download"), Place::Argument(flag));
    }
    if args.url.is_empty() {
        files.push(FileSpec { name: None, path: ".url".to_owned(), optional: false, checksum: None });
    }
    for said in &args.checksum {
        checksum(said, &mut files, out);
        places.note(format!("step.{STEP}.checksum"), Place::Argument(format!("--checksum {said}")));
    }
    if let Some(template) = &args.template {
        places.note(format!("step.{STEP}.as"), Place::Argument(format!("--as {template}")));
    }
    places.note(format!("step.{STEP}.to"), Place::Argument(format!("--to {}", args.to)));
    let download =
        DownloadSpec { files, name: args.template.clone(), to: args.to.clone(), overwrite: args.overwrite };
    let mut step = StepSpec::new(STEP, StepKind::Download(download));
    for said in &args.on {
        let flag = format!("--on {said}");
        match on_rule(said) {
            Ok((None | Some(STEP), set, action)) => {
                step.on.retain(|(old, _)| *old != set);
                step.on.push((set, action));
                places.note(format!("step.{STEP}.on"), Place::Argument(flag));
            }
            Ok((Some(other), ..)) => {
                out.add(flag, format!("no step is named \"{other}\""), "leave the step out")
            }
            Err(message) => out.add(flag, message, "write it like --on 404=skip"),
        }
    }
    step.on.sort_by_key(|(set, _)| *set);
    step
}

fn checksum(said: &str, files: &mut [FileSpec], out: &mut Problems) {
    let flag = format!("--checksum {said}");
    let (name, path) = match parse_file(said) {
        Ok((name, _, path)) => (name, path),
        Err(_) => return out.add(flag, "it names no checksum", "write it like mp4=.sha256.mp4"),
    };
    let names: Vec<String> = files.iter().filter_map(|f| f.name.clone()).collect();
    match files.iter_mut().find(|f| f.name == name) {
        Some(file) => file.checksum = Some(path),
        None => {
            let name = name.unwrap_or_default();
            let hint = match nearest(&name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the files are: {}", names.join(", ")),
            };
            out.add(flag, format!("no --url is named \"{name}\""), hint);
        }
    }
}
