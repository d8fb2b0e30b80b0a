//! The side of the run: listens, obeys, answers.

use std::io;
use std::path::PathBuf;

use crate::rundir::RunDir;
use crate::view::Handle;

/// Listens until it is dropped, and then takes the socket away.
#[derive(Debug)]
pub struct Listening {
    task: tokio::task::JoinHandle<()>,
    paths: Vec<PathBuf>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        for path in &self.paths {
            // The next process on the run removes what is left.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Starts to listen for a run's owner, within a tokio runtime. The caller holds the run's lock, and
/// goes on without a socket when this fails.
///
/// # Errors
/// What the file system said.
#[cfg(unix)]
pub fn listen(dir: &RunDir, handle: Handle) -> io::Result<Listening> {
    unix::listen(dir, handle)
}

/// There are no control sockets on this system.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn listen(_dir: &RunDir, _handle: Handle) -> io::Result<Listening> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no control sockets on this system"))
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use haul_core::limits::{CONTROL_LINE, CONTROL_PEERS};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::Semaphore;

    use super::Listening;
    use crate::rundir::RunDir;
    use crate::socket::place;
    use crate::socket::words::{Ask, PROTOCOL, Reply, Request};
    use crate::view::{Handle, Stop};

    /// A peer that says nothing for so long is let go.
    const SILENCE: Duration = Duration::from_secs(60);

    pub(super) fn listen(dir: &RunDir, handle: Handle) -> io::Result<Listening> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let (path, linked) = place::to_listen(dir, runtime)?;
        let direct = dir.control();
        // A process that was killed left its own.
        if let Ok(old) = fs::read_link(&direct) {
            drop(fs::remove_file(old));
        }
        drop(fs::remove_file(&direct));
        drop(fs::remove_file(&path));
        let listener = UnixListener::bind(&path)?;
        let mut paths = vec![path.clone()];
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        if linked {
            std::os::unix::fs::symlink(&path, &direct)?;
            paths.push(direct);
        }
        Ok(Listening { task: tokio::spawn(accept(listener, handle)), paths })
    }

    async fn accept(listener: UnixListener, handle: Handle) {
        let peers = Arc::new(Semaphore::new(CONTROL_PEERS));
        loop {
            let Ok(peer) = peers.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let handle = handle.clone();
                    tokio::spawn(async move {
                        // A peer that goes away is its own affair.
                        let _ = talk(stream, &handle).await;
                        drop(peer);
                    });
                }
                // Out of files, perhaps: the run matters more.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn talk(mut stream: UnixStream, handle: &Handle) -> io::Result<()> {
        let peer = stream.peer_cred()?;
        let (read, mut write) = stream.split();
        let own = rustix::process::getuid().as_raw();
        if peer.uid() != own && peer.uid() != 0 {
            return say(&mut write, &Reply::error("only the owner of a run may talk to it")).await;
        }
        let mut read = BufReader::new(read);
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut read).take(CONTROL_LINE as u64);
            let n = match tokio::time::timeout(SILENCE, bounded.read_until(b'\n', &mut line)).await {
                Ok(n) => n?,
                Err(_) => return Ok(()),
            };
            if n == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') {
                return say(&mut write, &Reply::error("the request is too long, or was cut off")).await;
            }
            let process = peer.pid().map_or(String::new(), |pid| format!(" (process {pid})"));
            let reply = answer(&line, handle, peer.uid(), &process).await;
            say(&mut write, &reply).await?;
        }
    }

    async fn say(write: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply).map_err(io::Error::other)?;
        line.push(b'\n');
        write.write_all(&line).await
    }

    async fn answer(line: &[u8], handle: &Handle, uid: u32, process: &str) -> Reply {
        let request: Request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(e) => return Reply::error(format!("the request is not understood: {e}")),
        };
        if request.haul != PROTOCOL {
            return Reply::error(format!(
                "this run speaks version {PROTOCOL} of the control protocol, not {}: use the haul that drives it",
                request.haul
            ));
        }
        let order = match request.order() {
            Ok(Some(order)) => order,
            Ok(None) => {
                let snapshot = Some(Box::new(handle.snapshot()));
                return Reply { haul: PROTOCOL, snapshot, ..Reply::default() };
            }
            Err(message) => return Reply::error(message),
        };
        let name: String = request.who.chars().filter(|c| !c.is_control()).take(64).collect();
        let name = if name.is_empty() { format!("user {uid}") } else { name };
        let changes = handle.order(order, &format!("{name}{process}")).await;
        // Whether or not it could be noted: who says stop means it.
        match request.ask {
            Ask::Stop => handle.stop(Stop::Drain),
            Ask::StopNow => handle.stop(Stop::Now),
            _ => {}
        }
        match changes {
            Err(message) if !matches!(request.ask, Ask::Stop | Ask::StopNow) => Reply::error(message),
            changes => {
                Reply { haul: PROTOCOL, changes: Some(changes.unwrap_or_default()), ..Reply::default() }
            }
        }
    }
}
