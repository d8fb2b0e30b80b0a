//! What could be better about a job, from what its first items showed.

use haul_core::job::{ColumnType, Job, RowFormat, StepKind, StepSpec, nearest};
use serde_json::{Map, Value};

use super::log::Outcome;
use super::{ItemTried, Tried, expression};
use crate::{format, typed};

/// Members that hold what a service really says.
const WRAPPERS: [&str; 7] = ["data", "result", "results", "response", "item", "payload", "value"];

/// Flags to add or to change, each as a person would type it, with the reason.
pub fn of_items(job: &Job, tried: &[ItemTried]) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(types(job, tried));
    for spec in &job.steps {
        let of_step: Vec<&Tried> =
            tried.iter().flat_map(|t| &t.steps).filter(|t| t.step == spec.name).collect();
        out.extend(access(job, spec, &of_step));
        out.extend(missing(spec, &of_step));
        out.extend(path(spec, &of_step));
    }
    if job.output.as_ref().is_some_and(|o| o.path == "-")
        && !job.steps.iter().any(|s| matches!(s.kind, StepKind::Post { .. }))
    {
        out.push(match &job.source.pages {
            Some(_) => format!("--to FILE (or --count PATH, --top PATH, --stats PATH)   {}", members(tried)),
            None => "--to FILE (or --post URL)   to keep what was looked up".to_owned(),
        });
    }
    out.dedup();
    out
}

/// What records have, as paths.
fn members(tried: &[ItemTried]) -> String {
    let first = tried.iter().find_map(|t| t.item.as_ref().ok());
    let record = first.and_then(|item| serde_json::from_slice::<Map<String, Value>>(item.record.base()).ok());
    let paths: Vec<String> = record.iter().flat_map(Map::keys).map(|name| format!(".{name}")).collect();
    match paths.is_empty() {
        true => "to keep or count the records".to_owned(),
        false => format!("records have {}", format::plain(&paths.join(", "), 200)),
    }
}

/// The whole command to type next: this one with the flags that were advised, or, when nothing is left to
/// advise or to repair, the verb itself. `words` are those of this command.
pub fn next(words: &[String], advice: &[String], failed: bool) -> Option<String> {
    let [program, _, rest @ ..] = words else { return None };
    // What has to be filled in first is no flag to add.
    let flag = |line: &String| {
        let said = line.split("   ").next()?;
        let (name, value) = said.strip_prefix('-').and_then(|_| said.split_once(' '))?;
        let open = ["FILE", "URL", "…", "{env:TOKEN}"].iter().any(|w| value.contains(w));
        (!open).then(|| (name.to_owned(), value.trim_matches('\'').to_owned()))
    };
    let flags: Vec<(String, String)> = advice.iter().filter_map(flag).collect();
    if flags.is_empty() {
        let kept: Vec<String> = rest.iter().filter(|word| *word != "--json").cloned().collect();
        let run = kept
            .first()
            .filter(|w| !["enrich", "crawl", "get"].contains(&w.as_str()))
            .map(|_| "run".to_owned());
        let whole: Vec<String> = [program.clone()].into_iter().chain(run).chain(kept).collect();
        return (!failed && advice.is_empty()).then(|| typed::line(&whole) + "   (for real)");
    }
    let mut all = vec![program.clone(), "try".to_owned()];
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        // Of columns there can be one list only.
        let columns = flags.iter().any(|(name, _)| name == "--columns");
        match word.as_str() {
            "--columns" if columns => drop(rest.next()),
            word if columns && word.starts_with("--columns=") => {}
            word => all.push(word.to_owned()),
        }
    }
    all.extend(flags.into_iter().flat_map(|(name, value)| [name, value]));
    Some(typed::line(&all))
}

/// Columns that hold numbers only.
fn types(job: &Job, tried: &[ItemTried]) -> Option<String> {
    let typed = job.source.columns.iter().any(|c| c.kind != ColumnType::Str);
    if job.source.format == RowFormat::Jsonl || typed {
        return None;
    }
    let records: Vec<Map<String, Value>> = tried
        .iter()
        .filter_map(|t| serde_json::from_slice(t.item.as_ref().ok()?.record.base()).ok())
        .collect();
    let columns = columns(&records)?;
    columns
        .contains(":int")
        .then(|| format!("--columns {columns}   numbers are text unless they have a type"))
}

/// `user_id:int,name`, from the first records of a CSV.
pub fn columns(records: &[Map<String, Value>]) -> Option<String> {
    let first = records.first()?;
    let is_int = |name: &str| {
        records.iter().all(|r| {
            r.get(name).and_then(Value::as_str).is_some_and(|v| {
                let digits = v.strip_prefix('-').unwrap_or(v);
                !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
            })
        })
    };
    let column = |name: &String| if is_int(name) { format!("{name}:int") } else { name.clone() };
    Some(first.keys().map(column).collect::<Vec<_>>().join(","))
}

fn statuses<'a>(of_step: &'a [&Tried]) -> impl Iterator<Item = u16> + 'a {
    of_step.iter().flat_map(|t| &t.requests).filter_map(|r| match r.outcome {
        Outcome::Answered { status, .. } => Some(status),
        _ => None,
    })
}

/// Credentials that are missing or wrong.
fn access(job: &Job, spec: &StepSpec, of_step: &[&Tried]) -> Option<String> {
    let status = statuses(of_step).find(|s| matches!(s, 401 | 403))?;
    let service = spec.service().unwrap_or("HOST");
    let auth = job.services.get(service).map(|s| s.auth.as_slice()).unwrap_or_default();
    Some(match auth {
        [] => format!(
            "-H '{service}=Authorization: Bearer {{env:TOKEN}}'   {} was refused ({status}); TOKEN is a variable of yours",
            spec.name
        ),
        names => format!(
            "another value for the secret {}   {} was refused with it ({status})",
            names.join(", "),
            spec.name
        ),
    })
}

/// Things that are not there.
fn missing(spec: &StepSpec, of_step: &[&Tried]) -> Option<String> {
    let all = statuses(of_step).count();
    let missing = statuses(of_step).filter(|s| *s == 404).count();
    let ruled = of_step.iter().any(|t| t.result.is_ok() && statuses(&[t]).any(|s| s == 404));
    if missing == 0 || ruled {
        return None;
    }
    Some(if missing == all {
        format!("another URL for {}: nothing is found there (404)", spec.name)
    } else {
        format!("--on {}:404=skip   {missing} of {all} are not found (or =null, to go on without)", spec.name)
    })
}

/// An expression that finds nothing, or one that is missing.
fn path(spec: &StepSpec, of_step: &[&Tried]) -> Option<String> {
    let StepKind::Get { .. } = spec.kind else { return None };
    let reply = of_step.iter().find_map(|t| {
        let request = t.requests.last()?;
        let good = matches!(request.outcome, Outcome::Answered { status: 200..300, .. });
        let value = serde_json::from_slice::<Map<String, Value>>(&request.body).ok()?;
        good.then_some((t, value))
    });
    let (tried, reply) = reply?;
    let names = || reply.keys().map(String::as_str);
    match expression(spec) {
        None => {
            let inner = WRAPPERS.iter().find(|w| reply.get(**w).is_some_and(Value::is_object))?;
            Some(format!("--take {}=.{inner}   the reply wraps it in \"{inner}\"", spec.name))
        }
        Some(expr) => {
            let null = match &tried.result {
                Ok(applied) => applied.attach.as_deref() == Some(b"null"),
                Err(fault) => fault.code() == "take",
            };
            let first =
                expr.trim_start_matches('.').split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
            if !null || reply.contains_key(first) {
                return None;
            }
            let meant =
                nearest(first, names()).map_or(String::new(), |near| format!("  did you mean .{near}?"));
            let names = names().collect::<Vec<_>>().join(", ");
            Some(format!(
                "another --take {}=…   {expr} finds nothing; the reply has {names}{meant}",
                spec.name
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_of(line: &str, advice: &[&str], failed: bool) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let advice: Vec<String> = advice.iter().map(|a| (*a).to_owned()).collect();
        next(&words, &advice, failed)
    }

    #[test]
    fn the_next_command_is_whole() {
        let take = "--take user=.data   the reply wraps it";
        let columns = "--columns id:int   numbers are text";
        let said = "haul try enrich a.csv --columns id --to o.jsonl";
        let next = next_of(said, &[columns, take], false).unwrap();
        assert_eq!(next, "haul try enrich a.csv --to o.jsonl --columns id:int --take user=.data");
        let done = "haul enrich a.csv --columns id --to o.jsonl   (for real)";
        assert_eq!(next_of(said, &[], false).unwrap(), done);
        assert_eq!(
            next_of("haul try --limit 2 j.toml", &[], false).unwrap(),
            "haul run --limit 2 j.toml   (for real)"
        );
        assert_eq!(next_of(said, &["--to FILE (or --post URL)   to keep it"], false), None);
        assert_eq!(next_of(said, &[], true), None);
    }
}
