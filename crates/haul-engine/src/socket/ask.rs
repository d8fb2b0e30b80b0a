//! The side of a person: asks the process that drives a run.

use super::words::{Reply, Request};
use crate::rundir::RunDir;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens: no process drives the run, or it could not make its socket.
    #[error("nobody listens at the control socket of run {0}")]
    Deaf(String),
    /// The run refused.
    #[error("{0}")]
    Refused(String),
    /// The conversation broke.
    #[error("run {0}: {1}")]
    Broken(String, String),
}

/// Asks, and waits for the answer.
///
/// # Errors
/// See [`AskError`]. An error in the reply is one.
#[cfg(unix)]
pub fn ask(dir: &RunDir, request: &Request) -> Result<Reply, AskError> {
    use std::io::{BufRead, BufReader, ErrorKind, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// A run answers at once; one that is stopped by the system (SIGSTOP) never does.
    const PATIENCE: Duration = Duration::from_secs(10);

    let name = || dir.name().to_owned();
    let broken = |e: &dyn std::fmt::Display| AskError::Broken(name(), e.to_string());
    let (path, _hold) = super::place::to_connect(dir).map_err(|e| broken(&e))?;
    let mut stream = UnixStream::connect(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::Deaf(name()),
        _ => broken(&e),
    })?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| broken(&e))?;
    let mut line = serde_json::to_vec(request).map_err(|e| broken(&e))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(|e| broken(&e))?;
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer) {
        Ok(0) => return Err(AskError::Deaf(name())),
        Ok(_) => {}
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Err(broken(&"its process does not answer"));
        }
        Err(e) => return Err(broken(&e)),
    }
    let reply: Reply = serde_json::from_str(&answer).map_err(|e| broken(&e))?;
    match reply.error {
        Some(message) => Err(AskError::Refused(message)),
        None => Ok(reply),
    }
}

/// There are no control sockets on this system.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn ask(dir: &RunDir, _request: &Request) -> Result<Reply, AskError> {
    Err(AskError::Deaf(dir.name().to_owned()))
}
