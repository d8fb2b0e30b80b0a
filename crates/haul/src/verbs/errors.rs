//! `haul errors`: what failed, was rejected or is in doubt, grouped, while the run works and after.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use haul_core::ledger::{Exception, LedgerError};
use haul_engine::ledger::Reader;
use haul_engine::ledger::read::{Group, GroupId, Groups, Selection};
use serde_json::{Value, json};

use crate::{exit, format, output, runs};

/// Which failures, and how to show them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ErrorsArgs {
    /// A run: its name, a beginning of it that no other has, or nothing for the latest
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Every item instead of groups
    #[arg(long)]
    pub list: bool,
    /// Only these groups: e1, e2
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<GroupId>,
    /// Every item on stdout for another program: CSV with a header, or an object a line
    #[arg(long, value_name = "csv|jsonl", conflicts_with_all = ["list", "json"])]
    pub export: Option<Export>,
    /// JSON on stdout: an object with all groups; with --list, an object a line for each item
    #[arg(long)]
    pub json: bool,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// Form of [`ErrorsArgs::export`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Export {
    /// Comma-separated values
    Csv,
    /// JSON Lines
    Jsonl,
}

/// How items are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Text,
    Json,
    Csv,
}

const EXAMPLES: &str = "\
Examples:
  haul errors enrich-pairs
  haul errors --only e1 --list
  haul errors --export csv > failed.csv";

/// Rows read at once.
const ROWS: usize = 256;

/// Shows them.
pub fn run(args: &ErrorsArgs) -> u8 {
    let dir = match runs::find_run(args.state.as_deref(), args.run.as_deref()) {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    let shown = Reader::open(dir.path()).and_then(|reader| {
        let all = reader.groups()?;
        let chosen = match choose(&all, &args.only) {
            Ok(chosen) => chosen,
            Err(message) => {
                output::complain(&format!("run {}: {message}", dir.name()));
                return Ok(exit::USAGE);
            }
        };
        let only = !args.only.is_empty();
        match (args.list, args.json) {
            _ if args.export == Some(Export::Csv) => list(&reader, &chosen, only, Form::Csv)?,
            _ if args.export == Some(Export::Jsonl) => list(&reader, &chosen, only, Form::Json)?,
            (true, true) => list(&reader, &chosen, only, Form::Json)?,
            (true, false) => list(&reader, &chosen, only, Form::Text)?,
            (false, true) => drop(output::line(&groups_json(dir.name(), &chosen, all.unlisted).to_string())),
            (false, false) => drop(output::data(groups_text(dir.name(), &chosen, &all).as_bytes())),
        }
        Ok(exit::DONE)
    });
    shown.unwrap_or_else(|e| {
        output::complain(&e.to_string());
        exit::NO_START
    })
}

/// The groups of these ids; all of them when none is named.
pub fn choose<'g>(all: &'g Groups, only: &[GroupId]) -> Result<Vec<&'g Group>, String> {
    if only.is_empty() {
        return Ok(all.groups.iter().collect());
    }
    only.iter()
        .map(|id| {
            all.groups.iter().find(|g| g.id == *id).ok_or_else(|| match all.groups.last() {
                Some(last) if last.id == GroupId(1) => format!("there is no {id}: there is only e1"),
                Some(last) => format!("there is no {id}: there are e1 to {}", last.id),
                None => format!("there is no {id}: nothing failed"),
            })
        })
        .collect()
}

fn groups_text(run: &str, chosen: &[&Group], all: &Groups) -> String {
    if chosen.is_empty() {
        return format!("run {run}: nothing failed\n");
    }
    let mut text = String::new();
    for group in chosen {
        text.push_str(&group_lines(group));
    }
    if all.unlisted > 0 {
        text.push_str(&format!("and {} of further kinds\n", format::items(all.unlisted)));
    }
    text
}

/// `e1  3,911  failed  index 503 localhost:8002 …`, and examples below.
fn group_lines(group: &Group) -> String {
    let mut text = head(group);
    text.push('\n');
    for message in &group.messages {
        text.push_str(&format!("      {}\n", format::plain(message, 200)));
    }
    let keys: Vec<String> = group.keys.iter().map(|k| format::plain(&k.to_string(), 60)).collect();
    let more = if group.count > keys.len() as u64 { " …" } else { "" };
    let when = if group.first == group.last {
        format::clock(group.first)
    } else {
        format!("{} to {}", format::clock(group.first), format::clock(group.last))
    };
    text.push_str(&format!("      {when}: {}{more}\n", keys.join("  ")));
    text
}

/// The first line of a group; the summary shows it as well.
pub fn head(group: &Group) -> String {
    let word = group.why.as_str().replace('_', " ");
    let what = match group.status {
        Some(status) => status.to_string(),
        None => group.code.clone(),
    };
    let place = [group.step.as_str(), what.as_str(), group.origin.as_str()];
    let place: Vec<&str> = place.into_iter().filter(|s| !s.is_empty()).collect();
    let id = group.id.to_string();
    format!("{id:<4} {:>9}  {word:<8}  {}", format::count(group.count), place.join(" "))
}

fn groups_json(run: &str, chosen: &[&Group], unlisted: u64) -> Value {
    let groups: Vec<Value> = chosen
        .iter()
        .map(|g| {
            json!({
                "id": g.id.to_string(),
                "outcome": g.why.as_str(),
                "count": g.count,
                "signature": g.signature,
                "step": g.step,
                "host": g.origin,
                "status": g.status,
                "code": g.code,
                "first_ms": g.first.0,
                "last_ms": g.last.0,
                "messages": g.messages,
                "keys": g.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "run": run, "groups": groups, "unlisted": unlisted })
}

/// Every item of the chosen groups, in the order of the input.
fn list(reader: &Reader, chosen: &[&Group], only: bool, form: Form) -> Result<(), LedgerError> {
    use haul_core::ledger::Why::{Failed, InDoubt, Rejected};
    let which = match only {
        true => Selection::groups(chosen.iter().copied()),
        false => Selection { whys: vec![Failed, Rejected, InDoubt], signatures: Vec::new() },
    };
    let id_of = |e: &Exception| {
        let group = chosen.iter().find(|g| g.why == e.why && g.signature == e.fault.signature);
        group.map_or(String::new(), |g| g.id.to_string())
    };
    if form == Form::Csv && !output::line(CSV_HEADER) {
        return Ok(());
    }
    each(reader, &which, &mut |rows| {
        let mut text = String::new();
        for row in rows {
            match form {
                Form::Text => text.push_str(&item_line(row, &id_of(row))),
                Form::Json => text.push_str(&item_json(row, &id_of(row)).to_string()),
                Form::Csv => text.push_str(&item_csv(row, &id_of(row))),
            }
            text.push('\n');
        }
        output::data(text.as_bytes())
    })
}

/// Hands over items in the order of the input, some at a time, until `take` gives false.
pub fn each(
    reader: &Reader,
    which: &Selection,
    take: &mut dyn FnMut(&[Exception]) -> bool,
) -> Result<(), LedgerError> {
    let mut after = None;
    loop {
        let rows = reader.exceptions(which, after, ROWS)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some((last.slice, last.seq));
        if !take(&rows) {
            return Ok(());
        }
    }
}

const CSV_HEADER: &str = "id,outcome,key,line,attempts,step,host,status,code,message,first_ms,last_ms,record";

fn item_csv(e: &Exception, id: &str) -> String {
    let number = |n: u64| if n > 0 { n.to_string() } else { String::new() };
    let fields = [
        id.to_owned(),
        e.why.as_str().to_owned(),
        e.key.to_string(),
        number(e.position.line),
        e.attempts.to_string(),
        e.fault.step.clone(),
        e.fault.origin.clone(),
        e.fault.status.map_or(String::new(), |s| s.to_string()),
        e.fault.code.clone(),
        e.fault.message.clone(),
        e.first.0.to_string(),
        e.last.0.to_string(),
        String::from_utf8_lossy(&e.record).into_owned(),
    ];
    fields.iter().map(|f| quoted(f)).collect::<Vec<_>>().join(",")
}

/// A field of RFC 4180.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn item_line(e: &Exception, id: &str) -> String {
    let line = if e.position.line > 0 { format!("line {}", e.position.line) } else { String::new() };
    let attempts = match e.attempts {
        0 => String::new(),
        1 => "  1 attempt".to_owned(),
        n => format!("  {n} attempts"),
    };
    let key = format::plain(&e.key.to_string(), 60);
    let key = if key.is_empty() || key == line { line } else { format!("{key}  {line}") };
    let message = format::plain(&e.fault.message, 200);
    format!("{id:<4} {:<8}  {key}{attempts}  {message}", e.why.as_str().replace('_', " "))
}

/// An item for a program.
pub fn item_json(e: &Exception, id: &str) -> Value {
    json!({
        "id": id,
        "outcome": e.why.as_str(),
        "key": e.key.to_string(),
        "line": (e.position.line > 0).then_some(e.position.line),
        "offset": e.position.offset,
        "attempts": e.attempts,
        "step": e.fault.step,
        "host": e.fault.origin,
        "status": e.fault.status,
        "code": e.fault.code,
        "message": e.fault.message,
        "first_ms": e.first.0,
        "last_ms": e.last.0,
        "record": String::from_utf8_lossy(&e.record),
    })
}
