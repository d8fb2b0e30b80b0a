//! `haul check`: goes through a job's source and compares every file, or object, with what is there.

mod objects;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use haul_connect::assemble::{AssembleContext, AssembleError, Assembled, assemble};
use haul_connect::steps::download::{Comparison, Standing};
use haul_core::cx::{NoMemo, RunKey};
use haul_core::job::{Identity, Job, freeze};
use haul_core::{Applied, Budget, Cx, Fault, FaultClass, Flow, Item, Seq, Step};
use haul_engine::TokioClock;
use serde_json::json;

use crate::drive::{Claim, Problem};
use crate::flags::RunFlags;
use crate::trial::FreeLanes;
use crate::{exit, format, output, runs};

/// Differences that are told one by one.
const TOLD: u64 = 20;

/// What is to be compared.
pub struct Audit<'a> {
    /// As it was said.
    pub job: &'a Job,
    /// Which run saves it.
    pub flags: &'a RunFlags,
    /// Contents are read.
    pub reread: bool,
    /// For a program.
    pub json: bool,
}

/// Where names are written.
#[derive(Default)]
pub struct Reports {
    /// Of files that are not there.
    pub missing: Option<Report>,
    /// Of files that are not what they should be.
    pub different: Option<Report>,
    /// Of files that no record names.
    pub extra: Option<Report>,
}

impl Reports {
    /// Writes what is left; true when standard output has names.
    fn finish(self) -> Result<bool, Problem> {
        let mut names = false;
        for report in [self.missing, self.different, self.extra].into_iter().flatten() {
            names |= report.is_stdout();
            report.finish()?;
        }
        Ok(names)
    }
}

/// A list of names, one a line.
pub struct Report {
    path: String,
    to: Box<dyn Write + Send>,
}

impl Report {
    /// Writes to a new file, or to standard output (`-`).
    pub fn open(path: &str) -> Result<Self, String> {
        let to: Box<dyn Write + Send> = match path {
            "-" => Box::new(std::io::stdout()),
            _ => Box::new(BufWriter::new(File::create(path).map_err(|e| format!("{path}: {e}"))?)),
        };
        Ok(Report { path: path.to_owned(), to })
    }

    fn is_stdout(&self) -> bool {
        self.path == "-"
    }

    fn add(&mut self, name: &str) -> Result<(), Problem> {
        writeln!(self.to, "{name}").map_err(|e| Problem::Start(format!("{}: {e}", self.path)))
    }

    fn finish(mut self) -> Result<(), Problem> {
        self.to.flush().map_err(|e| Problem::Start(format!("{}: {e}", self.path)))
    }
}

/// What was found.
#[derive(Default)]
struct Found {
    records: u64,
    right: u64,
    missing: u64,
    different: u64,
    /// Not there, as a status said that they need not be.
    skipped: u64,
    /// Looked for only when asked.
    extra: u64,
    /// Records that do not say which files.
    unclear: u64,
    told: u64,
}

impl Found {
    fn tell(&mut self, name: &str, what: &str) {
        self.told += 1;
        if self.told <= TOLD {
            output::tell(&format!("  {}: {what}", format::plain(name, 200)));
        }
    }

    /// The end of the line for a person.
    fn rest(&self, looked: bool, what: &str) -> String {
        let mut text = String::new();
        if looked {
            text.push_str(&format!(", {} too much", format::count(self.extra)));
        }
        if self.unclear > 0 {
            text.push_str(&format!("; {} {what} are unclear", format::count(self.unclear)));
        }
        text
    }

    fn problems(&self) -> u64 {
        self.missing + self.different + self.extra + self.unclear
    }
}

/// Compares; the exit status is given.
pub fn of_job(audit: &Audit<'_>, mut reports: Reports) -> Result<u8, Problem> {
    let base = runs::working_directory();
    let context = AssembleContext { base: base.clone(), output: None, ..AssembleContext::default() };
    let live = assemble(audit.job, &context)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Problem::Start(format!("the asynchronous runtime does not start: {e}")))?;
    let compared = runtime.block_on(async {
        live.check_secrets().await?;
        match &live.copies {
            Some(ends) => objects::compare_all((audit, &live), ends, &mut reports).await,
            None => files(audit, &live, &base, &mut reports).await,
        }
    });
    runtime.shutdown_background();
    let Compared { found, line, json } = compared?;
    let names = reports.finish()?;
    if found.told > TOLD {
        output::tell(&format!("  … and {} more", format::count(found.told - TOLD)));
    }
    let line = if audit.json { json.to_string() } else { line };
    if names {
        output::tell(&line);
    } else {
        output::line(&line);
    }
    Ok(if found.problems() > 0 { exit::OPEN } else { exit::DONE })
}

/// What was found, and how it is told to a person and to a program.
struct Compared {
    found: Found,
    line: String,
    json: serde_json::Value,
}

async fn files(
    audit: &Audit<'_>,
    live: &Assembled,
    base: &Path,
    reports: &mut Reports,
) -> Result<Compared, Problem> {
    let Some(downloads) = &live.downloads else {
        return Err(Problem::Job(AssembleError {
            what: "step".to_owned(),
            message: "haul check compares what was saved or copied, and this job does neither".to_owned(),
            offset: None,
            hint: Some("give a job with a download or a copy".to_owned()),
        }));
    };
    let job = freeze(audit.job, base);
    let run = Claim { job: &job, identity: Identity::of(&job), flags: audit.flags }.find();
    let out = run.as_ref().map(haul_engine::rundir::RunDir::out);
    let mut comparison =
        Comparison::new(&downloads.depot, downloads.files.clone(), out.as_deref(), audit.reread)?;
    if !comparison.knows_a_run() {
        output::complain("no run of this job has saved files here: only names and types are compared");
    }
    let found = all(audit.job, live, &mut comparison, reports).await?;
    let (line, json) = told(&found, reports.extra.is_some());
    Ok(Compared { found, line, json })
}

async fn all(
    job: &Job,
    live: &Assembled,
    comparison: &mut Comparison,
    reports: &mut Reports,
) -> Result<Found, Problem> {
    let (lanes, clock) = (FreeLanes::default(), TokioClock::new());
    let (budget, run) = (Budget::new(job.limits.memory), RunKey([0; 16]));
    let cx = Cx { lanes: &lanes, clock: &clock, budget: &budget, run: &run, memo: &NoMemo };
    let mut found = Found::default();
    'source: for slice in live.opener.slices() {
        let mut source = live.opener.open(&slice, None, &cx).await?;
        while let Some(page) = source.next_page(&cx).await? {
            for new in page.items {
                if job.source.limit.is_some_and(|most| found.records >= most) {
                    break 'source;
                }
                found.records += 1;
                let Ok(record) = new.record else {
                    found.unclear += 1;
                    found.tell(&new.key.to_string(), "this is no record");
                    continue;
                };
                let (key, position) = (new.key, new.position);
                let mut item = Item { slice: slice.id, seq: Seq(found.records), key, position, record };
                one(live, comparison, reports, (&mut item, &mut found), &cx).await?;
            }
        }
    }
    if let Some(report) = &mut reports.extra {
        let mut names = Ok(());
        let mut each = |name: &str| {
            found.extra += 1;
            if names.is_ok() {
                names = report.add(name);
            }
        };
        comparison.extra(&cx, &mut each).await?;
        names?;
    }
    Ok(found)
}

/// One record: the steps before its download decide whether and what it downloads.
async fn one(
    live: &Assembled,
    comparison: &mut Comparison,
    reports: &mut Reports,
    (item, found): (&mut Item, &mut Found),
    cx: &Cx<'_>,
) -> Result<(), Problem> {
    let steps: Vec<_> = live.stages.iter().flatten().collect();
    let before = steps.len().saturating_sub(1);
    for step in &steps[..before] {
        match before_effect(&***step, item, cx).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(fault) => return unclear(item, found, &fault),
        }
    }
    let compared = match comparison.of(item, cx).await {
        Ok(compared) => compared,
        Err(fault) => return unclear(item, found, &fault),
    };
    for file in compared {
        match file.standing {
            Standing::Right => found.right += 1,
            Standing::Missing => {
                found.missing += 1;
                found.tell(&file.name, "missing");
                reports.missing.as_mut().map_or(Ok(()), |r| r.add(&file.name))?;
            }
            Standing::Skipped(_) => found.skipped += 1,
            Standing::Different(why) => {
                found.different += 1;
                found.tell(&file.name, &why);
                reports.different.as_mut().map_or(Ok(()), |r| r.add(&file.name))?;
            }
        }
    }
    Ok(())
}

/// A record that cannot be compared; what is fatal ends the check.
fn unclear(item: &Item, found: &mut Found, fault: &Fault) -> Result<(), Problem> {
    if fault.class() == FaultClass::Fatal {
        return Err(fault.clone().into());
    }
    found.unclear += 1;
    found.tell(&item.key.to_string(), fault.message());
    Ok(())
}

/// Applies a step before the last one; false when the record goes no further.
async fn before_effect(step: &dyn Step, item: &mut Item, cx: &Cx<'_>) -> Result<bool, Fault> {
    let Applied { flow, attach } = step.apply(item, cx).await?;
    if let Some(value) = attach {
        item.record.attach(step.name().clone(), value);
    }
    Ok(flow == Flow::Next)
}

/// Of files, with whether extra ones were looked for.
fn told(found: &Found, looked: bool) -> (String, serde_json::Value) {
    let Found { records, right, missing, different, skipped, extra, unclear, .. } = found;
    let count = |n: &u64| format::count(*n);
    let mut line = format!(
        "{} records: {} files are right, {} missing, {} different",
        count(records),
        count(right),
        count(missing),
        count(different)
    );
    if *skipped > 0 {
        line.push_str(&format!(", {} skipped by their status", count(skipped)));
    }
    line.push_str(&found.rest(looked, "records"));
    let extra = looked.then_some(extra);
    let json = json!({ "records": records, "right": right, "missing": missing, "different": different,
        "skipped": skipped, "extra": extra, "unclear": unclear });
    (line, json)
}
