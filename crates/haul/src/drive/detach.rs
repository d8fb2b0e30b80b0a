//! `-d`: the run goes on without its terminal, in a process of its own.
//!
//! The command is executed again. The new process does everything up to the start of the run at the
//! terminal, so that problems are told where the command was typed and secrets can be asked for; then it
//! leaves the session, says so on its standard output, which is a pipe to the first process, and puts
//! files in the place of its standard streams.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use haul_engine::rundir::RunDir;

use crate::flags::ShowFlags;
use crate::{exit, output};

/// The flag by which the second process knows that it is that one.
pub const INNER: &str = "--detached";

/// What rows on standard output are called in `out/`.
pub const ROWS: &str = "stdout";

/// Starts the run in another process. Its problems have been told when this returns.
pub fn start(show: ShowFlags) -> u8 {
    match spawn() {
        Ok((name, pid)) if !name.is_empty() => {
            if !show.quiet && !show.json {
                output::complain(&format!(
                    "it works in the background (process {pid}): haul status {name}, haul wait {name}, haul stop {name}"
                ));
            }
            exit::DONE
        }
        // It ended before it began, and has told why; the exit status stands for the process id.
        Ok((_, status)) => u8::try_from(status).unwrap_or(exit::NO_START),
        Err(e) => {
            output::complain(&format!("the run cannot be started in the background: {e}"));
            exit::NO_START
        }
    }
}

/// Name of the run and process id; an empty name and the exit status when it did not begin.
fn spawn() -> std::io::Result<(String, u32)> {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    // After the verb, so that no `--` and no value stands before it.
    args.insert(args.len().min(1), INNER.into());
    let mut child = Command::new(std::env::current_exe()?)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut name = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut name)?;
    }
    let name = name.trim_end().to_owned();
    if name.is_empty() {
        let status = child.wait()?.code().and_then(|c| u32::try_from(c).ok());
        return Ok((name, status.unwrap_or(u32::from(exit::NO_START))));
    }
    Ok((name, child.id()))
}

/// Whether this process has left its terminal. Kept here and not asked of the system: in a container the
/// session may be led from outside of it and has no id that could be asked for.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Whether this process left the terminal before, with its first run (this is the rest after a canary).
pub fn has_left() -> bool {
    LEFT.load(Ordering::Relaxed)
}

/// The run has begun: leaves the terminal, unless it was left before.
///
/// # Errors
/// What the system said; the run then goes on as if nobody had asked.
#[cfg(unix)]
pub fn leave(dir: &RunDir) -> std::io::Result<()> {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;

    if has_left() {
        return Ok(());
    }
    let append = |path| OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let log = append(dir.log())?;
    let rows = append(dir.out().join(ROWS))?;
    let nothing = OpenOptions::new().read(true).open("/dev/null")?;
    // Fails only for the leader of a group, which a process that was just started by another is not.
    rustix::process::setsid()?;
    LEFT.store(true, Ordering::Relaxed);
    output::data(format!("{}\n", dir.name()).as_bytes());
    rustix::stdio::dup2_stdin(nothing)?;
    rustix::stdio::dup2_stderr(log)?;
    // Last: the first process waits for the end of this pipe.
    rustix::stdio::dup2_stdout(rows)?;
    Ok(())
}

/// There are no sessions on this system.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn leave(_dir: &RunDir) -> std::io::Result<()> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "-d needs a Unix system"))
}
