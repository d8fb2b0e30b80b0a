//! What the operating system tells the process while a run works.

use std::sync::Arc;

use haul_engine::{Handle, Stop};

use crate::progress::Progress;

/// The first SIGINT or SIGTERM ends the run in order, the second at once. SIGHUP lets it go on
/// without its terminal. Returns when there is nothing left to listen to.
#[cfg(unix)]
pub async fn obey(handle: Handle, progress: Arc<Progress>) {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).ok();
    let (mut int, mut term, mut hup) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()));
    loop {
        tokio::select! {
            Some(()) = next(&mut int) => stop(&handle, &progress),
            Some(()) = next(&mut term) => stop(&handle, &progress),
            Some(()) = next(&mut hup) => progress.detach(),
            else => return,
        }
    }
}

/// The first Ctrl-C ends the run in order, the second at once.
#[cfg(not(unix))]
pub async fn obey(handle: Handle, progress: Arc<Progress>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        stop(&handle, &progress);
    }
}

#[cfg(unix)]
async fn next(signal: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}

fn stop(handle: &Handle, progress: &Progress) {
    if progress.stopping() {
        handle.stop(Stop::Now);
        progress.say("stopping now; what is committed stays right");
    } else {
        handle.stop(Stop::Drain);
        progress.say("stopping: attempts in flight may end (once more to stop at once)");
    }
}
