//! What the operating system tells the process while a run works.

use haul_engine::{Handle, Stop};

use crate::progress::Voice;

/// The first SIGINT or SIGTERM ends the run in order, the second at once. SIGHUP lets it go on
/// without its terminal. Returns when there is nothing left to listen to.
#[cfg(unix)]
pub async fn obey(handle: Handle, voice: Voice) {
    let mut stopping = false;
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).ok();
    let (mut int, mut term, mut hup) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()));
    loop {
        tokio::select! {
            Some(()) = next(&mut int) => stop(&handle, &voice, &mut stopping),
            Some(()) = next(&mut term) => stop(&handle, &voice, &mut stopping),
            Some(()) = next(&mut hup) => voice.detach(),
            else => return,
        }
    }
}

/// The first Ctrl-C ends the run in order, the second at once.
#[cfg(not(unix))]
pub async fn obey(handle: Handle, voice: Voice) {
    let mut stopping = false;
    while tokio::signal::ctrl_c().await.is_ok() {
        stop(&handle, &voice, &mut stopping);
    }
}

#[cfg(unix)]
async fn next(signal: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}

fn stop(handle: &Handle, voice: &Voice, stopping: &mut bool) {
    if std::mem::replace(stopping, true) {
        handle.stop(Stop::Now);
        voice.say("stopping now; what is committed stays right");
    } else {
        handle.stop(Stop::Drain);
        voice.say("stopping: attempts in flight may end (once more to stop at once)");
    }
}
