//! Reads a job file from disk, with what the command line lays over it.

use std::path::Path;

use clap::Args;
use haul_core::job::{Given, Job, Places, parse};
use haul_core::limits;

use crate::diagnostic::{self, File};
use crate::flags::{ExistsFlags, PaceFlags, ReadFlags};
use crate::lower::{self, Problems};
use crate::{exit, output};

/// What is laid over a job file.
#[derive(Args, Clone, Debug, Default)]
pub struct JobFlags {
    /// Lay [profile.NAME] of the file over it
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Lay a value over it: service.users.rate=100/s
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub exists: ExistsFlags,
    #[command(flatten)]
    pub read: ReadFlags,
    #[command(flatten)]
    pub pace: PaceFlags,
}

/// A job that was read, with the text that its places point into.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to do.
    pub job: Job,
    /// Where it was said.
    pub places: Places,
    /// The file as it was called.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Loaded {
    /// For diagnostics.
    pub fn file(&self) -> File<'_> {
        File { name: &self.name, text: &self.text }
    }
}

/// Reads it; what is wrong has been told, and the exit status is given.
pub fn load(name: &str, flags: &JobFlags) -> Result<Loaded, u8> {
    let path = Path::new(name);
    let text = read(path).map_err(|reason| {
        output::complain(&format!("{name}: {reason}"));
        exit::NO_START
    })?;
    let stem = path.file_stem().map_or("job".into(), |s| s.to_string_lossy());
    let file = File { name, text: &text };
    let refuse = |found: Vec<_>| {
        diagnostic::tell_all(&found, Some(file));
        if path.extension().is_none_or(|e| e != "toml") {
            output::tell(&format!(
                "  hint: haul run takes a job file; if this is input, haul plan enrich {name} … prints a job for it"
            ));
        }
        exit::USAGE
    };
    let given = Given { text: &text, name: &stem, profile: flags.profile.as_deref(), set: &flags.set };
    let parsed = parse(&given).map_err(refuse)?;
    let (mut job, mut places) = (parsed.job, parsed.places);
    let mut problems = Problems::default();
    lower::overlay(&mut job, (&flags.pace, &flags.read, flags.exists), &mut places, &mut problems);
    problems.finish(&job, &places).map_err(refuse)?;
    Ok(Loaded { job, places, name: name.to_owned(), text })
}

/// The job that a run stores.
pub fn of_run(dir: &haul_engine::rundir::RunDir) -> Result<Job, String> {
    let text = dir.job_text().map_err(|e| e.to_string())?;
    let parsed = parse(&Given { text: &text, name: dir.name(), profile: None, set: &[] });
    parsed.map(|parsed| parsed.job).map_err(|found| {
        let why = found.first().map_or(String::new(), |d| format!(" ({})", d.message));
        format!("{}: its job cannot be read{why}", dir.job().display())
    })
}

fn read(path: &Path) -> Result<String, String> {
    let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such job file".to_owned(),
        _ => e.to_string(),
    })?;
    if meta.is_dir() {
        return Err("this is a directory; give the job file in it".to_owned());
    }
    if meta.len() > limits::JOB_BYTES {
        return Err("this is too large for a job file".to_owned());
    }
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        format!("line {line} is not UTF-8: this is no job file")
    })
}
