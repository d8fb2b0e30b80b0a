//! `haul copy` as a job.

use std::collections::BTreeMap;

use haul_core::job::units::{format_duration, format_size};
use haul_core::job::{
    Delivery, Diagnostic, IfExists, Job, LimitsSpec, OutputSpec, Place, PlaceText, Places, RetrySpec,
    RowFormat, SourceSpec, StepKind, StepSpec, StoreSpec, nearest, parse_place, where_step,
};

use super::{Problems, Said, pace};
use crate::flags::ChosenFlags;
use crate::stores;
use crate::verbs::copy::CopyArgs;

/// What a receipt says.
const RECEIPT: &str =
    "{from: .key, to: .copy.key, bytes: .copy.bytes, etag: .copy.etag, verified: .copy.verified}";

/// What the flags of `haul copy` mean, with the stores that have names.
pub fn copy(args: &CopyArgs, known: &BTreeMap<String, StoreSpec>) -> Result<Said, Vec<Diagnostic>> {
    let mut out = Problems::default();
    let mut places = Places::default();
    let mut used = BTreeMap::new();
    for (text, path) in [(&args.from, "source.keys"), (&args.to, "step.copy.copy")] {
        places.note(path, Place::Argument(text.clone()));
        match parse_place(text) {
            Err(message) => out.add(text, message, ""),
            Ok(PlaceText::Directory(_)) => {}
            Ok(PlaceText::Bucket { store: name, .. }) => match stores::find(name, known) {
                Some(spec) => _ = used.insert(name.to_owned(), spec),
                None => unknown(text, name, known, &mut out),
            },
        }
    }
    if stores::is_environments_twice(&args.from, &args.to, known) {
        let hint = format!("give both names in {}", stores::file());
        out.add(&args.to, "the endpoint of the environment is that of one store, and not of both ends", hint);
    }
    let mut steps = Vec::new();
    if let Some(expr) = &args.filter {
        places.note("step.where", Place::Argument(format!("--where {expr}")));
        steps.push(where_step(expr));
    }
    steps.extend(chosen(&args.chosen, &mut places, &mut out));
    if !args.expect.is_empty() {
        places.note("step.copy.type", Place::Argument(format!("--expect {}", args.expect.join(","))));
    }
    let copy = StepKind::Copy { to: args.to.clone(), types: args.expect.clone() };
    steps.push(StepSpec::new("copy", copy));
    let receipts = args.receipts.as_ref().map(|path| {
        places.note("output", Place::Argument(format!("--receipts {path}")));
        let (row, exists) = (Some(RECEIPT.to_owned()), IfExists::default());
        OutputSpec { format: RowFormat::Jsonl, path: path.clone(), row, exists }
    });
    let mut job = Job {
        verb: "copy".to_owned(),
        source: SourceSpec::new(RowFormat::Keys, args.from.clone()),
        services: BTreeMap::new(),
        stores: used,
        secrets: BTreeMap::new(),
        steps,
        aggregates: Vec::new(),
        output: receipts,
        retry: RetrySpec::default(),
        limits: LimitsSpec::default(),
        delivery: Delivery::default(),
    };
    pace::overlay(&mut job, (&args.pace, &args.read, args.exists), &mut places, &mut out);
    out.finish(&job, &places)?;
    Ok(Said { job, places })
}

/// A step that lets pass what is long and old enough, and not too long or too old.
fn chosen(flags: &ChosenFlags, places: &mut Places, out: &mut Problems) -> Option<StepSpec> {
    let (size, age) = ((flags.min_size, flags.max_size), (flags.min_age, flags.max_age));
    let mut said = Vec::new();
    let mut terms = Vec::new();
    for (flag, sign, bound) in [("min", ">=", size.0), ("max", "<=", size.1)] {
        let Some(bound) = bound else { continue };
        said.push(format!("--{flag}-size {}", format_size(bound)));
        terms.push(format!(".size {sign} {bound}"));
    }
    for (flag, sign, bound) in [("min", "<=", age.0), ("max", ">=", age.1)] {
        let Some(bound) = bound else { continue };
        said.push(format!("--{flag}-age {}", format_duration(bound)));
        terms.push(format!("(.modified | fromdateiso8601) {sign} now - {}", bound.as_secs_f64()));
    }
    let said = said.join(" ");
    if size.0.zip(size.1).is_some_and(|(least, most)| least > most)
        || age.0.zip(age.1).is_some_and(|(least, most)| least > most)
    {
        out.add(&said, "no object is like that", "the least is more than the most");
    }
    if terms.is_empty() {
        return None;
    }
    places.note("step.chosen", Place::Argument(said));
    Some(StepSpec::new("chosen", StepKind::Filter { expr: terms.join(" and ") }))
}

pub(super) fn unknown(text: &str, name: &str, known: &BTreeMap<String, StoreSpec>, out: &mut Problems) {
    let hint = match nearest(name, known.keys().map(String::as_str)) {
        Some(near) => format!("did you mean {near}:?"),
        None => {
            format!("add [{name}] to {}, with type = \"s3\" and endpoint or region", stores::file())
        }
    };
    out.add(text, format!("there is no store \"{name}\""), hint);
}
