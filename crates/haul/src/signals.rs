//! What the operating system tells the process while a run works.

use std::future::Future;
use std::thread::JoinHandle;
use std::time::Duration;

use haul_engine::{Handle, Stop};
use tokio::sync::oneshot;

use crate::exit;
use crate::progress::Voice;

/// How long a run that was told twice may take to end. Longer is an expression that does not end; what
/// is committed is right whenever the process goes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A thread that listens, so that a run that hangs can be stopped; it ends when this is dropped.
pub struct Listener {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens from now on. The first SIGINT or SIGTERM ends the run in order, the second at once; SIGHUP
    /// lets it go on without its terminal.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(handle: Handle, voice: Voice) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = obey(handle, voice) => {}
                    _ = ended => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(work)?;
        Ok(Listener { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.end.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Returns when there is nothing left to listen to.
#[cfg(unix)]
async fn obey(handle: Handle, voice: Voice) {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).ok();
    let (mut int, mut term, mut hup) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()));
    let mut told = Told { handle, voice, times: 0 };
    loop {
        tokio::select! {
            Some(()) = next(&mut int) => told.again(),
            Some(()) = next(&mut term) => told.again(),
            Some(()) = next(&mut hup) => told.voice.detach(),
            () = told.patience() => told.leave(),
            else => return,
        }
    }
}

/// As above, without what only Unix has.
#[cfg(not(unix))]
async fn obey(handle: Handle, voice: Voice) {
    let mut told = Told { handle, voice, times: 0 };
    loop {
        tokio::select! {
            Ok(()) = tokio::signal::ctrl_c() => told.again(),
            () = told.patience() => told.leave(),
            else => return,
        }
    }
}

#[cfg(unix)]
async fn next(signal: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}

/// How often the run was told to stop.
struct Told {
    handle: Handle,
    voice: Voice,
    times: u32,
}

impl Told {
    fn again(&mut self) {
        self.times += 1;
        if self.times == 1 {
            self.handle.stop(Stop::Drain);
            self.voice.say("stopping: attempts in flight may end (once more to stop at once)");
        } else {
            self.handle.stop(Stop::Now);
            self.voice.say("stopping now; what is committed stays right");
        }
    }

    /// Over when it was told twice and nothing happens.
    fn patience(&self) -> impl Future<Output = ()> + use<> {
        let twice = self.times > 1;
        async move {
            match twice {
                true => tokio::time::sleep(PATIENCE).await,
                false => std::future::pending().await,
            }
        }
    }

    fn leave(&self) {
        self.voice.say("it does not end by itself (an expression that takes for ever?): the process goes");
        std::thread::sleep(Duration::from_millis(100));
        std::process::exit(i32::from(exit::STOPPED));
    }
}
