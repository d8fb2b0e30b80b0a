//! A real terminal that a test types on and reads from.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::Winsize;
use vt100::Parser;

use crate::program::Place;

/// A terminal of its own session, in which a command runs.
pub(crate) struct Terminal {
    master: File,
    child: Child,
}

impl Terminal {
    fn run(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).unwrap();
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            Stdio::from(rustix::fs::open(&name, flags, Mode::empty()).unwrap())
        };
        let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        // The command holds the other end of its own: what it was made with goes with it.
        drop(command);
        Terminal { master: File::from(master), child }
    }

    /// A line of a shell on a terminal of 80 × 24, with the program's own environment and more.
    pub(crate) fn of(place: &Place, line: &str, more: &[(&str, &str)]) -> Self {
        let mut command = Command::new("setsid");
        // A shell that was born deaf to SIGHUP (the tests run under `nohup`) would not pass it on.
        command.args(["--ctty", "env", "--default-signal=HUP", "sh", "-c", line]).current_dir(place.path());
        for (name, value) in place.command::<&str>(&[]).get_envs() {
            command.env(name, value.unwrap());
        }
        command.envs(more.iter().copied());
        Terminal::run(command)
    }

    /// Takes in what is shown until the screen is as wanted.
    #[track_caller]
    pub(crate) fn screen(&mut self, screen: &mut Parser, wanted: impl Fn(&vt100::Screen) -> bool) {
        let patience = Instant::now() + Duration::from_secs(20);
        let mut buffer = [0; 4096];
        while !wanted(screen.screen()) {
            match self.master.read(&mut buffer) {
                Ok(n) if n > 0 => screen.process(&buffer[..n]),
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
            assert!(Instant::now() < patience, "the screen is\n{}", screen.screen().contents());
        }
    }

    /// How it ended.
    pub(crate) fn ended(mut self) -> Option<i32> {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < patience, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process of the shell, or of what it became.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until this is shown; all that was shown so far.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        let patience = Instant::now() + Duration::from_secs(20);
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if let Ok(n) = self.master.read(&mut buffer) {
                all.extend_from_slice(&buffer[..n]);
            }
            let text = String::from_utf8_lossy(&all);
            if text.contains(wanted) {
                return text.into_owned();
            }
            assert!(Instant::now() < patience, "{wanted:?} is not in {text:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types this.
    pub(crate) fn types(&mut self, keys: &[u8]) {
        self.master.write_all(keys).unwrap();
    }

    /// Closes the window: what runs in it is hung up.
    pub(crate) fn close(self) -> Child {
        self.child
    }
}
